//! Writes services for Althing in Rust: name the tasks, read typed inputs, return a status.
//!
//! ```text
//!   node ── inputs (canonical JSON) ──► Service::task ──► Outcome { status, outputs } ──► node
//!   node ── somebody's outcome ───────► Service::verify ──► Verdict
//! ```
//!
//! ```
//! use althing_sdk::{GaveUp, Inputs, Outcome, Service};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Numbers { a: i32, b: i32 }
//!
//! #[derive(Serialize)]
//! struct Sum { sum: i64 }
//!
//! struct Adder;
//!
//! impl Service for Adder {
//!     fn task(name: &str, inputs: Inputs<'_>) -> Result<Outcome, GaveUp> {
//!         match name {
//!             "add" => {
//!                 let Numbers { a, b } = inputs.read()?;
//!                 Outcome::new("ok", &Sum { sum: i64::from(a) + i64::from(b) })
//!             }
//!             _ => Err(GaveUp::unknown_task(name)),
//!         }
//!     }
//! }
//!
//! althing_sdk::service!(Adder);
//! ```
//!
//! - Shapes: the crate is a `cdylib` for `wasm32-unknown-unknown`; the world is `wit/service.wit`.
//! - Errors: [`GaveUp`] ends the task in a failure that every node reproduces. A panic is a trap.
//! - Features: `memory`, a heap that short calls need not grow (by default; without it, the standard library's).
//! - Invariants: a service has no clock, files, sockets or threads; an instance serves one call, so
//!   nothing stays in memory from one call to the next.

#[cfg(any(test, all(target_arch = "wasm32", feature = "memory")))]
mod memory;

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_json;

#[cfg(all(target_arch = "wasm32", feature = "memory"))]
#[global_allocator]
static MEMORY: memory::Memory = memory::Memory::new();

/// The generated side of `wit/service.wit`; [`service!`] uses it.
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        world: "service",
        path: "wit",
        pub_export_macro: true,
        default_bindings_module: "althing_sdk::bindings",
    });
}

/// What a service can do.
pub trait Service {
    /// Runs the task called `name`.
    ///
    /// # Errors
    ///
    /// [`GaveUp`] if no status of the task says what happened.
    fn task(name: &str, inputs: Inputs<'_>) -> Result<Outcome, GaveUp>;

    /// Judges what another node returned for the task called `name`.
    ///
    /// Only tasks with `verification: method` are judged.
    fn verify(_name: &str, _inputs: Inputs<'_>, _status: &str, _outputs: Inputs<'_>) -> Verdict {
        Verdict::Invalid("no verify method".into())
    }
}

/// A payload: JSON that the node has checked against the manifest's schema.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a>(&'a [u8]);

impl<'a> Inputs<'a> {
    /// Takes JSON, in tests of a service.
    #[must_use]
    pub const fn from_json(json: &'a [u8]) -> Self {
        Self(json)
    }

    /// The canonical bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Reads the payload as a type.
    ///
    /// # Errors
    ///
    /// [`GaveUp`] if the type does not fit the schema that the manifest declares.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, GaveUp> {
        serde_json::from_slice(self.0)
            .map_err(|error| GaveUp::new(format!("cannot read the inputs: {error}")))
    }
}

/// How a task ended: one of its statuses, with that status's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Declared in the manifest.
    pub status: String,
    /// JSON.
    pub outputs: Vec<u8>,
}

impl Outcome {
    /// Writes `outputs` as JSON.
    ///
    /// # Errors
    ///
    /// [`GaveUp`] if the value has no JSON, such as a map with keys that are no strings.
    pub fn new<T: Serialize + ?Sized>(status: &str, outputs: &T) -> Result<Self, GaveUp> {
        match serde_json::to_vec(outputs) {
            Ok(outputs) => Ok(Self { status: status.into(), outputs }),
            Err(error) => Err(GaveUp::new(format!("cannot write the outputs: {error}"))),
        }
    }
}

/// What a service's `verify` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The outcome is right.
    Valid,
    /// It is not, and why.
    Invalid(String),
}

/// The service gives up; the reason ends up in the node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaveUp(String);

impl GaveUp {
    /// With a reason for people.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// For the last arm of the match over the tasks' names.
    #[must_use]
    pub fn unknown_task(name: &str) -> Self {
        Self(format!("no task is called '{name}'"))
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GaveUp {}

/// Writes a line to the node's log of this execution.
pub fn log(message: &str) {
    bindings::althing::service::host::log(message);
}

/// `count` random bytes, different on every node; at most 4,096.
///
/// In a deterministic task this traps.
#[must_use]
pub fn chance(count: u32) -> Vec<u8> {
    bindings::althing::service::chance::bytes(count)
}

/// Exports a [`Service`] as the component's handler. Once in a crate, at its root.
#[macro_export]
macro_rules! service {
    ($service:ty) => {
        #[doc(hidden)]
        type AlthingHandler = $crate::Handler<$service>;
        // Elsewhere, as in a service's own tests, nobody calls the exports.
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::export!(AlthingHandler with_types_in $crate::bindings);
    };
}

/// Between the generated bindings and a [`Service`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Handler<S>(PhantomData<S>);

use bindings::exports::althing::service::handler;

impl<S: Service> handler::Guest for Handler<S> {
    fn task(name: String, inputs: Vec<u8>) -> Result<handler::Outcome, String> {
        match S::task(&name, Inputs(&inputs)) {
            Ok(Outcome { status, outputs }) => Ok(handler::Outcome { status, outputs }),
            Err(GaveUp(reason)) => Err(reason),
        }
    }

    fn verify(name: String, inputs: Vec<u8>, status: String, outputs: Vec<u8>) -> handler::Verdict {
        match S::verify(&name, Inputs(&inputs), &status, Inputs(&outputs)) {
            Verdict::Valid => handler::Verdict::Valid,
            Verdict::Invalid(reason) => handler::Verdict::Invalid(reason),
        }
    }
}
