//! Service manifests: what a service's tasks take, return, cost and may use.
//!
//! ```text
//!   service.yml ──parse──► ServiceFile ──with its component──► Manifest ──► canonical JSON ──► id
//!                 └ Mistakes (line, column, hint)                 ├──► terms for the ledger
//!                                                                 └──► Schemas ──► payloads checked
//! ```
//!
//! - Shapes: a manifest is at most 256 KiB of canonical JSON (RFC 8785) and names its component by
//!   hash, so the hash of that JSON names the whole service. Payloads are canonical JSON too.
//! - Units: memory in MiB, outputs in KiB, times in milliseconds, fuel as the sandbox counts it,
//!   prices in tokens.
//! - Errors: [`Mistakes`] for a developer, [`NotAManifest`] for a stranger's bytes, [`Violation`] for
//!   a payload; all with a code.
//! - Invariants: unknown keys are refused; the order of tasks and statuses is kept; whatever a
//!   manifest says, checking it and its payloads takes bounded time and memory, without network.
//! - Source: `docs/service-manifest.md`, `docs/adr/0004-wasm-profile.md`.

mod canonical;
mod canonical_event;
mod decimal;
pub mod document;
mod event;
mod event_file;
mod json;
mod manifest;
mod mistake;
mod payload;
pub mod read;
pub mod schema;
mod schemas;
mod service_file;

pub use canonical::NotAManifest;
pub use event::{
    AGREED_MAX, Agree, AgreeBy, DECIMALS_DEFAULT, DECIMALS_MAX, Event, KEYS_MAX, Parts, id_hash,
};
pub use json::{CanonicalJson, INTEGER_MAX, NotCanonical};
pub use manifest::{
    INPUT_BYTES_MAX, Limits, MANIFEST_BYTES_MAX, Manifest, STATUSES_MAX, Status, TASKS_MAX, Task,
};
pub use mistake::{Kind, MISTAKES_MAX, Mistake, MistakeKind, Mistakes};
pub use schema::{BadSchema, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX};
pub use schemas::{Schemas, Violation};
pub use service_file::{ModuleSource, ServiceFile};
