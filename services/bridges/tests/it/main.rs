//! Bridges as a node meets them: signed posts over HTTP, against the real technologies.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod approval;
mod email;
mod ethereum;
mod events;
mod node;
mod once;
mod postgres;
mod sql;
mod way;
