//! What goes into the machine and what comes out of it.

use althing_ledger::{Execution, Rejection};
use althing_types::{Address, BlobRef, EndpointId, Hash, Height, Operation, TimeMs};

use super::LaneLimits;
use crate::port::Produced;
use crate::runtime::{TaskRun, VerifyRun};
use crate::{Finding, Record, Work};

/// The node's part in one round of one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The execution.
    pub execution: Hash,
    /// The committee's round.
    pub round: u32,
}

/// Bounds of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most jobs that are open at once; more are taken up once some of them are done. A part of them
    /// is kept for short tasks.
    pub jobs_max: usize,
    /// With as many jobs of short tasks open, the node brings the ledger nothing new of its own: each
    /// event would bring more of them, whose deadlines are near.
    pub short_jobs_max: usize,
    /// Tasks whose time limit is at most this are short, in milliseconds.
    pub short_ms_max: u32,
    /// How many short tasks compute at once.
    pub short_at_once: usize,
    /// Places for short tasks: those that compute, and some in line behind them, so that no thread has to be
    /// woken for each.
    pub short: LaneLimits,
    /// Places for long tasks.
    pub long: LaneLimits,
    /// Places for short tasks of native services: programs outside of the node, which wait more than
    /// they compute. They are fetched for in the lane of their length.
    pub outside: LaneLimits,
    /// Places for their long tasks.
    pub outside_long: LaneLimits,
    /// Most services that are remembered as ready.
    pub services_max: usize,
}

/// How many short tasks there are for each that computes: the others are in line.
const IN_LINE: usize = 8;

impl Config {
    /// Most jobs of tasks of this length.
    pub(super) fn jobs_max(&self, is_short: bool) -> usize {
        let kept = if is_short { 0 } else { self.short_jobs_max.min(self.jobs_max / 4) };
        self.jobs_max.saturating_sub(kept)
    }

    /// For a machine with this many processors: long tasks never take more than half of them.
    #[must_use]
    pub fn for_processors(processors: usize) -> Self {
        let processors = processors.max(1);
        Self {
            jobs_max: 16_384,
            short_jobs_max: 1024,
            short_ms_max: 5_000,
            short_at_once: processors,
            short: LaneLimits { fetching_max: 64, running_max: processors * IN_LINE },
            long: LaneLimits { fetching_max: 16, running_max: (processors / 2).max(1) },
            outside: LaneLimits { fetching_max: 0, running_max: 1024 },
            outside_long: LaneLimits { fetching_max: 0, running_max: 2048 },
            services_max: 256,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A block changed executions of which the node is or was a member.
    Committed {
        /// The block's time.
        time: TimeMs,
        /// As they are after the block: open, or final.
        executions: Vec<Execution>,
    },
    /// The block that this node is building asks for these answers, which this node alone owes. It may
    /// never be decided, so its time tells the worker nothing: the proposer's clock may be wrong.
    Foreseen {
        /// The block's height.
        height: Height,
        /// As they are in the block so far.
        executions: Vec<Execution>,
        /// No other node proposes blocks.
        alone: bool,
    },
    /// This height is decided, and its changes were told: what was foreseen up to here and is not
    /// among them never came.
    Decided(Height),
    /// The node has started.
    Restarted {
        /// The last block's time.
        time: TimeMs,
        /// All open executions of which the node is or was a member.
        executions: Vec<Execution>,
        /// All that the journal holds.
        records: Vec<Record>,
    },
    /// Answers [`Effect::Rescan`], or follows missed blocks.
    Rescanned {
        /// The last block's time.
        time: TimeMs,
        /// All open executions of which the node is or was a member.
        executions: Vec<Execution>,
    },
    /// Answers [`Effect::Prepare`].
    Prepared {
        /// The service.
        service: Hash,
        /// Whether its tasks can run now, and where.
        result: Result<Runs, Unusable>,
    },
    /// Answers [`Effect::FetchBlob`].
    Blob {
        /// The job that it was asked for.
        job: JobId,
        /// The blob.
        hash: Hash,
        /// True: its bytes are on this node. False: nobody had them in time.
        available: bool,
    },
    /// Answers [`Effect::Survey`].
    Surveyed {
        /// The job.
        job: JobId,
        /// The payloads that the step reads; or why its application cannot be followed.
        needs: Result<Vec<BlobRef>, Unusable>,
    },
    /// Answers [`Effect::RunTask`].
    TaskDone {
        /// The job.
        job: JobId,
        /// What came of it.
        run: TaskRun,
    },
    /// Answers [`Effect::RunVerify`].
    VerifyDone {
        /// The job.
        job: JobId,
        /// What came of it.
        run: VerifyRun,
    },
    /// Answers [`Effect::RunStep`].
    StepDone {
        /// The job.
        job: JobId,
        /// What came of it.
        finding: Finding,
    },
    /// Answers [`Effect::Keep`].
    Kept {
        /// The job.
        job: JobId,
        /// True: as durable as was asked for. False: this node could not store it, and must not claim it.
        kept: bool,
    },
    /// What became of operations that were submitted.
    Fates(Vec<(Operation, Fate)>),
    /// Time has passed; what was lost is tried again.
    Tick,
}

/// What became of a submitted operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The ledger carried it out.
    Done,
    /// The ledger refused it.
    Rejected(Rejection),
    /// Nobody knows: it has to be derived again from the state.
    Lost,
}

/// Where the tasks of a service run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// In the node's sandbox.
    Inside,
    /// In a program that is connected to the node.
    Outside,
}

/// Why a service's tasks cannot run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its files could not be fetched; they may be there next time.
    Unavailable,
    /// Its files are not what the ledger says, or the runtime refuses them; for good.
    Refused,
}

/// A job that is done, to be made durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What the node found out.
    pub record: Record,
    /// The output's bytes, which others will ask for.
    pub output: Option<Vec<u8>>,
    /// Whether the record has to survive a crash: what is answered openly from the sandbox would be
    /// answered the same again.
    pub remember: bool,
    /// Whether the output may last only once it is flushed, as it is before the block goes out whose answers
    /// name it.
    pub flushed_later: bool,
    /// The applications whose payloads the output may tell of: that of the step, and those that use
    /// it as a task or are used. None for a call.
    pub applications: Vec<Hash>,
}

impl Finished {
    /// The output, if there is one.
    #[must_use]
    pub fn produced(&self) -> Option<Produced<'_>> {
        let bytes = self.output.as_deref()?;
        Some(Produced { applications: &self.applications, bytes })
    }
}

/// Who may have a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This endpoint.
    Endpoint(EndpointId),
    /// This node, at the endpoint of its offer of the execution's service.
    Node(Address),
}

/// What the machine asks for. Effects are carried out in order, each begun before the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Get a blob onto this node, or find that it is here. Answered by [`Input::Blob`].
    FetchBlob {
        /// The job whose holders and patience these are; others may wait for the answer with it.
        job: JobId,
        /// The blob; bytes of another length are not it.
        blob: BlobRef,
        /// The applications of the executions that read it; none for calls. What the node keeps for
        /// others does not count as here.
        of: Vec<Hash>,
        /// The service to whose offers [`Holder::Node`] refers.
        service: Hash,
        /// Who may have it, the likeliest first.
        from: Vec<Holder>,
        /// How long to try, in milliseconds.
        within_ms: u64,
    },
    /// Get a service's files, hold them to the ledger and compile them. Answered by
    /// [`Input::Prepared`].
    Prepare {
        /// The service.
        service: Hash,
        /// Who may have its files, beside the nodes that offer it.
        homes: Vec<EndpointId>,
        /// How long to try, in milliseconds.
        within_ms: u64,
    },
    /// Run a task of a prepared service on a blob that is here. Answered by [`Input::TaskDone`].
    RunTask {
        /// The job.
        job: JobId,
        /// Service, task and input.
        execution: Box<Execution>,
    },
    /// Judge an answer with a prepared service on blobs that are here. Answered by
    /// [`Input::VerifyDone`].
    RunVerify {
        /// The job.
        job: JobId,
        /// Service, task, input and the executor's answer.
        execution: Box<Execution>,
    },
    /// Hold the documents of a step, which are here, to the ledger, and tell which payloads it reads.
    /// Answered by [`Input::Surveyed`].
    Survey {
        /// The job.
        job: JobId,
        /// Whose origin is a step.
        execution: Box<Execution>,
    },
    /// Evaluate a step from payloads that are here, then run or judge its task. Answered by
    /// [`Input::StepDone`].
    RunStep {
        /// The job.
        job: JobId,
        /// Whose origin is a step.
        execution: Box<Execution>,
        /// Whether to run or to judge.
        work: Work,
    },
    /// Store the output, then the record, and make both durable, as far as it says so. Answered by
    /// [`Input::Kept`].
    Keep(Finished),
    /// Bring an operation to the ledger. Answered by [`Input::Fates`].
    Submit(Operation),
    /// The execution has ended: its records, and operations in line, are of no use any more.
    Forget(Hash),
    /// There is room again: read the open executions. Answered by [`Input::Rescanned`].
    Rescan,
    /// Tell people.
    Note(Note),
}

/// What people should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The ledger has a seal of this node that the node cannot open: its journal was lost, or
    /// somebody else uses its key. It stays silent, since a wrong opening costs more.
    ForeignSeal(JobId),
    /// The work is done and could not be stored, so it is not claimed.
    NotKept(JobId),
    /// The deadline passed before the node came to it.
    TooLate(JobId, Work),
    /// The ledger refused an operation.
    Rejected(Box<Operation>, Rejection),
    /// No more jobs fit.
    Full,
}
