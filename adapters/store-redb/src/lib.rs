//! The replica's durable storage: one redb file for what is committed, small logs for what is new.
//!
//! ```text
//!   commit ──┬──────► commits         overwritten in place, one fsync a height
//!            └──────► chain.redb      state, decided heights, archive, tip: one transaction a height,
//!                                     durable every 128 heights at the latest (a checkpoint)
//!   keep_proposal ──► proposals.{0,1} overwritten in place, one fsync a proposal, nothing on commit
//!
//!   open ──► tip ──► boot_tree: every value read, checked and hashed ──► compare the root
//! ```
//!
//! - Shapes: `state: key → value ‖ crc`, `decided: height → crc ‖ block length ‖ block ‖
//!   certificate`, `archive: kind ‖ id → record ‖ crc`, `meta: "tip", "format"`.
//! - Units: sizes in bytes.
//! - Errors: [`StoreError`]; the node stops on every one of them.
//! - Invariants: a height is durable as a whole or not at all. A value that was not written is never
//!   returned: redb verifies no page that it reads, so every record carries a checksum over its key
//!   and itself, and where redb stumbles over a broken page, that is [`StoreError::Corrupt`] too. A
//!   checksum finds rot, not forgery: against that, values are compared with the state tree.
//! - Limit: rot can hide a record, if it hits the keys by which redb finds it. A hidden state key shows
//!   in the root, a hidden block is missed by its height; a hidden record of the archive reads as
//!   `None`.
//! - Source: the port, [`althing_replica::store`]; `docs/adr/0002-state-tree.md` for the numbers.
//!   Checkpoints have two phases and record the allocator's state (`quick_repair`): opening after a
//!   crash takes milliseconds at any size. `docs/adr/0013-checkpoints.md` for the log of commits.

mod boot;
mod checkpoint;
mod commits;
mod error;
mod log;
mod record;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use althing_replica::store::{Archive, Commit, Decided, Store, StoreError, StoredProposal, Tip};
use althing_types::{Hash, Height};
use redb::backends::FileBackend;
use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    StorageBackend, TableDefinition,
};

use crate::checkpoint::{Checkpointer, Media};
use crate::commits::{Changes, CommitLog, HEIGHTS_MAX};
use crate::error::{corrupt, failed, guarded};
use crate::log::ProposalLog;

const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");
const DECIDED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("decided");
const ARCHIVE: TableDefinition<'_, &[u8; 33], &[u8]> = TableDefinition::new("archive");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// The layout of the tables. A change needs a new number.
const FORMAT: &[u8] = b"althing store 1";
/// Memory for redb's pages: about a million entries of state stay in it.
const CACHE_BYTES: usize = 512 << 20;

/// The logs beside redb.
#[derive(Debug)]
pub struct Logs {
    /// For heights between two checkpoints.
    pub commits: Box<dyn StorageBackend>,
    /// For proposals: the one in use, and the one that they move to.
    pub proposals: [Box<dyn StorageBackend>; 2],
    /// Heights from one checkpoint to the next; with 1 each is one.
    pub heights_max: u32,
}

/// One chain's durable storage on this node.
#[derive(Debug)]
pub struct RedbStore {
    /// Makes checkpoints beside the heights; without it each is a height's.
    checkpointer: Option<Checkpointer>,
    media: Arc<Media>,
    committed: RwLock<Committed>,
    log: Mutex<ProposalLog>,
    /// Keeps other processes out of the folder; let go last.
    _lock: Option<File>,
}

/// A database whose end cannot take the process down: redb writes when it is closed, and panics on a
/// broken page then too.
#[derive(Debug)]
struct Closing(Option<Database>);

impl std::ops::Deref for Closing {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.0.as_ref().expect("taken only when it is dropped")
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let database = self.0.take();
        // What is broken is told when it is read, or at the next start; nothing is lost by closing.
        let closed: Result<(), StoreError> = guarded("closing", || {
            drop(database);
            Ok(())
        });
        drop(closed);
    }
}

/// The last commit, open for reading.
struct Committed {
    tip: Option<Tip>,
    state: ReadOnlyTable<&'static [u8], &'static [u8]>,
    decided: ReadOnlyTable<u64, &'static [u8]>,
    archive: ReadOnlyTable<&'static [u8; 33], &'static [u8]>,
}

impl std::fmt::Debug for Committed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committed").field("tip", &self.tip).finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the store in a folder, which is made if it is missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Busy`] while another process has it open; [`StoreError::Corrupt`] if a file is
    /// not what this store wrote; [`StoreError::Io`] otherwise.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let io = |source: std::io::Error| failed("opening", source.into());
        fs::create_dir_all(folder).map_err(io)?;
        let lock = File::create(folder.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let database = |name: &str| {
            guarded("opening", || {
                let path = folder.join(name);
                let database = Builder::new().set_cache_size(CACHE_BYTES).create(path);
                let database = database.map_err(|error| failed("opening", error.into()))?;
                create_tables(&database).map_err(|error| failed("opening", error))?;
                Ok(database)
            })
        };
        if !folder.join("chain.redb").try_exists().map_err(io)? {
            // A crash while redb makes a file leaves one that it refuses: so the file gets its name
            // once it is whole.
            let new = folder.join("chain.redb.new");
            if new.try_exists().map_err(io)? {
                fs::remove_file(&new).map_err(io)?;
            }
            drop(database("chain.redb.new")?);
            fs::rename(&new, folder.join("chain.redb")).map_err(io)?;
        }
        let database = database("chain.redb")?;
        let log = |name: &str| -> Result<Box<dyn StorageBackend>, StoreError> {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(folder.join(name)).map_err(io)?;
            let backend =
                FileBackend::new(file).map_err(|error| failed("opening", error.into()))?;
            Ok(Box::new(backend))
        };
        let proposals = [log("proposals.0")?, log("proposals.1")?];
        let logs = Logs { commits: log("commits")?, proposals, heights_max: HEIGHTS_MAX };
        // New files must not be lost with the folder's entry.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        let mut store = Self::from_parts(database, logs, Some(lock))?;
        store.checkpointer = Some(Checkpointer::start(&store.media).map_err(io)?);
        Ok(store)
    }

    /// Opens a store on other media, such as a simulated disk. Whatever it writes it writes within a call.
    ///
    /// Unlike [`open`](Self::open), making a new store this way does not survive a loss of power.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn with_backends(chain: impl StorageBackend, logs: Logs) -> Result<Self, StoreError> {
        let database = guarded("opening", || {
            let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(chain);
            let database = database.map_err(|error| failed("opening", error.into()))?;
            create_tables(&database).map_err(|error| failed("opening", error))?;
            Ok(database)
        })?;
        Self::from_parts(database, logs, None)
    }

    fn from_parts(database: Database, logs: Logs, lock: Option<File>) -> Result<Self, StoreError> {
        let database = Closing(Some(database));
        guarded("opening", move || {
            let checkpoint = Committed::read(&database)?.tip.map(|tip| tip.height);
            let Logs { commits, proposals, heights_max } = logs;
            let (mut commits, missing) = CommitLog::open(commits, heights_max, checkpoint)?;
            let missing: Vec<Changes<'_>> =
                missing.iter().map(|changes| Changes::decode(changes)).collect::<Result<_, _>>()?;
            if !missing.is_empty() {
                let write = write(&database, &missing, Durability::Immediate);
                write.map_err(|error| failed("opening", error))?;
            }
            drop(missing);
            commits.restart();
            let committed = Committed::read(&database)?;
            let height = committed.tip.map(|tip| tip.height);
            let log = Mutex::new(ProposalLog::open(proposals, height)?);
            let media = Arc::new(Media::new(database, commits));
            let committed = RwLock::new(committed);
            Ok(Self { checkpointer: None, media, committed, log, _lock: lock })
        })
    }

    /// Makes a checkpoint if one is worth it. The thread of a store that was [`open`](Self::open)ed does so by
    /// itself. What it meets is the next commit's error.
    pub fn checkpoint(&self) {
        self.media.checkpoint();
    }

    fn view<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Committed) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        guarded(operation, || read(&committed))
    }
}

/// Takes heights into redb, in one transaction.
fn write(
    database: &Database,
    heights: &[Changes<'_>],
    durability: Durability,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability)?;
    transaction.set_quick_repair(matches!(durability, Durability::Immediate));
    for changes in heights {
        let mut state = transaction.open_table(STATE)?;
        let mut sealed = Vec::new();
        for (key, value) in &changes.writes {
            match value {
                Some(value) => {
                    record::seal(&[key], value, &mut sealed);
                    state.insert(*key, sealed.as_slice())?;
                }
                None => drop(state.remove(*key)?),
            }
        }
        let mut archive = transaction.open_table(ARCHIVE)?;
        for (key, value) in &changes.archive {
            record::seal(&[key], value, &mut sealed);
            archive.insert(key, sealed.as_slice())?;
        }
        let tip = &changes.tip;
        if tip.height > Height(0) {
            let decided = record::encode_decided(tip.height, changes.block, changes.certificate);
            transaction.open_table(DECIDED)?.insert(tip.height.0, decided.as_slice())?;
        }
        transaction.open_table(META)?.insert("tip", record::encode_tip(tip).as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

impl Store for RedbStore {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        self.view("reading the tip", |committed| Ok(committed.tip))
    }

    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.view("reading the state", |committed| {
            let sealed = committed
                .state
                .get(key)
                .map_err(|error| failed("reading the state", error.into()))?;
            sealed
                .map(|sealed| record::unseal(&[key], sealed.value()).map(<[u8]>::to_vec))
                .transpose()
        })
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let start = match after {
            Some(after) if after >= prefix => std::ops::Bound::Excluded(after),
            Some(_) | None => std::ops::Bound::Included(prefix),
        };
        let failed =
            |error: redb::StorageError| failed("reading a range of the state", error.into());
        self.view("reading a range of the state", |committed| {
            let range = committed.state.range::<&[u8]>((start, std::ops::Bound::Unbounded));
            let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for entry in range.map_err(failed)?.take(limit) {
                let (key, sealed) = entry.map_err(failed)?;
                let key = key.value();
                if !key.starts_with(prefix) {
                    break;
                }
                let value = record::unseal(&[key], sealed.value())?;
                if entries.last().is_some_and(|(last, _)| last.as_slice() >= key) {
                    return Err(corrupt("the keys of the state are out of order"));
                }
                entries.push((key.to_vec(), value.to_vec()));
            }
            Ok(entries)
        })
    }

    fn leaves(&self) -> Result<Vec<(Hash, Hash)>, StoreError> {
        self.view("reading the whole state", |committed| boot::leaves(&committed.state))
    }

    fn keep_proposal(&self, proposal: &StoredProposal) -> Result<(), StoreError> {
        if self.tip()?.is_some_and(|tip| proposal.height <= tip.height) {
            return Ok(());
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).append(proposal)
    }

    fn proposals(&self) -> Result<Vec<StoredProposal>, StoreError> {
        let mut proposals = self.log.lock().unwrap_or_else(PoisonError::into_inner).read_all()?;
        // One that was kept while its height was being committed is not above the tip any more.
        let tip = self.tip()?.map(|tip| tip.height);
        proposals.retain(|proposal| tip.is_none_or(|tip| proposal.height > tip));
        Ok(proposals)
    }

    fn commit(&self, commit: Commit<'_>) -> Result<(), StoreError> {
        let mut commits = self.media.commits()?;
        let height = commit.tip.height;
        if let Some(tip) = self.tip()?
            && tip.height.next() != height
        {
            let message = format!("height {height} does not follow height {}", tip.height);
            return Err(StoreError::Io { operation: "committing", source: message.into() });
        }
        let changes = Changes::from(&commit);
        let kept = commits.append(&changes)?;
        let durability = if kept { Durability::None } else { Durability::Immediate };
        guarded("committing", || {
            let written = write(&self.media.database, std::slice::from_ref(&changes), durability);
            written.map_err(|error| failed("committing", error))
        })?;
        if !kept {
            commits.restart();
        }
        let committed = guarded("committing", || Committed::read(&self.media.database))?;
        *self.committed.write().unwrap_or_else(PoisonError::into_inner) = committed;
        let wake = commits.is_half_full();
        drop(commits);
        if let (true, Some(checkpointer)) = (wake, &self.checkpointer) {
            checkpointer.wake();
        }
        self.log.lock().unwrap_or_else(PoisonError::into_inner).forget(height)
    }

    fn decided(&self, height: Height) -> Result<Option<Decided>, StoreError> {
        let failed = |error: redb::StorageError| failed("reading a block", error.into());
        self.view("reading a block", |committed| {
            if let Some(record) = committed.decided.get(height.0).map_err(failed)? {
                return record::decode_decided(height, record.value()).map(Some);
            }
            // A chain that began with a snapshot has no blocks before it.
            let first = committed.decided.first().map_err(failed)?.map(|(first, _)| first.value());
            let above = committed.tip.is_none_or(|tip| height > tip.height);
            if above || first.is_none_or(|first| height.0 < first) {
                return Ok(None);
            }
            Err(corrupt(format!("the block of height {height} is missing")))
        })
    }

    fn archived(&self, archive: Archive, id: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.view("reading the archive", |committed| {
            let key = archive_key(archive, id);
            let sealed = committed.archive.get(&key);
            let sealed = sealed.map_err(|error| failed("reading the archive", error.into()))?;
            sealed
                .map(|sealed| record::unseal(&[&key], sealed.value()).map(<[u8]>::to_vec))
                .transpose()
        })
    }
}

impl Committed {
    fn read(database: &Database) -> Result<Self, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let tip = meta.get("tip")?.map(|bytes| bytes.value().to_vec());
            let committed = Self {
                tip: None,
                state: transaction.open_table(STATE)?,
                decided: transaction.open_table(DECIDED)?,
                archive: transaction.open_table(ARCHIVE)?,
            };
            Ok((committed, tip))
        };
        let (committed, tip) = read().map_err(|error| failed("reading the tip", error))?;
        let tip = tip.map(|bytes| record::decode_tip(&bytes)).transpose()?;
        Ok(Self { tip, ..committed })
    }
}

fn archive_key(archive: Archive, id: &Hash) -> [u8; 33] {
    let mut key = [archive as u8; 33];
    key[1..].copy_from_slice(&id.0);
    key
}

/// Makes the tables of a new store, and refuses a file of another layout.
fn create_tables(database: &Database) -> Result<(), redb::Error> {
    let known = {
        let transaction = database.begin_read()?;
        match transaction.open_table(META) {
            Ok(meta) => meta.get("format")?.map(|format| format.value().to_vec()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(format) = known {
        if format == FORMAT {
            return Ok(());
        }
        return Err(redb::Error::Corrupted("a store of another format".to_owned()));
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(STATE)?;
    transaction.open_table(DECIDED)?;
    transaction.open_table(ARCHIVE)?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.commit()?;
    Ok(())
}
