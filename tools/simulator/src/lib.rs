//! A whole network in one thread, from one seed.
//!
//! ```text
//!   seed ─► Scenario ─► Simulation ─► events in the order of virtual time ─► Report
//!                          │  nodes: Replica · consensus · Machine · Outbox     (the node's own code)
//!                          │  network, disks, clocks, wasm results              (simulated)
//!                          └► Auditor: what must hold, at every commit
//! ```
//!
//! The replica, the ledger, the worker, the outbox, the engine's core and the consensus log are those of
//! the node program; [`stepped`](althing_consensus_malachite::stepped) drives the engine in one thread.
//!
//! - Units: microseconds of virtual time; a scenario is written in milliseconds.
//! - Errors: a broken claim is a [`Violation`] in the [`Report`], never a panic.
//! - Invariant: equal scenarios give equal traces; all chance comes from the seed.
//! - Source: `DESIGN.md` §5, §8.

mod auditor;
pub mod conduct;
pub mod defect;
pub mod disk;
mod event;
mod fetch;
mod links;
mod node;
mod occurrences;
mod outside;
pub mod random;
pub mod report;
pub mod scenario;
pub mod setting;
pub mod shop;
pub mod shrink;
pub mod signatures;
mod simulation;
mod trace;
mod users;
mod verdict;

pub use auditor::Violation;
pub use report::{Report, Statistics};
pub use scenario::Scenario;
pub use simulation::Simulation;
