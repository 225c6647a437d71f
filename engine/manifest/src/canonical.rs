//! The canonical JSON of a manifest: what is hashed, published and read by every node.
//!
//! Lists keep the order of tasks and statuses, which means something; objects would lose it.
//! Amounts and fuel are strings, since they may exceed 2^53.

use althing_types::{Amount, BlobRef, Hash, Malformed, Name, Verification};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical_event::FormEvent;
use crate::event::Event;
use crate::json::{self, CanonicalJson};
use crate::manifest::{
    Limits, MANIFEST_BYTES_MAX, Manifest, STATUSES_MAX, Status, TASKS_MAX, Task,
};

/// Version of the form; another form gets another number.
const FORM: u32 = 2;

/// Bytes that are no canonical manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical manifest: {reason}")]
pub struct NotAManifest {
    reason: String,
}

impl NotAManifest {
    /// The page in `docs/errors`.
    pub const CODE: &'static str = "MAN-0020";

    pub(crate) fn because(reason: impl ToString) -> Self {
        Self { reason: reason.to_string() }
    }
}

impl Manifest {
    /// The canonical bytes; their hash is the service's id.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let form = Form::of(self);
        json::write(&serde_json::to_value(form).expect("the form has only JSON in it"))
    }

    /// Reads a manifest that a stranger published.
    ///
    /// Schemas are only carried along; [`Schemas`](crate::Schemas) checks them.
    ///
    /// # Errors
    ///
    /// [`NotAManifest`] unless the bytes are what [`canonical`](Self::canonical) gives for a manifest
    /// within all limits.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, NotAManifest> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(NotAManifest::because(Malformed::TooLong {
                max: MANIFEST_BYTES_MAX,
                found: bytes.len(),
            }));
        }
        let json = CanonicalJson::read(bytes).map_err(NotAManifest::because)?;
        let form: Form = serde_json::from_slice(bytes).map_err(NotAManifest::because)?;
        drop(json);
        let manifest = form.into_manifest()?;
        if manifest.canonical() != bytes {
            return Err(NotAManifest::because("a value is not written in its canonical way"));
        }
        Ok(manifest)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    form: u32,
    service: String,
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<FormModule>,
    stake_min: String,
    limits: FormLimits,
    tasks: Vec<FormTask>,
    events: Vec<FormEvent>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormModule {
    hash: String,
    bytes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormLimits {
    memory_mb: u32,
    fuel: String,
    time_ms: u32,
    output_kb: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormTask {
    name: String,
    summary: String,
    verification: FormVerification,
    price: String,
    check_price: String,
    limits: FormLimits,
    inputs: Value,
    statuses: Vec<FormStatus>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormVerification {
    Deterministic,
    Method,
    None,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormStatus {
    name: String,
    outputs: Value,
}

impl Form {
    fn of(manifest: &Manifest) -> Self {
        let Manifest { service, summary, module, stake_min, limits, tasks, events } = manifest;
        Self {
            form: FORM,
            service: service.to_string(),
            summary: summary.clone(),
            module: module
                .map(|module| FormModule { hash: module.hash.to_string(), bytes: module.bytes }),
            stake_min: stake_min.to_string(),
            limits: FormLimits::of(limits),
            tasks: tasks.iter().map(FormTask::of).collect(),
            events: events.iter().map(FormEvent::of).collect(),
        }
    }

    fn into_manifest(self) -> Result<Manifest, NotAManifest> {
        let Self { form, service, summary, module, stake_min, limits, tasks, events } = self;
        if form != FORM {
            return Err(NotAManifest::because(format_args!(
                "its form is {form}, this node reads {FORM}"
            )));
        }
        let nothing = tasks.is_empty() && events.is_empty();
        if nothing || tasks.len() > TASKS_MAX || events.len() > TASKS_MAX {
            return Err(NotAManifest::because(format_args!(
                "there are 1 to {TASKS_MAX} tasks or events"
            )));
        }
        let tasks: Vec<Task> =
            tasks.into_iter().map(FormTask::into_task).collect::<Result<_, _>>()?;
        let events: Vec<Event> =
            events.into_iter().map(FormEvent::into_event).collect::<Result<_, _>>()?;
        distinct(tasks.iter().map(|task| &task.name))?;
        distinct(events.iter().map(|event| &event.name))?;
        let module = match module {
            Some(module) => {
                let hash: Hash = module.hash.parse().map_err(NotAManifest::because)?;
                Some(BlobRef { hash, bytes: module.bytes })
            }
            None => None,
        };
        Ok(Manifest {
            service: service.parse().map_err(NotAManifest::because)?,
            summary,
            module,
            stake_min: amount(&stake_min)?,
            limits: limits.into_limits()?,
            tasks,
            events,
        })
    }
}

impl FormLimits {
    fn of(limits: &Limits) -> Self {
        let Limits { memory_mb, fuel, time_ms, output_kb } = *limits;
        Self { memory_mb, fuel: fuel.to_string(), time_ms, output_kb }
    }

    fn into_limits(self) -> Result<Limits, NotAManifest> {
        let Self { memory_mb, fuel, time_ms, output_kb } = self;
        let fuel: u64 = fuel.parse().map_err(NotAManifest::because)?;
        let limits = Limits { memory_mb, fuel, time_ms, output_kb };
        if !limits.are_allowed() {
            return Err(NotAManifest::because("a limit is zero or beyond what a node allows"));
        }
        Ok(limits)
    }
}

impl FormTask {
    fn of(task: &Task) -> Self {
        let Task { name, summary, verification, price, check_price, limits, inputs, statuses } =
            task;
        let status = |status: &Status| FormStatus {
            name: status.name.to_string(),
            outputs: status.outputs.clone(),
        };
        Self {
            name: name.to_string(),
            summary: summary.clone(),
            verification: match verification {
                Verification::Deterministic => FormVerification::Deterministic,
                Verification::Method => FormVerification::Method,
                Verification::None => FormVerification::None,
            },
            price: price.to_string(),
            check_price: check_price.to_string(),
            limits: FormLimits::of(limits),
            inputs: inputs.clone(),
            statuses: statuses.iter().map(status).collect(),
        }
    }

    fn into_task(self) -> Result<Task, NotAManifest> {
        let Self { name, summary, verification, price, check_price, limits, inputs, statuses } =
            self;
        if statuses.is_empty() || statuses.len() > STATUSES_MAX {
            return Err(NotAManifest::because(format_args!(
                "a task has 1 to {STATUSES_MAX} statuses"
            )));
        }
        let status = |status: FormStatus| {
            Ok::<_, NotAManifest>(Status {
                name: self::name(&status.name)?,
                outputs: status.outputs,
            })
        };
        let task = Task {
            name: self::name(&name)?,
            summary,
            verification: match verification {
                FormVerification::Deterministic => Verification::Deterministic,
                FormVerification::Method => Verification::Method,
                FormVerification::None => Verification::None,
            },
            price: amount(&price)?,
            check_price: amount(&check_price)?,
            limits: limits.into_limits()?,
            inputs,
            statuses: statuses.into_iter().map(status).collect::<Result<_, _>>()?,
        };
        distinct(task.statuses.iter().map(|status| &status.name))?;
        if task.verification != Verification::Method && task.price != task.check_price {
            return Err(NotAManifest::because(
                "only checking with a method costs something else than executing",
            ));
        }
        Ok(task)
    }
}

pub(crate) fn name(text: &str) -> Result<Name, NotAManifest> {
    text.parse().map_err(NotAManifest::because)
}

pub(crate) fn amount(text: &str) -> Result<Amount, NotAManifest> {
    text.parse().map_err(NotAManifest::because)
}

pub(crate) fn distinct<'a>(names: impl Iterator<Item = &'a Name>) -> Result<(), NotAManifest> {
    let mut names: Vec<&Name> = names.collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(NotAManifest::because(format_args!("'{}' is there twice", pair[0]))),
        None => Ok(()),
    }
}
