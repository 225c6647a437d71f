//! The port to durable storage, owned by the replica, which calls it.
//!
//! Two promises carry the safety of consensus (the engine's own log holds block *ids* only):
//!
//! - a proposal is durable when [`Store::keep_proposal`] returns, before the engine learns of it;
//! - state, block, certificate and archive of a height become durable together, in
//!   [`Store::commit`], before the engine is told that the height is done.
//!
//! Implementations: `althing-store-redb` (real), [`MemoryStore`](crate::MemoryStore) (simulated).

use std::collections::BTreeMap;

use althing_state::Entry;
use althing_types::{BlockId, Hash, Height};

use crate::application::Fault;

/// Where a chain ends on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The last committed height.
    pub height: Height,
    /// Its block.
    pub block: BlockId,
    /// Root of the state after it.
    pub state_root: Hash,
}

/// A block that was proposed for a height that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredProposal {
    /// For this height.
    pub height: Height,
    /// The hash of its header.
    pub id: BlockId,
    /// The block's canonical bytes.
    pub block: Vec<u8>,
}

/// What is kept for ever, beside the state, and found by a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Archive {
    /// By execution id: height and place of its final record among the block's receipts, and the record.
    Execution = 1,
    /// By transaction hash: height and place of its receipt, and the receipt.
    Transaction = 2,
    /// By its hash: the candidates that a committee was drawn from.
    Roster = 3,
    /// By block id: what the block's receipts are about, in order.
    Receipts = 4,
    /// By a hash of its number: a change of the validator set.
    SetChange = 5,
    /// Under the zero hash: where the chain's lists end; every commit replaces it.
    Chain = 6,
    /// By event key: height and place of its final record among the block's receipts, and the record.
    Event = 7,
    /// By run id: height and place of its final record among the block's receipts, and the record.
    Run = 8,
}

/// Everything that one height changes, to be made durable at once.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The new tip.
    pub tip: Tip,
    /// Canonical bytes of the block.
    pub block: &'a [u8],
    /// Canonical bytes of its certificate.
    pub certificate: &'a [u8],
    /// State writes; `None` deletes.
    pub writes: &'a BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Records to archive.
    pub archive: &'a [(Archive, Hash, Vec<u8>)],
}

/// A decided height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Canonical bytes of the block.
    pub block: Vec<u8>,
    /// Canonical bytes of its certificate.
    pub certificate: Vec<u8>,
}

/// Why storage could not do what it was asked. The node stops on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be opened, read or written.
    #[error("{operation} in the store failed")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was read is not what was written.
    #[error("the store is corrupt: {what}")]
    Corrupt {
        /// Which part.
        what: String,
    },
    /// Another process has the store open.
    #[error("the store is in use by another process")]
    Busy,
}

impl StoreError {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "STO-0003",
            Self::Busy => "STO-0004",
            Self::Io { .. } => "STO-0005",
        }
    }

    /// The fault of a running node whose operation the store has refused.
    pub(crate) fn fault(self, operation: &'static str) -> Fault {
        let code = self.code();
        Fault::new(operation, self).with_code(code)
    }
}

/// Durable storage of one chain on one node. Calls block until done.
pub trait Store: Send + Sync + 'static {
    /// The last commit; `None` before the first (the genesis is committed as height zero).
    ///
    /// # Errors
    /// [`StoreError`]: the node must stop. So for every method.
    fn tip(&self) -> Result<Option<Tip>, StoreError>;

    /// The committed value of a state key.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` committed entries whose keys begin with `prefix` and come after `after`, ascending.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError>;

    /// The leaves of the state tree, (hash of key, hash of value), ascending: computed from the values,
    /// so that the root can be compared at boot.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn leaves(&self) -> Result<Vec<(Hash, Hash)>, StoreError>;

    /// Makes a proposal durable, in place of an earlier one with the same id: an id does not commit to
    /// the proof of the beacon, so the earlier body may have been spoiled on its way.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn keep_proposal(&self, proposal: &StoredProposal) -> Result<(), StoreError>;

    /// Proposals above the tip.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn proposals(&self) -> Result<Vec<StoredProposal>, StoreError>;

    /// Makes a height durable, and forgets proposals up to it.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn commit(&self, commit: Commit<'_>) -> Result<(), StoreError>;

    /// The block and certificate of a height; `None` above the tip. Height zero has neither.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn decided(&self, height: Height) -> Result<Option<Decided>, StoreError>;

    /// A record of the archive.
    ///
    /// # Errors
    /// As [`tip`](Self::tip).
    fn archived(&self, archive: Archive, id: &Hash) -> Result<Option<Vec<u8>>, StoreError>;
}
