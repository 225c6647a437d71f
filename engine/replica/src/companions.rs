//! Words that are worth a block only together: the seals of a committee, and its openings.
//!
//! ```text
//!   seal of one ──► wait, at most GATHER_MS ──► seals of all ──► one block
//!                                          └──► time is over ──► one block for those that are here
//! ```
//!
//! All members begin with the same block and end within a few milliseconds of one another. Were the first
//! word a reason for a block, the others would come too late for it, and each phase would take two.
//!
//! - Invariant: only when a block *begins* depends on this, never what it may hold; nodes may differ.
//! - Bounds: [`GATHER_MS`] once a block, and no more than [`TRANSACTIONS_MAX`] transactions are looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use althing_ledger::{Authenticated, Execution, MemberState, query};
use althing_state::{Fault, View};
use althing_types::{Address, Hash, Operation};

/// How long the first word waits for its companions: less than a block takes.
pub(crate) const GATHER_MS: u64 = 4;
/// With more that waits there is enough for a block anyway.
pub(crate) const TRANSACTIONS_MAX: usize = 64;

/// What a member says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Seal,
    Opening,
}

/// True if all that waits are words of committees, and none of these is complete with them.
pub(crate) fn are_missing(waiting: &[Arc<Authenticated>], view: &impl View) -> Result<bool, Fault> {
    let mut said: BTreeMap<(Hash, u32, Word), BTreeSet<Address>> = BTreeMap::new();
    for transaction in waiting {
        for operation in &transaction.transaction().operations {
            let (execution, round, word) = match operation {
                Operation::Seal(seal) => (seal.execution, seal.round, Word::Seal),
                Operation::Reveal(reveal) => (reveal.execution, reveal.round, Word::Opening),
                _ => return Ok(false),
            };
            said.entry((execution, round, word)).or_default().insert(transaction.account());
        }
    }
    for ((execution, round, word), members) in said {
        let execution = query::execution(view, &execution)?;
        let here = execution.filter(|execution| execution.round == round);
        if here.is_none_or(|execution| is_complete(&execution, word, &members)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True if nobody is left whose word the committee waits for.
fn is_complete(execution: &Execution, word: Word, members: &BTreeSet<Address>) -> bool {
    let is_open = |state: &MemberState| match word {
        Word::Seal => matches!(state, MemberState::Assigned),
        Word::Opening => matches!(state, MemberState::Sealed(_)),
    };
    let mut open = execution.committee().filter(|member| is_open(&member.state));
    open.all(|member| members.contains(&member.node))
}
