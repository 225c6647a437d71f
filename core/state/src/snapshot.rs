//! The state at one height, which outlives later commits and can be handed to another node.

use alloc::vec::Vec;

use althing_types::{Hash, Height};

use crate::{Entry, Fault, Tree, View, key_hash, value_hash};

/// Entries read of a view at once.
const PAGE: usize = 1024;

/// All entries of one height, with their tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    height: Height,
    tree: Tree,
    entries: Vec<Entry>,
}

/// Why a snapshot from elsewhere was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The entries have another root than the header of their height.
    #[error("the snapshot's root is {found}, the header's is {expected}")]
    Root {
        /// The header's.
        expected: Hash,
        /// That of the entries.
        found: Hash,
    },
    /// Keys are not strictly ascending.
    #[error("the snapshot's keys do not ascend at entry {index}")]
    Order {
        /// The first entry out of order.
        index: usize,
    },
}

impl Snapshot {
    /// Reads a whole view and verifies every entry with its tree.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the view cannot be read, or holds other entries than the tree.
    pub fn export(view: &impl View, tree: &Tree, height: Height) -> Result<Self, Fault> {
        let mut entries: Vec<Entry> = Vec::with_capacity(tree.len());
        loop {
            let page = view.range(&[], entries.last().map(|(key, _)| key.as_slice()), PAGE)?;
            let last = page.len() < PAGE;
            for (key, value) in page {
                if tree.value_hash(&key) != Some(value_hash(&value)) {
                    return Err(Fault { what: "an entry is not in the tree", key });
                }
                entries.push((key, value));
            }
            if last {
                break;
            }
        }
        if entries.len() != tree.len() {
            let key = entries.pop().map(|(key, _)| key).unwrap_or_default();
            return Err(Fault { what: "the tree has keys that the view has not", key });
        }
        Ok(Self { height, tree: tree.clone(), entries })
    }

    /// Takes entries from elsewhere, and compares their root with that of a verified header.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if they are not the state of that header.
    pub fn import(height: Height, root: &Hash, entries: Vec<Entry>) -> Result<Self, ImportError> {
        let keys = entries.iter().zip(entries.iter().skip(1));
        if let Some(index) = keys.map(|(a, b)| a.0 < b.0).position(|ascends| !ascends) {
            return Err(ImportError::Order { index: index.saturating_add(1) });
        }
        let mut leaves: Vec<_> =
            entries.iter().map(|(key, value)| (key_hash(key), value_hash(value))).collect();
        leaves.sort_unstable();
        let tree = Tree::from_leaves(&leaves);
        if tree.root() != *root {
            return Err(ImportError::Root { expected: *root, found: tree.root() });
        }
        Ok(Self { height, tree, entries })
    }

    /// The height whose block left this state.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The root over all entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The tree, which proves keys at this height.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// All entries, by ascending key.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl View for Snapshot {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let found = self.entries.binary_search_by(|entry| entry.0.as_slice().cmp(key));
        Ok(found.ok().and_then(|index| self.entries.get(index)).map(|entry| entry.1.clone()))
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let before = |key: &[u8]| key < prefix || after.is_some_and(|after| key <= after);
        let start = self.entries.partition_point(|entry| before(&entry.0));
        let matching = self.entries.iter().skip(start).take_while(|e| e.0.starts_with(prefix));
        Ok(matching.take(limit).cloned().collect())
    }
}
