//! What is known of a run.

use alloc::vec::Vec;

use althing_types::{
    EndpointId, Filter, Hash, KeySource, Payload, Plan, StepInput, StepOutput, StepStatus, TimeMs,
    tagged,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::graph;

/// Most events that queue before a step whose condition is being evaluated for an earlier one.
pub const QUEUE_MAX: usize = 16;
/// How long a run that lacks money, or has failed, can be taken up again; in milliseconds.
pub const KEPT_MS: u64 = 7 * 86_400_000;

/// One passage of an application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Run {
    /// Names the run.
    pub id: Hash,
    /// Hashed keys of the event that started it; empty where another application did.
    pub keys: Vec<Hash>,
    /// Whether another application's step waits for its end.
    pub nested: bool,
    /// In the order of the plan.
    pub steps: Vec<StepRun>,
    /// Until when a failed run can be taken up again; then it ends.
    pub kept_until: Option<TimeMs>,
    /// How it ended.
    pub end: Option<RunEnd>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum RunEnd {
    /// Every step has ended or was not taken.
    Completed {
        /// Which of the plan's `returns` was reached, if one was.
        returned: Option<u16>,
    },
    /// The condition of the trigger was false.
    Skipped,
    /// Its money was spent, and nobody took it up again in time.
    OutOfFunds,
    /// The owner ended it, or the step that used it has ended.
    Cancelled,
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StepRun {
    /// How far it is.
    pub phase: StepPhase,
    /// Attempts begun, declined ones included; the next one has this number.
    pub attempts: u16,
    /// Attempts that failed since the last event was taken.
    pub failures: u16,
    /// When the first attempt for the present event began: what the step's time limit counts from.
    pub since: Option<TimeMs>,
    /// Whether the step still takes events.
    pub listening: bool,
    /// Until when, if not for ever.
    pub wait_until: Option<TimeMs>,
    /// The event that it waited for, or whose condition is being evaluated.
    pub awaited: Option<Occurrence>,
    /// Events that came while a condition is evaluated, at most [`QUEUE_MAX`].
    pub queued: Vec<Occurrence>,
    /// Whose outputs its attempts read, where that was not everybody's before it when the first attempt
    /// began: a later one must not ask for another thing under the key of the first.
    pub reads: Option<Vec<u16>>,
    /// When the first attempt began, where the step uses an application: to all its runs it counts as
    /// their start, so that a later one finds the events that the first was told of.
    pub began: Option<TimeMs>,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum StepPhase {
    /// The steps before it have not ended.
    Idle,
    /// It waits for its event.
    Waiting,
    /// A task is under way.
    Working {
        /// The execution.
        execution: Hash,
    },
    /// An attempt failed; the next one begins at this time.
    Resting {
        /// Then.
        until: TimeMs,
    },
    /// Another application is under way.
    Child {
        /// Its run.
        run: Hash,
        /// Whether that one cannot be paid.
        short: bool,
    },
    /// It cannot be paid; the run ends at this time if it is not repeated.
    Short {
        /// Then.
        until: TimeMs,
    },
    /// It is over.
    Ended(Ending),
    /// The ends that it hangs on cannot be reached.
    NotTaken,
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ending {
    /// How it ended.
    pub status: StepStatus,
    /// Its output, where it returned.
    pub output: Option<Payload>,
    /// Hashes of keys for later waits.
    pub keys: Vec<Hash>,
    /// Nodes that have the output.
    pub holders: Vec<EndpointId>,
    /// When.
    pub at: TimeMs,
}

/// An event as runs know it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Occurrence {
    /// Names the event.
    pub key: Hash,
    /// Its data.
    pub payload: Payload,
    /// Nodes that have the data.
    pub holders: Vec<EndpointId>,
}

/// Names an attempt of a step: the execution of a task, or the run of an application.
///
/// It never contains an executor: every node derives the same id.
#[must_use]
pub fn attempt_id(run: &Hash, step: u16, attempt: u16) -> Hash {
    tagged("althing attempt", &[&run.0, &step.to_be_bytes(), &attempt.to_be_bytes()])
}

/// Names the run that a step belongs to for whoever must do nothing twice: equal for all attempts of the
/// step, and of those steps that use its application, directly or not.
///
/// It is the run's own id; where another application uses this one, the id of the first run that the using
/// step began, however often it was attempted since.
#[must_use]
pub fn first_run(input: &StepInput) -> Hash {
    match &input.event {
        Payload::Given(user) => attempt_id(&first_run(user), user.step, 0),
        Payload::Blob(_) | Payload::Event { .. } | Payload::Returned { .. } => input.run,
    }
}

/// Whether an event with these keys is one that the resolved filter asks for.
#[must_use]
pub fn matches(filter: &[(u8, Hash)], keys: &[Hash]) -> bool {
    filter.iter().all(|(key, value)| keys.get(usize::from(*key)) == Some(value))
}

impl Run {
    /// A run that has not begun.
    #[must_use]
    pub fn new(id: Hash, plan: &Plan, keys: Vec<Hash>, nested: bool) -> Self {
        let idle = || StepRun {
            phase: StepPhase::Idle,
            attempts: 0,
            failures: 0,
            since: None,
            listening: false,
            wait_until: None,
            awaited: None,
            queued: Vec::new(),
            reads: None,
            began: None,
        };
        let steps = plan.steps.iter().map(|_| idle()).collect();
        Self { id, keys, nested, steps, kept_until: None, end: None }
    }

    /// A step of the run.
    #[must_use]
    pub fn step(&self, step: u16) -> Option<&StepRun> {
        self.steps.get(usize::from(step))
    }

    /// What a step came to, if it has ended.
    #[must_use]
    pub fn ending(&self, step: u16) -> Option<&Ending> {
        match &self.step(step)?.phase {
            StepPhase::Ended(ending) => Some(ending),
            StepPhase::Idle
            | StepPhase::Waiting
            | StepPhase::Working { .. }
            | StepPhase::Resting { .. }
            | StepPhase::Child { .. }
            | StepPhase::Short { .. }
            | StepPhase::NotTaken => None,
        }
    }

    /// The keys that an event must have, with their values; `None` if a value is not there.
    #[must_use]
    pub fn resolve(&self, filter: &[Filter]) -> Option<Vec<(u8, Hash)>> {
        let value = |source: &KeySource| match source {
            KeySource::Constant(hash) => Some(*hash),
            KeySource::Trigger(key) => self.keys.get(usize::from(*key)).copied(),
            KeySource::Yielded { step, index } => {
                self.ending(*step)?.keys.get(usize::from(*index)).copied()
            }
        };
        filter.iter().map(|part| Some((part.key, value(&part.value)?))).collect()
    }

    /// From what an attempt of a step is evaluated: the run's event, the event that the step waited
    /// for, and what the steps that it hangs on, directly or not, had returned when its first attempt
    /// began. It is the same for all attempts, their number apart.
    #[must_use]
    pub fn step_input(&self, plan: &Plan, origin: &Origin<'_>, step: u16) -> StepInput {
        let known = self.step(step);
        StepInput {
            application: *origin.application,
            document: *origin.document,
            run: self.id,
            started_at: origin.started_at,
            step,
            attempt: known.map_or(0, |known| known.attempts.saturating_sub(1)),
            event: origin.event.clone(),
            awaited: known.and_then(|k| k.awaited.as_ref()).map(|event| event.payload.clone()),
            outputs: self.outputs(&self.read(plan, step)),
        }
    }

    /// The steps whose outputs a step reads, ascending.
    fn read(&self, plan: &Plan, step: u16) -> Vec<u16> {
        let fixed = self.step(step).and_then(|known| known.reads.clone());
        fixed.unwrap_or_else(|| graph::ancestors(plan, step))
    }

    /// What [`StepRun::reads`] is for a step of which an attempt begins now: `None` if all before it have
    /// returned, since nothing can be added to that.
    pub(crate) fn readable(&self, plan: &Plan, step: u16) -> Option<Vec<u16>> {
        let ancestors = graph::ancestors(plan, step);
        let has_output =
            |step: &u16| self.ending(*step).is_some_and(|ending| ending.output.is_some());
        let readable: Vec<u16> = ancestors.iter().copied().filter(has_output).collect();
        (readable.len() < ancestors.len()).then_some(readable)
    }

    /// The context in which a reached `returns` is evaluated: as for its step, with that step's own
    /// output.
    #[must_use]
    pub fn return_input(&self, plan: &Plan, origin: &Origin<'_>, index: u16) -> Option<StepInput> {
        let step = plan.returns.get(usize::from(index))?.from.step;
        let mut steps = graph::ancestors(plan, step);
        steps.push(step);
        Some(StepInput { outputs: self.outputs(&steps), ..self.step_input(plan, origin, step) })
    }

    fn outputs(&self, steps: &[u16]) -> Vec<StepOutput> {
        let output = |step: &u16| {
            let output = self.ending(*step)?.output.clone()?;
            Some(StepOutput { step: *step, output })
        };
        steps.iter().filter_map(output).collect()
    }

    /// Nodes that have parts of what an attempt of the step is evaluated from, the run's event
    /// apart; the nearest first.
    #[must_use]
    pub fn holders(&self, plan: &Plan, step: u16) -> Vec<EndpointId> {
        let mut holders = Vec::new();
        let awaited = self.step(step).and_then(|known| known.awaited.as_ref());
        let mut add = |endpoints: &[EndpointId]| {
            for endpoint in endpoints {
                if !holders.contains(endpoint) {
                    holders.push(*endpoint);
                }
            }
        };
        if let Some(event) = awaited {
            add(&event.holders);
        }
        for ancestor in self.read(plan, step).iter().rev() {
            if let Some(ending) = self.ending(*ancestor) {
                add(&ending.holders);
            }
        }
        holders
    }
}

/// What the ledger knows of a run beside its machine.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The application.
    pub application: &'a Hash,
    /// Its document.
    pub document: &'a althing_types::BlobRef,
    /// When the run started, or the first attempt of the step that uses it.
    pub started_at: TimeMs,
    /// What started it.
    pub event: &'a Payload,
}
