//! The ledger against a naive model: whatever anybody asks, in whatever order and batches, both
//! agree on every rejection, every balance, every stake, every escrow and the consensus set.
//!
//! ```text
//!   asks ──► transactions ──► Chain (ledger) ──► fates, changes ──┐
//!     └────────────────────────────────────────► Bank (model) ◄───┘ compared after every block
//! ```

mod asks;
mod bank;

use std::collections::BTreeMap;

use althing_ledger::{
    Conclusion, Execution, Invalid, Member, OperationResult, Phase, Receipt, Rejection, Step,
    TransactionReceipt, query,
};
use althing_types::{
    Address, Claim, Hash, Nonce, Operation, Opinion, Round, TimeMs, Transaction, keccak,
};
use asks::{Ask, Cast, PEOPLE, any_ask};
use bank::{Bank, Events, Offer, Validator};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::common::world::{STAKE_MIN, lie, operation};
use crate::common::{Act, Actor, Chain, World, actor, doubt, parameters, truth};

/// How many of the people offer the service from the start.
const NODES: u64 = 5;

/// One transaction.
#[derive(Clone, Debug)]
struct Batch {
    who: usize,
    atomic: bool,
    asks: Vec<Ask>,
}

/// One block.
#[derive(Clone, Debug)]
struct Plan {
    elapsed_ms: u64,
    late: u32,
    batches: Vec<Batch>,
    /// Lets members of committees act, as the dice say.
    work: Option<u64>,
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let batch = (0..PEOPLE, any::<bool>(), prop::collection::vec(any_ask(), 1..4))
        .prop_map(|(who, atomic, asks)| Batch { who, atomic, asks });
    let elapsed = prop_oneof![
        6 => 1_u64..50,
        2 => Just(600_u64),
        2 => Just(1_500),
        1 => Just(9_000),
        1 => Just(61_000),
    ];
    let late = prop_oneof![5 => Just(0_u32), 1 => 1_u32..20];
    let work = prop::option::weighted(0.8, any::<u64>());
    (elapsed, late, prop::collection::vec(batch, 0..4), work)
        .prop_map(|(elapsed_ms, late, batches, work)| Plan { elapsed_ms, late, batches, work })
}

struct Game {
    chain: Chain,
    bank: Bank,
    cast: Cast,
    /// How often each rejection, conclusion and fine was seen.
    seen: BTreeMap<String, u32>,
}

impl Game {
    fn new() -> Self {
        let world = World::new(NODES);
        let mut people: Vec<Actor> = world.nodes.iter().map(|node| same(node)).collect();
        people.extend([&world.caller, &world.developer, &world.validator].map(same));
        assert_eq!(people.len(), PEOPLE);
        let chain = world.chain;
        let cast = Cast { people, service: world.service };
        let bank = observe(&chain, &cast, &world.developer);
        Self { chain, bank, cast, seen: BTreeMap::new() }
    }

    fn play(&mut self, plan: &Plan) {
        let (chain, bank) = (&self.chain, &mut self.bank);
        bank.now = chain.time.0 + plan.elapsed_ms;
        let height = chain.height.next();
        let proposer = chain.validators.proposer(height, Round(0)).unwrap().address;
        let absent: Vec<Address> = (0..plan.late.min(16))
            .map(|round| chain.validators.proposer(height, Round(round)).unwrap().address)
            .filter(|address| *address != proposer)
            .collect();
        let open = query::executions(&chain.state, None, usize::MAX).unwrap();
        let due: Vec<(TimeMs, Hash)> = open.iter().map(|e| (e.due, e.id)).collect();
        let work = plan.work.map(|dice| acts(&open, dice)).unwrap_or_default();

        let mut sent: Vec<(usize, bool, Vec<Operation>)> = vec![];
        for Batch { who, atomic, asks } in &plan.batches {
            let operations = asks.iter().map(|ask| self.cast.operation(*who, ask)).collect();
            sent.push((*who, *atomic, operations));
        }
        for (node, operation) in work {
            let who = self.cast.people.iter().position(|p| p.address() == node).unwrap();
            sent.push((who, false, vec![operation]));
        }
        let signed = self.sign(&sent);
        let fees: Vec<u128> = signed.iter().map(|s| 1_000 + s.encode().len() as u128).collect();
        let (changes, receipts) = (self.chain.changes.len(), self.chain.receipts.len());
        let fates = self.chain.block(|block| {
            block.elapsed_ms = plan.elapsed_ms;
            block.round = Round(plan.late);
            signed.iter().for_each(|signed| block.send_raw(signed.clone()));
        });
        let mut events = Events {
            changes: self.chain.changes[changes..].iter().map(|c| c.1.clone()).collect(),
            ended: ended(&self.chain.receipts[receipts..]),
        };

        self.note(&events, &fates);
        self.bank.begin(&absent, &proposer, &due, &mut events);
        for (index, fate) in fates.into_iter().enumerate() {
            let (who, atomic, operations) = &sent[index];
            let asks = plan.batches.get(index).map(|batch| batch.asks.as_slice());
            let nonce = signed[index].transaction.nonce;
            let address = self.cast.people[*who].address();
            if let Err(code) = self.admit(&address, nonce, fees[index]) {
                assert_eq!(fate.unwrap_err().code(), code);
                continue;
            }
            let receipt = fate.expect("the model admits it");
            assert_eq!(receipt.fee.base_units(), fees[index]);
            match asks {
                Some(asks) => self.expect(*who, *atomic, asks, &receipt, &mut events),
                None => self.observe_work(&operations[0], &receipt, &mut events),
            }
        }
        assert!(events.changes.is_empty(), "unexplained: {:?}", events.changes);
        self.bank.elect();
        self.compare();
    }

    fn note(&mut self, events: &Events, fates: &[Result<TransactionReceipt, Invalid>]) {
        let mut seen = |what: String| *self.seen.entry(what).or_insert(0) += 1;
        for change in &events.changes {
            if let Step::Fined { offence, .. } = &change.step {
                seen(format!("{offence:?}"));
            }
        }
        for execution in events.ended.values() {
            match &execution.conclusion {
                Some(Conclusion::Accepted(_)) => seen("accepted".to_owned()),
                Some(Conclusion::Failed(reason)) => seen(format!("{reason:?}")),
                None => panic!("it ended without a conclusion: {execution:?}"),
            }
        }
        for fate in fates {
            match fate {
                Ok(receipt) => {
                    for result in &receipt.results {
                        if let OperationResult::Rejected(rejection) = result {
                            seen(rejection.code().to_owned());
                        }
                    }
                }
                Err(invalid) => seen(invalid.code().to_owned()),
            }
        }
    }

    /// Under nonces that follow each other, whether or not the earlier ones are taken.
    fn sign(
        &self,
        sent: &[(usize, bool, Vec<Operation>)],
    ) -> Vec<althing_types::SignedTransaction> {
        let mut nonces: BTreeMap<usize, Nonce> = BTreeMap::new();
        let sign = |(who, atomic, operations): &(usize, bool, Vec<Operation>)| {
            let actor = &self.cast.people[*who];
            let account = actor.address();
            let nonce = nonces.entry(*who).or_insert_with(|| self.chain.account(&account).nonce);
            let unsigned = self.chain.transaction(account, *nonce, operations.clone());
            *nonce = nonce.next();
            actor.sign(Transaction { atomic: *atomic, ..unsigned })
        };
        sent.iter().map(sign).collect()
    }

    /// Takes the fee, or says why the transaction is not in the block.
    fn admit(&mut self, who: &Address, nonce: Nonce, fee: u128) -> Result<(), &'static str> {
        let next = self.bank.nonces.entry(*who).or_insert(0);
        if nonce.0 != *next {
            return Err("TXN-0006");
        }
        if self.bank.balance(who) < fee {
            return Err("TXN-0009");
        }
        self.bank.nonces.insert(*who, nonce.0 + 1);
        self.bank.take(who, fee)?;
        self.bank.treasury += fee;
        Ok(())
    }

    fn expect(
        &mut self,
        who: usize,
        atomic: bool,
        asks: &[Ask],
        receipt: &TransactionReceipt,
        events: &mut Events,
    ) {
        let before = self.bank.clone();
        let mut failed = None;
        for (index, (ask, result)) in asks.iter().zip(&receipt.results).enumerate() {
            let id = match result {
                OperationResult::Created(id) => Some(*id),
                OperationResult::Done | OperationResult::Rejected(_) => None,
            };
            let kept = self.bank.clone();
            let expected = self.cast.apply(&mut self.bank, who, ask, id);
            if expected.is_err() {
                self.bank = kept;
            }
            if atomic {
                if let Err(code) = expected {
                    failed = Some((index, code));
                    break;
                }
                continue;
            }
            match (expected, result) {
                (Ok(()), OperationResult::Done | OperationResult::Created(_)) => {}
                (Err(code), OperationResult::Rejected(rejection)) => {
                    assert_eq!(rejection.code(), code, "{ask:?}");
                }
                (expected, found) => panic!("{ask:?}: {expected:?} expected, {found:?} found"),
            }
        }
        if let Some((failed, code)) = failed {
            self.bank = before;
            for (index, result) in receipt.results.iter().enumerate() {
                let OperationResult::Rejected(rejection) = result else {
                    panic!("{asks:?}: {result:?} in a transaction that failed by {code}");
                };
                let undone = Rejection::Undone.code();
                assert_eq!(rejection.code(), if index == failed { code } else { undone });
            }
        } else if atomic {
            let all = |result: &OperationResult| !matches!(result, OperationResult::Rejected(_));
            assert!(receipt.results.iter().all(all), "{asks:?}: {:?}", receipt.results);
        }
        // Whoever calls causes this one step, once for each call that stands.
        for result in &receipt.results {
            if let OperationResult::Created(id) = result
                && self.bank.open.contains_key(id)
            {
                let change = events.changes.pop_front().expect("a call is told");
                assert_eq!((change.execution, change.step), (*id, Step::Created));
                // Who alone can be drawn is seated in the same breath.
                if events
                    .changes
                    .front()
                    .is_some_and(|next| (next.execution, &next.step) == (*id, &Step::Drawn))
                {
                    events.changes.pop_front();
                }
            }
        }
    }

    /// What a member's move costs and pays, if the ledger took it.
    fn observe_work(
        &mut self,
        operation: &Operation,
        receipt: &TransactionReceipt,
        events: &mut Events,
    ) {
        if matches!(receipt.results[0], OperationResult::Rejected(_)) {
            return;
        }
        let id = match operation {
            Operation::Seal(seal) => seal.execution,
            Operation::Reveal(reveal) => reveal.execution,
            Operation::Answer(answer) => answer.execution,
            other => panic!("not a member's move: {other:?}"),
        };
        let first = events.changes.pop_front().expect("a move is told");
        assert_eq!(first.execution, id);
        self.bank.follow(&id, events);
    }

    fn compare(&self) {
        let (chain, bank) = (&self.chain, &self.bank);
        for person in &self.cast.people {
            let address = person.address();
            let account = chain.account(&address);
            assert_eq!(account.balance.base_units(), bank.balance(&address), "{address}");
            assert_eq!(account.nonce.0, bank.nonces.get(&address).copied().unwrap_or(0));
            assert_eq!(found_validator(chain, person), bank.validators.get(&address).cloned());
            assert_eq!(found_offer(chain, &self.cast, person), bank.offers.get(&address).cloned());
        }
        let open = query::executions(&chain.state, None, usize::MAX).unwrap();
        assert_eq!(open.len(), bank.open.len());
        for execution in open {
            let model = &bank.open[&execution.id];
            assert_eq!(execution.escrow.base_units(), model.escrow);
            assert_eq!(execution.fines.base_units(), model.fines);
        }
        assert!(bank.is_office(&chain.validators), "{:?} {:?}", bank.office, chain.validators);
        let totals = chain.totals();
        assert_eq!(totals.treasury.base_units(), bank.treasury);
        assert_eq!(totals.burned.base_units(), bank.burned);
        assert_eq!(totals.supply.base_units(), bank.supply());
    }
}

/// Another handle of somebody.
fn same(person: &Actor) -> Actor {
    let is = |other: &Actor| other.address() == person.address();
    (0..2_000).map(actor).find(is).expect("everybody is numbered")
}

fn ended(receipts: &[(althing_types::Height, Receipt)]) -> BTreeMap<Hash, Execution> {
    let execution = |(_, receipt): &(_, Receipt)| match receipt {
        Receipt::Execution(execution) => Some((execution.id, execution.clone())),
        Receipt::Transaction(_) | Receipt::Event(_) | Receipt::Run(_) => None,
    };
    receipts.iter().filter_map(execution).collect()
}

/// Mostly honest, so that executions get somewhere.
fn acts(open: &[Execution], dice: u64) -> Vec<(Address, Operation)> {
    let act = |execution: &Execution, member: &Member| {
        let hash = keccak(&[&dice.to_be_bytes(), &execution.id.0, &member.node.0]).0[0] % 16;
        let mind = keccak(&[&execution.id.0, &member.node.0]).0[0] % 16;
        let checks = execution.phase == Phase::Checking
            || (execution.phase == Phase::Revealing && execution.answer().is_some());
        let claim = |outcome, opinion| {
            if checks { Claim::Opinion(opinion) } else { Claim::Outcome(outcome) }
        };
        match (hash, mind) {
            (0, _) => Act::Mute,
            (_, 0) => Act::Say(claim(lie(1), Opinion::Invalid)),
            (_, 1) => Act::Hide(claim(truth(), Opinion::Valid)),
            (_, 2) => Act::Say(claim(doubt(), Opinion::Inconclusive)),
            (_, 3) => Act::Copy,
            (_, 4) => Act::Say(claim(lie(2), Opinion::Unavailable)),
            (_, _) => Act::Say(claim(truth(), Opinion::Valid)),
        }
    };
    let moves = |execution: &Execution| {
        let of = |member: &Member| {
            Some((member.node, operation(execution, member, &act(execution, member))?))
        };
        execution.committee().filter_map(of).collect::<Vec<_>>()
    };
    open.iter().flat_map(moves).collect()
}

fn found_validator(chain: &Chain, person: &Actor) -> Option<Validator> {
    let record = chain.validator(person)?;
    let unbonding = record.unbonding.iter().map(|u| (u.due.0, u.amount.base_units())).collect();
    Some(Validator {
        bonded: record.bonded.base_units(),
        unbonding,
        status: record.status,
        missed: record.missed,
        keys: record.beacon_key.0[0],
    })
}

fn found_offer(chain: &Chain, cast: &Cast, person: &Actor) -> Option<Offer> {
    let record = query::offer(&chain.state, &cast.service, &person.address()).unwrap()?;
    Some(Offer {
        stake: record.stake.base_units(),
        term_until: record.term_until.0,
        status: record.status,
        absences: record.absences_in_a_row,
        fined: record.fined.base_units(),
        earned: record.earned.base_units(),
    })
}

/// The model of a chain that has just begun.
fn observe(chain: &Chain, cast: &Cast, developer: &Actor) -> Bank {
    let by = |read: &dyn Fn(&Actor) -> u128| -> BTreeMap<Address, u128> {
        cast.people.iter().map(|person| (person.address(), read(person))).collect()
    };
    let sums = chain.totals();
    let alias = "acme/sums@1.0.0";
    Bank {
        rules: parameters(),
        developer: developer.address(),
        stake_min: STAKE_MIN.base_units(),
        now: chain.time.0,
        accounts: by(&|person| chain.balance(person).base_units()),
        nonces: cast
            .people
            .iter()
            .map(|person| (person.address(), chain.account(&person.address()).nonce.0))
            .collect(),
        validators: cast
            .people
            .iter()
            .filter_map(|person| Some((person.address(), found_validator(chain, person)?)))
            .collect(),
        offers: cast
            .people
            .iter()
            .filter_map(|person| Some((person.address(), found_offer(chain, cast, person)?)))
            .collect(),
        open: BTreeMap::new(),
        office: chain.validators.members().iter().map(|v| (v.address, v.power)).collect(),
        treasury: sums.treasury.base_units(),
        burned: sums.burned.base_units(),
        published: vec![(alias.to_owned(), cast.service)],
        namespaces: BTreeMap::from([("acme".to_owned(), developer.address())]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_ledger_agrees_with_a_naive_model_on_every_rejection_and_every_unit(
        plans in prop::collection::vec(any_plan(), 5..60),
    ) {
        let mut game = Game::new();
        let supply = game.bank.supply();
        for plan in &plans {
            game.play(plan);
            prop_assert_eq!(game.bank.supply(), supply, "the model itself conserves tokens");
        }
    }
}

/// What the two agree on is not left to chance: these asks reach all of this.
#[test]
fn the_model_is_asked_for_every_rejection_that_money_depends_on() {
    const REACHED: &str = "LED-0001 LED-0002 LED-0003 LED-0004 LED-0005 LED-0006 LED-0007 LED-0009 \
        LED-0010 LED-0011 LED-0012 LED-0013 LED-0014 LED-0015 LED-0016 LED-0017 LED-0018 LED-0019 \
        LED-0020 LED-0021 LED-0022 LED-0024 LED-0025 LED-0026 LED-0028 LED-0029 LED-0030 LED-0031 \
        LED-0037 Absence Withheld WrongResult ForgedSeal accepted NoCandidates NoQuorum TooFewMembers";
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(any_plan(), 60);
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    // The only validator, which comes last, wants to leave: chance rarely leaves one alone.
    let asks = vec![Ask::Unbond { amount: 1_000 * bank::TOKEN }];
    let batches = vec![Batch { who: PEOPLE - 1, atomic: false, asks }];
    let leaves = vec![Plan { elapsed_ms: 1, late: 0, batches, work: None }];
    let random = (0..40).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    for plans in random.chain([leaves]) {
        let mut game = Game::new();
        for plan in &plans {
            game.play(plan);
        }
        game.seen.into_iter().for_each(|(what, n)| *seen.entry(what).or_insert(0) += n);
    }
    let missed: Vec<&str> =
        REACHED.split_whitespace().filter(|what| !seen.contains_key(*what)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?} in {seen:?}");
}
