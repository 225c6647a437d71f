//! Applications as they are deployed, and the inputs of their steps.

use althing_ledger as ledger;
use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::label::LabelCondition;
use super::mirror::{Mirror, mirror, mirror_by_from, mirror_names};
use super::outcome::BlobRef;
use super::text::{AddressText, AliasText, AmountText, EndpointText, HashText, NameText};

mirror! {
    /// An application as its owner deploys it.
    ApplicationTerms = core::ApplicationTerms {
        /// Its name among people.
        alias: AliasText,
        /// The desugared file with its configuration, canonical JSON.
        document: BlobRef,
        /// A node that has the document.
        home: EndpointText,
        /// Whether others may see and use it.
        visibility: Visibility,
        /// The graph.
        plan: Plan,
    }

    /// What the ledger needs to drive runs.
    Plan = core::Plan {
        /// The event that starts runs.
        trigger: Trigger,
        /// In the order of the file; a step hangs on earlier ones only.
        steps: Vec<StepPlan>,
        /// What a user of the application as a task sees; the first is the main one.
        returns: Vec<ReturnPlan>,
    }

    /// The event that starts runs.
    Trigger = core::Trigger {
        /// Absent for an application that is only used as a task.
        event: Option<EventName>,
        /// Keys that must be these.
        filter: Vec<Filter>,
        /// Whether a condition decides when the first step is executed.
        conditional: bool,
    }

    /// An event of a service.
    EventName = core::EventName {
        /// The service.
        service: HashText,
        /// One of its events.
        event: NameText,
    }

    /// One key of an event and what it must be.
    Filter = core::Filter {
        /// Which of the event's declared keys.
        key: u8,
        /// What it must be.
        value: KeySource,
    }

    /// One step.
    StepPlan = core::StepPlan {
        /// Unique within the application.
        id: NameText,
        /// What is done.
        action: Action,
        /// Which statuses of which steps it hangs on.
        after: After,
        /// The event that it waits for besides.
        wait: Option<Wait>,
        /// How many nodes check the executor.
        checkers: u16,
        /// How many of executor and checkers must agree; zero stands for the majority.
        quorum: u16,
        /// Restricts the draw to these nodes; empty for any.
        nodes: Vec<AddressText>,
        /// What the labels of a node must say for it to be drawn, ascending by name.
        #[serde(default)]
        labels: Vec<LabelCondition>,
        /// The most that one attempt may cost.
        price_max: AmountText,
        /// What happens when an attempt fails.
        retry: Retry,
        /// From the first attempt to the step's end, in milliseconds; zero for no limit.
        timeout_ms: u64,
        /// How many keys its result carries for later waits.
        yields: u8,
    }

    /// Which ends of earlier steps let a step begin.
    After = core::After {
        /// All of them or any of them.
        mode: Join,
        /// The ends.
        ends: Vec<End>,
    }

    /// A way in which a step can end.
    End = core::End {
        /// The step, counted from zero.
        step: u16,
        /// How it ended.
        status: StepStatus,
    }

    /// An event that a step waits for.
    Wait = core::Wait {
        /// The event.
        event: EventName,
        /// Keys that must be these.
        filter: Vec<Filter>,
        /// Whether a condition decides that the event is the awaited one.
        conditional: bool,
        /// In milliseconds; zero waits for ever.
        timeout_ms: u64,
    }

    /// How failed attempts are repeated.
    Retry = core::Retry {
        /// Attempts after the first.
        max: u16,
        /// Before the second attempt, in milliseconds; doubles with each further one.
        backoff_ms: u64,
    }

    /// One way in which the application ends for those who use it as a task.
    ReturnPlan = core::ReturnPlan {
        /// The status that the user sees.
        name: NameText,
        /// The end that yields it.
        from: End,
    }
}

mirror_names! {
    /// How several ends are joined.
    Join = core::Join {
        /// Every one must be reached.
        All,
        /// The first one counts.
        Any,
    }
}

/// Who may see an application and its runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Everybody; it can be used as a task.
    Public,
    /// The owner and these accounts, by ascending address.
    Private(Vec<AddressText>),
}

impl From<core::Visibility> for Visibility {
    fn from(visibility: core::Visibility) -> Self {
        match visibility {
            core::Visibility::Public => Self::Public,
            core::Visibility::Private(grantees) => Self::Private(Mirror::of(grantees)),
        }
    }
}

impl From<Visibility> for core::Visibility {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Public => Self::Public,
            Visibility::Private(grantees) => Self::Private(grantees.back()),
        }
    }
}

mirror_by_from!(Visibility = core::Visibility);

/// Where the hash of a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// Known when the application is deployed.
    Constant {
        /// Hash of the value's canonical JSON.
        hash: HashText,
    },
    /// A key of the event that started the run.
    Trigger {
        /// Which of its keys.
        key: u8,
    },
    /// Part of the sealed result of an earlier step.
    Yielded {
        /// The step, counted from zero.
        step: u16,
        /// Which of its keys.
        index: u8,
    },
}

impl From<core::KeySource> for KeySource {
    fn from(source: core::KeySource) -> Self {
        match source {
            core::KeySource::Constant(hash) => Self::Constant { hash: hash.into() },
            core::KeySource::Trigger(key) => Self::Trigger { key },
            core::KeySource::Yielded { step, index } => Self::Yielded { step, index },
        }
    }
}

impl From<KeySource> for core::KeySource {
    fn from(source: KeySource) -> Self {
        match source {
            KeySource::Constant { hash } => Self::Constant(hash.0),
            KeySource::Trigger { key } => Self::Trigger(key),
            KeySource::Yielded { step, index } => Self::Yielded { step, index },
        }
    }
}

mirror_by_from!(KeySource = core::KeySource);

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A task of a service.
    Task {
        /// The service.
        service: HashText,
        /// The task.
        task: NameText,
    },
    /// A public application, whose `returns` are the statuses.
    Application {
        /// The application.
        application: HashText,
    },
}

impl From<core::Action> for Action {
    fn from(action: core::Action) -> Self {
        match action {
            core::Action::Task { service, task } => {
                Self::Task { service: service.into(), task: task.into() }
            }
            core::Action::Application { application } => {
                Self::Application { application: application.into() }
            }
        }
    }
}

impl From<Action> for core::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Task { service, task } => Self::Task { service: service.0, task: task.0 },
            Action::Application { application } => Self::Application { application: application.0 },
        }
    }
}

mirror_by_from!(Action = core::Action);

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// With a declared status of the task, or a `returns` of the application.
    Returned(NameText),
    /// All attempts failed.
    Error,
    /// The awaited event, or the end of the attempts, did not come in time.
    Timeout,
}

impl From<core::StepStatus> for StepStatus {
    fn from(status: core::StepStatus) -> Self {
        match status {
            core::StepStatus::Returned(name) => Self::Returned(name.into()),
            core::StepStatus::Error => Self::Error,
            core::StepStatus::Timeout => Self::Timeout,
        }
    }
}

impl From<StepStatus> for core::StepStatus {
    fn from(status: StepStatus) -> Self {
        match status {
            StepStatus::Returned(name) => Self::Returned(name.0),
            StepStatus::Error => Self::Error,
            StepStatus::Timeout => Self::Timeout,
        }
    }
}

mirror_by_from!(StepStatus = core::StepStatus);

impl std::fmt::Display for StepStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Returned(name) => name.fmt(f),
            Self::Error => f.write_str("error"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

/// A payload that is named without being shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Payload {
    /// Bytes as they are: canonical JSON.
    Blob {
        /// The bytes.
        blob: BlobRef,
    },
    /// An event: the part that all emitters agreed on, with the agreed measures put in.
    Event {
        /// Which event it is an instance of.
        name: EventName,
        /// The identical part.
        base: BlobRef,
        /// The agreed values, in units of the last decimal.
        measured: Vec<i64>,
    },
    /// What a step passes to the application that it uses.
    Given {
        /// The step's evaluated `with` comes from this.
        #[schema(no_recursion)]
        input: Box<StepInput>,
    },
    /// What an application hands to the step that used it.
    Returned {
        /// The evaluated `data` of a `returns` comes from this.
        #[schema(no_recursion)]
        context: Box<StepInput>,
        /// Which of the `returns`.
        index: u16,
    },
}

impl From<core::Payload> for Payload {
    fn from(payload: core::Payload) -> Self {
        match payload {
            core::Payload::Blob(blob) => Self::Blob { blob: blob.into() },
            core::Payload::Event { name, base, measured } => {
                Self::Event { name: name.into(), base: base.into(), measured }
            }
            core::Payload::Given(input) => Self::Given { input: Box::new((*input).into()) },
            core::Payload::Returned { context, index } => {
                Self::Returned { context: Box::new((*context).into()), index }
            }
        }
    }
}

/// From what a step's input is evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepInput {
    /// The application.
    pub application: HashText,
    /// Its document.
    pub document: BlobRef,
    /// The run.
    pub run: HashText,
    /// When the run started, milliseconds since 1970.
    pub started_at: u64,
    /// The step, counted from zero.
    pub step: u16,
    /// Counts from zero.
    pub attempt: u16,
    /// The event that started the run, or what the using step gave.
    pub event: Payload,
    /// The event that the step waited for.
    pub awaited: Option<Payload>,
    /// Outputs of the steps before it that have ended with a returned status.
    pub outputs: Vec<StepOutput>,
}

impl From<core::StepInput> for StepInput {
    fn from(input: core::StepInput) -> Self {
        Self {
            application: input.application.into(),
            document: input.document.into(),
            run: input.run.into(),
            started_at: input.started_at.0,
            step: input.step,
            attempt: input.attempt,
            event: input.event.into(),
            awaited: input.awaited.map(Into::into),
            outputs: input
                .outputs
                .into_iter()
                .map(|output| StepOutput { step: output.step, output: output.output.into() })
                .collect(),
        }
    }
}

/// What an earlier step returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepOutput {
    /// The step, counted from zero.
    pub step: u16,
    /// Its output.
    pub output: Payload,
}

/// Whether an application starts runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationState {
    /// It does.
    Active,
    /// Its owner has stopped it; its runs go on.
    Paused,
    /// Another version has taken its place; its runs go on.
    Replaced,
    /// Its owner has removed it; it goes when its runs have ended.
    Removed,
}

impl std::fmt::Display for ApplicationState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        })
    }
}

/// A deployed application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Application {
    /// Hash of owner and document.
    pub id: HashText,
    /// Who deployed it, and pays.
    pub owner: AddressText,
    /// What was deployed.
    pub terms: ApplicationTerms,
    /// Whether it starts runs.
    pub state: ApplicationState,
    /// The height at which it was deployed.
    pub deployed: u64,
    /// The account that pays for its runs; whoever sends tokens there adds to the deposit.
    pub purse: AddressText,
    /// What is left of the deposit.
    pub deposit: AmountText,
    /// Runs that have started so far.
    pub runs: u64,
    /// Runs that have not ended.
    pub open: u32,
    /// Events that started no run, because as many were open as may be.
    pub missed: u64,
    /// What runs have cost so far.
    pub spent: AmountText,
}

impl Application {
    /// From the ledger's records, and the balance of the application's purse.
    #[must_use]
    pub fn of(
        record: ledger::ApplicationRecord,
        usage: ledger::Usage,
        deposit: core::Amount,
    ) -> Self {
        let state = if record.removed {
            ApplicationState::Removed
        } else if record.replaced_by.is_some() {
            ApplicationState::Replaced
        } else if record.paused {
            ApplicationState::Paused
        } else {
            ApplicationState::Active
        };
        Self {
            id: record.id.into(),
            owner: record.owner.into(),
            terms: record.terms.into(),
            state,
            deployed: record.deployed.0,
            purse: core::purse(&record.id).into(),
            deposit: deposit.into(),
            runs: usage.runs,
            open: usage.open,
            missed: usage.missed,
            spent: usage.spent.into(),
        }
    }

    /// Whether an account may see it: everybody a public one, owner and grantees a private one.
    #[must_use]
    pub fn is_visible_to(&self, viewer: Option<core::Address>) -> bool {
        match &self.terms.visibility {
            Visibility::Public => true,
            Visibility::Private(grantees) => viewer.is_some_and(|viewer| {
                self.owner.0 == viewer || grantees.iter().any(|grantee| grantee.0 == viewer)
            }),
        }
    }
}
