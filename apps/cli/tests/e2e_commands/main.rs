//! Every command about applications, events, runs and programs, with real processes: what it does,
//! and a failure of it with its code.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod application;
mod approval;
mod dev;
mod histories;
mod imported;
mod labels;
mod program;
mod secret;
mod stage;
mod wrapped;
