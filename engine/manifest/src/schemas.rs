//! The compiled schemas of a service: what goes into its tasks and what may come out.

use std::collections::BTreeMap;

use althing_types::Name;
use jsonschema::Validator;
use serde_json::Value;

use crate::json::{CanonicalJson, NotCanonical};
use crate::manifest::{INPUT_BYTES_MAX, Manifest, Task};
use crate::schema::{self, BadSchema, brief};

/// Checks payloads against a manifest.
#[derive(Debug)]
pub struct Schemas {
    tasks: BTreeMap<Name, TaskSchemas>,
    events: BTreeMap<Name, Validator>,
}

#[derive(Debug)]
struct TaskSchemas {
    inputs: Validator,
    outputs: BTreeMap<Name, Validator>,
    output_bytes_max: usize,
}

/// A payload that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The service has no such task.
    #[error("the service has no task '{task}'")]
    UnknownTask {
        /// What was asked for.
        task: Name,
    },
    /// The task has no such status.
    #[error("the task '{task}' has no status '{status}'")]
    UnknownStatus {
        /// The task.
        task: Name,
        /// What was returned.
        status: String,
    },
    /// Longer than allowed.
    #[error("the payload has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// No JSON, or JSON without a canonical form.
    #[error("the payload is no canonical JSON")]
    NotJson(#[from] NotCanonical),
    /// Against the schema.
    #[error("{}: {reason}", if pointer.is_empty() { "the payload" } else { pointer })]
    Schema {
        /// A JSON pointer into the payload.
        pointer: String,
        /// What the schema asks for.
        reason: String,
    },
    /// The service has no such event.
    #[error("the service has no event '{event}'")]
    UnknownEvent {
        /// What was named.
        event: Name,
    },
    /// An event's data is no object.
    #[error("the event's data is no object")]
    NotAnObject,
    /// An event's id, key or measured value is not there.
    #[error("the event's data has no '{property}'")]
    MissingProperty {
        /// The property.
        property: String,
    },
    /// A measured value is no number.
    #[error("'{property}' is no number")]
    NotANumber {
        /// The property.
        property: String,
    },
    /// A measured value has more digits than are agreed on.
    #[error("'{property}' has too many digits")]
    OutOfRange {
        /// The property.
        property: String,
    },
    /// What is to be put together is not what such an event comes apart into.
    #[error("these are not the parts of such an event")]
    WrongParts,
}

impl Violation {
    /// The page in `docs/errors`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownTask { .. } => "MAN-0030",
            Self::UnknownStatus { .. } => "MAN-0031",
            Self::TooLong { .. } => "MAN-0032",
            Self::NotJson(_) => "MAN-0033",
            Self::Schema { .. } => "MAN-0034",
            Self::UnknownEvent { .. } => "MAN-0035",
            Self::NotAnObject | Self::MissingProperty { .. } => "MAN-0036",
            Self::NotANumber { .. } => "MAN-0037",
            Self::OutOfRange { .. } => "MAN-0038",
            Self::WrongParts => "MAN-0039",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::UnknownTask { .. } => "`althing service show` lists the tasks of a service",
            Self::UnknownStatus { .. } => {
                "declare the status in the manifest, or return another one"
            }
            Self::TooLong { .. } => "send less, or split the work into several executions",
            Self::NotJson(_) => "send JSON without repeated keys; numbers beyond 2^53 are strings",
            Self::Schema { .. } => "`althing service show` prints the schemas of a service",
            Self::UnknownEvent { .. } => "`althing service show` lists the events of a service",
            Self::NotAnObject | Self::MissingProperty { .. } => {
                "send an object with the id, all keys and all measured values of the event"
            }
            Self::NotANumber { .. } => "send a number, or its decimal digits as text",
            Self::OutOfRange { .. } => {
                "declare fewer decimals; numbers of more than 15 digits are declared as `decimal`"
            }
            Self::WrongParts => "take the event apart with the manifest that it was observed with",
        }
    }
}

impl Schemas {
    /// Compiles all schemas of a manifest, those of events too.
    ///
    /// # Errors
    ///
    /// [`BadSchema`] for the first that a node refuses.
    pub fn compile(manifest: &Manifest) -> Result<Self, BadSchema> {
        let events = manifest
            .events
            .iter()
            .map(|event| Ok((event.name.clone(), schema::compile(&event.data)?)))
            .collect::<Result<_, BadSchema>>()?;
        let compiled = |task: &Task| {
            let outputs = task
                .statuses
                .iter()
                .map(|status| Ok((status.name.clone(), schema::compile(&status.outputs)?)));
            let schemas = TaskSchemas {
                inputs: schema::compile(&task.inputs)?,
                outputs: outputs.collect::<Result<_, BadSchema>>()?,
                output_bytes_max: task.limits.output_bytes(),
            };
            Ok((task.name.clone(), schemas))
        };
        let tasks = manifest.tasks.iter().map(compiled).collect::<Result<_, BadSchema>>()?;
        Ok(Self { tasks, events })
    }

    /// Checks the input of a task and makes it canonical.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the task may not be given this input.
    pub fn check_input(&self, task: &Name, bytes: &[u8]) -> Result<CanonicalJson, Violation> {
        check(&self.task(task)?.inputs, bytes, INPUT_BYTES_MAX)
    }

    /// Checks the data of an event and makes it canonical.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the event may not carry this.
    pub fn check_event(&self, event: &Name, bytes: &[u8]) -> Result<CanonicalJson, Violation> {
        let unknown = || Violation::UnknownEvent { event: event.clone() };
        check(self.events.get(event).ok_or_else(unknown)?, bytes, INPUT_BYTES_MAX)
    }

    /// Checks what a task returned and makes it canonical.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the task may not return this.
    pub fn check_output(
        &self,
        task: &Name,
        status: &str,
        bytes: &[u8],
    ) -> Result<(Name, CanonicalJson), Violation> {
        let schemas = self.task(task)?;
        let unknown = || Violation::UnknownStatus { task: task.clone(), status: brief(status) };
        let name: Name = status.parse().map_err(|_| unknown())?;
        let validator = schemas.outputs.get(&name).ok_or_else(unknown)?;
        let output = check(validator, bytes, schemas.output_bytes_max)?;
        Ok((name, output))
    }

    fn task(&self, task: &Name) -> Result<&TaskSchemas, Violation> {
        self.tasks.get(task).ok_or_else(|| Violation::UnknownTask { task: task.clone() })
    }
}

fn check(schema: &Validator, bytes: &[u8], bytes_max: usize) -> Result<CanonicalJson, Violation> {
    let fits = |length: usize| {
        if length > bytes_max {
            return Err(Violation::TooLong { bytes: length, bytes_max });
        }
        Ok(())
    };
    fits(bytes.len())?;
    let json = CanonicalJson::parse(bytes)?;
    // The canonical form of a short text can be longer: 1e15 becomes sixteen digits.
    fits(json.as_bytes().len())?;
    satisfies(schema, json.value())?;
    Ok(json)
}

fn satisfies(schema: &Validator, value: &Value) -> Result<(), Violation> {
    schema.validate(value).map_err(|error| Violation::Schema {
        pointer: error.instance_path().as_str().to_owned(),
        reason: brief(&error.masked().to_string()),
    })
}
