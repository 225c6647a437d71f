//! The document of an application: what executors and checkers evaluate, and what its plan follows from.

use std::collections::BTreeSet;

use althing_manifest::CanonicalJson;
use althing_types::{
    Action, Address, After, Amount, BlobRef, End, EventName, Filter, Hash, KeySource,
    LabelCondition, Name, Plan, Retry, ReturnPlan, StepPlan, Trigger, Wait, key_hash,
};
use serde_json::Value as Json;

use crate::expression::Expression;
use crate::template::Template;

/// Most secrets of a step.
pub const SECRETS_MAX: usize = 16;
/// Longest document in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// An application, desugared: whatever its file leaves to defaults or to its configuration is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What `config` stands for: an object.
    pub config: Json,
    /// What starts a run.
    pub when: When,
    /// In the order of the file.
    pub steps: Vec<Step>,
    /// In the order of the file.
    pub returns: Vec<Return>,
}

/// What starts a run.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// The event; `None` for an application that is only used as a task.
    pub event: Option<EventUse>,
    /// JSON Schema of what `event` stands for, and so of what a using step gives.
    pub schema: Json,
    /// Keys that must be these.
    pub filter: Vec<Where>,
    /// Whether the run is worth while.
    pub condition: Option<Expression>,
}

/// An event of a service, with what its payload is put together by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventUse {
    /// Which.
    pub name: EventName,
    /// In the order of the agreed values.
    pub measured: Vec<Measured>,
    /// Paths of texts that count as numbers.
    pub decimals: Vec<String>,
}

/// A property on whose value emitters agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The property.
    pub field: String,
    /// How many decimals its agreed value has.
    pub decimals: u8,
    /// Whether it is written as a text.
    pub is_text: bool,
}

/// A key of an event and what it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Where {
    /// Which of the event's keys.
    pub key: u8,
    /// What it must be.
    pub value: WhereValue,
}

/// What a key must be.
#[derive(Clone, Debug, PartialEq)]
pub enum WhereValue {
    /// This.
    Constant(Json),
    /// What that key of the first event is.
    Trigger(u8),
    /// What a step's result carries.
    Yielded {
        /// The step.
        step: u16,
        /// Which of its keys.
        index: u8,
    },
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, and that of its output.
    pub id: Name,
    /// What is done.
    pub action: Action,
    /// What it hangs on; nothing for the first.
    pub after: After,
    /// What it waits for besides.
    pub wait: Option<WaitFor>,
    /// Its input.
    pub with: Template,
    /// Paths of texts in its output that count as numbers.
    pub decimals: Vec<String>,
    /// Keys that its result carries for later waits.
    pub yields: Vec<Expression>,
    /// The trust dial.
    pub checkers: u16,
    /// Of executor and checkers; zero for the majority.
    pub quorum: u16,
    /// Who may be drawn, ascending; anybody if there is none.
    pub nodes: Vec<Address>,
    /// What the labels of whoever is drawn must say, ascending by name.
    pub labels: Vec<LabelCondition>,
    /// The most that an attempt may cost.
    pub price_max: Amount,
    /// What happens when an attempt fails.
    pub retry: Retry,
    /// From the first attempt to the end; zero for no limit.
    pub timeout_ms: u64,
}

/// An event that a step waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitFor {
    /// The event.
    pub event: EventUse,
    /// Keys that must be these; the first is the index.
    pub filter: Vec<Where>,
    /// Whether it is the awaited one.
    pub condition: Option<Expression>,
    /// Zero waits for ever.
    pub timeout_ms: u64,
}

/// One way in which the application ends for those who use it as a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Return {
    /// The status that they see.
    pub name: Name,
    /// The end that yields it.
    pub from: End,
    /// What they get.
    pub data: Template,
    /// JSON Schema of that, as far as it is known.
    pub schema: Json,
}

/// What an application is to those who use it as a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    /// JSON Schema of what it takes.
    pub inputs: Json,
    /// Its statuses, the main one first, each with the JSON Schema of its data.
    pub returns: Vec<(Name, Json)>,
}

/// A compiled application.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    document: Vec<u8>,
    plan: Plan,
    parsed: Document,
}

impl Compiled {
    /// Writes down a document and derives its plan.
    ///
    /// # Errors
    ///
    /// [`BadDocument`] if nodes would refuse it.
    pub fn from_parts(parsed: &Document) -> Result<Self, BadDocument> {
        // Read back, so that everybody has what everybody else reads.
        Self::from_document(&parsed.canonical()?)
    }

    /// Reads a document that somebody deployed, and derives its plan.
    ///
    /// # Errors
    ///
    /// [`BadDocument`] unless the bytes are the canonical form of a document within all bounds.
    pub fn from_document(bytes: &[u8]) -> Result<Self, BadDocument> {
        let parsed = Document::from_canonical(bytes)?;
        Ok(Self { document: bytes.to_vec(), plan: parsed.plan()?, parsed })
    }

    /// The document's bytes: canonical JSON.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// The document.
    #[must_use]
    pub const fn parsed(&self) -> &Document {
        &self.parsed
    }

    /// What the ledger drives runs by.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Names the document: its hash is the id of the application's graph.
    #[must_use]
    pub fn blob(&self) -> BlobRef {
        BlobRef::of(&self.document)
    }
}

/// Bytes that are no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an application's document: {reason}")]
pub struct BadDocument {
    reason: String,
}

impl BadDocument {
    /// The page in `docs/errors`.
    pub const CODE: &'static str = "APP-0030";

    pub(crate) fn because(reason: impl ToString) -> Self {
        Self { reason: reason.to_string() }
    }
}

impl Document {
    /// What it is to those who use it as a task; `None` if it returns nothing.
    #[must_use]
    pub fn interface(&self) -> Option<Interface> {
        if self.returns.is_empty() {
            return None;
        }
        let returns =
            self.returns.iter().map(|end| (end.name.clone(), end.schema.clone())).collect();
        Some(Interface { inputs: self.when.schema.clone(), returns })
    }

    /// The secrets that a step's task is given, ascending.
    #[must_use]
    pub fn secrets_of(&self, step: u16) -> BTreeSet<&Name> {
        self.steps.get(usize::from(step)).map(|step| step.with.secrets()).unwrap_or_default()
    }

    /// The secrets that any of its steps asks for, ascending.
    #[must_use]
    pub fn secrets(&self) -> BTreeSet<&Name> {
        self.steps.iter().flat_map(|step| step.with.secrets()).collect()
    }

    /// What the ledger needs of it.
    ///
    /// # Errors
    ///
    /// [`BadDocument`] for a constant that has no canonical form.
    pub fn plan(&self) -> Result<Plan, BadDocument> {
        let When { event, schema: _, filter, condition } = &self.when;
        Ok(Plan {
            trigger: Trigger {
                event: event.as_ref().map(|event| event.name.clone()),
                filter: filters(filter)?,
                conditional: condition.is_some(),
            },
            steps: self.steps.iter().map(Step::plan).collect::<Result<_, _>>()?,
            returns: self
                .returns
                .iter()
                .map(|end| ReturnPlan { name: end.name.clone(), from: end.from.clone() })
                .collect(),
        })
    }
}

impl Step {
    /// Whether the step is one to which secrets are given, if it asks for any: a task, whose executor
    /// is one of the nodes that the owner names, and whom nobody else has to check.
    #[must_use]
    pub fn may_have_its_secrets(&self) -> bool {
        let secrets = self.with.secrets().len();
        secrets == 0
            || (secrets <= SECRETS_MAX
                && self.checkers == 0
                && !self.nodes.is_empty()
                && matches!(self.action, Action::Task { .. }))
    }

    fn plan(&self) -> Result<StepPlan, BadDocument> {
        let wait = self.wait.as_ref().map(|wait| {
            Ok(Wait {
                event: wait.event.name.clone(),
                filter: filters(&wait.filter)?,
                conditional: wait.condition.is_some(),
                timeout_ms: wait.timeout_ms,
            })
        });
        Ok(StepPlan {
            id: self.id.clone(),
            action: self.action.clone(),
            after: self.after.clone(),
            wait: wait.transpose()?,
            checkers: self.checkers,
            quorum: self.quorum,
            nodes: self.nodes.clone(),
            labels: self.labels.clone(),
            price_max: self.price_max,
            retry: self.retry,
            timeout_ms: self.timeout_ms,
            yields: u8::try_from(self.yields.len()).map_err(BadDocument::because)?,
        })
    }
}

fn filters(filter: &[Where]) -> Result<Vec<Filter>, BadDocument> {
    filter
        .iter()
        .map(|Where { key, value }| Ok(Filter { key: *key, value: source(value)? }))
        .collect()
}

fn source(value: &WhereValue) -> Result<KeySource, BadDocument> {
    Ok(match value {
        WhereValue::Constant(json) => {
            KeySource::Constant(hash_of(json).map_err(BadDocument::because)?)
        }
        WhereValue::Trigger(key) => KeySource::Trigger(*key),
        WhereValue::Yielded { step, index } => KeySource::Yielded { step: *step, index: *index },
    })
}

/// The hash by which a key with this value is found.
pub(crate) fn hash_of(json: &Json) -> Result<Hash, althing_manifest::NotCanonical> {
    Ok(key_hash(CanonicalJson::of(json.clone())?.as_bytes()))
}
