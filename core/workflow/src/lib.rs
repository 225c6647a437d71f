//! The machine of one run of an application: no payloads, no money, no clock of its own.
//!
//! ```text
//!   Plan ──check──► is a plan                                   (three rules, bounds)
//!   Run ──apply(plan, now, Input)──► Vec<Effect>                (the ledger carries them out)
//!
//!   Idle ─after reached─► Working ─returned─► Ended(status)     a task
//!     │                     │ └─failed─► Resting ─► Working     backoff, then Ended(error)
//!     │                     ├─declined─► Waiting                the wait stays open
//!     │                     └─too long─► Ended(timeout)
//!     ├─after reached─► Waiting ─event─► Working                rule 3
//!     │                     └─too long─► Ended(timeout)
//!     └─after cannot be reached any more─► NotTaken
//!   Working, cannot be paid ─► Short ─repeat─► Working
//! ```
//!
//! - Shapes: [`Run`] is a canonical record; steps stand in the order of the plan.
//! - Units: times in milliseconds of block time.
//! - Errors: [`NotAPlan`] for a graph that breaks a rule or a bound, [`NotRepeatable`].
//! - Invariants: a step that has ended never begins again except by [`Input::Repeat`]; every step
//!   but one that waits for ever by the file's own will has a deadline or an attempt under way;
//!   equal inputs give equal effects.
//! - Source: paper A (three rules); `WORKFLOW.md`; `docs/adr/0008-applications-on-the-ledger.md`.
#![no_std]
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
extern crate alloc;

mod branch;
mod check;
mod graph;
mod input;
mod machine;
mod run;

pub use branch::{BRANCHES_MAX, Branch, BranchStatus, Branches, RunStatus};
pub use check::{NotAPlan, check, is_own_status};
pub use graph::ancestors;
pub use input::{Attempt, Effect, Input, NotRepeatable};
pub use run::{
    Ending, KEPT_MS, Occurrence, Origin, QUEUE_MAX, Run, RunEnd, StepPhase, StepRun, attempt_id,
    first_run, matches,
};
