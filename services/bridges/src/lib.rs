//! Bridges to ordinary technologies: native services, each a small program beside a node.
//!
//! ```text
//!   node ──signed task──► server ──► memory (once a key) ──► bridge ──► the technology
//!   node ◄──event, token── outbox (durable, repeated) ◄───── bridge ◄── the technology
//! ```
//!
//! - Shapes: `docs/native-services.md`. Each bridge is one file of [`bridge`] and one manifest in
//!   `services/`; with `--twin` the technology is replaced by an offline one that can be looked at.
//! - Errors: [`Trouble::Again`] makes the node repeat the task, [`Trouble::Never`] does not.
//! - Invariants: a task has its effect at most once under one idempotency key, whatever crashes
//!   when; an event is posted until the node has acknowledged it, and its id is the technology's own.
//! - Source: paper A (services as bridges); `docs/native-services.md`.

mod answer;
pub mod bridge;
mod config;
mod lines;
mod mailbox;
mod memory;
mod numbers;
mod outbox;
mod server;

pub use answer::{Answer, Bridge, Judgement, Task, Trouble};
pub use config::{Config, Connection, Setup};
pub use memory::Memory;
pub use outbox::{Outbox, Sighting};
pub use server::serve;
