//! Nodes as they are shipped, over real sockets and disks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_surroundings;
mod bad_transactions;
mod common;
mod native;
mod network;
mod private;
mod secret;
