//! A service's manifest once it is checked: what its tasks take, return, cost and may use.

pub use althing_types::STATUSES_MAX;
use althing_types::{Alias, Amount, BlobRef, Hash, Name, ServiceTerms, TaskTerms, Verification};
use serde_json::Value;

use crate::event::Event;

/// Most tasks in a service, and most events.
pub const TASKS_MAX: usize = 64;
/// Longest canonical manifest in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Longest input of a task in bytes.
pub const INPUT_BYTES_MAX: usize = 1 << 20;

/// A service as it is published.
///
/// Its canonical JSON names the module by hash, so the hash of that JSON names the whole service.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What people call it.
    pub service: Alias,
    /// One sentence for people.
    pub summary: String,
    /// The wasm component; `None` for a native service: whoever offers it connects a program.
    pub module: Option<BlobRef>,
    /// The least that a node stakes to offer the service.
    pub stake_min: Amount,
    /// Limits of tasks that set none of their own.
    pub limits: Limits,
    /// What it does; a service has at least one task or event.
    pub tasks: Vec<Task>,
    /// What the service may observe.
    pub events: Vec<Event>,
}

/// One thing that a service can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Unique within the service.
    pub name: Name,
    /// One sentence for people.
    pub summary: String,
    /// How others check it.
    pub verification: Verification,
    /// What one node gets for one execution.
    pub price: Amount,
    /// What one checker gets for one `verify`; equal to `price` for deterministic tasks.
    pub check_price: Amount,
    /// What one execution may use.
    pub limits: Limits,
    /// JSON Schema 2020-12 of the inputs.
    pub inputs: Value,
    /// The first is the main one.
    pub statuses: Vec<Status>,
}

/// One way in which a task ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Unique within the task.
    pub name: Name,
    /// JSON Schema 2020-12 of the outputs.
    pub outputs: Value,
}

/// What one execution may use before it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in MiB.
    pub memory_mb: u32,
    /// Wasm fuel: about one unit an instruction. Equal on every node.
    pub fuel: u64,
    /// Wall time. A slow node runs into it where a fast one does not, so it should be generous.
    pub time_ms: u32,
    /// Canonical outputs, in KiB.
    pub output_kb: u32,
}

impl Limits {
    /// What holds where the manifest says nothing.
    pub const DEFAULT: Self =
        Self { memory_mb: 64, fuel: 1_000_000_000, time_ms: 5_000, output_kb: 64 };
    /// The most that a manifest may ask for.
    pub const MAX: Self =
        Self { memory_mb: 1024, fuel: 1_000_000_000_000, time_ms: 600_000, output_kb: 4096 };

    /// Whether every limit is above zero and at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn are_allowed(&self) -> bool {
        let Self { memory_mb, fuel, time_ms, output_kb } = *self;
        (1..=Self::MAX.memory_mb).contains(&memory_mb)
            && (1..=Self::MAX.fuel).contains(&fuel)
            && (1..=Self::MAX.time_ms).contains(&time_ms)
            && (1..=Self::MAX.output_kb).contains(&output_kb)
    }

    /// The memory in bytes.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        (self.memory_mb as usize) << 20
    }

    /// The longest output in bytes.
    #[must_use]
    pub const fn output_bytes(&self) -> usize {
        (self.output_kb as usize) << 10
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Manifest {
    /// The service's id: the hash of the canonical manifest.
    #[must_use]
    pub fn id(&self) -> Hash {
        BlobRef::of(&self.canonical()).hash
    }

    /// The task with this name.
    #[must_use]
    pub fn task(&self, name: &Name) -> Option<&Task> {
        self.tasks.iter().find(|task| task.name == *name)
    }

    /// The event with this name.
    #[must_use]
    pub fn event(&self, name: &Name) -> Option<&Event> {
        self.events.iter().find(|event| event.name == *name)
    }

    /// What the ledger needs to know.
    #[must_use]
    pub fn terms(&self) -> ServiceTerms {
        ServiceTerms {
            alias: self.service.clone(),
            manifest: BlobRef::of(&self.canonical()),
            module: self.module,
            events: self.events.iter().map(Event::terms).collect(),
            tasks: self.tasks.iter().map(Task::terms).collect(),
            stake_min: self.stake_min,
        }
    }
}

impl Task {
    /// The status with this name.
    #[must_use]
    pub fn status(&self, name: &Name) -> Option<&Status> {
        self.statuses.iter().find(|status| status.name == *name)
    }

    fn terms(&self) -> TaskTerms {
        TaskTerms {
            name: self.name.clone(),
            statuses: self.statuses.iter().map(|status| status.name.clone()).collect(),
            verification: self.verification,
            price: self.price,
            check_price: self.check_price,
            time_limit_ms: self.limits.time_ms,
        }
    }
}
