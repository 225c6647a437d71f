//! What must hold in every run, checked against every commit of every honest node.
//!
//! | claim | checked |
//! |---|---|
//! | one block a height, equal roots, by heights in a row | every commit of every honest node |
//! | the state is what the blocks make it | every block, replayed from the genesis one by one |
//! | tokens are conserved | every 16th block, from all records |
//! | executions move forward, along documented edges | every written execution |
//! | a result is right, whoever worked | every settled execution |
//! | an honest node is never fined for a lie, nor for absence once the network is well | every fine |
//! | who is convicted has voted twice, as a third party sees, and is dishonest | every conviction |
//! | the beacon is the proposer's only one | every block |
//! | no payload is on the ledger | every block, every written value |
//! | what was acknowledged stays, everything comes to an end | at the end ([`crate::verdict`]) |
//!
//! What must hold of answers is in [`answers`], of events in [`events`], of runs and their money in [`runs`], of
//! what they wait for in [`waits`], of deposits that run out in [`money`].

mod answers;
mod events;
mod money;
mod runs;
mod spoiled;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use althing_ledger::{
    Applied, Authenticated, BlockContext, Change, Conclusion, Executed, Execution, Ledger, Offence,
    Phase, Receipt, Step, ValidatorRecord, ValidatorStatus, audit, keys,
};
use althing_state::{MemoryState, Tree};
use althing_types::{
    Address, Block, BlockId, Eip712, Evidence, Hash, Height, Operation, Signatures as _, TimeMs,
    beacon_input,
};

use crate::defect::Defect;
use crate::outside::Technology;
use crate::setting::{self, CHAIN, MARKER};
use crate::shop::Deployment;
use crate::signatures::Simulated;

/// How often tokens are counted, in blocks.
const AUDIT_EVERY: u64 = 16;
/// Violations that are kept: the first is the one that matters.
const VIOLATIONS_MAX: usize = 16;

/// Something that must not happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which claim is broken.
    pub claim: &'static str,
    /// When, in microseconds.
    pub at_us: u64,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {:.3} s: {}", self.claim, self.at_us as f64 / 1e6, self.what)
    }
}

/// A call whose result can be judged.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) task: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The edges that the ledger documents, by name of phase; `-` is before the call.
const EDGES: [(&str, &str); 18] = [
    ("-", "Created"),
    ("-", "Working"),
    ("-", "Settled"),
    ("Created", "Created"),
    ("Created", "Working"),
    ("Created", "Settled"),
    ("Working", "Working"),
    ("Working", "Checking"),
    ("Working", "Revealing"),
    ("Working", "Created"),
    ("Working", "Settled"),
    ("Checking", "Checking"),
    ("Checking", "Revealing"),
    ("Checking", "Created"),
    ("Checking", "Settled"),
    ("Revealing", "Revealing"),
    ("Revealing", "Created"),
    ("Revealing", "Settled"),
];

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Created => "Created",
        Phase::Working => "Working",
        Phase::Checking => "Checking",
        Phase::Revealing => "Revealing",
        Phase::Settled => "Settled",
    }
}

const fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Created => 0,
        Phase::Working => 1,
        Phase::Checking => 2,
        Phase::Revealing => 3,
        Phase::Settled => 4,
    }
}

/// What the auditor knows of the world beforehand.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Nodes that say what is not so.
    pub(crate) forgers: BTreeSet<Address>,
    /// How many nodes there are.
    pub(crate) nodes: usize,
    /// What users deploy.
    pub(crate) deployments: Vec<Deployment>,
    /// What has effects outside.
    pub(crate) technology: Technology,
    /// The mistake that the ledger is to seem to have.
    pub(crate) defect: Option<Defect>,
}

/// Sees every commit of the honest nodes.
#[derive(Debug)]
pub(crate) struct Auditor {
    /// By address, the keys of sound nodes.
    sound: BTreeMap<Address, usize>,
    /// From when on absence is a node's own fault, in microseconds; never among dishonest nodes, which
    /// can hold up blocks until a deadline has passed.
    well_from_us: u64,
    chain: BTreeMap<Height, (BlockId, Hash)>,
    reached: BTreeMap<usize, Height>,
    state: MemoryState,
    tree: Tree,
    beacon: Hash,
    /// The time of the highest block.
    time: TimeMs,
    open: BTreeMap<Hash, Execution>,
    /// When each execution was first seen, in microseconds.
    since_us: BTreeMap<Hash, u64>,
    pub(crate) settled: BTreeMap<Hash, Execution>,
    pub(crate) inputs: BTreeMap<Hash, Input>,
    pub(crate) acknowledged: BTreeMap<Hash, Height>,
    pub(crate) edges: BTreeMap<(&'static str, &'static str), u64>,
    pub(crate) steps: BTreeMap<&'static str, u64>,
    pub(crate) fines: BTreeMap<&'static str, u64>,
    /// What proposers answered in their own blocks.
    pub(crate) answers: BTreeMap<&'static str, u64>,
    pub(crate) convicted: Vec<Address>,
    pub(crate) events: Events,
    pub(crate) runs: Runs,
    /// Events that became valid in the block that is looked at.
    fresh_events: Vec<Hash>,
    defect: Option<Defect>,
    pub(crate) violations: Vec<Violation>,
}

pub(crate) use events::Events;
pub(crate) use runs::Runs;

impl Auditor {
    pub(crate) fn new(
        genesis: &althing_types::Genesis,
        sound: BTreeMap<Address, usize>,
        well_from_us: u64,
        world: World,
    ) -> Self {
        let World { forgers, nodes, deployments, technology, defect } = world;
        let writes = althing_ledger::genesis_writes(genesis, &Simulated).expect("a sound genesis");
        let (mut state, mut tree) = (MemoryState::default(), Tree::default());
        state.apply(&writes);
        tree.update_writes(&writes);
        Self {
            sound,
            well_from_us,
            chain: BTreeMap::new(),
            reached: BTreeMap::new(),
            state,
            tree,
            beacon: genesis.hash(),
            time: genesis.time,
            open: BTreeMap::new(),
            since_us: BTreeMap::new(),
            settled: BTreeMap::new(),
            inputs: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            edges: BTreeMap::new(),
            steps: BTreeMap::new(),
            fines: BTreeMap::new(),
            answers: BTreeMap::new(),
            convicted: Vec::new(),
            events: Events::new(forgers, nodes),
            runs: Runs::new(deployments, technology),
            fresh_events: Vec::new(),
            defect,
            violations: Vec::new(),
        }
    }

    pub(crate) fn violated(&mut self, claim: &'static str, at_us: u64, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { claim, at_us, what });
        }
    }

    /// The state after the highest block.
    pub(crate) const fn state(&self) -> &MemoryState {
        &self.state
    }

    /// The highest block that an honest node has committed.
    pub(crate) fn height(&self) -> Height {
        self.chain.last_key_value().map(|(height, _)| *height).unwrap_or_default()
    }

    /// Executions that have not ended, with the moment at which they were first seen.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&Execution, u64)> {
        self.open.values().map(|e| (e, self.since_us.get(&e.id).copied().unwrap_or_default()))
    }

    /// An honest node has lost nothing but power: it may commit the last heights again.
    pub(crate) fn restarted(&mut self, node: usize, tip: Height) {
        self.reached.insert(node, tip);
    }

    /// An honest node has a block. `output` finds the bytes of an output on any node.
    pub(crate) fn committed(
        &mut self,
        node: usize,
        id: BlockId,
        block: &Block,
        now_us: u64,
        output: impl Fn(&Hash) -> Option<Vec<u8>>,
    ) {
        let height = block.header.height;
        let before = self.reached.insert(node, height).unwrap_or_default();
        if before.next() != height {
            let what = format!("node {node} committed {height} after {before}");
            self.violated("heights come in a row", now_us, what);
        }
        match self.chain.get(&height) {
            Some((other, root)) => {
                if *other != id || *root != block.header.state_root {
                    let what = format!("node {node} has {id} at height {height}, others {other}");
                    self.violated("one block a height", now_us, what);
                }
                return;
            }
            None if self.height().next() != height => {
                let what = format!("node {node} is first at {height} above {}", self.height());
                self.violated("heights come in a row", now_us, what);
                return;
            }
            None => {}
        }
        self.chain.insert(height, (id, block.header.state_root));
        match self.execute(block) {
            Ok(mut executed) => {
                if let Some(defect) = self.defect {
                    self.spoil(defect, &mut executed);
                }
                self.first(block, &executed, now_us, &output);
            }
            Err(what) => self.violated("the state is what the blocks make it", now_us, what),
        }
    }

    /// Applies a block to the auditor's own state, one transaction after the other.
    fn execute(&self, block: &Block) -> Result<Executed, String> {
        let header = &block.header;
        let context = BlockContext {
            chain: header.chain,
            height: header.height,
            round: header.round,
            time: header.time,
            previous: self.time,
            proposer: header.proposer,
            beacon: header.beacon,
        };
        let eip712 = Eip712::new(CHAIN);
        let fault = |fault: althing_state::Fault| fault.to_string();
        let mut ledger = Ledger::begin(&self.state, context, &eip712, &Simulated).map_err(fault)?;
        for signed in &block.transactions {
            let transaction = Authenticated::verify(signed.clone(), &eip712, CHAIN, &Simulated)
                .map_err(|invalid| invalid.to_string())?;
            match ledger.apply(&transaction).map_err(fault)? {
                Applied::Included => {}
                Applied::Refused(invalid) => return Err(invalid.to_string()),
            }
        }
        ledger.finish().map_err(fault)
    }

    fn first(
        &mut self,
        block: &Block,
        executed: &Executed,
        now_us: u64,
        output: &dyn Fn(&Hash) -> Option<Vec<u8>>,
    ) {
        let header = &block.header;
        self.convictions(block, executed, now_us);
        self.block(block, now_us);
        self.state.apply(&executed.writes);
        self.tree.update_writes(&executed.writes);
        let roots = (self.tree.root(), executed.receipts_root);
        if self.defect.is_none() && roots != (header.state_root, header.receipts_root) {
            let what = format!("height {} has other roots", header.height);
            self.violated("the state is what the blocks make it", now_us, what);
        }
        if header.height.0.is_multiple_of(AUDIT_EVERY)
            && let Err(fault) = audit(&self.state)
        {
            self.violated("tokens are conserved", now_us, fault.to_string());
        }
        for (key, value) in &executed.writes {
            let Some(value) = value else { continue };
            if contains(value, MARKER.as_bytes()) {
                self.violated("no payload is on the ledger", now_us, format!("key {key:02x?}"));
            }
            if key.starts_with(keys::EXECUTIONS)
                && let Ok(execution) = borsh::from_slice::<Execution>(value)
            {
                self.moved(execution, now_us);
            }
        }
        for receipt in &executed.receipts {
            if let Receipt::Execution(execution) = receipt {
                self.settled(execution.clone(), now_us, output);
            }
        }
        for Change { execution, step } in &executed.changes {
            *self.steps.entry(step_name(step)).or_default() += 1;
            if let Step::Fined { node, offence, .. } = step {
                self.fined(execution, node, *offence, now_us);
            }
        }
        self.block_of_answers(block, executed);
        self.block_of_events(block, executed, now_us);
        self.block_of_runs(block, executed, now_us);
        if header.height.0.is_multiple_of(AUDIT_EVERY) {
            self.count_deposits(now_us);
        }
        (self.beacon, self.time) = (header.beacon, header.time);
    }

    fn block(&mut self, block: &Block, now_us: u64) {
        let header = &block.header;
        let input = beacon_input(CHAIN, header.height, &self.beacon);
        let record: Option<ValidatorRecord> = self.validator(&header.proposer);
        let proven = record
            .and_then(|record| Simulated.beacon(&record.beacon_key, &input, &block.beacon_proof));
        if proven != Some(header.beacon) {
            let what = format!("height {}", header.height);
            self.violated("the beacon is the proposer's only one", now_us, what);
        }
        if contains(&block.encode(), MARKER.as_bytes()) {
            let what = format!("the block of height {}", header.height);
            self.violated("no payload is on the ledger", now_us, what);
        }
    }

    fn validator(&self, address: &Address) -> Option<ValidatorRecord> {
        althing_ledger::query::validator(&self.state, address).ok().flatten()
    }

    // Executions.

    fn moved(&mut self, now: Execution, now_us: u64) {
        let id = now.id;
        self.since_us.entry(id).or_insert(now_us);
        let from = self.open.get(&id).map_or("-", |before| phase_name(before.phase));
        if let Some(before) = self.open.get(&id) {
            let place = |e: &Execution| (e.round, rank(e.phase), e.members.len());
            let (was, is) = (place(before), place(&now));
            if (is.0, is.1) < (was.0, was.1) || is.2 < was.2 {
                let what = format!("{id}: {is:?} after {was:?}");
                self.violated("executions move forward", now_us, what);
            }
        }
        if self.settled.contains_key(&id) {
            self.violated("executions move forward", now_us, format!("{id} is settled and open"));
        }
        self.edge(from, phase_name(now.phase), &id, now_us);
        self.open.insert(id, now);
    }

    fn edge(&mut self, from: &'static str, to: &'static str, id: &Hash, now_us: u64) {
        *self.edges.entry((from, to)).or_default() += 1;
        if !EDGES.contains(&(from, to)) {
            let what = format!("{id}: {from} -> {to}");
            self.violated("executions move along documented edges", now_us, what);
        }
    }

    fn settled(
        &mut self,
        execution: Execution,
        now_us: u64,
        output: &dyn Fn(&Hash) -> Option<Vec<u8>>,
    ) {
        let id = execution.id;
        let from = self.open.remove(&id).map_or("-", |before| phase_name(before.phase));
        self.edge(from, "Settled", &id, now_us);
        if let Some(Conclusion::Accepted(outcome)) = &execution.conclusion
            && self.is_judged(&execution)
            && let Some(Input { task, bytes }) = self.inputs.get(&execution.input.hash)
        {
            let blob = match outcome {
                althing_types::Outcome::Returned { output: blob, .. } => output(&blob.hash),
                _ => None,
            };
            if !setting::is_right(task, bytes, outcome, blob.as_deref()) {
                let what = format!("{id}, a task '{task}', was accepted with {outcome:?}");
                self.violated("a result is right", now_us, what);
            }
        }
        self.step_settled(&execution, now_us, output);
        self.output_is_there(&execution, now_us, output);
        if self.settled.insert(id, execution).is_some() {
            self.violated("executions move forward", now_us, format!("{id} is settled twice"));
        }
    }

    fn fined(&mut self, execution: &Hash, node: &Address, offence: Offence, now_us: u64) {
        *self.fines.entry(offence_name(offence)).or_default() += 1;
        let Some(key) = self.sound.get(node).copied() else { return };
        let lie = match offence {
            Offence::WrongResult
            | Offence::WrongCheck
            | Offence::WrongObservation
            | Offence::ForgedSeal => true,
            // Being cut off looks like this; not once the network is well.
            Offence::Withheld | Offence::Absence => {
                let since_us = self.since_us.get(execution).copied();
                since_us.is_some_and(|since_us| since_us >= self.well_from_us)
            }
        };
        if lie {
            let what = format!("node {key} was fined for {offence:?} in {execution}");
            self.violated("an honest node is never fined", now_us, what);
        }
    }

    // Consensus.

    fn convictions(&mut self, block: &Block, executed: &Executed, now_us: u64) {
        for (key, value) in &executed.writes {
            if !key.starts_with(keys::VALIDATORS) {
                continue;
            }
            let Some(address) = key.last_chunk::<20>().map(|bytes| Address(*bytes)) else {
                continue;
            };
            let now = value.as_ref().and_then(|v| borsh::from_slice::<ValidatorRecord>(v).ok());
            let before = self.validator(&address);
            let is_convicted = |r: &Option<ValidatorRecord>| {
                r.as_ref().is_some_and(|r| r.status == ValidatorStatus::Convicted)
            };
            if !is_convicted(&now) || is_convicted(&before) {
                continue;
            }
            self.convicted.push(address);
            if let Some(key) = self.sound.get(&address) {
                let what = format!("node {key} is convicted");
                self.violated("an honest node is never slashed", now_us, what);
            }
            let proven = before.is_some_and(|record| {
                let transactions = block.transactions.iter();
                let mut operations = transactions.flat_map(|t| &t.transaction.operations);
                operations.any(|operation| match operation {
                    Operation::Evidence(evidence) => {
                        evidence.validator == address && holds(evidence, &record)
                    }
                    _ => false,
                })
            });
            if !proven {
                let what = format!("{address} is convicted without evidence");
                self.violated("who is convicted has voted twice", now_us, what);
            }
        }
    }
}

/// Whether evidence convinces somebody who has nothing but the validator's key.
fn holds(evidence: &Evidence, record: &ValidatorRecord) -> bool {
    let eip712 = Eip712::new(CHAIN);
    let (one, other) = (&evidence.first, &evidence.second);
    let signed = |vote: &althing_types::SignedVote| {
        let digest = eip712.vote(vote.kind, vote.height, vote.round, vote.block);
        Simulated.verifies(&digest, &vote.signature, &record.public_key)
    };
    (one.kind, one.height, one.round) == (other.kind, other.height, other.round)
        && one.block != other.block
        && signed(one)
        && signed(other)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let mut rest = bytes;
    while let Some(place) = rest.iter().position(|byte| byte == first) {
        let Some(found) = rest.get(place..) else { return false };
        if found.starts_with(part) {
            return true;
        }
        rest = found.get(1..).unwrap_or_default();
    }
    false
}

const fn offence_name(offence: Offence) -> &'static str {
    match offence {
        Offence::WrongResult => "wrong result",
        Offence::WrongCheck => "wrong check",
        Offence::WrongObservation => "wrong observation",
        Offence::ForgedSeal => "forged seal",
        Offence::Withheld => "withheld",
        Offence::Absence => "absence",
    }
}

const fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Created => "created",
        Step::Drawn => "drawn",
        Step::Reassigned { .. } => "reassigned",
        Step::Prolonged => "prolonged",
        Step::Sealed(_) => "sealed",
        Step::Answered(_) => "answered",
        Step::Revealing => "revealing",
        Step::Revealed(_) => "revealed",
        Step::Escalated => "escalated",
        Step::Fined { .. } => "fined",
        Step::Settled => "settled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_wherever_it_is() {
        assert!(contains(b"aab", b"ab"));
        assert!(contains(b"xxabc", b"abc"));
        assert!(!contains(b"xxabd", b"abc"));
        assert!(!contains(b"", b"a"));
    }
}
