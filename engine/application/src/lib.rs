//! Application files: when this event occurs, then these tasks.
//!
//! ```text
//!   app.yaml ──parse──► ApplicationFile ──check with services, config──► Compiled
//!                 └ Mistakes (line, column, hint) ┘                        ├──► Plan: the ledger drives runs by it
//!                                                                          └──► document: canonical JSON, its hash
//!                                                                                names the application's graph
//!   document ──from_document──► Plan again, and per step, by executor and checkers:
//!       StepInput ──needs──► payloads ──evaluate──► Declined | Run { input } ──keys──► hashes for later waits
//! ```
//!
//! - Shapes: a document is at most 256 KiB of canonical JSON (RFC 8785) and needs no manifest to be
//!   evaluated: it says which texts count as numbers and how an event is put together.
//! - Units: times in milliseconds, prices in tokens; numbers in expressions are exact decimals.
//! - Errors: [`Mistakes`] for whoever writes a file, [`BadDocument`] for a stranger's bytes,
//!   [`BadExpression`] for an expression without a value, the same on every node.
//! - Invariants: the plan follows from the document alone; a step hangs on earlier steps only; whatever a
//!   file or a document says, reading and evaluating it takes bounded time and memory; no expression
//!   knows the time, chance or the order of anything unordered.
//! - Source: paper A (three rules), `docs/adr/0008-applications-on-the-ledger.md`,
//!   `docs/application-file.md`.

mod check;
mod document;
pub mod duration;
pub mod expression;
mod file;
mod form;
mod graph;
pub mod import;
mod infer;
mod mistake;
pub mod number;
mod payload;
mod read;
mod schema;
mod services;
pub mod template;

pub use check::Checked;
pub use document::{
    BadDocument, Compiled, DOCUMENT_BYTES_MAX, Document, EventUse, Interface, Measured, Return,
    SECRETS_MAX, Step, WaitFor, When, Where, WhereValue,
};
pub use file::{
    ApplicationFile, CONFIG_MAX, FILE_BYTES_MAX, FileVisibility, Placed, Reference, SERVICES_MAX,
};
pub use form::{ENDS_MAX, EXPRESSIONS_MAX, NODES_MAX, RETURNS_MAX};
pub use mistake::{Mistake, MistakeKind, Mistakes};
pub use payload::{BadExpression, Evaluated, NoValue, PAYLOAD_BYTES_MAX, Payloads};
pub use services::{Catalogue, Resolved, Services, Unresolved, newest};
