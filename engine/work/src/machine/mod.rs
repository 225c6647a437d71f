//! The worker's decisions, without a clock, a socket or a thread.
//!
//! ```text
//!   Waiting ─place─► Fetching ─files─► Ready ─place─► Running ─► Keeping ─durable─► Known
//!      └────────────── record in the journal, or a conduct that pretends ─────────────┘
//!   Known:  assigned → Submit(seal or answer)      revealing → Submit(reveal), if the seal fits
//! ```
//!
//! What the ledger says decides: after every change the machine asks [`duty()`] what is to be done,
//! so that a restart, a missed block or an operation that got lost needs no path of its own.
//!
//! A step of a run is fetched for in two rounds: its documents, which say what its expressions read,
//! then that.
//!
//! - Errors: none. Whatever is missing or fails becomes a claim that says so.
//! - Invariants: a job is in one lane at most; a claim is submitted only once it is kept: durable, and
//!   then it never changes, or such that the sandbox gives it again (`is_remembered`); an opening leaves
//!   an honest node only if it fits the seal on the ledger.
//! - Source: `DESIGN.md` §3.

mod fetching;
mod foreseen;
mod lane;
mod message;
mod needs;

use std::collections::{BTreeMap, BTreeSet};

use althing_ledger::{Execution, Origin, Phase};
use althing_types::{Address, Answer, Claim, Hash, Operation, Reveal, Seal, TimeMs, Verification};
use fetching::{Ask, Missing};
use foreseen::Foreseen;
use lane::Lane;
pub use lane::LaneLimits;
pub use message::{Config, Effect, Fate, Finished, Holder, Input, JobId, Note, Runs, Unusable};
pub(crate) use needs::patience_ms;
pub use needs::{applications, reads};

use crate::conduct::{Approach, Conduct, Finding, Honest};
use crate::record::{Record, Secret, seal};
use crate::runtime::{TaskRun, VerifyRun};
use crate::{Duty, Work, duty, work};

/// A node's worker.
pub struct Machine {
    config: Config,
    node: Address,
    secret: Secret,
    conduct: Box<dyn Conduct>,
    /// Time of the newest block.
    time: TimeMs,
    jobs: BTreeMap<JobId, Job>,
    /// How many of them are of short tasks.
    short_jobs: usize,
    short: Lane,
    long: Lane,
    outside: Lane,
    outside_long: Lane,
    services: BTreeMap<Hash, Service>,
    /// Blobs under way, and the jobs that need them.
    blobs: BTreeMap<Hash, Vec<Ask>>,
    /// What the journal holds, until the executions end.
    records: BTreeMap<JobId, Claim>,
    /// What is on its way into the journal.
    keeping: BTreeMap<JobId, Claim>,
    /// An execution was passed over because there was no room.
    passed_over: PassedOver,
    foreseen: Foreseen,
}

/// Whether short and long tasks were passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PassedOver {
    short: bool,
    long: bool,
}

impl PassedOver {
    const fn any(self) -> bool {
        self.short || self.long
    }

    const fn of(&mut self, is_short: bool) -> &mut bool {
        if is_short { &mut self.short } else { &mut self.long }
    }
}

#[derive(Debug)]
struct Job {
    execution: Execution,
    work: Work,
    lane: Which,
    /// Its place in line, fixed when it was opened.
    due: TimeMs,
    stage: Stage,
    /// What was submitted and not reported lost.
    said: Said,
    noted: bool,
    /// It was opened for a block that may not have come.
    foreseen: bool,
}

impl Job {
    const fn is_short(&self, config: &Config) -> bool {
        is_short(&self.execution, config)
    }
}

const fn is_short(execution: &Execution, config: &Config) -> bool {
    execution.time_limit_ms <= config.short_ms_max
}

#[derive(Debug)]
enum Stage {
    Waiting,
    Fetching(Missing),
    Ready,
    Running,
    Keeping,
    Known(Claim),
    /// Nothing will come of it.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Committed,
    Opened,
}

#[derive(Debug)]
enum Service {
    Preparing(BTreeSet<JobId>),
    Ready(Runs),
    Refused,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("node", &self.node)
            .field("time", &self.time)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// An honest worker of `node`. Nothing happens before [`Input::Restarted`].
    #[must_use]
    pub fn new(config: Config, node: Address, secret: Secret) -> Self {
        Self::with_conduct(config, node, secret, Box::new(Honest))
    }

    /// As [`new`](Self::new), behaving as told.
    #[must_use]
    pub fn with_conduct(
        config: Config,
        node: Address,
        secret: Secret,
        conduct: Box<dyn Conduct>,
    ) -> Self {
        Self {
            config,
            node,
            secret,
            conduct,
            time: TimeMs::default(),
            jobs: BTreeMap::new(),
            short_jobs: 0,
            short: Lane::new(config.short),
            long: Lane::new(config.long),
            outside: Lane::new(config.outside),
            outside_long: Lane::new(config.outside_long),
            services: BTreeMap::new(),
            blobs: BTreeMap::new(),
            records: BTreeMap::new(),
            keeping: BTreeMap::new(),
            passed_over: PassedOver::default(),
            foreseen: Foreseen::default(),
        }
    }

    /// The account that the worker acts for.
    #[must_use]
    pub const fn node(&self) -> &Address {
        &self.node
    }

    /// How many jobs are open.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Whether the node may bring the ledger what brings it more work.
    #[must_use]
    pub const fn keeps_up(&self) -> bool {
        self.short_jobs < self.config.short_jobs_max
    }

    /// How many short tasks compute at once.
    #[must_use]
    pub const fn short_at_once(&self) -> usize {
        self.config.short_at_once
    }

    /// Whether an execution is of a short task.
    #[must_use]
    pub const fn is_short(&self, execution: &Execution) -> bool {
        is_short(execution, &self.config)
    }

    /// Advances by one input.
    ///
    /// Equal machines given equal inputs become equal and push equal effects.
    pub fn step(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Committed { time, executions } => {
                self.time = self.time.max(time);
                self.see_all(executions, effects);
            }
            Input::Foreseen { height, executions, alone } => {
                self.foresee(height, executions, effects);
                self.foreseen.alone = alone;
            }
            Input::Decided(height) => self.decided(height, effects),
            Input::Restarted { time, executions, records } => {
                let claims = records.into_iter().map(|record| (record.job(), record.claim));
                self.records.extend(claims);
                self.catch_up(time, executions, effects);
            }
            Input::Rescanned { time, executions } => self.catch_up(time, executions, effects),
            Input::Prepared { service, result } => self.prepared(service, result, effects),
            Input::Blob { job, hash, available } => self.blob(&job, &hash, available, effects),
            Input::Surveyed { job, needs } => self.surveyed(job, needs, effects),
            Input::TaskDone { job, run } => self.task_done(job, run, effects),
            Input::VerifyDone { job, run } => self.verify_done(job, &run, effects),
            Input::StepDone { job, finding } => self.step_done(job, finding, effects),
            Input::Kept { job, kept } => self.kept(job, kept, effects),
            Input::Fates(fates) => {
                for (operation, fate) in fates {
                    self.fate(operation, fate, effects);
                }
            }
            Input::Tick => {
                let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
                for job in jobs {
                    self.advance(job, effects);
                }
            }
        }
        self.fill_places(effects);
        self.ask_for_more(effects);
    }

    // What the ledger says.

    /// Takes the list of all open executions: what is not on it has ended.
    fn catch_up(&mut self, time: TimeMs, executions: Vec<Execution>, effects: &mut Vec<Effect>) {
        self.time = self.time.max(time);
        self.passed_over = PassedOver::default();
        let open: BTreeSet<Hash> = executions.iter().map(|execution| execution.id).collect();
        let known = self.jobs.keys().chain(self.records.keys()).chain(self.keeping.keys());
        let known = known.map(|job| job.execution);
        let ended: BTreeSet<Hash> = known.filter(|id| !open.contains(id)).collect();
        for id in ended {
            self.forget(&id, effects);
        }
        self.see_all(executions, effects);
    }

    fn see_all(&mut self, executions: Vec<Execution>, effects: &mut Vec<Effect>) {
        for execution in executions {
            self.see(execution, effects);
        }
    }

    fn see(&mut self, execution: Execution, effects: &mut Vec<Effect>) {
        self.conduct.on_sight(&execution);
        if execution.phase == Phase::Settled {
            self.forget(&execution.id, effects);
            return;
        }
        let job = JobId { execution: execution.id, round: execution.round };
        let earlier = JobId { round: 0, ..job }..job;
        let over: Vec<JobId> = self.jobs.range(earlier).map(|(job, _)| *job).collect();
        for job in over {
            self.drop_job(&job);
        }
        if self.jobs.get(&job).is_some_and(|known| known.execution.changed > execution.changed) {
            return;
        }
        let asked = duty(&execution, &self.node).zip(work(&execution, &self.node));
        let Some((_, work)) = asked else {
            self.drop_job(&job);
            return;
        };
        self.foreseen.came(&execution);
        match self.jobs.get_mut(&job) {
            Some(known) => known.execution = execution,
            None => self.open(job, execution, work, effects),
        }
        self.advance(job, effects);
    }

    fn open(&mut self, id: JobId, execution: Execution, work: Work, effects: &mut Vec<Effect>) {
        let is_short = is_short(&execution, &self.config);
        if self.jobs.len() >= self.config.jobs_max(is_short) {
            if !self.passed_over.any() {
                effects.push(Effect::Note(Note::Full));
            }
            *self.passed_over.of(is_short) = true;
            return;
        }
        let due = execution.due;
        let lane = if is_short { Which::Short } else { Which::Long };
        let known = self.records.get(&id).cloned().map(Stage::Known);
        let stage = known.or_else(|| self.keeping.contains_key(&id).then_some(Stage::Keeping));
        let said = Said::Nothing;
        if let Some(stage) = stage {
            self.insert(
                id,
                Job { execution, work, lane, due, stage, said, noted: false, foreseen: false },
            );
            return;
        }
        let approach = self.conduct.on_assignment(&execution);
        let (service, stage) = (execution.service, Stage::Waiting);
        self.insert(
            id,
            Job { execution, work, lane, due, stage, said, noted: false, foreseen: false },
        );
        match approach {
            Approach::Work => {
                if let Some((_, lane)) = self.job_and_lane(&id) {
                    lane.waiting.push(service, due, id);
                }
            }
            Approach::Pretend(finding) => self.keep(id, finding, effects),
            Approach::Refuse => self.set_stage(&id, Stage::Refused),
        }
    }

    fn insert(&mut self, id: JobId, job: Job) {
        self.short_jobs += usize::from(job.is_short(&self.config));
        self.jobs.insert(id, job);
    }

    /// The execution has ended.
    fn forget(&mut self, execution: &Hash, effects: &mut Vec<Effect>) {
        let rounds = JobId { execution: *execution, round: 0 }..=JobId {
            execution: *execution,
            round: u32::MAX,
        };
        let jobs = self.jobs.range(rounds.clone()).map(|(job, _)| *job);
        let records = self.records.range(rounds.clone()).map(|(job, _)| *job);
        let keeping = self.keeping.range(rounds).map(|(job, _)| *job);
        let known: BTreeSet<JobId> = jobs.chain(records).chain(keeping).collect();
        for job in &known {
            self.drop_job(job);
            self.records.remove(job);
            self.keeping.remove(job);
        }
        self.foreseen.forget(execution);
        if !known.is_empty() {
            effects.push(Effect::Forget(*execution));
        }
    }

    /// Nothing more is asked of the node in this round.
    fn drop_job(&mut self, id: &JobId) {
        let Some(job) = self.jobs.remove(id) else { return };
        self.short_jobs -= usize::from(job.is_short(&self.config));
        let lane = self.which(job.lane);
        match &job.stage {
            Stage::Waiting => lane.waiting.remove(&job.execution.service, job.due, id),
            Stage::Fetching(missing) => {
                lane.fetching -= 1;
                self.want_no_more(id, missing);
                if let Some(Service::Preparing(jobs)) =
                    self.services.get_mut(&job.execution.service)
                {
                    jobs.remove(id);
                }
            }
            Stage::Ready => {
                lane.ready.remove(&job.execution.service, job.due, id);
                lane.fetching -= 1;
            }
            // Its place is free once it has ended.
            Stage::Running | Stage::Keeping | Stage::Known(_) | Stage::Refused => {}
        }
    }

    // Work.

    fn begin_to_run(&mut self, id: JobId, effects: &mut Vec<Effect>) {
        let time = self.time;
        let Some((job, lane)) = self.job_and_lane(&id) else { return };
        lane.fetching -= 1;
        if job.execution.due <= time {
            job.stage = Stage::Refused;
            effects.push(Effect::Note(Note::TooLate(id, job.work)));
            return;
        }
        lane.running.insert(id);
        job.stage = Stage::Running;
        let execution = Box::new(job.execution.clone());
        effects.push(match (&job.execution.origin, job.work) {
            (Origin::Step(_), work) => Effect::RunStep { job: id, execution, work },
            (Origin::Call, Work::Task) => Effect::RunTask { job: id, execution },
            (Origin::Call, Work::Verify) => Effect::RunVerify { job: id, execution },
        });
    }

    fn task_done(&mut self, id: JobId, run: TaskRun, effects: &mut Vec<Effect>) {
        self.free_place(&id);
        self.found(id, Finding::of_task(run, Vec::new()), effects);
    }

    fn step_done(&mut self, id: JobId, finding: Finding, effects: &mut Vec<Effect>) {
        self.free_place(&id);
        self.found(id, finding, effects);
    }

    fn verify_done(&mut self, id: JobId, run: &VerifyRun, effects: &mut Vec<Effect>) {
        self.free_place(&id);
        self.found(id, Finding { claim: Claim::Opinion(run.opinion), output: None }, effects);
    }

    fn free_place(&mut self, id: &JobId) {
        self.short.running.remove(id);
        self.long.running.remove(id);
        self.outside.running.remove(id);
        self.outside_long.running.remove(id);
    }

    fn found(&mut self, id: JobId, honest: Finding, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&id) else { return };
        if matches!(job.stage, Stage::Running) {
            let finding = self.conduct.on_result(&job.execution, honest);
            self.keep(id, finding, effects);
        }
    }

    fn keep(&mut self, id: JobId, finding: Finding, effects: &mut Vec<Effect>) {
        let JobId { execution, round } = id;
        self.set_stage(&id, Stage::Keeping);
        let record = Record { execution, round, claim: finding.claim.clone() };
        self.keeping.insert(id, finding.claim);
        let (output, remember) = (finding.output, self.is_remembered(&id));
        let known = self.jobs.get(&id).filter(|_| output.is_some());
        let flushed_later = known.is_some_and(|job| job.foreseen) && self.foreseen.alone;
        let applications = known.map(|job| applications(&job.execution)).unwrap_or_default();
        let finished = Finished { record, output, remember, flushed_later, applications };
        effects.push(Effect::Keep(finished));
    }

    /// What the sandbox gives without chance it gives again, and an open answer contradicts no seal: after
    /// a crash the task is run anew.
    fn is_remembered(&self, id: &JobId) -> bool {
        let Some(Job { execution, .. }) = self.jobs.get(id) else { return true };
        let repeats = execution.verification == Verification::Deterministic;
        !(repeats && execution.is_owed_by(&self.node) && self.is_inside(&execution.service))
    }

    fn is_inside(&self, service: &Hash) -> bool {
        matches!(self.services.get(service), Some(Service::Ready(Runs::Inside)))
    }

    fn kept(&mut self, id: JobId, kept: bool, effects: &mut Vec<Effect>) {
        let Some(claim) = self.keeping.remove(&id) else { return };
        if kept {
            self.records.insert(id, claim.clone());
            self.set_stage(&id, Stage::Known(claim));
            self.advance(id, effects);
        } else {
            self.set_stage(&id, Stage::Refused);
            effects.push(Effect::Note(Note::NotKept(id)));
        }
    }

    // What the ledger is told.

    /// Submits what is due, if the node knows its claim and has not said it yet.
    fn advance(&mut self, id: JobId, effects: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Stage::Known(claim) = &job.stage else { return };
        let duty = duty(&job.execution, &self.node);
        let last_word = match duty {
            Some(Duty::Answer | Duty::Seal) => Said::Committed,
            Some(Duty::Open(_)) => Said::Opened,
            Some(Duty::Wait(_)) | None => Said::Nothing,
        };
        if job.said >= last_word {
            return;
        }
        let JobId { execution, round } = id;
        let opening = self.secret.opening(&id, claim.clone());
        let commitment = seal(&id, &self.node, &opening);
        let (said, operation) = match (duty, claim) {
            (Some(Duty::Answer), Claim::Outcome(outcome)) => {
                let answer = Answer { execution, round, outcome: outcome.clone() };
                (Said::Committed, Operation::Answer(answer))
            }
            (Some(Duty::Seal), _) => {
                let sealed = self.conduct.on_seal(&job.execution, commitment);
                let Some(commitment) = sealed else { return };
                (Said::Committed, Operation::Seal(Seal { execution, round, commitment }))
            }
            (Some(Duty::Open(sealed)), _) => {
                let fits = sealed == commitment;
                let opening = self.conduct.on_reveal(&job.execution, fits.then_some(opening));
                let Some(opening) = opening else {
                    if !fits && !job.noted {
                        job.noted = true;
                        effects.push(Effect::Note(Note::ForeignSeal(id)));
                    }
                    return;
                };
                (Said::Opened, Operation::Reveal(Reveal { execution, round, opening }))
            }
            _ => return,
        };
        job.said = said;
        effects.push(Effect::Submit(operation));
    }

    /// A lost operation may be said again, at the next change or tick: at once, it would be lost in
    /// the same way.
    fn fate(&mut self, operation: Operation, fate: Fate, effects: &mut Vec<Effect>) {
        match fate {
            Fate::Done => {}
            Fate::Rejected(rejection) => {
                self.refused(&operation);
                effects.push(Effect::Note(Note::Rejected(Box::new(operation), rejection)));
            }
            Fate::Lost => {
                let (execution, round, before) = match &operation {
                    Operation::Seal(seal) => (seal.execution, seal.round, Said::Nothing),
                    Operation::Answer(answer) => (answer.execution, answer.round, Said::Nothing),
                    Operation::Reveal(reveal) => (reveal.execution, reveal.round, Said::Committed),
                    _ => return,
                };
                if let Some(job) = self.jobs.get_mut(&JobId { execution, round }) {
                    job.said = job.said.min(before);
                }
            }
        }
    }

    fn ask_for_more(&mut self, effects: &mut Vec<Effect>) {
        let has_room = self.jobs.len() <= self.config.jobs_max / 2;
        // Long tasks may keep their places for long: short ones do not wait for them.
        let has_room_for_short = self.jobs.len() < self.config.jobs_max
            && self.short_jobs <= self.config.short_jobs_max / 2;
        let again = PassedOver {
            short: self.passed_over.short && (has_room || has_room_for_short),
            long: self.passed_over.long && has_room,
        };
        if again.any() {
            // The scan tells again of what has still no room.
            self.passed_over = PassedOver::default();
            effects.push(Effect::Rescan);
        }
    }

    // Places.

    fn which(&mut self, lane: Which) -> &mut Lane {
        match lane {
            Which::Short => &mut self.short,
            Which::Long => &mut self.long,
            Which::Outside => &mut self.outside,
            Which::OutsideLong => &mut self.outside_long,
        }
    }

    fn job_and_lane(&mut self, id: &JobId) -> Option<(&mut Job, &mut Lane)> {
        let job = self.jobs.get_mut(id)?;
        let lane = match job.lane {
            Which::Short => &mut self.short,
            Which::Long => &mut self.long,
            Which::Outside => &mut self.outside,
            Which::OutsideLong => &mut self.outside_long,
        };
        Some((job, lane))
    }

    fn set_stage(&mut self, id: &JobId, stage: Stage) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.stage = stage;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Short,
    Long,
    /// For what a program outside of the node does: it takes no processor of this machine.
    Outside,
    /// The same, of long tasks.
    OutsideLong,
}

impl Which {
    const ALL: [Self; 4] = [Self::Short, Self::Long, Self::Outside, Self::OutsideLong];

    /// The lane for the same length outside of the node.
    const fn outside(self) -> Self {
        match self {
            Self::Short | Self::Outside => Self::Outside,
            Self::Long | Self::OutsideLong => Self::OutsideLong,
        }
    }
}
