//! Opening a chain: the genesis becomes height zero, or what the store holds is verified as a whole.
//!
//! ```text
//!   store ──leaves──► tree ──root──┐
//!         ──decided(tip)──► header ┴─ equal? ──► Head
//!         ──chain record──► genesis, list of blocks
//! ```
//!
//! - Errors: [`OpenError`], each with a code and a page in `docs/errors/`. Nothing is repaired here.
//! - Invariant: a replica opens only on a state whose root two thirds have signed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use althing_ledger::{GenesisError, genesis_writes, query};
use althing_state::Tree;
use althing_state::merkle::Range;
use althing_types::{Address, Hash, Height, Malformed, canonical};

use crate::proposal::{self, Candidate};
use crate::reader::{Head, decode_block, decode_record};
use crate::rules::{ChainRecord, Rules};
use crate::store::{Archive, Commit, Store, StoreError, StoredProposal, Tip};
use crate::view::CommittedView;

/// From this many leaves on, a second thread builds the other half of the tree.
const PARALLEL_FROM: usize = 10_000;

/// Why a chain cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The state has another root than the header that two thirds have signed.
    #[error("the state of height {height} has the root {found}, its header says {expected}")]
    RootMismatch {
        /// The tip.
        height: Height,
        /// The header's.
        expected: Hash,
        /// That of the values in the store.
        found: Hash,
    },
    /// The store belongs to a chain that began otherwise.
    #[error("the store's chain began with {found}, the genesis given is {expected}")]
    OtherGenesis {
        /// The hash of the genesis given.
        expected: Hash,
        /// The store's.
        found: Hash,
    },
    /// Something else than the state is not what was written.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// Another process has the store open.
    #[error("another process uses the store")]
    Busy,
    /// The store cannot be read or written.
    #[error("the store cannot be opened")]
    Store(#[source] StoreError),
    /// The genesis contradicts itself.
    #[error("the genesis cannot start a chain")]
    Genesis(#[from] GenesisError),
}

impl OpenError {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RootMismatch { .. } => "STO-0001",
            Self::OtherGenesis { .. } => "STO-0002",
            Self::Damaged { .. } => "STO-0003",
            Self::Busy => "STO-0004",
            Self::Store(error) => error.code(),
            Self::Genesis(_) => "GEN-0001",
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Io { .. } | StoreError::Corrupt { .. } => Self::Store(error),
        }
    }
}

impl From<Malformed> for OpenError {
    fn from(_: Malformed) -> Self {
        Self::Damaged { what: "a record cannot be decoded" }
    }
}

/// The last committed height of a store, verified; the genesis' if the store is empty.
pub(crate) fn open(store: &Arc<dyn Store>, rules: &Rules) -> Result<Head, OpenError> {
    match store.tip()? {
        None => begin(store, rules),
        Some(tip) => resume(store, rules, tip),
    }
}

/// Commits the genesis as height zero.
fn begin(store: &Arc<dyn Store>, rules: &Rules) -> Result<Head, OpenError> {
    let writes = genesis_writes(&rules.genesis, &*rules.signatures)?;
    let mut tree = Tree::default();
    tree.update_writes(&writes);
    let tip = Tip { height: Height(0), block: rules.genesis_hash, state_root: tree.root() };
    let record =
        ChainRecord { genesis: rules.genesis_hash, before_tip: Range::default(), set_changes: 0 };
    let archive = [(Archive::Chain, Hash::ZERO, canonical::encode(&record))];
    store.commit(Commit {
        tip,
        block: &[],
        certificate: &[],
        writes: &writes,
        archive: &archive,
    })?;
    head(store, rules, tip, tree, record)
}

fn resume(store: &Arc<dyn Store>, rules: &Rules, tip: Tip) -> Result<Head, OpenError> {
    let record = store
        .archived(Archive::Chain, &Hash::ZERO)?
        .ok_or(OpenError::Damaged { what: "the record of the chain is missing" })?;
    let record: ChainRecord = decode_record(&record, "record of the chain")?;
    if record.genesis != rules.genesis_hash {
        let (expected, found) = (rules.genesis_hash, record.genesis);
        return Err(OpenError::OtherGenesis { expected, found });
    }
    let tree = build(&store.leaves()?)?;
    head(store, rules, tip, tree, record)
}

/// The tree of a store's leaves, its halves built side by side.
fn build(leaves: &[(Hash, Hash)]) -> Result<Tree, OpenError> {
    if !leaves.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(OpenError::Damaged { what: "the state's keys are not distinct and sorted" });
    }
    if leaves.len() < PARALLEL_FROM {
        return Ok(Tree::from_leaves(leaves));
    }
    let (left, right) = leaves.split_at(leaves.partition_point(|(key, _)| key.0 < SECOND_HALF));
    let (left, right) = thread::scope(|scope| {
        let helper = scope.spawn(|| Tree::from_leaves(right));
        (Tree::from_leaves(left), helper.join().expect("sorted leaves make a tree"))
    });
    Ok(Tree::join(left, right).expect("the leaves were split at the first bit"))
}

/// The first hash whose first bit is one.
const SECOND_HALF: [u8; 32] = {
    let mut hash = [0; 32];
    hash[0] = 0x80;
    hash
};

/// Puts a head together, and verifies that its parts belong together.
fn head(
    store: &Arc<dyn Store>,
    rules: &Rules,
    tip: Tip,
    tree: Tree,
    record: ChainRecord,
) -> Result<Head, OpenError> {
    let header = match store.decided(tip.height)? {
        Some(decided) if tip.height > Height(0) => Some(decode_block(&decided.block)?.header),
        Some(_) | None => None,
    };
    let expected = match &header {
        Some(header) => {
            if header.id() != tip.block || header.height != tip.height {
                return Err(OpenError::Damaged { what: "the last block is not the tip" });
            }
            if record.before_tip.root() != header.headers_root {
                return Err(OpenError::Damaged { what: "the list of blocks is not the header's" });
            }
            header.state_root
        }
        None if tip.height > Height(0) => {
            return Err(OpenError::Damaged { what: "the last block is missing" });
        }
        None => genesis_root(rules)?,
    };
    if tree.root() != expected {
        let found = tree.root();
        return Err(OpenError::RootMismatch { height: tip.height, expected, found });
    }
    let mut headers = record.before_tip;
    headers.append(tip.block);
    let view = CommittedView::new(Arc::clone(store), tree);
    let validators = query::next_validators(&view)
        .map_err(|_| OpenError::Damaged { what: "the validator set cannot be read" })?;
    let agreed = header.as_ref().is_none_or(|h| h.next_validator_set == validators.hash());
    if !agreed || validators.members().is_empty() {
        return Err(OpenError::Damaged { what: "the validator set is not the header's" });
    }
    let (set_changes, start) = (record.set_changes, rules.genesis.time);
    Ok(Head { tip, header, validators, view, headers, set_changes, start })
}

fn genesis_root(rules: &Rules) -> Result<Hash, OpenError> {
    let mut tree = Tree::default();
    tree.update_writes(&genesis_writes(&rules.genesis, &*rules.signatures)?);
    Ok(tree.root())
}

/// The blocks above the tip that were proposed before the node stopped.
pub(crate) fn candidates(
    store: &dyn Store,
    own: &Address,
) -> Result<BTreeMap<Hash, Candidate>, OpenError> {
    let mut candidates = BTreeMap::new();
    for proposal in store.proposals()? {
        let id = proposal.id;
        let candidate = candidate(proposal, own).ok_or(OpenError::Damaged {
            what: "a proposal is not the block that it was kept as",
        })?;
        candidates.insert(id, candidate);
    }
    Ok(candidates)
}

/// A kept proposal; `None` if it is not the block that it was kept as.
pub(crate) fn candidate(proposal: StoredProposal, own: &Address) -> Option<Candidate> {
    let header = proposal::decode(&proposal.block)?.header;
    let own = header.proposer == *own;
    (header.id() == proposal.id).then_some(Candidate {
        header,
        bytes: proposal.block,
        own,
        checked: None,
    })
}
