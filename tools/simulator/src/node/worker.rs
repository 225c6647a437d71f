//! A node's worker: the machine and the outbox of the node program, and what its driver does, in
//! virtual time.

mod observing;
mod open_block;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use althing_ledger::{Execution, query};
use althing_manifest::Manifest;
use althing_replica::application::Fault;
use althing_replica::{Committed, CommittedView, Reader};
use althing_types::{
    BlobRef, EndpointId, Hash, Height, Name, Observe, Operation, SignedTransaction, tagged,
};
use althing_work::driver::chores::{Batch, Scan, run_task, run_verify, scan, write};
use althing_work::driver::steps::{Begun, Steps};
use althing_work::driver::{Ports, WorkFault};
use althing_work::observing::Line;
use althing_work::port::{
    Assignment, BoxFuture, LedgerAccess, Native as _, Newest, NoSecrets, PortError, Secrets,
    Submit, Unobserved,
};
use althing_work::{
    Conduct, Effect, Fate, Finding, Finished, Holder, Input, Machine, News, Note, Outbox,
    OutboxConfig, Runs, Secret, TaskRun, Unusable, VerifyRun, Work, as_published, holders,
};
use bytes::Bytes;
use open_block::UnderWay;

use super::{Deed, Node, Openings};
use crate::disk::{LocalBlobs, ObservationLog};
use crate::event::Question;
use crate::fetch::{Fetch, Fetches, Next, Purpose, is};
use crate::outside::Program;
use crate::scenario::Work as Manner;
use crate::setting::{CHAIN, WORKER, parameters, runtime};
use crate::signatures::Signer;

/// A question of the worker, as against one of consensus.
pub(crate) const FILE_QUESTION: u64 = 1 << 63;

/// How long a batch takes to be written, in microseconds.
const WRITE_US: u64 = 3_000;
/// Most records that are made durable in one go.
const KEEP_MAX: usize = 256;
/// Most records that are kept at once, where none has to wait for the disk.
const KEEP_AT_ONCE_MAX: usize = 8;
/// Most observations in line: few, so that the bound is met.
const OBSERVATIONS_MAX: usize = 32;

/// What a program is told about an event that it has posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// The node has it for good.
    Acknowledged,
    /// The ledger had it already.
    Counted,
    /// It is being made durable: the answer comes then.
    Later,
    /// Not now.
    Refused,
}

/// The committed state.
#[derive(Debug)]
pub(crate) struct State(Reader);

impl LedgerAccess for State {
    type Snapshot = CommittedView;

    fn newest(&self) -> Result<Newest<CommittedView>, PortError> {
        let head = self.0.head();
        Ok(Newest { state: head.view.clone(), height: head.tip.height, time: head.time() })
    }
}

/// The simulated node submits by itself.
#[derive(Debug)]
struct Nowhere;

impl Submit for Nowhere {
    fn submit(&self, _: SignedTransaction) -> Result<(), PortError> {
        Ok(())
    }
}

pub(crate) struct Worker {
    machine: Machine,
    outbox: Outbox,
    ports: Ports<State>,
    /// The blobs among the ports, as the simulator's own.
    files: Arc<LocalBlobs>,
    steps: Steps<State>,
    program: Arc<Program>,
    /// Native services that are ready.
    outside: BTreeSet<Hash>,
    /// The machine is told that they run in the sandbox.
    hasty: bool,
    line: Line<()>,
    log: Arc<ObservationLog>,
    to_note: Vec<(Observe, Vec<u8>)>,
    noting: bool,
    /// Observations that became durable since somebody looked.
    pub(crate) acknowledged: Vec<Hash>,
    signer: Signer,
    to_keep: Batch,
    writing: bool,
    fetches: Fetches,
    questions: u64,
    /// What open blocks asked for, and at which height.
    foreseen: BTreeMap<Hash, Height>,
    under_way: UnderWay,
    openings: Openings,
    /// What people would be told, by kind.
    pub(crate) notes: Vec<Note>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("machine", &self.machine).finish_non_exhaustive()
    }
}

fn ledger_fault(error: PortError) -> Fault {
    Fault::new("doing the node's work", WorkFault::Ledger(error))
}

fn state_fault(error: althing_state::Fault) -> Fault {
    Fault::new("doing the node's work", error)
}

impl Worker {
    pub(super) fn start(
        node: &Node,
        reader: &Reader,
        conduct: Box<dyn Conduct>,
        signer: Signer,
        program: Program,
    ) -> Result<Self, WorkFault> {
        let program = Arc::new(program);
        let address = node.address();
        let secret = Secret::new(tagged("simulated secret", &[&address.0]).0);
        let ports = Ports {
            ledger: Arc::new(State(reader.clone())),
            blobs: node.disk.blobs.clone(),
            runtime: Arc::new(runtime(node.key as u64)),
            journal: node.disk.journal.clone(),
            submit: Arc::new(Nowhere),
            signer: Arc::new(signer.clone()),
            native: program.clone(),
            vault: Arc::new(NoSecrets),
            observations: Arc::new(Unobserved),
        };
        let Scan { height, nonce, .. } =
            scan(&*ports.ledger, &address).map_err(WorkFault::Ledger)?;
        let config = OutboxConfig::new(CHAIN, &parameters());
        Ok(Self {
            machine: Machine::with_conduct(WORKER, address, secret, conduct),
            outbox: Outbox::new(config, address, height, nonce),
            steps: Steps::new(Arc::clone(&ports.ledger), Arc::clone(&ports.blobs)),
            program,
            outside: BTreeSet::new(),
            hasty: node.part.work == Manner::Hasty,
            line: Line::restored(OBSERVATIONS_MAX, node.disk.observations.recall()),
            log: node.disk.observations.clone(),
            to_note: Vec::new(),
            noting: false,
            acknowledged: Vec::new(),
            ports,
            files: node.disk.blobs.clone(),
            signer,
            to_keep: Batch::default(),
            writing: false,
            fetches: Fetches::new(),
            questions: FILE_QUESTION,
            foreseen: BTreeMap::new(),
            under_way: UnderWay::default(),
            openings: node.setup.openings.clone(),
            notes: Vec::new(),
        })
    }

    pub(super) fn begin(
        &mut self,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let Scan { time, executions, .. } =
            scan(&*self.ports.ledger, self.machine.node()).map_err(ledger_fault)?;
        let records = self.ports.journal.recall();
        let records = records
            .map_err(|error| Fault::new("doing the node's work", WorkFault::Journal(error)))?;
        self.step(Input::Restarted { time, executions, records }, reader, now_us, deeds)
    }

    /// Whether nothing of its own is on the way to the ledger.
    pub(super) fn is_idle(&self) -> bool {
        self.outbox.pending() == 0
    }

    /// Queues an operation that is not the machine's.
    pub(super) fn ask(&mut self, operation: Operation, now_us: u64) {
        // When there is no room, whoever wants it asks again.
        self.outbox.push(operation, now_us / 1_000).ok();
    }

    pub(super) fn outgoing(&mut self, now_us: u64) -> Vec<SignedTransaction> {
        self.outbox.outgoing(now_us / 1_000, &self.signer)
    }

    /// A file of this node, for another.
    pub(crate) fn local(&self, blob: &BlobRef) -> Option<Bytes> {
        self.ports.blobs.local(blob, &[]).ok().flatten().map(Bytes::from)
    }

    /// Lets go of blobs that neither the ledger nor an observation in line needs.
    pub(super) fn sweep(&self, now_us: u64, keep_us: u64, mut needed: BTreeSet<Hash>) {
        needed.extend(self.line.durable().map(|observe| observe.data.hash));
        self.files.sweep(now_us, keep_us, &|hash| needed.contains(hash));
    }

    pub(super) fn hear(
        &mut self,
        committed: &Committed,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let header = &committed.header;
        let moment = (header.height, header.time);
        let news = News::of(self.machine.node(), moment, &committed.executed);
        let News { height, time, executions, receipts, nonce } = news.map_err(state_fault)?;
        let fates = self.outbox.committed(height, nonce, &receipts, now_us / 1_000);
        self.count_foreseen(header, &committed.executed);
        self.step(Input::Committed { time, executions }, reader, now_us, deeds)?;
        self.step(Input::Decided(height), reader, now_us, deeds)?;
        let (mut own, mut observed) = (Vec::new(), Vec::new());
        for (operation, fate) in fates {
            match operation {
                Operation::Observe(observe) => observed.push((observe, fate)),
                operation => own.push((operation, fate)),
            }
        }
        self.line.fates(observed);
        for event in self.line.take_ended() {
            self.log.forget(&event);
        }
        self.step(Input::Fates(own), reader, now_us, deeds)
    }

    pub(super) fn step(
        &mut self,
        input: Input,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let mut effects = Vec::new();
        self.machine.step(input, &mut effects);
        let mut lost = Vec::new();
        for effect in effects {
            self.carry_out(effect, &mut lost, reader, now_us, deeds)?;
        }
        if lost.is_empty() { Ok(()) } else { self.step(Input::Fates(lost), reader, now_us, deeds) }
    }

    fn carry_out(
        &mut self,
        effect: Effect,
        lost: &mut Vec<(Operation, Fate)>,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let later = |after_us: u64, input: Input| Deed::Work(after_us, Box::new(input));
        match effect {
            Effect::FetchBlob { job, blob, service, from, within_ms, .. } => {
                let from = endpoints(reader, &service, &from);
                let until_us = now_us + within_ms * 1_000;
                let fetch = Fetch::new(blob, Purpose::Blob { job }, from, until_us);
                self.fetch(fetch, reader, now_us, deeds)?;
            }
            Effect::Prepare { service, homes, within_ms } => {
                let view = reader.view();
                let record = query::service(&view, &service).map_err(state_fault)?;
                let Some(record) = record else {
                    let result = Err(Unusable::Unavailable);
                    deeds.push(later(0, Input::Prepared { service, result }));
                    return Ok(());
                };
                let offering = holders(&view, &service).map_err(state_fault)?;
                let from = homes.into_iter().chain(offering).collect();
                let purpose = Purpose::Manifest { service };
                let until_us = now_us + within_ms * 1_000;
                let fetch = Fetch::new(record.terms.manifest, purpose, from, until_us);
                self.fetch(fetch, reader, now_us, deeds)?;
            }
            Effect::RunTask { job, execution } => {
                let run = run_task(&self.ports, &execution);
                deeds.push(later(run.duration_us, Input::TaskDone { job, run }));
            }
            Effect::RunVerify { job, execution } => {
                let run = run_verify(&self.ports, &execution);
                deeds.push(later(run.duration_us, Input::VerifyDone { job, run }));
            }
            Effect::Survey { job, execution } => {
                let known = self.steps.survey_at_once(&execution);
                let needs = known.unwrap_or_else(|| self.steps.survey(&execution));
                deeds.push(later(0, Input::Surveyed { job, needs }));
            }
            Effect::RunStep { job, execution, work } => {
                self.is_on_the_ledger(&execution, reader)?;
                let (finding, duration_us) = self.run_step(&execution, work);
                deeds.push(later(duration_us, Input::StepDone { job, finding }));
            }
            Effect::Keep(finished) => {
                self.to_keep.records.push(finished);
                self.begin_to_write(deeds);
            }
            Effect::Submit(operation) => {
                if let Err(full) = self.outbox.push(operation, now_us / 1_000) {
                    lost.push((*full.0, Fate::Lost));
                }
            }
            Effect::Forget(execution) => {
                self.outbox.forget(&execution);
                self.to_keep.ended.push(execution);
                self.begin_to_write(deeds);
            }
            Effect::Rescan => {
                let Scan { time, executions, .. } =
                    scan(&*self.ports.ledger, self.machine.node()).map_err(ledger_fault)?;
                deeds.push(later(1_000, Input::Rescanned { time, executions }));
            }
            Effect::Note(note) => self.notes.push(note),
        }
        Ok(())
    }

    fn run_step(&self, execution: &Execution, work: Work) -> (Finding, u64) {
        match self.steps.begin(execution, work, Secrets::default()) {
            Begun::Known(finding) => (finding, 0),
            Begun::Run(to_run) => {
                let run = self.task(&to_run.assignment);
                let duration_us = run.duration_us;
                (to_run.finish(run), duration_us)
            }
            Begun::Judge(to_judge) => {
                let run = self.verify(&to_judge.assignment, &to_judge.status, &to_judge.output);
                (to_judge.finish(&run), run.duration_us)
            }
        }
    }

    /// What has effects outside is begun only by whom a decided block has drawn: notes where it is not so.
    fn is_on_the_ledger(&self, execution: &Execution, reader: &Reader) -> Result<(), Fault> {
        if !self.outside.contains(&execution.service) {
            return Ok(());
        }
        let me = self.machine.node();
        let open = query::execution(&reader.view(), &execution.id).map_err(state_fault)?;
        let known = open.or_else(|| reader.execution(&execution.id).ok().flatten());
        if !known.is_some_and(|known| known.members.iter().any(|member| member.node == *me)) {
            self.program.asked_too_early(&execution.id);
        }
        Ok(())
    }

    fn task(&self, assignment: &Assignment) -> TaskRun {
        let Assignment { service, task, input, .. } = assignment;
        if self.outside.contains(service) {
            at_once(self.program.task(assignment.clone()))
        } else {
            self.ports.runtime.task(service, task, input)
        }
    }

    fn verify(&self, assignment: &Assignment, status: &Name, output: &[u8]) -> VerifyRun {
        let Assignment { service, task, input, .. } = assignment;
        if self.outside.contains(service) {
            at_once(self.program.verify(assignment.clone(), status.clone(), output.to_vec()))
        } else {
            self.ports.runtime.verify(service, task, input, status, output)
        }
    }

    // The disk.

    fn begin_to_write(&mut self, deeds: &mut Vec<Deed>) {
        let idle = self.to_keep.records.is_empty() && self.to_keep.ended.is_empty();
        if !idle && !self.writing {
            self.writing = true;
            let records = &self.to_keep.records;
            let waits = |finished: &Finished| finished.remember || !finished.flushed_later;
            let at_once = records.len() <= KEEP_AT_ONCE_MAX && !records.iter().any(waits);
            deeds.push(Deed::Keep(if at_once { 0 } else { WRITE_US }));
        }
    }

    /// The batch is written now, whole: a power loss before this moment loses it.
    pub(super) fn write(
        &mut self,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        self.writing = false;
        let count = self.to_keep.records.len().min(KEEP_MAX);
        let records = self.to_keep.records.drain(..count).collect();
        let written = self.to_keep.records.is_empty();
        let ended = if written { std::mem::take(&mut self.to_keep.ended) } else { Vec::new() };
        let kept = write(&self.ports, Batch { records, ended })
            .map_err(|error| Fault::new("doing the node's work", WorkFault::Journal(error)))?;
        for input in kept {
            self.step(input, reader, now_us, deeds)?;
        }
        self.begin_to_write(deeds);
        Ok(())
    }

    // Files.

    fn fetch(
        &mut self,
        fetch: Fetch,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        if let Some(bytes) = self.local(&fetch.blob).filter(|bytes| is(fetch.blob, bytes)) {
            return self.arrived(&fetch, Some(&bytes), reader, now_us, deeds);
        }
        self.questions += 1;
        self.fetches.insert(self.questions, fetch);
        self.fetched(self.questions, None, reader, now_us, deeds)
    }

    /// Goes on with a file: a holder has answered (`body`), or it is time to ask again.
    pub(super) fn fetched(
        &mut self,
        number: u64,
        body: Option<Option<Bytes>>,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let Some(mut fetch) = self.fetches.remove(&number) else { return Ok(()) };
        if let Some(bytes) = body.flatten().filter(|bytes| is(fetch.blob, bytes)) {
            if self.ports.blobs.keep(&bytes).is_err() {
                return self.arrived(&fetch, None, reader, now_us, deeds);
            }
            return self.arrived(&fetch, Some(&bytes), reader, now_us, deeds);
        }
        match fetch.next(now_us) {
            Next::Ask(holder) => {
                // A new number: a late answer of an earlier holder is not this one's.
                self.questions += 1;
                deeds.push(Deed::Ask(holder, self.questions, Question::File(fetch.blob)));
                self.fetches.insert(self.questions, fetch);
            }
            Next::Pause(pause_us) => {
                deeds.push(Deed::Fetch(pause_us, number));
                self.fetches.insert(number, fetch);
            }
            Next::GiveUp => self.arrived(&fetch, None, reader, now_us, deeds)?,
        }
        Ok(())
    }

    fn arrived(
        &mut self,
        fetch: &Fetch,
        bytes: Option<&Bytes>,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let later = |input: Input| Deed::Work(0, Box::new(input));
        let prepared = |service: Hash, result| later(Input::Prepared { service, result });
        match (fetch.purpose, bytes) {
            (Purpose::Blob { job }, bytes) => {
                let (hash, available) = (fetch.blob.hash, bytes.is_some());
                deeds.push(later(Input::Blob { job, hash, available }));
            }
            (Purpose::Manifest { service } | Purpose::Module { service }, None) => {
                deeds.push(prepared(service, Err(Unusable::Unavailable)));
            }
            (Purpose::Manifest { service }, Some(manifest)) => {
                let terms = query::service(&reader.view(), &service).map_err(state_fault)?;
                let sound = terms.is_some_and(|s| as_published(&s.terms, manifest).is_ok());
                let module = terms_module(reader, &service)?;
                if module.is_none() && sound {
                    let manifest = Manifest::from_canonical(manifest);
                    let ready = manifest.is_ok_and(|m| self.program.prepare(&service, &m).is_ok());
                    if ready {
                        self.outside.insert(service);
                    }
                    let runs = if self.hasty { Runs::Inside } else { Runs::Outside };
                    let result = if ready { Ok(runs) } else { Err(Unusable::Unavailable) };
                    deeds.push(prepared(service, result));
                    return Ok(());
                }
                let Some(module) = module.filter(|_| sound) else {
                    deeds.push(prepared(service, Err(Unusable::Refused)));
                    return Ok(());
                };
                let (purpose, from) = (Purpose::Module { service }, fetch.from.clone());
                let next = Fetch::new(module, purpose, from, fetch.until_us);
                self.fetch(next, reader, now_us, deeds)?;
            }
            (Purpose::Module { service }, Some(module)) => {
                let record = query::service(&reader.view(), &service).map_err(state_fault)?;
                let manifest = record.and_then(|record| {
                    let bytes = self.local(&record.terms.manifest)?;
                    as_published(&record.terms, &bytes).ok()
                });
                let runtime = &self.ports.runtime;
                let ready = manifest.is_some_and(|m| runtime.prepare(&service, module, &m).is_ok());
                let result = if ready { Ok(Runs::Inside) } else { Err(Unusable::Refused) };
                deeds.push(prepared(service, result));
            }
        }
        Ok(())
    }
}

/// The output of a future that waits for nothing.
fn at_once<T>(mut future: BoxFuture<T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => unreachable!("a simulated program answers at once"),
    }
}

fn terms_module(reader: &Reader, service: &Hash) -> Result<Option<BlobRef>, Fault> {
    let record = query::service(&reader.view(), service).map_err(state_fault)?;
    Ok(record.and_then(|record| record.terms.module))
}

fn endpoints(reader: &Reader, service: &Hash, from: &[Holder]) -> Vec<EndpointId> {
    let view = reader.view();
    let endpoint = |holder: &Holder| match holder {
        Holder::Endpoint(endpoint) => Some(*endpoint),
        Holder::Node(node) => {
            let offer = query::offer(&view, service, node).ok()??;
            Some(offer.endpoint)
        }
    };
    from.iter().filter_map(endpoint).collect()
}
