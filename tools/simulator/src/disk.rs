//! A node's disk: what survives a power loss, and what does not.
//!
//! ```text
//!   write ──► cache ──sync──► durable
//!               └─ power loss: every sector of every write kept or lost, each by chance
//! ```
//!
//! - [`Disk::log`] holds the consensus log as bytes, through the port that the real file has.
//! - [`Disk::store`] is the chain's store. Its commits are atomic, as those of the real store, which
//!   was tested under power losses of its own; it can fail, acknowledge nothing, and rot.
//! - [`Disk::journal`], [`Disk::observations`] and [`Disk::blobs`] are the worker's: durable when a call
//!   returns, but for outputs that are flushed with their block; the first and the last can fail.
//! - Invariant: what was synced survives everything but rot and [`Disk::new`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use althing_consensus_malachite::stepped::Medium;
use althing_ledger::keys;
use althing_replica::store::Store as _;
use althing_replica::{FailedWrite, MemoryStore};
use althing_types::{BlobRef, EndpointId, Hash, Observe};
use althing_work::Record;
use althing_work::observing::occurrence;
use althing_work::port::{Blobs, BoxFuture, Journal, PortError, Produced};
use althing_work::simulated::MemoryJournal;

use crate::random::Random;

/// What a power loss keeps or loses as a whole.
const SECTOR: usize = 512;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Bytes {
    durable: Vec<u8>,
    cached: Vec<u8>,
    /// Offsets and lengths of writes since the last sync.
    unsynced: Vec<(usize, usize)>,
    resized: bool,
    syncs: u64,
    fail_at: Option<u64>,
    /// Syncs are acknowledged, and nothing is made durable.
    lies: bool,
}

/// The bytes of the consensus log.
#[derive(Clone, Debug, Default)]
pub struct LogFile(Arc<Mutex<Bytes>>);

impl LogFile {
    /// Lets the `n`-th sync from now fail, counted from one, and every later one.
    pub fn fail_sync(&self, n: u64) {
        let mut bytes = lock(&self.0);
        bytes.fail_at = Some(bytes.syncs + n);
    }

    /// From now on syncs are acknowledged, and nothing is made durable.
    pub fn lie(&self) {
        lock(&self.0).lies = true;
    }

    /// How many times it was synced.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        lock(&self.0).syncs
    }

    /// Turns a bit of what is durable.
    pub fn flip(&self, bit: u64) {
        let mut bytes = lock(&self.0);
        let length = bytes.durable.len() as u64 * 8;
        let Some(place) = bit.checked_rem(length) else { return };
        let index = usize::try_from(place / 8).unwrap_or(usize::MAX);
        if let Some(byte) = bytes.durable.get_mut(index) {
            *byte ^= 1 << (place % 8);
        }
        bytes.cached = bytes.durable.clone();
    }

    /// Where the last written byte is, roughly: beyond it are only zeros.
    #[must_use]
    pub fn written(&self) -> usize {
        let bytes = lock(&self.0);
        bytes.durable.iter().rposition(|byte| *byte != 0).map_or(0, |place| place + 1)
    }

    /// The power is lost: of what was not synced, each sector reaches the disk or not. Returns how
    /// many sectors were lost.
    pub fn lose_power(&self, random: &mut Random) -> u64 {
        let mut bytes = lock(&self.0);
        let bytes = &mut *bytes;
        let mut lost = 0;
        if bytes.lies {
            lost += std::mem::take(&mut bytes.unsynced).len() as u64;
        }
        if bytes.resized && random.chance(500) {
            bytes.durable.resize(bytes.cached.len(), 0);
        }
        for (offset, length) in std::mem::take(&mut bytes.unsynced) {
            let mut from = offset;
            while from < offset + length {
                let to = ((from / SECTOR + 1) * SECTOR).min(offset + length);
                if random.chance(500) {
                    if bytes.durable.len() < to {
                        bytes.durable.resize(to, 0);
                    }
                    let parts = bytes.durable.get_mut(from..to).zip(bytes.cached.get(from..to));
                    if let Some((durable, cached)) = parts {
                        durable.copy_from_slice(cached);
                    }
                } else {
                    lost += 1;
                }
                from = to;
            }
        }
        bytes.cached = bytes.durable.clone();
        bytes.resized = false;
        bytes.fail_at = None;
        lost
    }
}

impl Medium for LogFile {
    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.0).cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = lock(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = bytes.cached.get(from..).and_then(|rest| rest.get(..buffer.len()));
        let found = found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&mut self, written: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let to = from.saturating_add(written.len());
        if bytes.cached.len() < to {
            bytes.cached.resize(to, 0);
        }
        if let Some(place) = bytes.cached.get_mut(from..to) {
            place.copy_from_slice(written);
        }
        bytes.unsynced.push((from, written.len()));
        Ok(())
    }

    fn resize(&mut self, length: u64) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        bytes.cached.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        bytes.resized = true;
        Ok(())
    }

    fn sync(&mut self, _resized: bool) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        bytes.syncs += 1;
        if bytes.fail_at.is_some_and(|at| bytes.syncs >= at) {
            return Err(io::Error::other("an injected failure"));
        }
        let bytes = &mut *bytes;
        if bytes.lies {
            return Ok(());
        }
        if bytes.resized || bytes.durable.len() != bytes.cached.len() {
            bytes.durable = bytes.cached.clone();
        }
        for (offset, length) in std::mem::take(&mut bytes.unsynced) {
            let range = offset..offset + length;
            let parts = bytes.durable.get_mut(range.clone()).zip(bytes.cached.get(range));
            if let Some((durable, cached)) = parts {
                durable.copy_from_slice(cached);
            }
        }
        bytes.resized = false;
        Ok(())
    }
}

/// The worker's journal, which may fail.
#[derive(Debug, Default)]
pub struct FaultyJournal {
    inner: MemoryJournal,
    /// Writes until one fails; then all do, until the node is started again.
    failing_in: Mutex<Option<u64>>,
}

impl FaultyJournal {
    /// Lets the `n`-th write from now fail, counted from one.
    pub fn fail_write(&self, n: u64) {
        *lock(&self.failing_in) = Some(n);
    }

    fn mend(&self) {
        *lock(&self.failing_in) = None;
    }
}

impl Journal for FaultyJournal {
    fn remember(&self, records: &[Record]) -> Result<(), PortError> {
        if let Some(left) = &mut *lock(&self.failing_in) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let source = "an injected failure".into();
                return Err(PortError { operation: "writing the journal", source });
            }
        }
        self.inner.remember(records)
    }

    fn forget(&self, executions: &[Hash]) -> Result<(), PortError> {
        self.inner.forget(executions)
    }

    fn recall(&self) -> Result<Vec<Record>, PortError> {
        self.inner.recall()
    }
}

/// The files on a node.
#[derive(Debug, Default)]
pub struct LocalBlobs(Mutex<Files>);

#[derive(Debug, Default)]
struct Files {
    here: BTreeMap<Hash, Vec<u8>>,
    /// Since when nobody has needed them or brought them again.
    idle: BTreeMap<Hash, u64>,
    /// What the node has let go of: gone for it, and still known to whoever watches.
    gone: BTreeMap<Hash, Vec<u8>>,
    /// What a power loss may take.
    unflushed: BTreeSet<Hash>,
    /// Blocks with answers until one cannot be flushed.
    failing_in: Option<u64>,
    /// Flushes are acknowledged, and nothing is made durable.
    lies: bool,
}

impl LocalBlobs {
    /// Files by their hash, those included that the node has let go of: for whoever watches.
    #[must_use]
    pub fn get(&self, hash: &Hash) -> Option<Vec<u8>> {
        let files = lock(&self.0);
        files.here.get(hash).or_else(|| files.gone.get(hash)).cloned()
    }

    /// Lets go of what nobody has needed or brought again for as long as `keep_us`, as the node does.
    pub fn sweep(&self, now_us: u64, keep_us: u64, is_needed: &dyn Fn(&Hash) -> bool) {
        let mut files = lock(&self.0);
        let Files { here, idle, gone, .. } = &mut *files;
        idle.retain(|hash, _| !is_needed(hash));
        for hash in here.keys().filter(|hash| !is_needed(hash)) {
            idle.entry(*hash).or_insert(now_us);
        }
        let over = idle.extract_if(.., |_, since| now_us.saturating_sub(*since) > keep_us);
        let over: Vec<Hash> = over.map(|(hash, _)| hash).collect();
        gone.extend(over.into_iter().filter_map(|hash| here.remove_entry(&hash)));
    }

    /// Lets the power fail while the `n`-th block from now is open that the node has answered in, counted
    /// from one.
    pub fn fail_block(&self, n: u64) {
        lock(&self.0).failing_in = Some(n);
    }

    /// From now on flushes are acknowledged, and nothing is made durable.
    pub fn lie(&self) {
        lock(&self.0).lies = true;
    }

    /// Makes outputs durable before a block goes out; `answered` if the block has answers of this node.
    ///
    /// # Errors
    ///
    /// [`PortError`] if that is to fail now.
    pub fn flush_block(&self, answered: bool) -> Result<(), PortError> {
        let mut files = lock(&self.0);
        if let Some(left) = files.failing_in.filter(|_| answered) {
            files.failing_in = (left > 1).then(|| left - 1);
            if left <= 1 {
                let source = "an injected failure".into();
                return Err(PortError { operation: "flushing outputs", source });
            }
        }
        if !files.lies {
            files.unflushed.clear();
        }
        Ok(())
    }

    /// The power is lost: what was not flushed is there or not, each by chance.
    fn lose_power(&self, random: &mut Random) -> u64 {
        let mut files = lock(&self.0);
        let Files { here, idle, unflushed, failing_in, .. } = &mut *files;
        let lost: Vec<Hash> = unflushed.iter().copied().filter(|_| random.chance(500)).collect();
        for hash in &lost {
            here.remove(hash);
            idle.remove(hash);
        }
        unflushed.clear();
        *failing_in = None;
        lost.len() as u64
    }

    fn mend(&self) {
        lock(&self.0).failing_in = None;
    }

    /// How many files the node has let go of.
    #[must_use]
    pub fn gone(&self) -> usize {
        lock(&self.0).gone.len()
    }
}

impl Blobs for LocalBlobs {
    /// Nothing is private in a simulation.
    fn local(&self, blob: &BlobRef, _of: &[Hash]) -> Result<Option<Vec<u8>>, PortError> {
        Ok(lock(&self.0).here.get(&blob.hash).cloned())
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), PortError> {
        let hash = BlobRef::of(bytes).hash;
        let mut files = lock(&self.0);
        files.idle.remove(&hash);
        files.unflushed.remove(&hash);
        files.here.insert(hash, bytes.to_vec());
        Ok(())
    }

    fn keep_outputs_unflushed(&self, outputs: &[Produced<'_>]) -> Result<(), PortError> {
        let mut files = lock(&self.0);
        for output in outputs {
            let hash = BlobRef::of(output.bytes).hash;
            files.idle.remove(&hash);
            if files.here.insert(hash, output.bytes.to_vec()).is_none() {
                files.unflushed.insert(hash);
            }
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), PortError> {
        self.flush_block(false)
    }

    /// Fetching is the simulated network's: this one asks nobody.
    fn fetch(
        &self,
        _blob: BlobRef,
        _from: EndpointId,
        _execution: Option<Hash>,
    ) -> BoxFuture<Option<Vec<u8>>> {
        Box::pin(std::future::ready(None))
    }
}

/// The observations that a node has acknowledged and the ledger has not decided about.
#[derive(Debug, Default)]
pub struct ObservationLog(Mutex<BTreeMap<Hash, Observe>>);

impl ObservationLog {
    /// All of them.
    #[must_use]
    pub fn recall(&self) -> Vec<Observe> {
        lock(&self.0).values().cloned().collect()
    }

    /// Adds one; durable when it returns.
    pub fn remember(&self, observe: &Observe) {
        lock(&self.0).insert(occurrence(observe), observe.clone());
    }

    /// Removes one.
    pub fn forget(&self, event: &Hash) {
        lock(&self.0).remove(event);
    }
}

/// Everything that a node keeps.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// The consensus log.
    pub log: LogFile,
    /// The chain.
    pub store: Arc<MemoryStore>,
    /// The worker's journal.
    pub journal: Arc<FaultyJournal>,
    /// Observations in line.
    pub observations: Arc<ObservationLog>,
    /// Files.
    pub blobs: Arc<LocalBlobs>,
}

impl Disk {
    /// An empty one: a new node, or one that has lost everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a restarted process finds. Returns how many unsynced sectors were lost.
    pub fn lose_power(&mut self, random: &mut Random) -> u64 {
        let lost = self.log.lose_power(random);
        self.store = Arc::new(self.store.lose_power());
        self.journal.mend();
        lost + self.blobs.lose_power(random)
    }

    /// Whatever was going to fail does not.
    pub fn mend(&self) {
        lock(&self.log.0).fail_at = None;
        self.journal.mend();
        self.blobs.mend();
        self.store.fail_write(u64::MAX, FailedWrite::Lost);
    }

    /// A later write of the store fails, and every one after it.
    pub fn fail_store(&self, n: u64, unacknowledged: bool) {
        let how = if unacknowledged { FailedWrite::Unacknowledged } else { FailedWrite::Lost };
        self.store.fail_write(n, how);
    }

    /// Turns a bit of a value in the state; false if there is none.
    pub fn rot_state(&self, random: &mut Random) -> bool {
        let Ok(entries) = self.store.range(&[], None, 10_000) else { return false };
        // The constant parameters are not read again: their rot shows at the next start only.
        let values: Vec<_> = entries.into_iter().filter(|(k, _)| k != keys::PARAMETERS).collect();
        let Some((key, mut value)) = random.pick(&values).cloned() else { return false };
        let place = random.place(value.len());
        let Some(byte) = value.get_mut(place) else { return false };
        *byte ^= 1 << random.below(8);
        self.store.corrupt(&key, Some(value));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_the_rest_by_sectors() {
        let mut file = LogFile::default();
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync(true).unwrap();
        file.write_at(&[2; 2048], 0).unwrap();
        let lost = file.lose_power(&mut Random::new(5));
        assert!((1..4).contains(&lost), "{lost} of four sectors");
        let mut read = [0; 2048];
        file.read_at(&mut read, 0).unwrap();
        for sector in read.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
        }
        assert_eq!(read.iter().filter(|byte| **byte == 1).count() as u64, lost * 512);
    }

    #[test]
    fn a_failed_sync_makes_nothing_durable() {
        let mut file = LogFile::default();
        file.fail_sync(1);
        file.write_at(&[7; 10], 0).unwrap();
        assert!(file.sync(true).is_err());
        let mut never = Random::new(0);
        while never.clone().chance(500) {
            never.number();
        }
        file.lose_power(&mut never);
        assert_eq!(file.written(), 0);
    }
}
