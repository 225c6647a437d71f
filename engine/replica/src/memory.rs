//! The store's simulated implementation: in memory, with the failures that a disk can have.
//!
//! - A *power loss* ([`MemoryStore::lose_power`]) forgets what was not synced. A commit and a kept
//!   proposal sync; a write that was told to fail ([`MemoryStore::fail_write`]) may still have
//!   reached the disk or not, as on a real one.
//! - *Bit rot* ([`MemoryStore::corrupt`]) changes a value behind everybody's back.
//!
//! Invariant: what a successful call made durable survives everything but [`MemoryStore::corrupt`].

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use althing_state::{key_hash, value_hash};
use althing_types::{BlockId, Hash, Height};

use crate::store::{Archive, Commit, Decided, Store, StoreError, StoredProposal, Tip};

/// What is on the simulated disk.
#[derive(Clone, Debug, Default)]
struct Disk {
    tip: Option<Tip>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    proposals: BTreeMap<BlockId, StoredProposal>,
    decided: BTreeMap<Height, Decided>,
    archive: BTreeMap<(Archive, Hash), Vec<u8>>,
}

/// How an injected failure ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedWrite {
    /// Nothing reached the disk.
    Lost,
    /// Everything did, but the caller is told otherwise.
    Unacknowledged,
}

#[derive(Debug, Default)]
struct Inner {
    disk: Disk,
    writes: u64,
    fail: Option<(u64, FailedWrite)>,
}

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change below is complete once it begins: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the `n`-th write from now fail, counted from one; every later write then fails too, as
    /// after a disk's error.
    pub fn fail_write(&self, n: u64, how: FailedWrite) {
        let mut inner = self.lock();
        inner.fail = Some((inner.writes.saturating_add(n), how));
    }

    /// What a restarted process finds: everything durable, and no failure planned.
    #[must_use]
    pub fn lose_power(&self) -> Self {
        let disk = self.lock().disk.clone();
        Self { inner: Mutex::new(Inner { disk, writes: 0, fail: None }) }
    }

    /// Replaces a state value behind the replica's back; `None` removes it.
    pub fn corrupt(&self, key: &[u8], value: Option<Vec<u8>>) {
        let mut inner = self.lock();
        match value {
            Some(value) => inner.disk.state.insert(key.to_vec(), value),
            None => inner.disk.state.remove(key),
        };
    }

    /// Removes a record of the archive behind the replica's back.
    pub fn forget(&self, archive: Archive, id: &Hash) {
        self.lock().disk.archive.remove(&(archive, *id));
    }

    /// How many writes were attempted.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Applies a write unless it is to fail.
    fn write(
        &self,
        operation: &'static str,
        change: impl FnOnce(&mut Disk),
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.writes = inner.writes.saturating_add(1);
        let now = inner.writes;
        match inner.fail {
            Some((first, how)) if now >= first => {
                if now == first && how == FailedWrite::Unacknowledged {
                    change(&mut inner.disk);
                }
                Err(StoreError::Io { operation, source: "an injected failure".into() })
            }
            Some(_) | None => {
                change(&mut inner.disk);
                Ok(())
            }
        }
    }
}

impl Store for MemoryStore {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        Ok(self.lock().disk.tip)
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().disk.state.get(key).cloned())
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let inner = self.lock();
        let matching = inner
            .disk
            .state
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(matching.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn leaves(&self) -> Result<Vec<(Hash, Hash)>, StoreError> {
        let inner = self.lock();
        let hashed = |(key, value): (&Vec<u8>, &Vec<u8>)| (key_hash(key), value_hash(value));
        let mut leaves: Vec<(Hash, Hash)> = inner.disk.state.iter().map(hashed).collect();
        leaves.sort_unstable();
        Ok(leaves)
    }

    fn keep_proposal(&self, proposal: &StoredProposal) -> Result<(), StoreError> {
        self.write("keeping a proposal", |disk| {
            disk.proposals.insert(proposal.id, proposal.clone());
        })
    }

    fn proposals(&self) -> Result<Vec<StoredProposal>, StoreError> {
        let inner = self.lock();
        let tip = inner.disk.tip.map_or(Height(0), |tip| tip.height);
        let above = inner.disk.proposals.values().filter(|proposal| proposal.height > tip);
        Ok(above.cloned().collect())
    }

    fn commit(&self, commit: Commit<'_>) -> Result<(), StoreError> {
        self.write("committing a block", |disk| {
            for (key, value) in commit.writes {
                match value {
                    Some(value) => disk.state.insert(key.clone(), value.clone()),
                    None => disk.state.remove(key),
                };
            }
            for (archive, id, record) in commit.archive {
                disk.archive.insert((*archive, *id), record.clone());
            }
            if commit.tip.height > Height(0) {
                let decided = Decided {
                    block: commit.block.to_vec(),
                    certificate: commit.certificate.to_vec(),
                };
                disk.decided.insert(commit.tip.height, decided);
            }
            disk.tip = Some(commit.tip);
            disk.proposals.retain(|_, proposal| proposal.height > commit.tip.height);
        })
    }

    fn decided(&self, height: Height) -> Result<Option<Decided>, StoreError> {
        Ok(self.lock().disk.decided.get(&height).cloned())
    }

    fn archived(&self, archive: Archive, id: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().disk.archive.get(&(archive, *id)).cloned())
    }
}
