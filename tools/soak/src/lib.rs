//! Seven real nodes under load while their surroundings go wrong.
//!
//! ```text
//!   Network (processes of `althing`) ◄── Load: transfers and calls, resubmitted until they are in a block
//!        ▲            ▲                └── Watch: the highest block anybody has, and the longest gap
//!        │            └── scenario: restart, kill, fill the disk, step the clock, cut off, start twice
//!        └── Audit: one chain, equal roots, everything accepted is there, nobody honest was fined
//! ```
//!
//! The end-to-end tests run each scenario for seconds and assert its claims; `cargo xtask soak` runs
//! them for minutes and prints the figures.
//!
//! - Units: seconds of wall time; tokens.
//! - Errors: whatever keeps a scenario from being played. A claim that does not hold is not an error
//!   but a line in the [`report::Report`]; what this machine does not allow is said, not passed over.
//! - Invariants: every process that is started ends with its [`network::Network`]; mounts and network
//!   namespaces end with the scenario that made them.

pub mod audit;
pub mod chance;
pub mod load;
pub mod network;
pub mod report;
pub mod scenario;
pub mod watch;
