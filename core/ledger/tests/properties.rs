//! Whatever anybody sends: tokens are conserved, nothing panics, every execution ends, and whoever
//! replays the blocks reaches the same roots. The chain asserts the first two after every block.

use std::collections::BTreeMap;

use althing_ledger::{Execution, Member, OperationResult, query};
use althing_types::{
    Address, Amount, Answer, Call, Claim, Hash, Offer, Operation, Opinion, Resume, Reveal, Round,
    Seal, Transaction, Withdraw, keccak,
};
use proptest::prelude::*;

use crate::common::world::{TERM_MS, lie, opening, operation};
use crate::common::{
    Act, Actor, Chain, World, actor, doubt, endpoint, failed, tokens, truth, units,
};
use crate::transfers::transfer;
use crate::validators::{UNJAIL, bond, unbond};

const NODES: u32 = 14;

#[derive(Clone, Debug)]
enum Move {
    Wait(u64),
    Transfer(usize, usize, u128),
    Call {
        method: bool,
        checkers: u16,
        quorum: u16,
        picked: usize,
    },
    /// All members act, each as the dice say.
    Work(u64),
    /// Somebody says something about some execution, in its turn or not.
    Noise(usize, u64),
    Offer(usize, u64, u64),
    Withdraw(usize),
    Resume(usize),
    Bond(usize, u64),
    Unbond(usize, u64),
    Unjail(usize),
    LateRound(u32),
}

fn any_move() -> impl Strategy<Value = Move> {
    let nodes = usize::try_from(NODES).unwrap();
    let (somebody, node) = (0..nodes + 3, 0..nodes);
    // Mostly the majority, and mostly anybody.
    let quorum = prop_oneof![5 => Just(0_u16), 1 => 1_u16..6];
    let picked = prop_oneof![5 => Just(0_usize), 1 => 1_usize..12];
    let wait = prop_oneof![Just(1_u64), Just(600), Just(1_500), Just(9_000), Just(70_000)];
    prop_oneof![
        3 => wait.prop_map(Move::Wait),
        2 => (somebody.clone(), somebody.clone(), 0_u128..200_000_000_000)
            .prop_map(|(from, to, amount)| Move::Transfer(from, to, amount)),
        4 => (any::<bool>(), 0_u16..6, quorum, picked).prop_map(
            |(method, checkers, quorum, picked)| Move::Call { method, checkers, quorum, picked }
        ),
        20 => any::<u64>().prop_map(Move::Work),
        2 => (somebody.clone(), any::<u64>()).prop_map(|(who, dice)| Move::Noise(who, dice)),
        1 => (node.clone(), 0_u64..600, 1_u64..3).prop_map(|(n, stake, terms)| Move::Offer(n, stake, terms)),
        1 => node.clone().prop_map(Move::Withdraw),
        1 => node.prop_map(Move::Resume),
        1 => (somebody.clone(), 0_u64..400).prop_map(|(who, amount)| Move::Bond(who, amount)),
        1 => (somebody.clone(), 0_u64..1_100).prop_map(|(who, amount)| Move::Unbond(who, amount)),
        1 => somebody.prop_map(Move::Unjail),
        1 => (1_u32..20).prop_map(Move::LateRound),
    ]
}

fn who(world: &World, n: usize) -> &Actor {
    match n.checked_sub(world.nodes.len()) {
        None => &world.nodes[n],
        Some(0) => &world.caller,
        Some(1) => &world.developer,
        Some(_) => &world.validator,
    }
}

/// Mostly honest, so that executions get somewhere.
fn act(dice: u64, execution: &Execution, member: &Member) -> Act {
    let hash = keccak(&[&dice.to_be_bytes(), &execution.id.0, &member.node.0]);
    // One mind for an execution, but for those who stay away now and come later.
    let mind = keccak(&[&execution.id.0, &member.node.0]).0[0];
    let checks = execution.phase == althing_ledger::Phase::Checking
        || (execution.phase == althing_ledger::Phase::Revealing && execution.answer().is_some());
    let claim = |outcome, opinion| {
        if checks { Claim::Opinion(opinion) } else { Claim::Outcome(outcome) }
    };
    match (hash.0[0] % 24, mind % 16) {
        (0, _) => Act::Mute,
        (_, 0..=9) => Act::Say(claim(truth(), Opinion::Valid)),
        (_, 10) => Act::Say(claim(lie(1), Opinion::Invalid)),
        (_, 11) => Act::Say(claim(lie(mind), Opinion::Unavailable)),
        (_, 12) => Act::Copy,
        (_, 13) => Act::Say(claim(doubt(), Opinion::Inconclusive)),
        (_, 14) => Act::Say(claim(failed(), Opinion::Valid)),
        (_, _) => Act::Hide(claim(truth(), Opinion::Valid)),
    }
}

fn noise(execution: &Execution, sender: &Address, dice: u64) -> Operation {
    let round = execution.round + u32::from(dice.is_multiple_of(5));
    let execution = execution.id;
    let claim = match dice % 3 {
        0 => Claim::Outcome(truth()),
        1 => Claim::Opinion(Opinion::Invalid),
        _ => Claim::Outcome(lie(9)),
    };
    match dice % 4 {
        0 => Operation::Answer(Answer { execution, round, outcome: lie(3) }),
        1 => Operation::Reveal(Reveal {
            execution,
            round,
            opening: opening(&execution, sender, claim),
        }),
        _ => Operation::Seal(Seal { execution, round, commitment: Hash([8; 32]) }),
    }
}

fn open(chain: &Chain) -> Vec<Execution> {
    query::executions(&chain.state, None, usize::MAX).unwrap()
}

/// One block.
fn play(world: &mut World, step: &Move) {
    let service = world.service;
    let executions = open(&world.chain);
    let mut sent: Vec<(Address, Operation)> = vec![];
    let (mut elapsed_ms, mut late) = (1, 0);
    match *step {
        Move::Wait(ms) => elapsed_ms = ms,
        Move::LateRound(round) => late = round,
        Move::Transfer(from, to, amount) => {
            sent.push((who(world, from).address(), transfer(who(world, to), units(amount))));
        }
        Move::Call { method, checkers, quorum, picked } => {
            let mut nodes: Vec<Address> =
                world.nodes.iter().skip(picked).map(|node| node.address()).collect();
            nodes.sort_unstable();
            if picked == 0 {
                nodes.clear();
            }
            let base = if method { world.find(checkers) } else { world.compute(checkers) };
            let call = Call { quorum, nodes, ..base };
            sent.push((world.caller.address(), Operation::Call(call)));
        }
        Move::Work(dice) => {
            for execution in &executions {
                for member in execution.committee() {
                    let act = act(dice, execution, member);
                    sent.extend(operation(execution, member, &act).map(|op| (member.node, op)));
                }
            }
        }
        Move::Noise(n, dice) => {
            let sender = who(world, n).address();
            let count = u64::try_from(executions.len()).unwrap();
            if let Some(index) = dice.checked_rem(count) {
                let execution = &executions[usize::try_from(index).unwrap()];
                sent.push((sender, noise(execution, &sender, dice)));
            }
        }
        Move::Offer(n, stake, terms) => {
            let node = &world.nodes[n];
            let offer = Offer {
                service,
                stake: tokens(stake),
                term_ms: terms * TERM_MS,
                owner: node.address(),
                endpoint: endpoint(node),
                labels: vec![],
            };
            sent.push((node.address(), Operation::Offer(offer)));
        }
        Move::Withdraw(n) => {
            sent.push((world.nodes[n].address(), Operation::Withdraw(Withdraw { service })));
        }
        Move::Resume(n) => {
            sent.push((world.nodes[n].address(), Operation::Resume(Resume { service })));
        }
        Move::Bond(n, amount) => {
            let who = who(world, n);
            sent.push((who.address(), bond(who, tokens(amount))));
        }
        Move::Unbond(n, amount) => {
            sent.push((who(world, n).address(), unbond(tokens(amount))));
        }
        Move::Unjail(n) => sent.push((who(world, n).address(), UNJAIL)),
    }
    let everybody: Vec<&Actor> = (0..world.nodes.len() + 3).map(|n| who(world, n)).collect();
    let mut chain = world.chain.clone();
    chain.block(|block| {
        block.elapsed_ms = elapsed_ms;
        block.round = Round(late);
        for (sender, operation) in sent {
            let from = everybody.iter().find(|actor| actor.address() == sender).unwrap();
            block.send(from, vec![operation]);
        }
    });
    world.chain = chain;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_history_conserves_tokens_replays_and_ends(
        moves in proptest::collection::vec(any_move(), 10..90),
    ) {
        let mut world = World::new(NODES.into());
        let mut again = World::new(NODES.into());
        for step in &moves {
            play(&mut world, step);
            play(&mut again, step);
            prop_assert_eq!(world.chain.state.root(), again.chain.state.root());
        }
        prop_assert_eq!(&world.chain.receipts, &again.chain.receipts);
        prop_assert_eq!(&world.chain.roots, &again.chain.roots);

        // From here on everybody is silent. A draw is tried 8 times; a committee waits for 2
        // substitutes and 8 fill-ups, then opens: 19 deadlines a round, and 3 rounds. Windows are
        // 1,500 ms at most, so an execution is over within 90 s.
        let silent_since = world.chain.time;
        for _ in 0..3 * 19 {
            let Some(next) = open(&world.chain).iter().map(|e| e.due).min() else { break };
            let elapsed_ms = world.chain.time.until(next).max(1);
            world.chain.wait(elapsed_ms);
        }
        // Executions do not run in step: each may need blocks of its own.
        while world.chain.height.0 < 2_000 {
            let Some(next) = open(&world.chain).iter().map(|e| e.due).min() else { break };
            let elapsed_ms = world.chain.time.until(next).max(1);
            world.chain.wait(elapsed_ms);
        }
        prop_assert!(open(&world.chain).is_empty(), "an execution does not end");
        prop_assert!(silent_since.until(world.chain.time) < 90_000);
        prop_assert_eq!(world.chain.totals().escrow, Amount::ZERO);
    }

    #[test]
    fn balances_are_those_of_a_naive_model(
        transactions in proptest::collection::vec(
            (
                0_usize..4,
                any::<bool>(),
                proptest::collection::vec((0_usize..4, 0_u128..60_000_000_000), 1..4),
            ),
            1..40,
        ),
    ) {
        let mut world = World::new(4);
        let people: Vec<Actor> = (0..4).map(|n| actor(1_000 + n)).collect();
        let mut model: BTreeMap<usize, u128> =
            people.iter().map(|p| world.chain.balance(p).base_units()).enumerate().collect();
        let mut fees = 0;
        let treasury = world.chain.totals().treasury.base_units();
        for (from, atomic, gifts) in transactions {
            let account = people[from].address();
            let operations = gifts.iter().map(|(to, n)| transfer(&people[*to], units(*n))).collect();
            let nonce = world.chain.account(&account).nonce;
            let unsigned = world.chain.transaction(account, nonce, operations);
            let signed = people[from].sign(Transaction { atomic, ..unsigned });
            let fee = 1_000 + signed.encode().len() as u128;
            let fate = world.chain.block(|block| block.send_raw(signed)).pop().unwrap();
            if model[&from] < fee {
                prop_assert!(fate.is_err());
                continue;
            }
            *model.get_mut(&from).unwrap() -= fee;
            fees += fee;
            let mut next = model.clone();
            let mut good = true;
            for ((to, amount), result) in gifts.iter().zip(&fate.unwrap().results) {
                let moves = *amount > 0 && next[&from] >= *amount;
                good &= moves;
                if !atomic {
                    prop_assert_eq!(moves, *result == OperationResult::Done);
                }
                if moves {
                    *next.get_mut(&from).unwrap() -= amount;
                    *next.get_mut(to).unwrap() += amount;
                }
            }
            if good || !atomic {
                model = next;
            }
            for (n, person) in people.iter().enumerate() {
                prop_assert_eq!(world.chain.balance(person).base_units(), model[&n]);
            }
        }
        prop_assert_eq!(world.chain.totals().treasury.base_units(), treasury + fees);
    }
}
