//! A whole state in memory, for tests and the simulator.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use althing_types::Hash;

use crate::{Entry, Fault, Tree, View};

/// Values and their tree.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    tree: Tree,
}

impl MemoryState {
    /// Applies writes as [`Overlay::into_writes`](crate::Overlay::into_writes) gives them.
    pub fn apply(&mut self, writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        self.tree.update_writes(writes);
        for (key, value) in writes {
            match value {
                Some(value) => self.entries.insert(key.clone(), value.clone()),
                None => self.entries.remove(key),
            };
        }
    }

    /// The root over all entries.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The tree over all entries.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// All entries, by ascending key.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.entries
    }
}

impl View for MemoryState {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.entries.get(key).cloned())
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let matching = self
            .entries
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(matching.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
