//! Drives the worker: effects go out through the ports, and come back as inputs.
//!
//! ```text
//!   blocks ──broadcast──► ┌────────┐ ──spawn──► fetch, prepare, run        (as many as the machine
//!   stop ───────────────► │ Driver │ ◄─inputs──                             has places for)
//!   ticks ──────────────► └────────┘ ──one batch at a time──► outputs, journal
//!                              └──► outbox ──► mempool
//! ```
//!
//! - Units: milliseconds of the monotonic clock.
//! - Errors: [`WorkFault`]; everything else becomes an input that says so.
//! - Invariants: whatever waits for the disk, the network or a processor does so in a task of its
//!   own; tasks are bounded by the machine's places; a record that has to be remembered is durable before
//!   the machine hears that it is kept, and so is an output, but for one that is flushed with its block.

pub mod chores;
mod files;
mod pool;
pub mod steps;
mod tasks;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use althing_ledger::Execution;
use althing_types::{Height, Observe, Operation};
use chores::{Batch, Scan, scan, write};
use files::{Files, Wanted};
pub use pool::Panicked;
use pool::Pool;
use steps::Steps;
use tasks::{Tasks, What};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

use crate::port::{
    Blobs, Journal, LedgerAccess, Native, Observations, PortError, Submit, TransactionSigner, Vault,
};
use crate::runtime::Runtime;
use crate::{Effect, Fate, Finished, Input, JobId, Machine, News, Note, Outbox, OutboxConfig};

/// How often what was lost is tried again.
const TICK: Duration = Duration::from_millis(250);
/// Most operations of other parts of the node that are taken in one go.
const REQUESTS_MAX: usize = 1_024;
/// Most ended tasks that are looked at in one go.
const DONE_MAX: usize = 256;
/// Most records that are made durable in one go.
const KEEP_MAX: usize = 256;

/// Most records that are kept on the driver's own thread, where none has to wait for the disk.
const KEEP_AT_ONCE_MAX: usize = 8;

/// The world around a worker.
pub struct Ports<L> {
    /// The committed state.
    pub ledger: Arc<L>,
    /// Files.
    pub blobs: Arc<dyn Blobs>,
    /// Runs services that have a component.
    pub runtime: Arc<dyn Runtime>,
    /// Has native services' tasks done.
    pub native: Arc<dyn Native>,
    /// The way to what applications' owners give to whoever works for them.
    pub vault: Arc<dyn Vault>,
    /// Remembers.
    pub journal: Arc<dyn Journal>,
    /// The mempool.
    pub submit: Arc<dyn Submit>,
    /// The node's key.
    pub signer: Arc<dyn TransactionSigner>,
    /// Hears what became of the node's observations.
    pub observations: Arc<dyn Observations>,
}

impl<L> Clone for Ports<L> {
    fn clone(&self) -> Self {
        Self {
            ledger: Arc::clone(&self.ledger),
            blobs: Arc::clone(&self.blobs),
            runtime: Arc::clone(&self.runtime),
            native: Arc::clone(&self.native),
            vault: Arc::clone(&self.vault),
            journal: Arc::clone(&self.journal),
            submit: Arc::clone(&self.submit),
            signer: Arc::clone(&self.signer),
            observations: Arc::clone(&self.observations),
        }
    }
}

impl<L> std::fmt::Debug for Ports<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ports").field("account", &self.signer.address()).finish_non_exhaustive()
    }
}

/// The worker cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkFault {
    /// A node that may forget what it has sealed must not seal.
    #[error("the worker's journal failed")]
    Journal(#[source] PortError),
    /// The committed state cannot be read.
    #[error("the worker cannot read the ledger")]
    Ledger(#[source] PortError),
    /// A bug in this node: the task's end will never come.
    #[error("a task of the worker stopped")]
    Task(#[source] JoinError),
    /// The same, of a task in the sandbox.
    #[error("a task in the sandbox stopped")]
    Panicked(#[from] Panicked),
}

/// Works until `stop` is done, or until no more blocks can come.
///
/// `news` must have been subscribed to before the call, so that no block falls between the state
/// that is read first and the blocks that are heard. `requests` are operations that other parts of
/// the node ask of its account, such as evidence and observations: one outbox, so that nonces never
/// collide. `openings` are of the blocks that this node is building, which are answered while they are open.
///
/// # Errors
///
/// [`WorkFault`] if the worker cannot go on.
pub async fn drive<L: LedgerAccess>(
    machine: Machine,
    outbox: OutboxConfig,
    ports: Ports<L>,
    mut news: broadcast::Receiver<Arc<News>>,
    mut requests: mpsc::Receiver<Operation>,
    mut openings: mpsc::Receiver<Opening>,
    stop: impl Future<Output = ()>,
) -> Result<(), WorkFault> {
    let mut driver = Driver::start(machine, outbox, ports).await?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(stop);
    loop {
        driver.send();
        driver.keep()?;
        driver.close();
        let wait_ms = driver.outbox.wait_ms(driver.now_ms());
        let wait = Duration::from_millis(wait_ms.unwrap_or(u64::MAX / 2)).min(TICK);
        tokio::select! {
            () = &mut stop => break,
            heard = news.recv() => match heard {
                Ok(news) => driver.hear(&news),
                Err(RecvError::Lagged(_)) => driver.scan(),
                Err(RecvError::Closed) => break,
            },
            Some(opening) = openings.recv() => driver.open(opening),
            // What is not taken here waits where it came from, and its intake fills up.
            Some(operation) = requests.recv(), if driver.machine.keeps_up() => {
                driver.ask(operation, &mut requests);
            }
            Some(done) = driver.tasks.join_next() => {
                driver.done(done)?;
                // What ended meanwhile goes along: under one signature, and to the disk together.
                for _ in 0..DONE_MAX {
                    let Some(done) = driver.tasks.try_join_next() else { break };
                    driver.done(done)?;
                }
            }
            Some(done) = driver.ended.recv() => {
                driver.step(done?);
                for _ in 0..DONE_MAX {
                    let Ok(done) = driver.ended.try_recv() else { break };
                    driver.step(done?);
                }
            }
            Some(kept) = driver.keeper.join_next() => driver.kept(kept)?,
            _ = ticks.tick() => driver.step(Input::Tick),
            () = tokio::time::sleep(wait), if wait_ms.is_some() => {}
        }
    }
    driver.stop().await
}

/// What a block asks for that this node is building.
#[derive(Debug)]
pub struct OpenBlock {
    /// The block's height.
    pub height: Height,
    /// Executions whose answer this node alone owes, as they are in the block so far.
    pub executions: Vec<Execution>,
    /// No other node proposes blocks: outputs are flushed before the block goes out.
    pub alone: bool,
}

/// What whoever builds a block tells the driver.
#[derive(Debug)]
pub enum Opening {
    /// The block asks for answers.
    Asks(OpenBlock),
    /// Whoever builds it waits, and is told when what can be answered at once has been submitted.
    Waits(SyncSender<()>),
}

/// How a task of the driver ended.
enum Done {
    Input(Input),
    Scanned(Result<Scan, PortError>),
}

struct Driver<L> {
    machine: Machine,
    outbox: Outbox,
    ports: Ports<L>,
    files: Arc<Files<L>>,
    work: Arc<Tasks<L>>,
    started: Instant,
    tasks: JoinSet<Done>,
    /// Where short tasks compute.
    pool: Pool<Input>,
    ended: mpsc::UnboundedReceiver<Result<Input, Panicked>>,
    scanning: bool,
    scan_again: bool,
    to_keep: Batch,
    /// Waits for the answers to an open block.
    answered: Option<SyncSender<()>>,
    /// At most one: records reach the disk in the order in which they were made.
    keeper: JoinSet<Result<Vec<Input>, PortError>>,
}

impl<L: LedgerAccess> Driver<L> {
    async fn start(
        machine: Machine,
        config: OutboxConfig,
        ports: Ports<L>,
    ) -> Result<Self, WorkFault> {
        let (ledger, journal) = (Arc::clone(&ports.ledger), Arc::clone(&ports.journal));
        let node = *machine.node();
        let read = move || (scan(&*ledger, &node), journal.recall());
        let (scan, records) = tokio::task::spawn_blocking(read).await.map_err(WorkFault::Task)?;
        let Scan { height, time, nonce, executions } = scan.map_err(WorkFault::Ledger)?;
        let records = records.map_err(WorkFault::Journal)?;
        let files = Arc::new(Files::new(Arc::clone(&ports.ledger), Arc::clone(&ports.blobs)));
        let steps = Steps::new(Arc::clone(&ports.ledger), Arc::clone(&ports.blobs));
        let (pool, ended) = Pool::new(machine.short_at_once());
        let mut driver = Self {
            outbox: Outbox::new(config, node, height, nonce),
            work: Arc::new(Tasks { ports: ports.clone(), files: Arc::clone(&files), steps }),
            files,
            machine,
            ports,
            started: Instant::now(),
            tasks: JoinSet::new(),
            pool,
            ended,
            scanning: false,
            scan_again: false,
            to_keep: Batch::default(),
            answered: None,
            keeper: JoinSet::new(),
        };
        driver.step(Input::Restarted { time, executions, records });
        Ok(driver)
    }

    /// What is half done is done again after the start; only what is being written is waited for.
    async fn stop(mut self) -> Result<(), WorkFault> {
        self.tasks.abort_all();
        while let Some(kept) = self.keeper.join_next().await {
            kept.map_err(WorkFault::Task)?.map_err(WorkFault::Journal)?;
        }
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    // Inputs.

    fn hear(&mut self, news: &News) {
        let now_ms = self.now_ms();
        let fates = self.outbox.committed(news.height, news.nonce, &news.receipts, now_ms);
        let (time, executions) = (news.time, news.executions.clone());
        self.step(Input::Committed { time, executions });
        self.step(Input::Decided(news.height));
        self.tell_fates(fates);
    }

    /// Begins what a block asks for that this node is building.
    fn open(&mut self, opening: Opening) {
        match opening {
            Opening::Asks(OpenBlock { height, executions, alone }) => {
                self.step(Input::Foreseen { height, executions, alone });
            }
            Opening::Waits(answered) => self.answered = Some(answered),
        }
    }

    /// Submits what an open block waits for, once nothing more is being worked on.
    fn close(&mut self) {
        if self.answered.is_none() || self.machine.is_answering() {
            return;
        }
        self.outbox.hurry();
        self.send();
        if let Some(answered) = self.answered.take() {
            answered.try_send(()).ok(); // whoever built the block may have gone on without
        }
    }

    /// Queues operations that are not the machine's; when there is no room they are dropped, and
    /// asked for again by whoever still wants them.
    fn ask(&mut self, first: Operation, requests: &mut mpsc::Receiver<Operation>) {
        let now_ms = self.now_ms();
        let mut lost = Vec::new();
        let more = std::iter::from_fn(|| requests.try_recv().ok()).take(REQUESTS_MAX);
        for operation in std::iter::once(first).chain(more) {
            if let Err(full) = self.outbox.push(operation, now_ms) {
                match *full.0 {
                    Operation::Observe(observe) => lost.push((observe, Fate::Lost)),
                    operation => tracing::warn!(%operation, "there is no room for an operation"),
                }
            }
        }
        if !lost.is_empty() {
            self.ports.observations.fates(lost);
        }
    }

    /// Tells each one's fate to whom it concerns.
    fn tell_fates(&mut self, fates: Vec<(Operation, Fate)>) {
        let mut own = Vec::with_capacity(fates.len());
        let mut observed: Vec<(Observe, Fate)> = Vec::new();
        for (operation, fate) in fates {
            match operation {
                Operation::Observe(observe) => observed.push((observe, fate)),
                operation => own.push((operation, fate)),
            }
        }
        if !observed.is_empty() {
            self.ports.observations.fates(observed);
        }
        self.step(Input::Fates(own));
    }

    fn done(&mut self, done: Result<Done, JoinError>) -> Result<(), WorkFault> {
        match done.map_err(WorkFault::Task)? {
            Done::Input(input) => self.step(input),
            Done::Scanned(scan) => {
                let Scan { height, time, nonce, executions } = scan.map_err(WorkFault::Ledger)?;
                self.scanning = false;
                let fates = self.outbox.caught_up(height, nonce);
                self.step(Input::Rescanned { time, executions });
                self.tell_fates(fates);
                if std::mem::take(&mut self.scan_again) {
                    self.scan();
                }
            }
        }
        Ok(())
    }

    fn kept(
        &mut self,
        kept: Result<Result<Vec<Input>, PortError>, JoinError>,
    ) -> Result<(), WorkFault> {
        for input in kept.map_err(WorkFault::Task)?.map_err(WorkFault::Journal)? {
            self.step(input);
        }
        Ok(())
    }

    /// Advances the machine, and again with whatever is answered at once.
    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut effects = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.machine.step(input, &mut effects);
            let mut lost = Vec::new();
            for effect in effects.drain(..) {
                inputs.extend(self.carry_out(effect, &mut lost));
            }
            if !lost.is_empty() {
                // A loss is only noted, to be made good at the next tick.
                inputs.push_back(Input::Fates(lost));
            }
        }
    }

    // Effects.

    /// Begins what an effect asks for; returns the answer if it is there already.
    fn carry_out(&mut self, effect: Effect, lost: &mut Vec<(Operation, Fate)>) -> Option<Input> {
        match effect {
            Effect::FetchBlob { job, blob, of, service, from, within_ms } => {
                if self.ports.blobs.at_hand(&blob, &of) {
                    return Some(Input::Blob { job, hash: blob.hash, available: true });
                }
                let files = Arc::clone(&self.files);
                self.tasks.spawn(async move {
                    let within = Duration::from_millis(within_ms);
                    let wanted = Wanted { execution: job.execution, blob, of, service };
                    let available = files.fetch(wanted, from, within).await;
                    Done::Input(Input::Blob { job, hash: blob.hash, available })
                });
            }
            Effect::Prepare { service, homes, within_ms } => {
                let files = Arc::clone(&self.files);
                let runtimes = (Arc::clone(&self.ports.runtime), Arc::clone(&self.ports.native));
                self.tasks.spawn(async move {
                    let within = Duration::from_millis(within_ms);
                    let result = files.prepare(service, homes, within, runtimes).await;
                    Done::Input(Input::Prepared { service, result })
                });
            }
            Effect::Survey { job, execution } => {
                if let Some(needs) = self.work.steps.survey_at_once(&execution) {
                    return Some(Input::Surveyed { job, needs });
                }
                let work = Arc::clone(&self.work);
                self.tasks.spawn_blocking(move || {
                    Done::Input(Input::Surveyed { job, needs: work.steps.survey(&execution) })
                });
            }
            Effect::RunTask { job, execution } => self.run(job, execution, What::Task),
            Effect::RunVerify { job, execution } => self.run(job, execution, What::Verify),
            Effect::RunStep { job, execution, work } => self.run(job, execution, What::Step(work)),
            Effect::Keep(finished) => self.to_keep.records.push(finished),
            Effect::Submit(operation) => {
                let now_ms = self.now_ms();
                if let Err(full) = self.outbox.push(operation, now_ms) {
                    lost.push((*full.0, Fate::Lost));
                }
            }
            Effect::Forget(execution) => {
                self.outbox.forget(&execution);
                self.to_keep.ended.push(execution);
            }
            Effect::Rescan => self.scan(),
            Effect::Note(note) => tell(&note),
        }
        None
    }

    /// Beside all others if a program does it; if it computes here, on the threads for short tasks, or on one
    /// of its own.
    fn run(&mut self, job: JobId, execution: Box<Execution>, what: What) {
        let work = Arc::clone(&self.work);
        if self.files.is_outside(&execution.service) {
            self.tasks.spawn(async move { Done::Input(work.run(job, execution, what).await) });
            return;
        }
        let runtime = tokio::runtime::Handle::current();
        if self.machine.is_short(&execution) {
            self.pool.put(move || runtime.block_on(work.run(job, execution, what)));
        } else {
            self.tasks.spawn_blocking(move || {
                Done::Input(runtime.block_on(work.run(job, execution, what)))
            });
        }
    }

    fn send(&mut self) {
        let now_ms = self.now_ms();
        for signed in self.outbox.outgoing(now_ms, &*self.ports.signer) {
            if let Err(error) = self.ports.submit.submit(signed) {
                tracing::debug!(%error, "a transaction was not taken and is sent again later");
            }
        }
    }

    fn scan(&mut self) {
        if self.scanning {
            self.scan_again = true;
            return;
        }
        self.scanning = true;
        let (ledger, node) = (Arc::clone(&self.ports.ledger), *self.machine.node());
        self.tasks.spawn_blocking(move || Done::Scanned(scan(&*ledger, &node)));
    }

    /// Makes durable what has gathered while the last batch was written: one sync for all of it.
    fn keep(&mut self) -> Result<(), WorkFault> {
        while self.keeper.is_empty() && !self.to_keep.is_empty() {
            let count = self.to_keep.records.len().min(KEEP_MAX);
            let records = self.to_keep.records.drain(..count).collect();
            // A record is forgotten only after it was written.
            let written = self.to_keep.records.is_empty();
            let ended = if written { std::mem::take(&mut self.to_keep.ended) } else { Vec::new() };
            let batch = Batch { records, ended };
            let waits = |finished: &Finished| finished.remember || !finished.flushed_later;
            if batch.records.len() > KEEP_AT_ONCE_MAX || batch.records.iter().any(waits) {
                let ports = self.ports.clone();
                self.keeper.spawn_blocking(move || write(&ports, batch));
            } else {
                // Nothing of it waits for the disk.
                self.kept(Ok(write(&self.ports, batch)))?;
            }
        }
        Ok(())
    }
}

fn tell(note: &Note) {
    match note {
        Note::ForeignSeal(job) => tracing::warn!(
            execution = %job.execution,
            "the ledger has a seal of this node that it cannot open; was its journal lost, or is its key in use elsewhere?"
        ),
        Note::NotKept(job) => {
            tracing::warn!(execution = %job.execution, "a result could not be stored and is not claimed");
        }
        Note::TooLate(job, _) => {
            tracing::warn!(execution = %job.execution, "the node did not come to it in time");
        }
        Note::Rejected(operation, rejection) => {
            tracing::debug!(%operation, code = rejection.code(), "the ledger refused");
        }
        Note::Full => tracing::info!("no more jobs fit; the others wait for room"),
    }
}
