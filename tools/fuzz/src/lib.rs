//! Bytes from outside, and everything that reads them: nothing of it may panic, nor take more memory
//! than its input justifies.
//!
//! ```text
//!   corpora/<target>/* ──► Mutator (seeded) ──► Target::run ──► memory within Target::memory?
//!                                                   ▲
//!   cargo +nightly fuzz run <target> (libFuzzer) ───┘
//! ```
//!
//! A [`Target`] is a plain function. Beside not panicking, each asserts what its decoder promises:
//! canonical bytes decode to what they encode, a proof that verifies is the one proof there is.
//!
//! - Shapes: a corpus is a folder of files, made from real encoders by a run of the tests with
//!   `ALTHING_BLESS=1`; those that a crash left are kept beside them and named for it.
//! - Units: memory in bytes, at its peak, above what was in use before.
//! - Errors: a broken promise panics, with the input in the message.
//! - Invariants: the same seed gives the same executions; a target keeps nothing from one execution to
//!   the next, but what is read only.
//! - To add one: a function here, a line in [`TARGETS`], a corpus, a shell in `fuzz/fuzz_targets`.

pub mod corpus;
pub mod memory;
pub mod mutate;
pub mod run;
pub mod targets;

pub use targets::{TARGETS, Target, feed, target};
