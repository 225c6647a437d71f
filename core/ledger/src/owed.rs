//! What a node can answer in the block that asks for it.
//!
//! ```text
//!   transactions ──► Ledger ──owed_by(proposer)──► its worker ──answers──► Ledger ──► finish
//! ```
//!
//! Who alone can be drawn is seated in the block that creates the execution (`committee::begin`), so its
//! answer may follow in the same block. Nothing here changes the state.
//!
//! - Errors: [`Fault`] if the state cannot be trusted.
//! - Source: `docs/adr/0015-answers-in-the-same-block.md`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Address, Hash};

use crate::{Execution, Ledger};

impl<V: View> Ledger<'_, V> {
    /// How many changes of executions the block has brought so far.
    #[must_use]
    pub const fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Of the executions that changed since there were `after` changes, those whose answer `node` alone
    /// owes, unchecked.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the state cannot be trusted.
    pub fn owed_by(&self, node: &Address, after: usize) -> Result<Vec<Execution>, Fault> {
        let changed: BTreeSet<Hash> =
            self.changes.iter().skip(after).map(|change| change.execution).collect();
        let mut owed = Vec::new();
        for id in changed {
            let execution = self.execution(&id)?;
            owed.extend(execution.filter(|execution| execution.is_owed_by(node)));
        }
        Ok(owed)
    }
}
