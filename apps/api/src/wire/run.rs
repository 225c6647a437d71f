//! Runs: their steps, and their branches, whose status is derived and never written.

use althing_ledger as ledger;
use althing_types as core;
use althing_workflow as workflow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::{EventName, StepStatus};
use super::mirror::mirror_names;
use super::text::{AddressText, AliasText, AmountText, HashText, NameText};

mirror_names! {
    /// What a run's branches come to together.
    RunStatus = workflow::RunStatus {
        /// Something is under way.
        Running,
        /// It waits for events, and for nothing else.
        Waiting,
        /// It lacks money; it goes on when a step is repeated after a deposit.
        OutOfFunds,
        /// A step failed and nothing hangs on that.
        Failed,
        /// All branches have ended, at least one of them well.
        Done,
        /// All branches have ended, none of them well.
        Dead,
        /// The condition of the trigger was false.
        Skipped,
        /// The owner ended it.
        Cancelled,
    }
}

impl RunStatus {
    const ALL: [Self; 8] = [
        Self::Running,
        Self::Waiting,
        Self::OutOfFunds,
        Self::Failed,
        Self::Done,
        Self::Dead,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// Whether nothing happens to the run any more unless its owner does something.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::OutOfFunds => "out_of_funds",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        })
    }
}

impl std::str::FromStr for RunStatus {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.to_string() == text).ok_or(
            "running, waiting, out_of_funds, failed, done, dead, skipped or cancelled is expected",
        )
    }
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum StepPhase {
    /// The steps before it have not ended.
    Idle,
    /// It waits for its event.
    Waiting {
        /// The event.
        event: EventName,
        /// Until when, milliseconds since 1970; absent for ever.
        until: Option<u64>,
    },
    /// A task is under way.
    Working {
        /// The execution.
        execution: HashText,
    },
    /// An attempt failed; the next one begins at this time.
    Resting {
        /// Then, milliseconds since 1970.
        until: u64,
    },
    /// Another application is under way.
    Child {
        /// Its run.
        run: HashText,
        /// Whether that one cannot be paid.
        short: bool,
    },
    /// It cannot be paid; the run ends at this time if it is not repeated.
    Short {
        /// Then, milliseconds since 1970.
        until: u64,
    },
    /// It is over.
    Ended {
        /// How it ended.
        status: StepStatus,
        /// When, milliseconds since 1970.
        at: u64,
    },
    /// The ends that it hangs on cannot be reached.
    NotTaken,
}

/// What is known of a step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepState {
    /// Its name in the application's file.
    pub id: NameText,
    /// Attempts begun, declined ones included.
    pub attempts: u16,
    /// The latest attempt: an execution, or the run of the application that the step uses.
    pub attempt: Option<HashText>,
    /// The event that it waited for.
    pub awaited: Option<HashText>,
    /// How far it is.
    #[serde(flatten)]
    pub phase: StepPhase,
}

/// How far a branch is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum BranchStatus {
    /// Something is under way.
    Running,
    /// It waits for an event.
    Waiting {
        /// The step that waits.
        step: NameText,
        /// The event.
        event: EventName,
    },
    /// A step cannot be paid.
    OutOfFunds {
        /// The step.
        step: NameText,
    },
    /// Its last step returned.
    Done {
        /// This.
        with: StepStatus,
    },
    /// A step ended in a way that nothing hangs on.
    Dead {
        /// The step.
        step: NameText,
        /// How it ended.
        with: StepStatus,
    },
    /// The run went another way.
    NotTaken,
    /// The run ended before the branch did.
    Stopped,
}

/// A path from the first step to one that nothing hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// The steps, from the first on.
    pub steps: Vec<NameText>,
    /// How far it is.
    #[serde(flatten)]
    pub status: BranchStatus,
}

/// The step of another run that uses the application as a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Parent {
    /// The run.
    pub run: HashText,
    /// The step, counted from zero.
    pub step: u16,
}

/// One passage of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Names it.
    pub id: HashText,
    /// The application.
    pub application: HashText,
    /// The application's name among people.
    pub alias: AliasText,
    /// Who owns the application.
    pub owner: AddressText,
    /// The event that started it; absent where another application did.
    pub event: Option<HashText>,
    /// The step that started it; absent where an event did.
    pub parent: Option<Parent>,
    /// When it started, milliseconds since 1970.
    pub started_at: u64,
    /// When it ended, milliseconds since 1970.
    pub ended_at: Option<u64>,
    /// What its executions and events have cost so far.
    pub spent: AmountText,
    /// The outermost application, whose deposit pays.
    pub payer: HashText,
    /// What its branches come to together.
    pub status: RunStatus,
    /// Which of the application's `returns` was reached, if one was.
    pub returned: Option<NameText>,
    /// In the order of the file.
    pub steps: Vec<StepState>,
    /// In the order of the file.
    pub branches: Vec<Branch>,
    /// Whether there are more branches than are listed.
    pub truncated: bool,
}

/// What happened to a run, block by block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunHistory {
    /// The run.
    pub run: HashText,
    /// In the order of the blocks.
    pub moments: Vec<RunMoment>,
    /// Whether what the ledger has kept, played again, comes to the run as the ledger has it.
    pub agrees: bool,
}

/// What happened to a run in one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunMoment {
    /// The block.
    pub height: u64,
    /// Its time, milliseconds since 1970.
    pub time: u64,
    /// In the order in which they happened.
    pub changes: Vec<RunStep>,
}

/// A change of state of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum RunStep {
    /// It began.
    Started,
    /// An attempt of a step began.
    Began {
        /// The step, counted from zero.
        index: u16,
        /// Counts from zero.
        attempt: u16,
        /// The execution, or the run of the application that the step uses.
        id: HashText,
    },
    /// A step waits for an event.
    Waiting {
        /// The step, counted from zero.
        index: u16,
        /// The event.
        event: EventName,
    },
    /// A step took an event, or queued it.
    Took {
        /// The step, counted from zero.
        index: u16,
        /// The event.
        key: HashText,
    },
    /// A step ended.
    StepEnded {
        /// The step, counted from zero.
        index: u16,
        /// How.
        status: StepStatus,
    },
    /// A step cannot be paid.
    OutOfFunds,
    /// What lacked money goes on.
    Resumed,
    /// It failed, and can be taken up again for a time.
    Failed,
    /// It ended.
    Ended,
}

impl From<ledger::RunStep> for RunStep {
    fn from(step: ledger::RunStep) -> Self {
        use ledger::RunStep as Core;
        match step {
            Core::Started => Self::Started,
            Core::Began { step, attempt, id } => {
                Self::Began { index: step, attempt, id: id.into() }
            }
            Core::Waiting { step, event } => Self::Waiting { index: step, event: event.into() },
            Core::Took { step, event } => Self::Took { index: step, key: event.into() },
            Core::StepEnded { step, status } => {
                Self::StepEnded { index: step, status: status.into() }
            }
            Core::OutOfFunds => Self::OutOfFunds,
            Core::Resumed => Self::Resumed,
            Core::Failed => Self::Failed,
            Core::Ended(_) => Self::Ended,
        }
    }
}

impl Run {
    /// Derives steps, branches and status from the records of the run and of its application, and from
    /// the main statuses of its steps, as far as known.
    #[must_use]
    pub fn of(
        application: &ledger::ApplicationRecord,
        mains: &[Option<althing_types::Name>],
        record: &ledger::RunRecord,
    ) -> Self {
        let (terms, run) = (&application.terms, &record.run);
        let plan = &terms.plan;
        let derived = workflow::Branches::with(plan, run, mains);
        let returned = match run.end {
            Some(workflow::RunEnd::Completed { returned: Some(index) }) => {
                plan.returns.get(usize::from(index)).map(|reached| reached.name.clone().into())
            }
            _ => None,
        };
        Self {
            id: run.id.into(),
            application: application.id.into(),
            alias: terms.alias.clone().into(),
            owner: application.owner.into(),
            event: record.event_key.map(Into::into),
            parent: record
                .parent
                .map(|parent| Parent { run: parent.run.into(), step: parent.step }),
            started_at: record.started_at.0,
            ended_at: record.ended_at.map(|time| time.0),
            spent: record.spent.into(),
            payer: record.payer.into(),
            status: derived.status(run).into(),
            returned,
            steps: plan
                .steps
                .iter()
                .zip(&run.steps)
                .zip(0..)
                .map(|((plan, state), index)| step(&run.id, index, plan, state))
                .collect(),
            branches: derived.branches.into_iter().map(|found| branch(plan, found)).collect(),
            truncated: derived.truncated,
        }
    }
}

fn step(
    run: &core::Hash,
    index: u16,
    plan: &core::StepPlan,
    state: &workflow::StepRun,
) -> StepState {
    use workflow::StepPhase as Core;
    let phase = match &state.phase {
        Core::Idle => StepPhase::Idle,
        Core::Waiting => match &plan.wait {
            Some(wait) => StepPhase::Waiting {
                event: wait.event.clone().into(),
                until: state.wait_until.map(|until| until.0),
            },
            None => StepPhase::Idle,
        },
        Core::Working { execution } => StepPhase::Working { execution: (*execution).into() },
        Core::Resting { until } => StepPhase::Resting { until: until.0 },
        Core::Child { run, short } => StepPhase::Child { run: (*run).into(), short: *short },
        Core::Short { until } => StepPhase::Short { until: until.0 },
        Core::Ended(ending) => {
            StepPhase::Ended { status: ending.status.clone().into(), at: ending.at.0 }
        }
        Core::NotTaken => StepPhase::NotTaken,
    };
    let latest = state.attempts.checked_sub(1);
    StepState {
        id: plan.id.clone().into(),
        attempts: state.attempts,
        attempt: latest.map(|attempt| workflow::attempt_id(run, index, attempt).into()),
        awaited: state.awaited.as_ref().map(|event| event.key.into()),
        phase,
    }
}

fn branch(plan: &core::Plan, found: workflow::Branch) -> Branch {
    use workflow::BranchStatus as Core;
    let name = |step: u16| -> NameText {
        let named = plan.steps.get(usize::from(step)).map(|step| step.id.clone());
        named.expect("a branch is made of the plan's own steps").into()
    };
    let status = match found.status {
        Core::Running => BranchStatus::Running,
        Core::Waiting { step, event } => {
            BranchStatus::Waiting { step: name(step), event: event.into() }
        }
        Core::OutOfFunds { step } => BranchStatus::OutOfFunds { step: name(step) },
        Core::Done(status) => BranchStatus::Done { with: status.into() },
        Core::Dead { step, status } => BranchStatus::Dead { step: name(step), with: status.into() },
        Core::NotTaken => BranchStatus::NotTaken,
        Core::Stopped => BranchStatus::Stopped,
    };
    Branch { steps: found.steps.into_iter().map(name).collect(), status }
}
