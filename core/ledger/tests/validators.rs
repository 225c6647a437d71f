//! Bonds, the consensus set, jail and evidence.

use althing_ledger::{OperationResult, Unbonding, ValidatorStatus};
use althing_types::{
    Address, Amount, BeaconKey, BlockId, Bond, Eip712, Endowment, Evidence, Hash, Height,
    Operation, Parameters, Round, SignedVote, Unbond, Unjail, VoteKind,
};

use crate::common::{Actor, CHAIN, Chain, actor, endpoint, genesis, parameters, tokens, validator};

/// Three validators with 1,000, 500 and 400 tokens, and somebody with none.
fn chain() -> (Chain, [Actor; 3], Actor) {
    let validators = [actor(1), actor(2), actor(3)];
    let outsider = actor(4);
    let accounts = validators.iter().chain([&outsider]);
    let accounts =
        accounts.map(|a| Endowment { address: a.address(), balance: tokens(10_000) }).collect();
    let bonds = [1_000, 500, 400];
    let set = validators.iter().zip(bonds).map(|(a, bond)| validator(a, tokens(bond))).collect();
    (Chain::new(&genesis(parameters(), accounts, set)), validators, outsider)
}

pub(crate) fn bond(actor: &Actor, amount: Amount) -> Operation {
    Operation::Bond(Bond {
        amount,
        public_key: actor.key.public_key(),
        endpoint: endpoint(actor),
        beacon_key: BeaconKey::ZERO,
    })
}

pub(crate) fn unbond(amount: Amount) -> Operation {
    Operation::Unbond(Unbond { amount })
}

pub(crate) const UNJAIL: Operation = Operation::Unjail(Unjail {});

fn power(chain: &Chain, actor: &Actor) -> u64 {
    chain.validators.get(&actor.address()).map_or(0, |validator| validator.power)
}

#[test]
fn whoever_bonds_enough_is_in_the_next_set_with_one_vote_a_token() {
    let (mut chain, _, newcomer) = chain();
    chain.done(&newcomer, bond(&newcomer, tokens(250)));
    assert_eq!(power(&chain, &newcomer), 250);
    chain.done(&newcomer, bond(&newcomer, tokens(50)));
    assert_eq!(power(&chain, &newcomer), 300);
    assert_eq!(chain.totals().bonded, tokens(1_000 + 500 + 400 + 300));
}

#[test]
fn only_the_largest_bonds_are_in_the_set() {
    let (mut chain, [_, _, smallest], rich) = chain();
    let fifth = actor(5);
    chain.done(&rich, bond(&rich, tokens(600)));
    chain.done(&rich, crate::transfers::transfer(&fifth, tokens(1_000)));
    chain.done(&fifth, bond(&fifth, tokens(450)));
    assert_eq!(chain.validators.members().len(), 4);
    assert!(!chain.in_set(&smallest));
    chain.done(&smallest, bond(&smallest, tokens(60)));
    assert!(chain.in_set(&smallest) && !chain.in_set(&fifth));
}

#[test]
fn unbonded_stake_has_no_vote_and_is_paid_after_the_delay() {
    let (mut chain, [first, ..], _) = chain();
    chain.done(&first, unbond(tokens(300)));
    assert_eq!(power(&chain, &first), 700);
    let balance = chain.balance(&first);
    chain.wait(59_999);
    assert_eq!(chain.balance(&first), balance);
    chain.wait(1);
    assert_eq!(chain.balance(&first), balance.saturating_add(tokens(300)));
    assert!(chain.validator(&first).unwrap().unbonding.is_empty());
}

#[test]
fn unbondings_of_one_block_are_paid_together_and_once() {
    let (mut chain, [first, ..], _) = chain();
    chain.block(|block| block.send(&first, vec![unbond(tokens(10)), unbond(tokens(20))]));
    chain.done(&first, unbond(tokens(5)));
    let balance = chain.balance(&first);
    chain.wait(60_000);
    chain.wait(60_000);
    assert_eq!(chain.balance(&first), balance.saturating_add(tokens(35)));
}

#[test]
fn a_rest_below_the_least_bond_cannot_stay() {
    let (mut chain, [_, _, third], newcomer) = chain();
    assert_eq!(chain.rejected(&third, unbond(tokens(301))), "LED-0005");
    assert_eq!(chain.rejected(&newcomer, bond(&newcomer, tokens(99))), "LED-0005");
    chain.done(&third, unbond(tokens(300)));
}

#[test]
fn the_last_validator_cannot_leave() {
    let (mut chain, [first, second, third], _) = chain();
    chain.done(&second, unbond(tokens(500)));
    chain.done(&third, unbond(tokens(400)));
    assert_eq!(chain.rejected(&first, unbond(tokens(1_000))), "LED-0009");
    assert!(chain.in_set(&first));
}

#[test]
fn whoever_has_left_may_come_back_with_new_keys() {
    let (mut chain, [_, second, _], _) = chain();
    chain.done(&second, unbond(tokens(500)));
    assert!(!chain.in_set(&second));
    chain.wait(60_000);
    assert_eq!(chain.validator(&second), None, "nothing is left behind");
    let other = Operation::Bond(Bond {
        amount: tokens(200),
        public_key: second.key.public_key(),
        endpoint: endpoint(&actor(77)),
        beacon_key: BeaconKey([7; 32]),
    });
    chain.done(&second, other);
    assert_eq!(power(&chain, &second), 200);
}

#[test]
fn a_validators_operations_are_rejected_with_their_reasons() {
    let (mut chain, [first, ..], outsider) = chain();
    assert_eq!(chain.rejected(&first, bond(&first, Amount::ZERO)), "LED-0002");
    assert_eq!(chain.rejected(&first, bond(&outsider, tokens(100))), "LED-0003");
    let other_keys = Operation::Bond(Bond {
        amount: tokens(1),
        public_key: first.key.public_key(),
        endpoint: endpoint(&first),
        beacon_key: BeaconKey([1; 32]),
    });
    assert_eq!(chain.rejected(&first, other_keys), "LED-0004");
    assert_eq!(chain.rejected(&outsider, unbond(tokens(1))), "LED-0006");
    assert_eq!(chain.rejected(&outsider, UNJAIL), "LED-0006");
    assert_eq!(chain.rejected(&first, unbond(tokens(1_001))), "LED-0007");
    assert_eq!(chain.rejected(&first, UNJAIL), "LED-0010");
    assert_eq!(chain.rejected(&outsider, bond(&outsider, tokens(20_000))), "LED-0001");
    for _ in 0..16 {
        chain.done(&first, unbond(tokens(1)));
    }
    assert_eq!(chain.rejected(&first, unbond(tokens(1))), "LED-0008");
}

/// Makes blocks of round 1 until a validator other than the rest's proposer has missed its turn
/// `times` times; gives the absent one.
fn miss(chain: &mut Chain, absent: &Actor, times: u32) {
    let mut missed = 0;
    for _ in 0..10_000 {
        if missed == times {
            return;
        }
        let height = chain.height.next();
        let turn = chain.validators.proposer(height, Round(0)).unwrap().address;
        let other =
            chain.validators.members().iter().find(|v| v.address != absent.address()).unwrap();
        let other = other.address;
        if turn == absent.address() {
            missed += 1;
            chain.block(|block| (block.round, block.proposer) = (Round(1), other));
        } else {
            chain.wait(1);
        }
    }
    panic!("its turn never came");
}

/// Validators with these bonds.
fn bonded<const N: usize>(bonds: [u64; N]) -> (Chain, [Actor; N]) {
    let mut number = 0;
    let validators = bonds.map(|_| {
        number += 1;
        actor(number)
    });
    let accounts = validators
        .iter()
        .map(|a| Endowment { address: a.address(), balance: tokens(10_000) })
        .collect();
    let set = validators.iter().zip(bonds).map(|(a, bond)| validator(a, tokens(bond))).collect();
    let parameters = Parameters { validators_max: 100, ..parameters() };
    (Chain::new(&genesis(parameters, accounts, set)), validators)
}

#[test]
fn a_validator_that_misses_three_proposals_is_jailed_and_may_return() {
    let (mut chain, [first, ..]) = bonded([100; 5]);
    miss(&mut chain, &first, 2);
    assert!(chain.in_set(&first));
    assert_eq!(chain.validator(&first).unwrap().missed, 2);
    miss(&mut chain, &first, 1);
    assert!(!chain.in_set(&first), "jailed validators decide nothing");
    let until = chain.time.after(10_000);
    assert_eq!(chain.validator(&first).unwrap().status, ValidatorStatus::Jailed { until });
    assert_eq!(chain.rejected(&first, UNJAIL), "LED-0011");
    chain.wait(10_000);
    chain.done(&first, UNJAIL);
    assert!(chain.in_set(&first));
    assert_eq!(chain.validator(&first).unwrap().missed, 0);
}

#[test]
fn a_proposal_wipes_out_the_ones_that_were_missed() {
    let (mut chain, [first, ..], _) = chain();
    miss(&mut chain, &first, 2);
    chain.block(|block| block.proposer = first.address());
    assert_eq!(chain.validator(&first).unwrap().missed, 0);
}

#[test]
fn an_outage_that_everybody_suffers_leaves_the_set_as_it_was() {
    let (mut chain, [first, ..]) = bonded([100; 5]);
    for _ in 0..3 {
        // Sixteen rounds came to nothing before the first of them proposed.
        chain.block(|block| (block.round, block.proposer) = (Round(16), first.address()));
    }
    assert_eq!(chain.validators.members().len(), 5, "who has not been heard of may be there");
}

#[test]
fn who_is_absent_is_jailed_once_two_thirds_of_the_others_are_known_to_be_there() {
    let (mut chain, [first, second, third, _, absent]) = bonded([100; 5]);
    for _ in 0..2 {
        chain.block(|block| (block.round, block.proposer) = (Round(16), first.address()));
    }
    assert!(chain.validator(&absent).unwrap().missed >= 3);
    for present in [&second, &third] {
        chain.block(|block| block.proposer = present.address());
    }
    miss(&mut chain, &absent, 1);
    assert!(!chain.in_set(&absent));
    assert_eq!(chain.validators.members().len(), 4);
}

#[test]
fn absence_takes_nobody_without_whom_the_set_could_lose_no_one_more() {
    let (mut chain, [.., absent]) = bonded([100; 4]);
    miss(&mut chain, &absent, 9);
    assert!(chain.in_set(&absent), "of the three others none could be lost");
    assert_eq!(chain.validator(&absent).unwrap().missed, 9, "it is counted all the same");
    // With a fifth, four are left that can lose one.
    let newcomer = actor(77);
    let endow = crate::transfers::transfer(&newcomer, tokens(500));
    let rich = actor(1);
    chain.done(&rich, endow);
    chain.done(&newcomer, bond(&newcomer, tokens(100)));
    miss(&mut chain, &absent, 3);
    assert!(!chain.in_set(&absent));
}

/// Two hundred blocks in which nobody but these proposes.
fn without(chain: &mut Chain, present: &[Actor]) {
    for _ in 0..200 {
        let height = chain.height.next();
        let turn = |round| chain.validators.proposer(height, Round(round)).unwrap().address;
        let is_there = |address: Address| present.iter().any(|v| v.address() == address);
        let round = (0..100).find(|round| is_there(turn(*round))).unwrap();
        let proposer = turn(round);
        chain.block(|block| (block.round, block.proposer) = (Round(round), proposer));
    }
}

#[test]
fn of_several_that_are_absent_the_first_are_jailed_until_the_rest_needs_everybody() {
    let (mut chain, validators) = bonded([100; 7]);
    without(&mut chain, &validators[..4]);
    assert_eq!(chain.validators.members().len(), 4, "four can lose one");
}

#[test]
fn who_could_be_lost_without_it_is_told_by_stake_and_not_by_seats() {
    // Losing the 30 is borne by 100 of which nobody else has a third, and by no 80.
    let (mut chain, [_, _, _, _, absent]) = bonded([300, 200, 200, 100, 200]);
    miss(&mut chain, &absent, 4);
    assert!(chain.in_set(&absent), "three hundred of eight hundred would be more than a third");
    // The loss of the largest was never borne: it hinders nothing.
    let (mut chain, [_, _, _, _, absent]) = bonded([400, 150, 150, 150, 150]);
    miss(&mut chain, &absent, 3);
    assert!(!chain.in_set(&absent));
    // An absent whale leaves two that need each other.
    let (mut chain, [whale, ..]) = bonded([1_000, 500, 400]);
    miss(&mut chain, &whale, 5);
    assert!(chain.in_set(&whale));
}

#[test]
fn a_lone_validator_is_never_jailed() {
    let only = actor(1);
    let mut chain = Chain::new(&genesis(parameters(), vec![], vec![validator(&only, tokens(100))]));
    for _ in 0..5 {
        chain.block(|block| (block.round, block.proposer) = (Round(9), actor(2).address()));
    }
    assert!(chain.in_set(&only));
}

#[test]
fn a_block_of_a_late_round_makes_others_pay_for_sixteen_rounds_at_most() {
    let (mut chain, [first, second, third], _) = chain();
    chain.block(|block| block.round = Round(u32::MAX));
    let missed = [&first, &second, &third].map(|v| chain.validator(v).map_or(0, |r| r.missed));
    assert!(missed.iter().sum::<u32>() <= 16);
}

fn vote(by: &Actor, kind: VoteKind, height: u64, round: u32, block: Option<BlockId>) -> SignedVote {
    let (height, round) = (Height(height), Round(round));
    let digest = Eip712::new(CHAIN).vote(kind, height, round, block);
    SignedVote { kind, height, round, block, signature: by.key.sign_vote(&digest) }
}

fn block_id(n: u8) -> Option<BlockId> {
    Some(Hash([n; 32]))
}

fn evidence(validator: Address, first: SignedVote, second: SignedVote) -> Operation {
    Operation::Evidence(Evidence { validator, first: first.into(), second: second.into() })
}

fn double_vote(by: &Actor) -> Operation {
    let vote = |n| vote(by, VoteKind::Precommit, 5, 0, block_id(n));
    evidence(by.address(), vote(1), vote(2))
}

#[test]
fn a_double_vote_costs_a_fifth_of_the_bond_and_of_what_is_on_its_way_back() {
    let (mut chain, [first, ..], reporter) = chain();
    chain.done(&first, unbond(tokens(100)));
    let (treasury, burned) = (chain.totals().treasury, chain.totals().burned);
    let accuser = chain.balance(&reporter);
    let receipts = chain.block(|block| block.send(&reporter, vec![double_vote(&first)]));
    let receipt = receipts[0].as_ref().unwrap();
    assert_eq!(receipt.results, [OperationResult::Done]);
    let record = chain.validator(&first).unwrap();
    assert_eq!(record.bonded, tokens(720), "900 less 20 %");
    assert!(
        matches!(record.unbonding.as_slice(), [Unbonding { amount, .. }] if *amount == tokens(80))
    );
    assert_eq!(record.status, ValidatorStatus::Convicted);
    assert_eq!(chain.totals().burned, burned.saturating_add(tokens(100)), "half of 200");
    let to_treasury = tokens(100).saturating_add(receipt.fee);
    assert_eq!(chain.totals().treasury, treasury.saturating_add(to_treasury));
    assert_eq!(chain.balance(&reporter), accuser.saturating_sub(receipt.fee), "no reward");
    assert!(!chain.in_set(&first));

    assert_eq!(chain.rejected(&reporter, double_vote(&first)), "LED-0012", "once");
    assert_eq!(chain.rejected(&first, bond(&first, tokens(500))), "LED-0012");
    assert_eq!(chain.rejected(&first, UNJAIL), "LED-0012");
    // What is left is the convict's own.
    let balance = chain.balance(&first);
    let receipts = chain.block(|block| block.send(&first, vec![unbond(tokens(720))]));
    let fee = receipts[0].as_ref().unwrap().fee;
    chain.wait(60_000);
    assert_eq!(chain.balance(&first), balance.saturating_add(tokens(800)).saturating_sub(fee));
    assert!(chain.validator(&first).is_some(), "a conviction is not forgotten");
    assert_eq!(chain.rejected(&first, bond(&first, tokens(500))), "LED-0012");
}

#[test]
fn votes_that_do_not_contradict_each_other_convict_nobody() {
    let (mut chain, [first, second, _], reporter) = chain();
    let (prevote, precommit) = (VoteKind::Prevote, VoteKind::Precommit);
    let base = || vote(&first, precommit, 5, 0, block_id(1));
    let pairs = [
        (base(), base()),
        (base(), vote(&first, prevote, 5, 0, block_id(2))),
        (base(), vote(&first, precommit, 6, 0, block_id(2))),
        (base(), vote(&first, precommit, 5, 1, block_id(2))),
        (vote(&first, precommit, 5, 0, block_id(2)), base()),
    ];
    for (a, b) in pairs {
        assert_eq!(chain.rejected(&reporter, evidence(first.address(), a, b)), "LED-0013");
    }
    let foreign = vote(&second, precommit, 5, 0, block_id(2));
    assert_eq!(chain.rejected(&reporter, evidence(first.address(), base(), foreign)), "LED-0014");
    let nobody = evidence(reporter.address(), base(), vote(&first, precommit, 5, 0, block_id(2)));
    assert_eq!(chain.rejected(&reporter, nobody), "LED-0006");
}

#[test]
fn a_vote_for_nil_is_no_evidence_against_itself() {
    let (mut chain, [first, ..], reporter) = chain();
    // Nil is signed as block zero: one signature is good for both readings of one vote.
    let nil = || vote(&first, VoteKind::Prevote, 5, 0, None);
    let again = SignedVote { block: Some(Hash::ZERO), ..nil() };
    assert_eq!(nil().signature, again.signature);
    assert_eq!(chain.rejected(&reporter, evidence(first.address(), nil(), again)), "LED-0013");
    let block = vote(&first, VoteKind::Prevote, 5, 0, block_id(1));
    chain.done(&reporter, evidence(first.address(), nil(), block));
}

#[test]
fn no_more_validators_register_than_a_change_of_the_set_can_weigh() {
    let outsider = actor(4);
    let registered = (100..10_100).map(|n| validator(&actor(n), tokens(100))).collect();
    let account = Endowment { address: outsider.address(), balance: tokens(10_000) };
    let mut chain = Chain::new(&genesis(parameters(), vec![account], registered));
    assert_eq!(chain.rejected(&outsider, bond(&outsider, tokens(200))), "LED-0038");
}
