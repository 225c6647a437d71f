//! The port through which services are executed.
//!
//! ```text
//!   prepare(component) ─► compiled once ─► task(input)   ─► TaskRun   (every node: the same bits)
//!                                      └─► verify(output) ─► VerifyRun
//! ```
//!
//! - Units: fuel as the sandbox counts it; durations in microseconds.
//! - Errors: a component may be refused ([`Refusal`]); a run always has a result, since whatever a
//!   service does is an outcome and never the node's failure.
//! - Invariants: synchronous and bound to the CPU, so the caller puts it on a worker thread; nothing
//!   that a service does panics, blocks beyond its time limit or leaves a trace for the next run.

use althing_manifest::Manifest;
use althing_types::{BlobRef, Doubt, Failure, Hash, Name, Opinion, Outcome};

/// Executes services.
pub trait Runtime: Send + Sync {
    /// Makes a service ready to run; a service that is ready already costs nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the component is not one that may run here.
    fn prepare(&self, service: &Hash, component: &[u8], manifest: &Manifest)
    -> Result<(), Refusal>;

    /// Runs a task of a service that is ready.
    fn task(&self, service: &Hash, task: &Name, input: &[u8]) -> TaskRun;

    /// Judges another node's result of a task with a `verify` method.
    fn verify(
        &self,
        service: &Hash,
        task: &Name,
        input: &[u8],
        status: &Name,
        output: &[u8],
    ) -> VerifyRun;
}

/// What a task came to, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRun {
    /// The result.
    pub result: Result<Returned, Unfinished>,
    /// Equal on every node, unless the result is a doubt.
    pub fuel_used: u64,
    /// Wall time.
    pub duration_us: u64,
    /// What the service and the runtime have to say to people; bounded.
    pub log: Vec<String>,
}

/// A declared status with an output that satisfies its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// One of the task's statuses.
    pub status: Name,
    /// Canonical JSON.
    pub output: Vec<u8>,
}

/// Why a task returned nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// In a way that every node reproduces.
    Failed(Failure),
    /// In a way that says nothing about the task.
    Inconclusive(Doubt),
}

impl TaskRun {
    /// A task that was not begun.
    #[must_use]
    pub fn not_begun(unfinished: Unfinished, why: impl Into<String>) -> Self {
        Self { result: Err(unfinished), fuel_used: 0, duration_us: 0, log: vec![why.into()] }
    }

    /// A task whose service is not there.
    #[must_use]
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::not_begun(Unfinished::Inconclusive(Doubt::ServiceUnavailable), why)
    }

    /// What the node tells the ledger.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match &self.result {
            Ok(Returned { status, output }) => {
                let (status, output) = (status.clone(), BlobRef::of(output));
                Outcome::Returned { status, output, keys: Vec::new() }
            }
            Err(Unfinished::Failed(failure)) => Outcome::Failed(*failure),
            Err(Unfinished::Inconclusive(doubt)) => Outcome::Inconclusive(*doubt),
        }
    }
}

/// What a service's `verify` said, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyRun {
    /// A `verify` that fails in a way that every node reproduces is [`Opinion::Invalid`]: otherwise
    /// an executor could escape by an output that makes it trap.
    pub opinion: Opinion,
    /// Why, for people; empty for [`Opinion::Valid`].
    pub reason: String,
    /// Fuel of this judgement.
    pub fuel_used: u64,
    /// Wall time.
    pub duration_us: u64,
    /// As in [`TaskRun::log`].
    pub log: Vec<String>,
}

impl VerifyRun {
    /// A judgement without a call.
    #[must_use]
    pub fn without_call(opinion: Opinion, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { opinion, reason, fuel_used: 0, duration_us: 0, log: Vec::new() }
    }

    /// The node cannot tell.
    #[must_use]
    pub fn inconclusive(reason: impl Into<String>) -> Self {
        Self::without_call(Opinion::Inconclusive, reason)
    }
}

/// A component that may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a component of WebAssembly.
    #[error("the file is not a WebAssembly component: {reason}")]
    NotAComponent {
        /// What it is, or where it is broken.
        reason: String,
    },
    /// Larger than any component may be.
    #[error("the component has {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// It wants something that the sandbox does not have.
    #[error("the component imports '{import}', which no service may")]
    ForbiddenImport {
        /// As the component names it.
        import: String,
    },
    /// It imports entropy, but each of its tasks is deterministic.
    #[error("the component imports chance, but no task has 'verification: method'")]
    ChanceWithoutMethod,
    /// It lacks what every service has.
    #[error("the component does not export '{export}' as the world of services asks")]
    MissingExport {
        /// The interface or function.
        export: String,
    },
    /// The bytes are not those that the manifest names.
    #[error("the component is not the module that the manifest names")]
    OtherModule,
    /// The manifest's schemas cannot be compiled.
    #[error("the manifest's schemas cannot be used: {reason}")]
    Schemas {
        /// What the schema compiler says.
        reason: String,
    },
    /// The compiler refused it.
    #[error("the component does not compile: {reason}")]
    DoesNotCompile {
        /// What the compiler says.
        reason: String,
    },
}

impl Refusal {
    /// The page in `docs/errors`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAComponent { .. } => "RUN-0001",
            Self::TooLarge { .. } => "RUN-0002",
            Self::ForbiddenImport { .. } => "RUN-0003",
            Self::ChanceWithoutMethod => "RUN-0004",
            Self::MissingExport { .. } => "RUN-0005",
            Self::OtherModule => "RUN-0006",
            Self::Schemas { .. } => "RUN-0007",
            Self::DoesNotCompile { .. } => "RUN-0008",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotAComponent { .. } => {
                "build it with `althing service build`, which makes components"
            }
            Self::TooLarge { .. } => "build in release with opt-level = \"s\", lto and strip",
            Self::ForbiddenImport { .. } => {
                "services have no WASI: build for wasm32-unknown-unknown and avoid clocks, files and entropy"
            }
            Self::ChanceWithoutMethod => {
                "declare `verification: method` and write `verify`, or remove the calls of `chance`"
            }
            Self::MissingExport { .. } => {
                "write `althing_sdk::service!(YourType)` at the crate's root"
            }
            Self::OtherModule => "fetch the module again, or publish the manifest again",
            Self::Schemas { .. } => "check the manifest with `althing service build`",
            Self::DoesNotCompile { .. } => "check the module with another toolchain version",
        }
    }
}
