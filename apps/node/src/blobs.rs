//! Blobs on this node's disk: inputs, outputs, manifests and components, by the hash of their bytes.
//!
//! ```text
//!   put ──► large: temporary file ──fsync──► blobs/ab/cdef… ──fsync──► durable     get ──► read, hash,
//!      └──► small: a shared log (blobs/small), many behind one fsync                      compare
//! ```
//!
//! What belongs to private applications has a shelf of its own (`blobs/closed`, laid out alike): on which
//! of the two a blob is says who may be given it, and survives whatever happens to the node.
//!
//! - Units: bytes.
//! - Errors: [`BlobError`]; a file whose bytes do not hash to its name is removed and counts as
//!   missing, so that it is fetched again from another node.
//! - Invariants: what is returned hashes to what was asked for; the folder never holds more than
//!   its limit.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use althing_types::{BlobRef, Hash, keccak};

use crate::blob_log::{BlobLog, SMALL_BYTES_MAX};

/// Largest blob in bytes: the largest component that the ledger admits.
pub(crate) const BLOB_BYTES_MAX: usize = 16 << 20;

/// Why a blob cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BlobError {
    /// The blob is larger than any blob may be.
    #[error("a blob of {bytes} bytes, at most {BLOB_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The node's space for blobs is used up.
    #[error("the node's space for blobs, {limit} bytes, is used up")]
    Full {
        /// The limit in bytes.
        limit: u64,
    },
    /// The disk refuses.
    #[error("{operation} a blob failed")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Where the small blobs of a shelf are.
const SMALL: &str = "small";
/// Where the closed shelf is, in the folder of the open one.
const CLOSED: &str = "closed";

/// Who may be given a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Whoever names its hash.
    Open,
    /// Whoever may know of what it belongs to: see [`privacy`](crate::privacy).
    Closed,
}

/// A folder of blobs.
pub(crate) struct BlobStore {
    open: Shelves,
    closed: Shelves,
    limit: u64,
    used: AtomicU64,
    temporary: AtomicU64,
}

/// The blobs of one shelf: large ones by their hash, small ones in a log.
struct Shelves {
    folder: PathBuf,
    small: BlobLog,
}

impl std::fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStore").field("folder", &self.open.folder).finish_non_exhaustive()
    }
}

impl Shelves {
    /// Opens or creates the folder; also tells how many bytes it has.
    fn open(folder: &Path) -> Result<(Self, u64), BlobError> {
        let io = |operation| move |source| BlobError::Io { operation, source };
        fs::create_dir_all(folder).map_err(io("creating the folder of"))?;
        let (small, mut used) = BlobLog::open(&folder.join(SMALL)).map_err(io("opening"))?;
        for entry in fs::read_dir(folder).map_err(io("listing"))? {
            let path = entry.map_err(io("listing"))?.path();
            if path.is_dir() {
                if path.ends_with(SMALL) || path.ends_with(CLOSED) {
                    continue;
                }
                for blob in fs::read_dir(&path).map_err(io("listing"))? {
                    used += blob.and_then(|blob| blob.metadata()).map_err(io("listing"))?.len();
                }
            } else {
                // What a crash left in the middle of a write.
                fs::remove_file(&path).map_err(io("removing the rest of"))?;
            }
        }
        Ok((Self { folder: folder.to_owned(), small }, used))
    }

    fn path(&self, hash: &Hash) -> PathBuf {
        let name = hex::encode(hash.0);
        let (shelf, rest) = name.split_at(2);
        self.folder.join(shelf).join(rest)
    }

    fn has(&self, hash: &Hash) -> bool {
        self.small.has(hash) || self.path(hash).exists()
    }

    fn write_as(&self, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        let shelf = path.parent().unwrap_or(&self.folder);
        if !shelf.is_dir() {
            fs::create_dir_all(shelf)?;
            File::open(&self.folder)?.sync_all()?;
        }
        fs::rename(temporary, path)?;
        // Bytes without a name are lost with the power.
        File::open(shelf)?.sync_all()
    }
}

impl BlobStore {
    /// Opens or creates the folder; `limit` bounds the bytes in it.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the folder cannot be made or listed.
    pub(crate) fn open(folder: &Path, limit: u64) -> Result<Self, BlobError> {
        let (open, used) = Shelves::open(folder)?;
        let (closed, used_closed) = Shelves::open(&folder.join(CLOSED))?;
        let (used, temporary) = (AtomicU64::new(used + used_closed), AtomicU64::new(0));
        Ok(Self { open, closed, limit, used, temporary })
    }

    /// Keeps bytes on the open shelf; durable when it returns.
    ///
    /// # Errors
    ///
    /// [`BlobError`] if they are too many or the disk refuses.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<BlobRef, BlobError> {
        self.put_all(&[bytes])?;
        Ok(BlobRef::of(bytes))
    }

    /// Keeps several on the open shelf; durable when it returns.
    ///
    /// # Errors
    ///
    /// [`BlobError`] if they are too many or the disk refuses; some may be kept then.
    pub(crate) fn put_all(&self, blobs: &[&[u8]]) -> Result<(), BlobError> {
        self.shelve(Shelf::Open, blobs)
    }

    /// Keeps several; durable when it returns. Small ones wait for the disk together. What is on the
    /// open shelf is not closed by being kept again.
    ///
    /// # Errors
    ///
    /// [`BlobError`] if they are too many or the disk refuses; some may be kept then.
    pub(crate) fn shelve(&self, shelf: Shelf, blobs: &[&[u8]]) -> Result<(), BlobError> {
        let shelves = self.shelves(shelf);
        let mut small = Vec::new();
        for bytes in blobs {
            if bytes.len() > BLOB_BYTES_MAX {
                return Err(BlobError::TooLarge { bytes: bytes.len() });
            }
            let hash = BlobRef::of(bytes).hash;
            if self.open.has(&hash) || (shelf == Shelf::Closed && shelves.has(&hash)) {
                continue;
            }
            if bytes.len() > SMALL_BYTES_MAX {
                self.put_large(shelves, &hash, bytes)?;
            } else {
                small.push((hash, *bytes));
            }
        }
        small.sort_unstable_by_key(|(hash, _)| *hash);
        small.dedup_by_key(|(hash, _)| *hash);
        let length = small.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.reserve(length)?;
        shelves.small.keep(&small).map_err(|source| {
            self.used.fetch_sub(length, Ordering::Relaxed);
            BlobError::Io { operation: "writing", source }
        })
    }

    const fn shelves(&self, shelf: Shelf) -> &Shelves {
        match shelf {
            Shelf::Open => &self.open,
            Shelf::Closed => &self.closed,
        }
    }

    fn reserve(&self, length: u64) -> Result<(), BlobError> {
        if self.used.fetch_add(length, Ordering::Relaxed).saturating_add(length) > self.limit {
            self.used.fetch_sub(length, Ordering::Relaxed);
            return Err(BlobError::Full { limit: self.limit });
        }
        Ok(())
    }

    fn put_large(&self, shelves: &Shelves, hash: &Hash, bytes: &[u8]) -> Result<(), BlobError> {
        let length = bytes.len() as u64;
        self.reserve(length)?;
        self.write(shelves, &shelves.path(hash), bytes).map_err(|source| {
            self.used.fetch_sub(length, Ordering::Relaxed);
            BlobError::Io { operation: "writing", source }
        })
    }

    /// Whether [`get`](Self::get) has a blob without waiting for the disk.
    pub(crate) fn at_hand(&self, hash: &Hash) -> bool {
        self.open.small.at_hand(hash) || self.closed.small.at_hand(hash)
    }

    fn write(&self, shelves: &Shelves, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = shelves.folder.join(format!("writing-{number}"));
        let written = shelves.write_as(&temporary, path, bytes);
        if written.is_err() {
            // Where the disk is full, every byte counts; what cannot be removed goes at the next start.
            fs::remove_file(&temporary).ok();
        }
        written
    }

    /// The bytes that hash to `hash`, if they are here and whole, on whichever shelf.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn get(&self, hash: &Hash) -> Result<Option<Vec<u8>>, BlobError> {
        match self.get_from(Shelf::Open, hash)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.get_from(Shelf::Closed, hash),
        }
    }

    /// As [`get`](Self::get), from one shelf.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn get_from(&self, shelf: Shelf, hash: &Hash) -> Result<Option<Vec<u8>>, BlobError> {
        let shelves = self.shelves(shelf);
        let reading = |source| BlobError::Io { operation: "reading", source };
        if let Some(bytes) = shelves.small.get(hash).map_err(reading)? {
            return Ok(Some(bytes));
        }
        let path = shelves.path(hash);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(reading(source)),
        };
        if keccak(&[&bytes]) == *hash {
            return Ok(Some(bytes));
        }
        tracing::warn!(%hash, "a blob was corrupt and is removed");
        fs::remove_file(&path)
            .map_err(|source| BlobError::Io { operation: "removing a corrupt", source })?;
        self.release(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(None)
    }

    fn release(&self, length: u64) {
        let rest = |used: u64| Some(used.saturating_sub(length));
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(limit: u64) -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&folder.path().join("blobs"), limit).unwrap();
        (folder, store)
    }

    #[test]
    fn what_was_put_is_got_and_survives_reopening() {
        let (folder, store) = store(1000);
        let blob = store.put(b"invoice").unwrap();
        assert_eq!(store.get(&blob.hash).unwrap().as_deref(), Some(&b"invoice"[..]));
        let again = BlobStore::open(&folder.path().join("blobs"), 1000).unwrap();
        assert_eq!(again.get(&blob.hash).unwrap().as_deref(), Some(&b"invoice"[..]));
        // The disk has the entry's head besides.
        assert_eq!(again.used.load(Ordering::Relaxed), 47);
    }

    #[test]
    fn a_flipped_byte_is_never_returned() {
        let (_folder, store) = store(100_000);
        let mut invoice = vec![b' '; SMALL_BYTES_MAX + 1];
        let blob = store.put(&invoice).unwrap();
        invoice[7] ^= 1;
        fs::write(store.open.path(&blob.hash), invoice).unwrap();
        assert_eq!(store.get(&blob.hash).unwrap(), None);
        assert!(!store.open.path(&blob.hash).exists());
        assert_eq!(store.used.load(Ordering::Relaxed), 0, "it takes no place any more");
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let (_folder, store) = store(100_000);
        let invoice = vec![b' '; SMALL_BYTES_MAX + 1];
        let blob = BlobRef::of(&invoice);
        let shelf = store.open.path(&blob.hash).parent().unwrap().to_owned();
        let files = || -> std::collections::BTreeSet<_> {
            fs::read_dir(&store.open.folder).unwrap().map(|e| e.unwrap().path()).collect()
        };
        let before = files();
        fs::write(&shelf, b"in the way").unwrap();
        assert!(matches!(store.put(&invoice), Err(BlobError::Io { .. })));
        let left: Vec<_> = files().difference(&before).cloned().collect();
        assert_eq!(
            left,
            std::slice::from_ref(&shelf),
            "the bytes of a failed write would fill the disk"
        );
        assert_eq!(store.used.load(Ordering::Relaxed), 0);
        fs::remove_file(shelf).unwrap();
        assert_eq!(store.put(&invoice).unwrap(), blob);
    }

    #[test]
    fn what_is_closed_is_given_to_nobody_who_only_names_it() {
        let (folder, store) = store(100_000);
        let (small, large) = (b"a private invoice".to_vec(), vec![b' '; SMALL_BYTES_MAX + 1]);
        store.shelve(Shelf::Closed, &[&small, &large]).unwrap();
        let again = BlobStore::open(&folder.path().join("blobs"), 100_000).unwrap();
        for (store, bytes) in
            [(&store, &small), (&again, &small), (&store, &large), (&again, &large)]
        {
            let hash = BlobRef::of(bytes).hash;
            assert_eq!(store.get_from(Shelf::Open, &hash).unwrap(), None);
            assert_eq!(store.get_from(Shelf::Closed, &hash).unwrap().as_ref(), Some(bytes));
            assert_eq!(store.get(&hash).unwrap().as_ref(), Some(bytes));
        }
        // Whoever brings the very same bytes knows them, and what is open is not closed again.
        let blob = again.put(&small).unwrap();
        again.shelve(Shelf::Closed, &[&small]).unwrap();
        assert_eq!(again.get_from(Shelf::Open, &blob.hash).unwrap(), Some(small));
    }

    #[test]
    fn the_limit_holds_and_equal_blobs_count_once() {
        let (_folder, store) = store(10);
        store.put(b"12345678").unwrap();
        store.put(b"12345678").unwrap();
        assert!(matches!(store.put(b"abc"), Err(BlobError::Full { limit: 10 })));
        store.put(b"ab").unwrap();
        let large = vec![0; BLOB_BYTES_MAX + 1];
        assert!(matches!(store.put(&large), Err(BlobError::TooLarge { .. })));
    }
}
