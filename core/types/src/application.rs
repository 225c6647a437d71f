//! Applications as the ledger knows them: a graph of steps, statuses and hashed keys, no payloads.
//!
//! ```text
//!   application file ─► document (blob: expressions, constants) ─► id
//!                   └─► Plan (ledger: which step hangs on which status, who is waited for)
//! ```
//!
//! - Invariant: the plan follows from the document; nodes that are drawn derive it again and do no
//!   work for a plan that differs.
//! - Source: paper A (three rules); `WORKFLOW.md`; `docs/adr/0008-applications-on-the-ledger.md`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use borsh::io::{Error, ErrorKind, Read, Result as IoResult};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, Alias, Amount, BlobRef, Hash, LabelCondition, Name, TimeMs, tagged};

/// Most steps of an application.
pub const STEPS_MAX: usize = 64;
/// Most keys that a `where` compares, and most that an event declares.
pub const KEYS_MAX: usize = 8;
/// Most keys that a step's result carries for later waits.
pub const YIELDS_MAX: usize = 16;
/// How deep applications may use one another.
pub const NESTING_MAX: usize = 3;

/// The hash by which a key is matched: of the value's canonical JSON.
///
/// Equal values of different services match; who knows the possible values can guess the key.
#[must_use]
pub fn key_hash(canonical_json: &[u8]) -> Hash {
    tagged("althing key", &[canonical_json])
}

/// Names an application that `owner` deploys: others cannot take the name before it does.
#[must_use]
pub fn application_id(owner: &Address, document: &Hash) -> Hash {
    tagged("althing application", &[&owner.0, &document.0])
}

/// The account that holds an application's deposit. Nobody has its key: the ledger alone pays out.
#[must_use]
pub fn purse(application: &Hash) -> Address {
    let Hash(bytes) = tagged("althing purse", &[&application.0]);
    let (_, tail) = bytes.split_at(12);
    Address(tail.try_into().expect("32 - 12 = 20 bytes"))
}

/// An application as its owner deploys it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ApplicationTerms {
    /// Its name among people.
    pub alias: Alias,
    /// The desugared file with its configuration, canonical JSON.
    pub document: BlobRef,
    /// A node that has the document.
    pub home: crate::EndpointId,
    /// Whether others may see and use it.
    pub visibility: Visibility,
    /// The graph.
    pub plan: Plan,
}

/// Who may see an application and its runs through a node's interfaces.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Visibility {
    /// Everybody; it can be used as a task.
    Public,
    /// The owner and these, by ascending address.
    Private(Vec<Address>),
}

/// What the ledger needs to drive runs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Plan {
    /// Rule 1: the first step hangs on exactly one event.
    pub trigger: Trigger,
    /// In the order of the file; a step hangs on earlier ones only.
    pub steps: Vec<StepPlan>,
    /// What a user of the application as a task sees; the first is the main one.
    pub returns: Vec<ReturnPlan>,
}

/// The event that starts runs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trigger {
    /// The service that observes it; `None` for an application that is only used as a task.
    pub event: Option<EventName>,
    /// Keys that must be these.
    pub filter: Vec<Filter>,
    /// Whether a condition decides when the first step is executed.
    pub conditional: bool,
}

/// An event of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct EventName {
    /// The service.
    pub service: Hash,
    /// One of its events.
    pub event: Name,
}

/// One key of an event and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Filter {
    /// Which of the event's declared keys.
    pub key: u8,
    /// What it must be.
    pub value: KeySource,
}

/// Where the hash of a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum KeySource {
    /// Known when the application is deployed.
    Constant(Hash),
    /// A key of the event that started the run.
    Trigger(u8),
    /// Part of the sealed result of an earlier step.
    Yielded {
        /// The step.
        step: u16,
        /// Which of its keys.
        index: u8,
    },
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StepPlan {
    /// Unique within the application.
    pub id: Name,
    /// What is done.
    pub action: Action,
    /// Rule 2: which statuses of which steps it hangs on; empty for the first step only.
    pub after: After,
    /// Rule 3: the event that it waits for besides.
    pub wait: Option<Wait>,
    /// The trust dial.
    pub checkers: u16,
    /// Of executor and checkers; zero for the majority.
    pub quorum: u16,
    /// Restricts the draw; empty for any node; ascending.
    pub nodes: Vec<Address>,
    /// What the labels of a node must say for it to be drawn; ascending by name.
    pub labels: Vec<LabelCondition>,
    /// The most that one attempt may cost.
    pub price_max: Amount,
    /// What happens when an attempt fails.
    pub retry: Retry,
    /// From the step's first attempt to its end, in milliseconds; zero for no limit.
    pub timeout_ms: u64,
    /// How many keys its result carries.
    pub yields: u8,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// A task of a service.
    Task {
        /// The service.
        service: Hash,
        /// The task.
        task: Name,
    },
    /// A public application, whose `returns` are the statuses.
    Application {
        /// The application.
        application: Hash,
    },
}

/// Which ends of earlier steps let a step begin.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct After {
    /// All of them or any of them.
    pub mode: Join,
    /// The ends.
    pub ends: Vec<End>,
}

/// How several ends are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Join {
    /// Every one must be reached.
    All,
    /// The first one counts.
    Any,
}

/// A way in which a step can end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct End {
    /// The step.
    pub step: u16,
    /// How it ended.
    pub status: StepStatus,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum StepStatus {
    /// With a declared status of the task, or a `returns` of the application.
    Returned(Name),
    /// All attempts failed.
    Error,
    /// The awaited event, or the end of the attempts, did not come in time.
    Timeout,
}

impl StepStatus {
    /// As it is written in an application file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Returned(status) => status.as_str(),
            Self::Error => "error",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Wait {
    /// The event.
    pub event: EventName,
    /// Keys that must be these; the first one is the index under which the wait is found.
    pub filter: Vec<Filter>,
    /// Whether a condition decides, when the step is executed, that the event is the awaited one.
    pub conditional: bool,
    /// In milliseconds; zero waits for ever.
    pub timeout_ms: u64,
}

/// How failed attempts are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Retry {
    /// Attempts after the first.
    pub max: u16,
    /// Before the second attempt, in milliseconds; doubles with each further one.
    pub backoff_ms: u64,
}

/// One way in which the application ends for those who use it as a task.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ReturnPlan {
    /// The status that the user sees.
    pub name: Name,
    /// The end that yields it.
    pub from: End,
}

/// A payload that is named without being shown: whoever may read its parts can put it together.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub enum Payload {
    /// Bytes as they are: canonical JSON.
    Blob(BlobRef),
    /// An event: the part that all emitters agreed on, with the agreed measures put in.
    Event {
        /// Which event it is an instance of.
        name: EventName,
        /// The identical part.
        base: BlobRef,
        /// The agreed values, in the order of the event's terms, in units of the last decimal.
        measured: Vec<i64>,
    },
    /// What a step passes to the application that it uses: the step's evaluated `with`.
    Given(Box<StepInput>),
    /// What an application hands to the step that used it: the evaluated `data` of a `returns`.
    Returned {
        /// The context of the evaluation, as if of the step that the `returns` hangs on.
        context: Box<StepInput>,
        /// Which of the `returns`.
        index: u16,
    },
}

/// From what a step's input is evaluated; its hash is the execution's input.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub struct StepInput {
    /// The application.
    pub application: Hash,
    /// Its document.
    pub document: BlobRef,
    /// The run.
    pub run: Hash,
    /// When the run started, or the first attempt of the step that uses it.
    pub started_at: TimeMs,
    /// The step.
    pub step: u16,
    /// Counts from zero.
    pub attempt: u16,
    /// The event that started the run, or what the using step gave.
    pub event: Payload,
    /// The event that the step waited for.
    pub awaited: Option<Payload>,
    /// Outputs of the steps before it that have ended with a returned status, by step.
    pub outputs: Vec<StepOutput>,
}

/// What an earlier step returned.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize)]
pub struct StepOutput {
    /// The step.
    pub step: u16,
    /// Its output.
    pub output: Payload,
}

impl StepInput {
    /// Names the input: what an execution's `input` is for a step.
    #[must_use]
    pub fn blob(&self) -> BlobRef {
        BlobRef::of(&crate::canonical::encode(self))
    }
}

/// Nested values are read with a bound on their depth: hostile bytes must not exhaust the stack.
mod nested {
    use super::{
        BlobRef, BorshDeserialize, Box, Error, ErrorKind, EventName, Hash, IoResult, NESTING_MAX,
        Payload, Read, STEPS_MAX, StepInput, StepOutput, TimeMs, Vec,
    };

    fn invalid(what: &'static str) -> Error {
        Error::new(ErrorKind::InvalidData, what)
    }

    pub(super) fn payload<R: Read>(reader: &mut R, depth: usize) -> IoResult<Payload> {
        match u8::deserialize_reader(reader)? {
            0 => Ok(Payload::Blob(BlobRef::deserialize_reader(reader)?)),
            1 => Ok(Payload::Event {
                name: EventName::deserialize_reader(reader)?,
                base: BlobRef::deserialize_reader(reader)?,
                measured: Vec::deserialize_reader(reader)?,
            }),
            2 => Ok(Payload::Given(Box::new(step_input(reader, below(depth)?)?))),
            3 => Ok(Payload::Returned {
                context: Box::new(step_input(reader, below(depth)?)?),
                index: u16::deserialize_reader(reader)?,
            }),
            _ => Err(invalid("not a payload")),
        }
    }

    fn below(depth: usize) -> IoResult<usize> {
        depth.checked_sub(1).ok_or_else(|| invalid("nested too deeply"))
    }

    pub(super) fn step_input<R: Read>(reader: &mut R, depth: usize) -> IoResult<StepInput> {
        Ok(StepInput {
            application: Hash::deserialize_reader(reader)?,
            document: BlobRef::deserialize_reader(reader)?,
            run: Hash::deserialize_reader(reader)?,
            started_at: TimeMs::deserialize_reader(reader)?,
            step: u16::deserialize_reader(reader)?,
            attempt: u16::deserialize_reader(reader)?,
            event: payload(reader, depth)?,
            awaited: match u8::deserialize_reader(reader)? {
                0 => None,
                1 => Some(payload(reader, depth)?),
                _ => return Err(invalid("not an option")),
            },
            outputs: {
                let count = u32::deserialize_reader(reader)? as usize;
                if count > STEPS_MAX {
                    return Err(invalid("more outputs than steps"));
                }
                (0..count)
                    .map(|_| {
                        Ok(StepOutput {
                            step: u16::deserialize_reader(reader)?,
                            output: payload(reader, depth)?,
                        })
                    })
                    .collect::<IoResult<_>>()?
            },
        })
    }

    impl BorshDeserialize for StepInput {
        fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
            step_input(reader, NESTED_MAX)
        }
    }

    impl BorshDeserialize for Payload {
        fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
            payload(reader, NESTED_MAX)
        }
    }

    impl BorshDeserialize for StepOutput {
        fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
            Ok(Self {
                step: u16::deserialize_reader(reader)?,
                output: payload(reader, NESTED_MAX)?,
            })
        }
    }

    /// Going down into an application and coming back out of one both nest.
    const NESTED_MAX: usize = 2 * NESTING_MAX + 1;
}
