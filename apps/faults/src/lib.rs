//! Nodes that misbehave, so that a development network can be watched catching them.
//!
//! | conduct | what it does | what it is fined for |
//! |---|---|---|
//! | [`Liar`] | works, and alters a share of its results | `WrongResult`, `WrongCheck` |
//! | [`Copier`] | seals a copy of another member's seal; answers with the last answer it saw | `ForgedSeal`, `Withheld` |
//! | [`Mute`] | takes assignments and is never heard of | `Absence` |
//!
//! - Invariants: equal seeds and equal executions give equal misconduct; the ledger, and not these,
//!   decides what it costs. Only the hidden command that `althing dev` starts its dishonest nodes with
//!   reaches this crate; `althing node start` cannot.
//! - Source: `DESIGN.md` §8, "copying checkers".

mod copier;
mod liar;

use althing_ledger::Execution;
use althing_work::{Approach, Conduct};
pub use copier::Copier;
pub use liar::Liar;

/// Takes assignments and is never heard of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mute;

impl Conduct for Mute {
    fn on_assignment(&mut self, _execution: &Execution) -> Approach {
        Approach::Refuse
    }
}
