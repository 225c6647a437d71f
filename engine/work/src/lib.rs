//! A node's worker: it does what the node is drawn for, and tells the ledger what came of it.
//!
//! ```text
//!   block ──► News ──► Machine ──effects──► fetch, prepare, run, keep      (driver, through ports)
//!                         ▲  │                        │
//!                         │  └──Submit──► Outbox ──► signed transactions ──► mempool
//!                         └───────────── inputs ◄─────┘
//! ```
//!
//! [`Machine`] and [`Outbox`] are pure: they own no clock, socket, file or thread, so the simulator
//! runs the very code that the node runs. [`driver`] moves bytes between them and the ports.
//!
//! - Shapes: a [`Record`] is what the node has found out about one round of one execution; it is
//!   durable before the ledger hears of it.
//! - Units: times of deadlines in milliseconds of block time; waiting in milliseconds of the node.
//! - Errors: nothing that a stranger sends is an error here. [`WorkFault`](driver::WorkFault) stops
//!   the worker: its journal, its state or its own code cannot be trusted.
//! - Invariants: one round of one execution is worked on once at a time; what is sealed is never
//!   recomputed; a seal that the node cannot open stays closed; every queue has a bound; long tasks
//!   never wait in line with short ones.
//! - Source: `DESIGN.md` §3; `docs/adr/0005-verdicts-fines-and-fees.md`.

pub mod conduct;
pub mod driver;
mod duty;
mod in_use;
mod machine;
mod news;
pub mod observing;
mod outbox;
pub mod port;
mod record;
mod returning;
pub mod runtime;
mod service;
pub mod simulated;

pub use conduct::{Approach, Conduct, Finding, Honest};
pub use duty::{Duty, Work, duty, work};
pub use in_use::in_use;
pub use machine::{
    Config, Effect, Fate, Finished, Holder, Input, JobId, LaneLimits, Machine, Note, Runs,
    Unusable, applications, reads,
};
pub use news::{News, concerns};
pub use outbox::{Full, Outbox, OutboxConfig};
pub use record::{Record, Secret};
pub use returning::{EXCUSED_MS, Returning, Suspended};
pub use runtime::{Refusal, Returned, Runtime, TaskRun, Unfinished, VerifyRun};
pub use service::{NotAsPublished, as_published, holders};
