//! A proposal of this node's: what is decided with the replica at hand, and what is done without it.
//!
//! ```text
//!   begin ──► Building ──build──► transactions, answers, answers to what these brought ... ──► end
//!   (lock)                (no lock)   │ owed      ▲                                           (lock)
//!                                     └── OwnWork ┘  the node's worker, beside the transactions that follow
//! ```
//!
//! An execution that this node alone can do is seated in the block that creates it. Its answer would be
//! in the next block, and bring the next step of a run: so a run of three steps took four heights. Here
//! the worker answers while the block is open.
//!
//! - Bounds: [`ANSWERS_MS_MAX`] ([`ALONE_MS_MAX`]) and [`ROUNDS_MAX`] a block, and the block's bytes; what comes later goes into
//!   the next block.
//! - Invariant: a block with answers is as any other; nobody who checks it can tell when they came.
//! - Source: `docs/adr/0015-answers-in-the-same-block.md`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use althing_ledger::{Authenticated, Execution, Invalid};
use althing_types::{
    BLOCK_BYTES_MAX, BeaconProof, Block, BlockId, Hash, Header, Height, Round, TimeMs,
};

use super::Replica;
use crate::application::Fault;
use crate::execute::{Draft, Outcome, Purpose, Sequel, beacon_input, header, run};
use crate::own_work::{Owed, OwnWork};
use crate::reader::Head;
use crate::rules::Rules;

/// What a block has beside its transactions, in bytes, generously.
const BLOCK_OVERHEAD: usize = 1 << 10;
/// How long a block is kept open for the node's own answers.
const ANSWERS_MS_MAX: u64 = 25;
/// The same where no other node takes part, and waits.
const ALONE_MS_MAX: u64 = 200;
/// How many times it is asked for more.
const ROUNDS_MAX: usize = 16;

/// A proposal that was made before, or one to be made.
pub(super) enum Begun {
    Again((BlockId, Vec<u8>)),
    Building(Box<Building>),
}

/// All that a proposal is made of.
pub(super) struct Building {
    head: Arc<Head>,
    rules: Arc<Rules>,
    draft: Draft,
    beacon_proof: BeaconProof,
    transactions: Vec<Arc<Authenticated>>,
    bytes_max: usize,
}

/// A block that was built, and whose height is still the next.
pub(super) struct Built {
    id: BlockId,
    header: Header,
    bytes: Vec<u8>,
    outcome: Outcome,
    refused: Vec<(Hash, Invalid)>,
}

impl Building {
    /// Carries the transactions out, and those of the sequel.
    pub(super) fn build(self, sequel: &mut dyn Sequel) -> Result<Built, Fault> {
        let Self { head, rules, draft, beacon_proof, transactions, .. } = self;
        let run = run(&head, &rules, &draft, transactions, Purpose::Build(sequel))?;
        let outcome = run.outcome.expect("a block that is built is not stopped by a refusal");
        let header = header(&head, &rules, &draft, &outcome);
        let transactions = outcome.transactions.iter().map(|t| t.signed().clone()).collect();
        let block = Block { header, beacon_proof, transactions };
        let (id, bytes) = (block.header.id(), block.encode());
        Ok(Built { id, header: block.header, bytes, outcome, refused: run.refused })
    }
}

impl Replica {
    /// Decides what the block of a round is made of.
    pub(super) fn begin(&mut self, height: Height, round: Round) -> Result<Begun, Fault> {
        const OPERATION: &str = "proposing a block";
        if height != self.head.next_height() {
            return Err(Fault::new(OPERATION, format!("height {height} is not the next")));
        }
        if let Some(proposed) = self.proposed(height, round) {
            return Ok(Begun::Again(proposed));
        }
        let input = beacon_input(&self.head, &self.rules);
        let proposer = self.config.address;
        let beacon_key = self.head.validators.get(&proposer).map(|v| v.beacon_key);
        let (Some(signer), Some(beacon_key)) = (&self.beacon, beacon_key) else {
            return Err(Fault::new(OPERATION, "this node is not a validator"));
        };
        if signer.key() != beacon_key {
            let reason = "the node's beacon key is not the registered one";
            return Err(Fault::new(OPERATION, reason));
        }
        let (beacon, beacon_proof) = signer.prove(&input);
        let time = (self.clock)().max(self.head.time().next());
        let draft = Draft { round, time, proposer, beacon };
        let bytes_max = self.config.block_bytes_max.min(BLOCK_BYTES_MAX);
        let bytes_max = bytes_max.saturating_sub(BLOCK_OVERHEAD);
        let transactions = self.mempool.reap(height, bytes_max);
        let (head, rules) = (Arc::clone(&self.head), Arc::clone(&self.rules));
        let building = Building { head, rules, draft, beacon_proof, transactions, bytes_max };
        Ok(Begun::Building(Box::new(building)))
    }

    /// Keeps a block that was built.
    pub(super) fn end(&mut self, built: Built) -> Result<(BlockId, Vec<u8>), Fault> {
        let Built { id, header, bytes, outcome, refused } = built;
        if header.previous != self.head.tip.block {
            return Err(Fault::new("proposing a block", "its height was decided meanwhile"));
        }
        for (hash, _) in &refused {
            self.mempool.remove(hash);
        }
        self.keep(id, header, bytes.clone(), true)?;
        self.keep_outcome(id, outcome);
        if let Some(candidate) = self.candidates.get_mut(&id) {
            candidate.checked = Some((self.head.tip.block, Ok(())));
        }
        Ok((id, bytes))
    }
}

/// The node's own answers to what a block asks of it.
pub(super) struct Answers<'a> {
    own_work: &'a dyn OwnWork,
    shared: &'a Mutex<Replica>,
    height: Height,
    bytes_max: usize,
    alone: bool,
    /// What the block has been given.
    given: HashSet<Hash>,
    /// Something was asked for since the last answers.
    asked: bool,
    rounds: usize,
    until: Option<TimeMs>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(
        own_work: &'a dyn OwnWork,
        shared: &'a Mutex<Replica>,
        building: &Building,
    ) -> Self {
        let Building { head, transactions, bytes_max, .. } = building;
        Self {
            own_work,
            shared,
            height: head.next_height(),
            bytes_max: *bytes_max,
            alone: head.validators.members().len() == 1,
            given: transactions.iter().map(|transaction| transaction.hash()).collect(),
            asked: false,
            rounds: 0,
            until: None,
        }
    }

    /// How much longer the block is kept open, in milliseconds; its time begins with the first question.
    fn left_ms(&mut self) -> u64 {
        let now = (lock(self.shared).clock)();
        let patience_ms = if self.alone { ALONE_MS_MAX } else { ANSWERS_MS_MAX };
        now.until(*self.until.get_or_insert_with(|| now.after(patience_ms)))
    }
}

impl Sequel for Answers<'_> {
    fn ask(&mut self, executions: Vec<Execution>) {
        if executions.is_empty() || self.rounds == ROUNDS_MAX || self.left_ms() == 0 {
            return;
        }
        self.asked = true;
        let Self { height, alone, .. } = *self;
        self.own_work.ask(Owed { height, executions, alone });
    }

    /// Whatever else the mempool has got meanwhile comes along.
    fn more(&mut self) -> Vec<Arc<Authenticated>> {
        if !std::mem::take(&mut self.asked) {
            return Vec::new();
        }
        self.rounds += 1;
        self.own_work.answers(self.left_ms());
        let mut more = lock(self.shared).mempool.reap(self.height, self.bytes_max);
        more.retain(|transaction| self.given.insert(transaction.hash()));
        more
    }
}

/// A panic in the replica is a fault, which stops the node.
pub(super) fn lock(shared: &Mutex<Replica>) -> MutexGuard<'_, Replica> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
