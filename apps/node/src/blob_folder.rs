//! A folder of blobs, each under a key that follows from its bytes.
//!
//! ```text
//!   put ──► large: temporary file ──fsync──► ab/cdef… ──fsync──► durable     get ──► read, compare
//!      └──► small: a shared log (small/), many behind one fsync                      the key
//! ```
//!
//! - Units: bytes.
//! - Errors: [`BlobError`]; a file whose bytes have another key is removed and counts as missing, so that
//!   it is fetched again from another node.
//! - Invariants: what is returned has the key that was asked for; all folders that share a [`Space`]
//!   never hold more than its limit.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use althing_types::Hash;

use crate::blob_log::{BlobLog, Lasts, SMALL_BYTES_MAX};
use crate::blobs::BlobError;
use crate::clock::{age, of_files};

/// A large blob younger than this need not be made young again.
const YOUNG: Duration = Duration::from_secs(600);
/// Where the small blobs are.
const SMALL: &str = "small";

/// What several folders may hold together.
#[derive(Debug)]
pub(crate) struct Space {
    limit: u64,
    used: AtomicU64,
}

impl Space {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// How much is in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn reserve(&self, length: u64) -> Result<(), BlobError> {
        if self.used.fetch_add(length, Ordering::Relaxed).saturating_add(length) > self.limit {
            self.used.fetch_sub(length, Ordering::Relaxed);
            return Err(BlobError::Full { limit: self.limit });
        }
        Ok(())
    }

    fn release(&self, length: u64) {
        let rest = |used: u64| Some(used.saturating_sub(length));
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).ok();
    }
}

/// A folder of blobs.
pub(crate) struct BlobFolder {
    folder: PathBuf,
    small: BlobLog,
    /// The key of some bytes.
    key_of: fn(&[u8]) -> Hash,
    space: Arc<Space>,
    temporary: AtomicU64,
    /// Held by who makes a large blob young, and by who removes an old one.
    ages: Mutex<()>,
}

impl BlobFolder {
    /// Opens or creates the folder; `apart` is a folder in it that is somebody else's.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the folder cannot be made or listed.
    pub(crate) fn open(
        folder: &Path,
        apart: &str,
        key_of: fn(&[u8]) -> Hash,
        space: Arc<Space>,
    ) -> Result<Self, BlobError> {
        let io = |operation| move |source| BlobError::Io { operation, source };
        fs::create_dir_all(folder).map_err(io("creating the folder of"))?;
        let (small, mut used) =
            BlobLog::open(&folder.join(SMALL), key_of).map_err(io("opening"))?;
        for entry in fs::read_dir(folder).map_err(io("listing"))? {
            let path = entry.map_err(io("listing"))?.path();
            if path.is_dir() {
                if path.ends_with(SMALL) || path.ends_with(apart) {
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
        space.used.fetch_add(used, Ordering::Relaxed);
        let (folder, temporary) = (folder.to_owned(), AtomicU64::new(0));
        Ok(Self { folder, small, key_of, space, temporary, ages: Mutex::default() })
    }

    /// Where a large blob is.
    pub(crate) fn path(&self, key: &Hash) -> PathBuf {
        let name = hex::encode(key.0);
        let (shelf, rest) = name.split_at(2);
        self.folder.join(shelf).join(rest)
    }

    /// Keeps several, each under its key, unless they are there. Small ones wait for the disk together, or
    /// not at all; large ones last when it returns.
    ///
    /// # Errors
    ///
    /// [`BlobError`] if they are too many or the disk refuses; some may be kept then.
    pub(crate) fn keep(&self, blobs: &[(Hash, &[u8])], lasts: Lasts) -> Result<(), BlobError> {
        let mut small = Vec::with_capacity(blobs.len());
        for (key, bytes) in blobs {
            if self.stays(key, bytes.len()) {
                continue;
            }
            if bytes.len() > SMALL_BYTES_MAX {
                self.keep_large(key, bytes)?;
            } else {
                small.push((*key, *bytes));
            }
        }
        small.sort_unstable_by_key(|(key, _)| *key);
        small.dedup_by_key(|(key, _)| *key);
        let length = small.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.space.reserve(length)?;
        self.small.keep(&small, lasts).map_err(|source| {
            self.space.release(length);
            BlobError::Io { operation: "writing", source }
        })
    }

    /// Makes durable whatever is here.
    pub(crate) fn flush(&self) -> Result<(), BlobError> {
        let flushed = self.small.flush();
        flushed.map_err(|source| BlobError::Io { operation: "flushing", source })
    }

    /// Whether a blob is there.
    pub(crate) fn has(&self, key: &Hash) -> bool {
        self.small.has(key) || self.path(key).exists()
    }

    /// Whether a blob of this length is there and stays for a while; a large one that is there becomes
    /// young.
    pub(crate) fn stays(&self, key: &Hash, length: usize) -> bool {
        if length <= SMALL_BYTES_MAX {
            return self.small.stays(key);
        }
        let path = self.path(key);
        let Ok(metadata) = fs::metadata(&path) else { return false };
        if metadata.modified().is_ok_and(|modified| age(modified) < YOUNG) {
            return true;
        }
        let _held = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        let file = File::options().append(true).open(&path);
        file.and_then(|file| file.set_modified(of_files())).is_ok()
    }

    fn keep_large(&self, key: &Hash, bytes: &[u8]) -> Result<(), BlobError> {
        let length = bytes.len() as u64;
        self.space.reserve(length)?;
        self.write(&self.path(key), bytes).map_err(|source| {
            self.space.release(length);
            BlobError::Io { operation: "writing", source }
        })
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("writing-{number}"));
        let written = self.write_as(&temporary, path, bytes);
        if written.is_err() {
            // Where the disk is full, every byte counts; what cannot be removed goes at the next start.
            fs::remove_file(&temporary).ok();
        }
        written
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

    /// Whether [`get`](Self::get) has a blob without waiting for the disk.
    pub(crate) fn at_hand(&self, key: &Hash) -> bool {
        self.small.at_hand(key)
    }

    /// The bytes with this key, if they are here and whole.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn get(&self, key: &Hash) -> Result<Option<Vec<u8>>, BlobError> {
        let reading = |source| BlobError::Io { operation: "reading", source };
        if let Some(bytes) = self.small.get(key).map_err(reading)? {
            return Ok(Some(bytes));
        }
        let path = self.path(key);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(reading(source)),
        };
        if (self.key_of)(&bytes) == *key {
            return Ok(Some(bytes));
        }
        tracing::warn!(%key, "a blob was corrupt and is removed");
        fs::remove_file(&path)
            .map_err(|source| BlobError::Io { operation: "removing a corrupt", source })?;
        self.space.release(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(None)
    }

    /// Visits the first `N` bytes of every blob that has as many, unchecked.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn heads<const N: usize>(
        &self,
        mut visit: impl FnMut(&[u8; N]),
    ) -> Result<(), BlobError> {
        let reading = |source| BlobError::Io { operation: "reading", source };
        self.small.heads(&mut visit).map_err(reading)?;
        self.files(&mut |_, path| {
            let mut head = [0; N];
            match File::open(path)?.read_exact(&mut head) {
                Ok(()) => visit(&head),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
            Ok(())
        })
        .map_err(reading)
    }

    /// Visits all large blobs.
    fn files(&self, visit: &mut dyn FnMut(&Hash, &Path) -> io::Result<()>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let folder = entry?.path();
            let Some(shelf) = folder.file_name().and_then(|name| name.to_str()) else { continue };
            if shelf.len() != 2 || !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let rest = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if let Ok(key) = format!("0x{shelf}{rest}").parse::<Hash>() {
                    visit(&key, &path)?;
                }
            }
        }
        Ok(())
    }

    /// Lets go of what nobody needs and nobody has kept for as long as `keep`, or for up to twice as
    /// long; returns how many bytes that were.
    ///
    /// Whatever is kept, or kept again, stays for half of that time at least.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn sweep(
        &self,
        keep: Duration,
        is_needed: &dyn Fn(&Hash) -> bool,
    ) -> Result<u64, BlobError> {
        let removing = |source| BlobError::Io { operation: "removing", source };
        let mut freed = self.small.sweep(keep, is_needed).map_err(removing)?;
        self.files(&mut |key, path| {
            if is_needed(key) {
                return Ok(());
            }
            let _held = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
            let metadata = fs::metadata(path)?;
            if age(metadata.modified()?) > keep {
                fs::remove_file(path)?;
                freed += metadata.len();
            }
            Ok(())
        })
        .map_err(removing)?;
        self.space.release(freed);
        Ok(freed)
    }
}
