//! The port to the node's own work: what a proposer answers in the block that asks for it.

use althing_ledger::Execution;
use althing_types::Height;

use crate::application::Fault;

/// What a block that is being built asks of its proposer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The block's height.
    pub height: Height,
    /// Executions whose answer this node alone owes, as they are in the block so far. They may never
    /// come: the block is not decided.
    pub executions: Vec<Execution>,
    /// No other node proposes blocks.
    pub alone: bool,
}

/// The node's own work.
pub trait OwnWork: Send + Sync {
    /// Asks for answers, which are worked on while the block goes on being built. Nothing is locked.
    fn ask(&self, owed: Owed);

    /// Returns when the mempool has what the node can answer at once of all that this block has asked
    /// for, after `within_ms` milliseconds at the latest. Nothing is locked.
    fn answers(&self, within_ms: u64);

    /// Makes durable whatever the node's answers name, before a block with them goes out.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if that cannot be: the block must not go out.
    fn flush(&self) -> Result<(), Fault>;
}
