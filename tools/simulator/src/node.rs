//! A node: the replica, its consensus, its worker and its disk, with everything that it does put into
//! a list, so that the simulation can deliver it.
//!
//! ```text
//!   frames, alarms ─► Stepped<Replica> ─commit─► News ─► Machine ─► Outbox ─► own mempool, gossip
//!                          └── effects ──► Deed ──► simulation
//! ```
//!
//! What the node program does around these parts (passing transactions on, looking for work, offering
//! a service) is done here in the same way, over the simulated network.

mod bench;
mod chain;
mod clock;
mod worker;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use althing_consensus_malachite::stepped::{Effect, Input, Stepped};
use althing_ledger::{OfferStatus, ValidatorStatus, query};
use althing_network::Lane;
use althing_replica::application::Fault;
use althing_replica::{
    Committed, Config, NotAdmitted, OpenError, Ports, Reader, Replica, SubmitError,
};
use althing_types::{
    Address, Amount, BlobRef, Bond, Eip712, EndpointId, Genesis, Hash, Observe, Offer, Operation,
    Resume, TimeMs, Unbond, Unjail,
};
pub(crate) use bench::Openings;
use bench::{Bench, Known as _, Left};
use borsh::BorshDeserialize as _;
use bytes::Bytes;
use chain::{Chain, lock};
pub(crate) use clock::{Clock, Time};
use worker::Worker;
pub(crate) use worker::{FILE_QUESTION, Posted};

use crate::conduct;
use crate::disk::{Disk, LogFile};
use crate::event::Question;
use crate::outside::{Program, Technology};
use crate::random::Random;
use crate::scenario::Part;
use crate::setting::{self, CHAIN, endpoint, node_key};
use crate::signatures::{Signer, Simulated};

/// How often time passes for a node, in microseconds.
pub(crate) const TICK_US: u64 = 250_000;
/// Ticks after which transactions are passed on again.
const PASS_ON_TICKS: u64 = 8;
/// Ticks after which a node's owner looks after it.
const CARE_TICKS: u64 = 8;
/// How often a node looks for blobs that nobody needs.
const SWEEP_TICKS: u64 = 20;
/// How long a blob that nobody needs is kept, in microseconds: longer than any input waits for its call.
const KEEP_US: u64 = 30_000_000;
/// Transactions in one frame at most.
const FRAME_TRANSACTIONS_MAX: usize = 256;
/// Transactions of its own that a node passes on again.
const OWN_MAX: usize = 1_000;

/// What a node does to the world.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Sends a frame to everybody.
    Broadcast(Lane, Bytes),
    /// The same after this long, in microseconds.
    Send(u64, Lane, Bytes),
    /// Wants its consensus woken.
    Alarm(u64, Duration),
    /// Asks another node.
    Ask(EndpointId, u64, Question),
    /// Its worker hears of this later, in microseconds.
    Work(u64, Box<althing_work::Input>),
    /// Its batch is written after this long, in microseconds.
    Keep(u64),
    /// Its observations are written after this long, in microseconds.
    Note(u64),
    /// Looks for work again after this long, in microseconds.
    Look(u64),
    /// Asks for a file again after this long, in microseconds.
    Fetch(u64, u64),
}

/// Why a node is not running.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It stopped.
    Fault(Fault),
    /// It cannot start.
    Open(OpenError),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (error, code): (&dyn std::error::Error, _) = match self {
            Self::Fault(fault) => (fault, fault.code),
            Self::Open(error) => (error, Some(error.code())),
        };
        write!(f, "{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        write!(f, " [{}]", code.unwrap_or("-"))
    }
}

impl Failure {
    /// The failure's documented code.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Fault(fault) => fault.code,
            Self::Open(error) => Some(error.code()),
        }
    }
}

/// A node of the network, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    /// Whose key it has; twins share one.
    pub(crate) key: usize,
    pub(crate) part: Part,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    /// Counts starts: what an earlier life began has no end.
    pub(crate) life: u32,
    pub(crate) running: Option<Running>,
    /// It cannot start again.
    pub(crate) is_gone: bool,
    setup: Setup,
}

/// What all nodes have in common.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) time: Time,
    /// Owners change their stakes now and then.
    pub(crate) churn: bool,
    /// What their programs ask.
    pub(crate) technology: Technology,
    pub(crate) answers_lost_per_mille: u32,
    pub(crate) part_bytes: usize,
    /// Counts what becomes of open blocks.
    pub(crate) openings: Openings,
}

impl Node {
    pub(crate) fn new(key: usize, part: Part, setup: Setup) -> Self {
        let clock = Clock::new(setup.time.clone());
        let disk = Disk::new();
        Self { key, part, disk, clock, life: 0, running: None, is_gone: false, setup }
    }

    pub(crate) fn address(&self) -> Address {
        node_key(self.key).address()
    }

    /// Starts from what is on the disk.
    pub(crate) fn start(
        &mut self,
        genesis: &Genesis,
        seed: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Failure> {
        self.life += 1;
        self.clock.close();
        let mut running = Running::open(self, genesis, seed)?;
        running.begin(deeds).map_err(Failure::Fault)?;
        self.running = Some(running);
        Ok(())
    }
}

/// A node that runs.
#[derive(Debug)]
pub(crate) struct Running {
    key: usize,
    clock: Clock,
    engine: Stepped<Chain, LogFile>,
    chain: Chain,
    reader: Reader,
    commits: Arc<Mutex<VecDeque<Committed>>>,
    bench: Arc<Bench>,
    /// Transactions that were first handed to this node.
    own: VecDeque<(Hash, Bytes)>,
    to_pass_on: Vec<Bytes>,
    work: bool,
    /// The moment for which it has asked to be woken.
    look: Option<TimeMs>,
    ticks: u64,
    /// What its owner does, if the owner changes its stake.
    owner: Option<Random>,
    /// What it committed since somebody looked.
    pub(crate) committed: Vec<Committed>,
}

impl Running {
    fn open(node: &Node, genesis: &Genesis, seed: u64) -> Result<Self, Failure> {
        let signer = Signer::new(node_key(node.key), Eip712::new(CHAIN));
        let clock = node.clock.clone();
        let ports = Ports {
            store: node.disk.store.clone(),
            signatures: Arc::new(Simulated),
            beacon: Some(Box::new(signer.clone())),
            clock: Box::new(move || clock.now()),
        };
        let mut config = Config::new(genesis.clone(), node.address());
        config.mempool = setting::MEMPOOL;
        let mut replica = Replica::open(config, ports).map_err(Failure::Open)?;
        let commits = Arc::<Mutex<VecDeque<Committed>>>::default();
        let heard = Arc::clone(&commits);
        replica.on_commit(Box::new(move |committed| {
            lock(&heard).push_back(committed);
        }));
        let reader = replica.reader();
        let conduct = conduct::of(node.part.work, seed ^ node.key as u64, node.address());
        let chance = seed ^ (node.key as u64) << 16 ^ u64::from(node.life) << 40;
        let lost_per_mille = node.setup.answers_lost_per_mille;
        let technology = node.setup.technology.clone();
        let program = Program::new(technology, Random::new(chance).fork(), lost_per_mille);
        let worker = Worker::start(node, &reader, conduct, signer.clone(), program)
            .map_err(|error| Failure::Fault(Fault::new("doing the node's work", error)))?;
        let chain = Chain::new(replica);
        let openings = node.setup.openings.clone();
        let files = Arc::clone(&node.disk.blobs);
        let bench = Bench::open(&chain, worker, node.clock.clone(), files, openings);
        let engine = Stepped::open(
            setting::consensus(),
            chain.clone(),
            node.disk.log.clone(),
            Arc::new(signer),
            Arc::new(Simulated),
        );
        Ok(Self {
            key: node.key,
            clock: node.clock.clone(),
            engine: engine.map_err(Failure::Fault)?.with_part_bytes(node.setup.part_bytes),
            chain,
            reader,
            commits,
            bench,
            own: VecDeque::new(),
            to_pass_on: Vec::new(),
            work: false,
            look: None,
            ticks: 0,
            owner: (node.setup.churn && node.part.is_honest())
                .then(|| Random::new(seed ^ (node.key as u64) << 32 ^ u64::from(node.life))),
            committed: Vec::new(),
        })
    }

    fn begin(&mut self, deeds: &mut Vec<Deed>) -> Result<(), Fault> {
        self.drive(deeds, |engine, now, effects| engine.start(now, effects))?;
        self.bench.worker().begin(&self.reader, self.clock.time.us(), deeds)?;
        self.settle(deeds)
    }

    /// Lets consensus do something. If it proposes a block, all that follows leaves the node once the
    /// block is built; what the worker said in it was said all the same if the block is never ready.
    fn drive(
        &mut self,
        deeds: &mut Vec<Deed>,
        go: impl FnOnce(&mut Stepped<Chain, LogFile>, Duration, &mut Vec<Effect>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut effects = Vec::new();
        let gone = go(&mut self.engine, self.clock.time.duration(), &mut effects);
        let open_us = self.clock.close();
        let Left { deeds: left, said, .. } = self.bench.take_left();
        deeds.extend(left);
        for (taken, bytes) in said {
            self.own.extend(taken.map(|hash| (hash, bytes.clone())));
            self.to_pass_on.push(bytes);
        }
        self.pass_on(deeds);
        gone?;
        carry_out(effects, open_us, deeds);
        Ok(())
    }

    pub(crate) const fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(crate) const fn progress(&self) -> althing_consensus_malachite::Progress {
        self.engine.progress()
    }

    /// Where its consensus stands, for people.
    pub(crate) fn standing(&self) -> String {
        self.engine.standing()
    }

    /// A file of this node, for another.
    pub(crate) fn file(&self, blob: &BlobRef) -> Option<Bytes> {
        self.bench.worker().local(blob)
    }

    // What happens to it.

    pub(crate) fn engine(&mut self, input: Input, deeds: &mut Vec<Deed>) -> Result<(), Fault> {
        self.drive(deeds, |engine, now, effects| engine.step(now, input, effects))?;
        self.settle(deeds)
    }

    pub(crate) fn answer_blocks(&self, question: &Bytes) -> Result<Option<Bytes>, Fault> {
        self.engine.answer(question)
    }

    pub(crate) fn worker_input(
        &mut self,
        input: althing_work::Input,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        self.bench.worker().step(input, &self.reader, self.clock.time.us(), deeds)?;
        self.settle(deeds)
    }

    pub(crate) fn keep(&mut self, deeds: &mut Vec<Deed>) -> Result<(), Fault> {
        self.bench.worker().write(&self.reader, self.clock.time.us(), deeds)?;
        self.settle(deeds)
    }

    pub(crate) fn note(&mut self, deeds: &mut Vec<Deed>) -> Result<(), Fault> {
        self.bench.worker().note(self.clock.time.us())?;
        self.settle(deeds)
    }

    /// Takes an event that the node's program posts.
    pub(crate) fn observe(
        &mut self,
        observe: Observe,
        data: Vec<u8>,
        deeds: &mut Vec<Deed>,
    ) -> Result<Posted, Fault> {
        self.bench.worker().observe(observe, data, &self.reader, deeds)
    }

    /// Observations that became durable since somebody looked.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<Hash> {
        std::mem::take(&mut self.bench.worker().acknowledged)
    }

    pub(crate) fn fetched(
        &mut self,
        number: u64,
        body: Option<Option<Bytes>>,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        self.bench.worker().fetched(number, body, &self.reader, self.clock.time.us(), deeds)?;
        self.settle(deeds)
    }

    /// Takes a frame of transactions; passes on what is new to it only if `relays`.
    pub(crate) fn transactions(
        &mut self,
        mut payload: &[u8],
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let count = u32::deserialize(&mut payload).unwrap_or(0);
        for _ in 0..count.min(4_096) {
            let Ok(length) = u32::deserialize(&mut payload) else { break };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let Some((transaction, rest)) = payload.split_at_checked(length) else { break };
            payload = rest;
            match self.chain.lock().submit(transaction) {
                Ok(_) | Err(SubmitError::NotAdmitted(_)) => {}
                Err(SubmitError::Fault(fault)) => return Err(fault),
            }
        }
        self.settle(deeds)
    }

    /// Takes a transaction that is handed to this node.
    pub(crate) fn submit(
        &mut self,
        bytes: Vec<u8>,
        deeds: &mut Vec<Deed>,
    ) -> Result<Result<Hash, NotAdmitted>, Fault> {
        let admitted = self.admit_own(bytes)?;
        self.settle(deeds)?;
        Ok(admitted)
    }

    fn admit_own(&mut self, bytes: Vec<u8>) -> Result<Result<Hash, NotAdmitted>, Fault> {
        let submitted = self.chain.lock().submit(&bytes);
        let hash = match submitted {
            Ok(hash) => hash,
            Err(SubmitError::NotAdmitted(refused)) => return Ok(Err(refused)),
            Err(SubmitError::Fault(fault)) => return Err(fault),
        };
        let bytes = Bytes::from(bytes);
        if self.own.len() >= OWN_MAX {
            self.own.pop_front();
        }
        self.own.push_back((hash, bytes.clone()));
        self.to_pass_on.push(bytes);
        Ok(Ok(hash))
    }

    pub(crate) fn tick(&mut self, deeds: &mut Vec<Deed>) -> Result<(), Fault> {
        self.ticks += 1;
        if self.ticks.is_multiple_of(PASS_ON_TICKS) {
            let replica = self.chain.lock();
            self.own.retain(|(hash, _)| replica.mempool().find(hash).is_some());
            self.to_pass_on.extend(self.own.iter().map(|(_, bytes)| bytes.clone()));
        }
        if self.ticks.is_multiple_of(CARE_TICKS) {
            self.care()?;
        }
        if self.ticks.is_multiple_of(SWEEP_TICKS) {
            let needed = althing_work::in_use(&self.reader.view())
                .map_err(|fault| Fault::new("reading the state", fault))?;
            self.bench.worker().sweep(self.clock.time.us(), KEEP_US, needed);
        }
        self.bench.worker().tick_observations(self.clock.time.us());
        let input = althing_work::Input::Tick;
        self.bench.worker().step(input, &self.reader, self.clock.time.us(), deeds)?;
        self.settle(deeds)
    }

    /// What a node's owner does: offers the service, and returns it to office.
    fn care(&mut self) -> Result<(), Fault> {
        if !self.bench.worker().is_idle() {
            return Ok(());
        }
        let untrusted = |fault| Fault::new("reading the state", fault);
        let node = node_key(self.key).address();
        let view = self.reader.view();
        let mut operations = Vec::new();
        for service in setting::services() {
            if query::service(&view, &service).map_err(untrusted)?.is_none() {
                continue;
            }
            let operation = match query::offer(&view, &service, &node).map_err(untrusted)? {
                None => Some(Operation::Offer(Offer {
                    service,
                    stake: Amount::from_tokens(10_000),
                    term_ms: 10_000_000,
                    owner: node,
                    endpoint: endpoint(self.key),
                    labels: vec![],
                })),
                Some(offer) if offer.status == OfferStatus::Suspended => {
                    Some(Operation::Resume(Resume { service }))
                }
                Some(_) => None,
            };
            operations.extend(operation);
        }
        let validator = query::validator(&view, &node).map_err(untrusted)?;
        let bonded = validator.as_ref().map(|validator| validator.bonded);
        let jailed = validator.is_some_and(|validator| match validator.status {
            ValidatorStatus::Jailed { until } => until <= self.reader.head().time(),
            ValidatorStatus::Active | ValidatorStatus::Convicted => false,
        });
        let unjail = jailed.then_some(Operation::Unjail(Unjail {}));
        let stake = self.change_stake(bonded);
        let now_us = self.clock.time.us();
        for operation in operations.into_iter().chain(unjail).chain(stake) {
            self.bench.worker().ask(operation, now_us);
        }
        Ok(())
    }

    /// Bonds at first, and then moves a tenth in or out now and then.
    fn change_stake(&mut self, bonded: Option<Amount>) -> Option<Operation> {
        let random = self.owner.as_mut()?;
        let key = node_key(self.key);
        let bond = |tokens| {
            Operation::Bond(Bond {
                amount: Amount::from_tokens(tokens),
                public_key: key.public(),
                endpoint: endpoint(self.key),
                beacon_key: key.beacon_key(),
            })
        };
        let Some(bonded) = bonded else { return Some(bond(1_000)) };
        if !random.chance(100) {
            return None;
        }
        if bonded < Amount::from_tokens(1_200) && random.chance(500) {
            return Some(bond(100));
        }
        let amount = Amount::from_tokens(100);
        (bonded > Amount::from_tokens(900)).then_some(Operation::Unbond(Unbond { amount }))
    }

    // What follows from it.

    /// Tells the worker of commits, submits what it says, and looks for work, until nothing changes.
    pub(crate) fn settle(&mut self, deeds: &mut Vec<Deed>) -> Result<(), Fault> {
        loop {
            while let Some(committed) = self.next_commit() {
                let now_us = self.clock.time.us();
                self.bench.worker().hear(&committed, &self.reader, now_us, deeds)?;
                self.committed.push(committed);
            }
            let evidence = self.chain.lock().take_evidence();
            for evidence in evidence {
                self.bench.worker().ask(Operation::Evidence(evidence), self.clock.time.us());
            }
            let outgoing = self.bench.worker().outgoing(self.clock.time.us());
            for signed in outgoing {
                match self.admit_own(signed.encode())? {
                    Ok(_) => {}
                    Err(refused) if refused.is_known_elsewhere() => {
                        self.to_pass_on.push(signed.encode().into());
                    }
                    Err(_) => {} // sent again later
                }
            }
            self.pass_on(deeds);
            if !self.look_for_work(deeds)? {
                return Ok(());
            }
        }
    }

    fn next_commit(&self) -> Option<Committed> {
        lock(&self.commits).pop_front()
    }

    fn pass_on(&mut self, deeds: &mut Vec<Deed>) {
        for batch in std::mem::take(&mut self.to_pass_on).chunks(FRAME_TRANSACTIONS_MAX) {
            let transactions: Vec<&[u8]> = batch.iter().map(AsRef::as_ref).collect();
            let payload = borsh::to_vec(&transactions).expect("writing to memory cannot fail");
            deeds.push(Deed::Broadcast(Lane::Transactions, payload.into()));
        }
    }

    /// Tells consensus whether the next block is worth making; true if that changed.
    fn look_for_work(&mut self, deeds: &mut Vec<Deed>) -> Result<bool, Fault> {
        let (next, now) = (self.chain.lock().next()?, self.clock.now());
        let work = next.is_worth_making(now);
        // What is due later than a tick is found by one.
        if let Some(due) = next.due.filter(|due| !work && self.look != Some(*due)) {
            let after_us = now.until(due).saturating_mul(1_000);
            if after_us < TICK_US {
                self.look = Some(due);
                deeds.push(Deed::Look(after_us));
            }
        }
        if work == self.work {
            return Ok(false);
        }
        self.work = work;
        self.drive(deeds, |engine, now, effects| engine.step(now, Input::Work(work), effects))?;
        Ok(true)
    }
}

fn carry_out(effects: Vec<Effect>, open_us: u64, deeds: &mut Vec<Deed>) {
    deeds.extend(effects.into_iter().map(|effect| match effect {
        Effect::Broadcast(lane, payload) if open_us == 0 => Deed::Broadcast(lane, payload),
        Effect::Broadcast(lane, payload) => Deed::Send(open_us, lane, payload),
        Effect::Wake { alarm, after } => Deed::Alarm(alarm, after + Duration::from_micros(open_us)),
        Effect::Ask { peer, number, body } => Deed::Ask(peer, number, Question::Blocks(body)),
    }));
}
