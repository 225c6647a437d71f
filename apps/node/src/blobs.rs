//! Blobs on this node's disk: inputs, outputs, manifests and components, by the hash of their bytes.
//!
//! ```text
//!   open      given to whoever names the hash                              blobs/
//!   closed    given as a part of a private application that it belongs to  blobs/closed/
//! ```
//!
//! What is closed is kept under the application *and* the hash, with both in front of the bytes: naming a
//! hash in an application of one's own does not open what belongs to another. Two
//! applications that return the same bytes each have them.
//!
//! What the ledger does not ask for any more goes after a time ([`sweep`](BlobStore::sweep)).
//!
//! - Units: bytes.
//! - Errors: [`BlobError`].
//! - Invariants: what is returned hashes to what was asked for; both shelves together never hold
//!   more than their limit.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use althing_types::{BlobRef, Hash, keccak, tagged};

use crate::blob_folder::{BlobFolder, Space};
use crate::blob_log::Lasts;

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

/// Where the closed shelf is, in the folder of the open one.
const CLOSED: &str = "closed";
/// In front of closed bytes: the application and the hash.
const HEAD_BYTES: usize = 64;

/// Who may be given a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Whoever names its hash.
    Open,
    /// Whoever may know of this application: see [`privacy`](crate::privacy).
    Closed(Hash),
}

/// The blobs of a node.
pub(crate) struct BlobStore {
    open: BlobFolder,
    closed: BlobFolder,
    /// To which applications closed blobs belong, by their hash.
    owners: Mutex<HashMap<Hash, Owners>>,
    space: Arc<Space>,
}

/// The applications to which a blob belongs: one, with few exceptions.
struct Owners {
    first: Hash,
    others: Vec<Hash>,
}

impl Owners {
    fn iter(&self) -> impl Iterator<Item = Hash> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

fn add_owner(owners: &mut HashMap<Hash, Owners>, hash: Hash, application: Hash) {
    let of = owners.entry(hash).or_insert(Owners { first: application, others: Vec::new() });
    if of.iter().all(|known| known != application) {
        of.others.push(application);
    }
}

impl std::fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStore").field("space", &self.space).finish_non_exhaustive()
    }
}

/// Under what a closed blob is kept.
fn closed_key(application: &Hash, hash: &Hash) -> Hash {
    tagged("althing closed blob", &[&application.0, &hash.0])
}

fn head_of(head: &[u8; HEAD_BYTES]) -> (Hash, Hash) {
    let (mut application, mut hash) = ([0; 32], [0; 32]);
    let (front, back) = head.split_at(32);
    application.copy_from_slice(front);
    hash.copy_from_slice(back);
    (Hash(application), Hash(hash))
}

/// The key of a closed blob with its head; of what is damaged, one that nobody asks for.
fn key_of_closed(body: &[u8]) -> Hash {
    let Some((head, bytes)) = body.split_first_chunk::<HEAD_BYTES>() else { return Hash::ZERO };
    let (application, hash) = head_of(head);
    if keccak(&[bytes]) == hash { closed_key(&application, &hash) } else { Hash::ZERO }
}

impl BlobStore {
    /// Opens or creates the folder; `limit` bounds the bytes in it.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the folder cannot be made or listed.
    pub(crate) fn open(folder: &Path, limit: u64) -> Result<Self, BlobError> {
        let space = Arc::new(Space::new(limit));
        let open = BlobFolder::open(folder, CLOSED, |bytes| keccak(&[bytes]), space.clone())?;
        let closed = BlobFolder::open(&folder.join(CLOSED), CLOSED, key_of_closed, space.clone())?;
        let mut owners = HashMap::new();
        closed.heads(|head| {
            let (application, hash) = head_of(head);
            add_owner(&mut owners, hash, application);
        })?;
        Ok(Self { open, closed, owners: Mutex::new(owners), space })
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<Hash, Owners>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.shelve(Shelf::Open, blobs, Lasts::AtOnce)
    }

    /// As [`put_all`](Self::put_all), for whoever can put them again until they are flushed.
    ///
    /// # Errors
    ///
    /// As [`put_all`](Self::put_all).
    pub(crate) fn put_unflushed(&self, blobs: &[&[u8]]) -> Result<(), BlobError> {
        self.shelve(Shelf::Open, blobs, Lasts::OnceFlushed)
    }

    /// Makes durable whatever is here.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn flush(&self) -> Result<(), BlobError> {
        self.open.flush()?;
        self.closed.flush()
    }

    /// Keeps several. What is open is not closed by being kept again.
    ///
    /// # Errors
    ///
    /// [`BlobError`] if they are too many or the disk refuses; some may be kept then.
    pub(crate) fn shelve(
        &self,
        shelf: Shelf,
        blobs: &[&[u8]],
        lasts: Lasts,
    ) -> Result<(), BlobError> {
        if let Some(large) = blobs.iter().find(|bytes| bytes.len() > BLOB_BYTES_MAX) {
            return Err(BlobError::TooLarge { bytes: large.len() });
        }
        let named = || blobs.iter().map(|bytes| (BlobRef::of(bytes).hash, *bytes));
        let application = match shelf {
            Shelf::Open => return self.open.keep(&named().collect::<Vec<_>>(), lasts),
            Shelf::Closed(application) => application,
        };
        let with_head = |(hash, bytes): (Hash, &[u8])| {
            let body = [&application.0[..], &hash.0, bytes].concat();
            (hash, closed_key(&application, &hash), body)
        };
        let fresh: Vec<(Hash, Hash, Vec<u8>)> = named()
            .filter(|(hash, bytes)| !self.open.stays(hash, bytes.len()))
            .map(with_head)
            .collect();
        let bodies: Vec<(Hash, &[u8])> =
            fresh.iter().map(|(_, key, body)| (*key, body.as_slice())).collect();
        self.closed.keep(&bodies, lasts)?;
        if lasts == Lasts::AtOnce && fresh.len() < blobs.len() {
            self.open.flush()?; // the others are there, but perhaps not for long
        }
        let mut owners = self.owners();
        for (hash, _, _) in &fresh {
            add_owner(&mut owners, *hash, application);
        }
        Ok(())
    }

    /// Whether [`get_of`](Self::get_of) has a blob without waiting for the disk.
    pub(crate) fn at_hand(&self, applications: &[Hash], hash: &Hash) -> bool {
        let closed = |of: &Hash| self.closed.at_hand(&closed_key(of, hash));
        self.open.at_hand(hash) || applications.iter().any(closed)
    }

    /// The bytes that hash to `hash`, if they are here and whole: open, or as a part of one of these
    /// applications. Nothing else that is closed is looked at, for this node's own work neither.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] if the disk refuses.
    pub(crate) fn get_of(
        &self,
        applications: &[Hash],
        hash: &Hash,
    ) -> Result<Option<Vec<u8>>, BlobError> {
        for application in applications {
            if let Some(mut body) = self.closed.get(&closed_key(application, hash))? {
                return Ok(Some(body.split_off(HEAD_BYTES)));
            }
        }
        self.open.get(hash)
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
        let freed = self.open.sweep(keep, is_needed)?;
        let needed: BTreeSet<Hash> = {
            let owners = self.owners();
            let needed = owners.iter().filter(|(hash, _)| is_needed(hash));
            needed.flat_map(|(hash, of)| of.iter().map(|of| closed_key(&of, hash))).collect()
        };
        let freed = freed + self.closed.sweep(keep, &|key| needed.contains(key))?;
        let known: Vec<Hash> = self.owners().keys().copied().collect();
        for hash in known {
            let mut owners = self.owners();
            let Some(of) = owners.remove(&hash) else { continue };
            for application in of.iter() {
                if self.closed.has(&closed_key(&application, &hash)) {
                    add_owner(&mut owners, hash, application);
                }
            }
        }
        Ok(freed)
    }

    /// How many bytes are kept.
    pub(crate) fn used(&self) -> u64 {
        self.space.used()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::blob_log::SMALL_BYTES_MAX;

    fn store(limit: u64) -> (tempfile::TempDir, BlobStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&folder.path().join("blobs"), limit).unwrap();
        (folder, store)
    }

    #[test]
    fn what_was_put_is_got_and_survives_reopening() {
        let (folder, store) = store(1000);
        let blob = store.put(b"invoice").unwrap();
        assert_eq!(store.get_of(&[], &blob.hash).unwrap().as_deref(), Some(&b"invoice"[..]));
        let again = BlobStore::open(&folder.path().join("blobs"), 1000).unwrap();
        assert_eq!(again.get_of(&[], &blob.hash).unwrap().as_deref(), Some(&b"invoice"[..]));
        // The disk has the entry's head besides.
        assert_eq!(again.used(), 47);
    }

    #[test]
    fn a_flipped_byte_is_never_returned() {
        let (_folder, store) = store(100_000);
        let mut invoice = vec![b' '; SMALL_BYTES_MAX + 1];
        let blob = store.put(&invoice).unwrap();
        invoice[7] ^= 1;
        fs::write(store.open.path(&blob.hash), invoice).unwrap();
        assert_eq!(store.get_of(&[], &blob.hash).unwrap(), None);
        assert!(!store.open.path(&blob.hash).exists());
        assert_eq!(store.used(), 0, "it takes no place any more");
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let (_folder, store) = store(100_000);
        let invoice = vec![b' '; SMALL_BYTES_MAX + 1];
        let blob = BlobRef::of(&invoice);
        let shelf = store.open.path(&blob.hash).parent().unwrap().to_owned();
        let root = shelf.parent().unwrap().to_owned();
        let files =
            || -> BTreeSet<_> { fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).collect() };
        let before = files();
        fs::write(&shelf, b"in the way").unwrap();
        assert!(matches!(store.put(&invoice), Err(BlobError::Io { .. })));
        let left: Vec<_> = files().difference(&before).cloned().collect();
        assert_eq!(
            left,
            std::slice::from_ref(&shelf),
            "the bytes of a failed write would fill the disk"
        );
        assert_eq!(store.used(), 0);
        fs::remove_file(shelf).unwrap();
        assert_eq!(store.put(&invoice).unwrap(), blob);
    }

    #[test]
    fn what_is_closed_is_given_as_a_part_of_what_it_belongs_to_and_not_otherwise() {
        let (folder, store) = store(300_000);
        let (ours, theirs) = (Hash([1; 32]), Hash([2; 32]));
        let (small, large) = (b"a private invoice".to_vec(), vec![b' '; SMALL_BYTES_MAX + 1]);
        store.shelve(Shelf::Closed(ours), &[&small, &large], Lasts::AtOnce).unwrap();
        let again = BlobStore::open(&folder.path().join("blobs"), 300_000).unwrap();
        for (store, bytes) in
            [(&store, &small), (&again, &small), (&store, &large), (&again, &large)]
        {
            let hash = BlobRef::of(bytes).hash;
            assert_eq!(store.get_of(&[], &hash).unwrap(), None);
            assert_eq!(store.get_of(&[theirs], &hash).unwrap(), None);
            assert_eq!(store.get_of(&[theirs, ours], &hash).unwrap().as_ref(), Some(bytes));
            assert!(!store.at_hand(&[theirs], &hash), "not for the node's own work either");
        }
        // The same bytes may belong to both.
        let hash = BlobRef::of(&small).hash;
        again.shelve(Shelf::Closed(theirs), &[&small], Lasts::AtOnce).unwrap();
        assert!(again.at_hand(&[theirs], &hash));
        for application in [ours, theirs] {
            let found = again.get_of(&[application], &hash).unwrap();
            assert_eq!(found.as_ref(), Some(&small));
        }
        // Whoever brings the very same bytes knows them, and what is open is not closed again.
        again.put(&small).unwrap();
        again.shelve(Shelf::Closed(Hash([3; 32])), &[&small], Lasts::AtOnce).unwrap();
        assert_eq!(again.get_of(&[], &hash).unwrap(), Some(small));
        assert!(!again.closed.has(&closed_key(&Hash([3; 32]), &hash)));
    }

    #[test]
    fn a_closed_blob_that_was_changed_or_moved_is_never_returned() {
        let (_folder, store) = store(300_000);
        let (ours, theirs) = (Hash([1; 32]), Hash([2; 32]));
        let large = vec![b' '; SMALL_BYTES_MAX + 1];
        let hash = BlobRef::of(&large).hash;
        store.shelve(Shelf::Closed(ours), &[&large], Lasts::AtOnce).unwrap();
        let path = |application| store.closed.path(&closed_key(&application, &hash));
        fs::create_dir_all(path(theirs).parent().unwrap()).unwrap();
        fs::copy(path(ours), path(theirs)).unwrap();
        assert_eq!(store.get_of(&[theirs], &hash).unwrap(), None);
        let mut body = fs::read(path(ours)).unwrap();
        *body.last_mut().unwrap() ^= 1;
        fs::write(path(ours), body).unwrap();
        assert_eq!(store.get_of(&[ours], &hash).unwrap(), None);
        assert_eq!(store.get_of(&[], &hash).unwrap(), None);
    }

    #[test]
    fn what_goes_makes_room_and_what_is_needed_stays() {
        let (_folder, store) = store(1_000_000);
        let large = |n: u8| vec![n; SMALL_BYTES_MAX + 1];
        let (kept, over) = (store.put(&large(1)).unwrap(), store.put(&large(2)).unwrap());
        let closed = Shelf::Closed(Hash([1; 32]));
        store.shelve(closed, &[&large(3), b"small", b"needed"], Lasts::AtOnce).unwrap();
        let full = store.used();
        let needed = BlobRef::of(b"needed").hash;
        let is_needed = |hash: &Hash| *hash == kept.hash || *hash == needed;
        assert_eq!(store.sweep(Duration::from_secs(3600), &is_needed).unwrap(), 0);
        let mut freed = 0;
        for _ in 0..2 {
            freed += store.sweep(Duration::ZERO, &is_needed).unwrap();
        }
        let left = (large(1).len() + HEAD_BYTES + b"needed".len()) as u64;
        assert_eq!((freed, store.used()), (full - left, left));
        assert_eq!(
            store.get_of(&[Hash([1; 32])], &needed).unwrap().as_deref(),
            Some(&b"needed"[..])
        );
        assert_eq!(store.owners().keys().copied().collect::<Vec<_>>(), [needed]);
        assert_eq!(store.get_of(&[], &over.hash).unwrap(), None);
        assert_eq!(store.get_of(&[], &kept.hash).unwrap(), Some(large(1)));
        // Gone is not refused: it can be kept again.
        assert_eq!(store.put(&large(2)).unwrap(), over);
        assert_eq!(store.get_of(&[], &over.hash).unwrap(), Some(large(2)));
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
