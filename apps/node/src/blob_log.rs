//! Small blobs, many to a file: all that are kept together wait for the disk once.
//!
//! ```text
//!   segment-00000007:  key (32) · length (4) · CRC-32 of both (4) · bytes   …one entry after another
//!   in memory:         key → segment, place, length;   the newest bytes
//! ```
//!
//! A segment whose last entry is old goes as a whole: what is still needed of it is written again, unless
//! that is most of it.
//!
//! - Units: bytes.
//! - Errors: [`io::Error`]; after a failed write or sync nothing more is kept until the next start,
//!   because nobody knows what the disk has.
//! - Invariants: what `keep` returned for survives a power loss; what is returned has the key that was
//!   asked for. The start reads entries' heads, not their bytes: bytes are checked when they are read.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use althing_types::Hash;

use crate::clock::{age, of_files};

/// Largest blob that is kept here.
pub(crate) const SMALL_BYTES_MAX: usize = 64 << 10;
/// A new segment is begun when the last one has this many bytes.
const SEGMENT_BYTES: u64 = 64 << 20;
/// How many bytes of the newest blobs are kept in memory.
const RECENT_BYTES_MAX: usize = 64 << 20;
const HEAD_BYTES: usize = 40;

#[derive(Clone, Copy)]
struct Place {
    segment: u32,
    /// Of the bytes, behind the head.
    offset: u64,
    length: u32,
}

/// The newest blobs, in memory.
#[derive(Default)]
struct Recent {
    by_hash: HashMap<Hash, Arc<[u8]>>,
    by_age: VecDeque<Hash>,
    bytes: usize,
}

impl Recent {
    fn add(&mut self, hash: Hash, bytes: Arc<[u8]>) {
        self.bytes += bytes.len();
        if self.by_hash.insert(hash, bytes).is_none() {
            self.by_age.push_back(hash);
        }
        while self.bytes > RECENT_BYTES_MAX {
            let Some(oldest) = self.by_age.pop_front() else { break };
            let length = self.by_hash.remove(&oldest).map_or(0, |bytes| bytes.len());
            self.bytes = self.bytes.saturating_sub(length);
        }
    }

    fn remove(&mut self, hashes: impl Iterator<Item = Hash>) {
        for hash in hashes {
            let length = self.by_hash.remove(&hash).map_or(0, |bytes| bytes.len());
            self.bytes = self.bytes.saturating_sub(length);
        }
        self.by_age.retain(|hash| self.by_hash.contains_key(hash));
    }
}

struct State {
    places: HashMap<Hash, Place>,
    recent: Recent,
    /// Segments that go soon: what is kept again is written again.
    aging: BTreeSet<u32>,
}

struct Writer {
    segment: u32,
    file: File,
    /// Length of the file.
    end: u64,
    /// How much of it survives a loss of power.
    flushed: u64,
    /// When the file was begun.
    begun: SystemTime,
    failed: bool,
}

impl Writer {
    /// Goes on in a new segment.
    fn turn(&mut self, folder: &Path) -> io::Result<()> {
        self.flush()?;
        let segment = self.segment + 1;
        let file = File::create_new(segment_path(folder, segment))?;
        File::open(folder)?.sync_all()?;
        *self = Self { segment, file, end: 0, flushed: 0, begun: of_files(), failed: false };
        Ok(())
    }

    /// Writes bytes behind all others, and forgets them.
    fn add(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.end += bytes.len() as u64;
        bytes.clear();
        Ok(())
    }

    /// Makes durable what was written.
    fn flush(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        if self.flushed < self.end {
            let synced = self.file.sync_data();
            self.failed = synced.is_err();
            synced?;
            self.flushed = self.end;
        }
        Ok(())
    }
}

/// Since when what is kept survives a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// When the call returns.
    AtOnce,
    /// When what is here was flushed, or something that lasts at once is kept. Until then whoever names
    /// it must be able to keep it again.
    OnceFlushed,
}

/// What may be lost with the power: one that is longer than all the rest may be is alone.
const UNFLUSHED_BYTES_MAX: u64 = 1 << 20;
/// What is looked at as a whole after a start.
const DOUBTFUL_BYTES: u64 = UNFLUSHED_BYTES_MAX + (HEAD_BYTES + SMALL_BYTES_MAX) as u64;

/// A folder of segments.
pub(crate) struct BlobLog {
    folder: PathBuf,
    /// The key of some bytes.
    key_of: fn(&[u8]) -> Hash,
    state: Mutex<State>,
    writer: Mutex<Writer>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn segment_path(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("segment-{segment:08}"))
}

/// The segments of a folder, oldest first.
fn segments(folder: &Path) -> io::Result<Vec<u32>> {
    let mut segments = Vec::new();
    for found in fs::read_dir(folder)? {
        let name = found?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("segment-"));
        segments.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    segments.sort_unstable();
    Ok(segments)
}

fn head(hash: &Hash, length: u32) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let (named, check) = head.split_at_mut(36);
    named[..32].copy_from_slice(&hash.0);
    named[32..].copy_from_slice(&length.to_be_bytes());
    check.copy_from_slice(&crc32fast::hash(named).to_be_bytes());
    head
}

/// The entry that a head names; `None` if it is no head.
fn entry(bytes: &[u8; HEAD_BYTES]) -> Option<(Hash, u32)> {
    let hash = Hash(*bytes.first_chunk()?);
    let length = u32::from_be_bytes(*bytes.get(32..)?.first_chunk()?);
    (head(&hash, length) == *bytes && length as usize <= SMALL_BYTES_MAX).then_some((hash, length))
}

/// Reads the heads of a segment, and returns where its whole entries end. What a loss of power may have
/// spoiled is read as a whole: a head may have lasted without what it names.
fn index(
    path: &Path,
    segment: u32,
    key_of: fn(&[u8]) -> Hash,
    places: &mut HashMap<Hash, Place>,
) -> io::Result<u64> {
    let file = File::open(path)?;
    let length_of_file = file.metadata()?.len();
    let doubtful_from = length_of_file.saturating_sub(DOUBTFUL_BYTES);
    let mut reader = BufReader::with_capacity(256 << 10, file);
    let (mut place, mut bytes) = (0, [0; HEAD_BYTES]);
    loop {
        match reader.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(place),
            Err(error) => return Err(error),
        }
        let Some((hash, length)) = entry(&bytes) else { return Ok(place) };
        let offset = place + HEAD_BYTES as u64;
        let end = offset + u64::from(length);
        if end > length_of_file {
            return Ok(place);
        }
        if place < doubtful_from {
            reader.seek_relative(i64::from(length))?;
        } else {
            let mut body = vec![0; length as usize];
            reader.read_exact(&mut body)?;
            if key_of(&body) != hash {
                return Ok(place);
            }
        }
        places.insert(hash, Place { segment, offset, length });
        place = end;
    }
}

impl BlobLog {
    /// Opens or creates the folder; also tells how many bytes it has.
    pub(crate) fn open(folder: &Path, key_of: fn(&[u8]) -> Hash) -> io::Result<(Self, u64)> {
        fs::create_dir_all(folder)?;
        let segments = segments(folder)?;
        let (mut places, mut used, mut end) = (HashMap::new(), 0, 0);
        for segment in &segments {
            end = index(&segment_path(folder, *segment), *segment, key_of, &mut places)?;
            used += end;
        }
        let segment = segments.last().copied().unwrap_or_default();
        let path = segment_path(folder, segment);
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // What a crash left half written.
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        File::open(folder)?.sync_all()?;
        let metadata = file.metadata()?;
        let begun = metadata.created().or_else(|_| metadata.modified())?;
        let writer = Mutex::new(Writer { segment, file, end, flushed: 0, begun, failed: false });
        let (recent, aging) = (Recent::default(), BTreeSet::new());
        let state = Mutex::new(State { places, recent, aging });
        Ok((Self { folder: folder.to_owned(), key_of, state, writer }, used))
    }

    /// Whether a blob is here.
    pub(crate) fn has(&self, hash: &Hash) -> bool {
        lock(&self.state).places.contains_key(hash)
    }

    /// Whether a blob is here and stays for a while.
    pub(crate) fn stays(&self, hash: &Hash) -> bool {
        let state = lock(&self.state);
        state.places.get(hash).is_some_and(|place| !state.aging.contains(&place.segment))
    }

    /// Lets go of segments to which nothing was added for as long as `keep`, except for what is
    /// needed; returns how many bytes of blobs that were. A segment goes at the earliest with the
    /// second call after half of that time, so that what is kept again in between is written again.
    pub(crate) fn sweep(
        &self,
        keep: Duration,
        is_needed: &dyn Fn(&Hash) -> bool,
    ) -> io::Result<u64> {
        let current = {
            let mut writer = lock(&self.writer);
            if writer.end > 0 && age(writer.begun) > keep {
                writer.turn(&self.folder)?;
            }
            writer.segment
        };
        let (mut aging, mut old) = (BTreeSet::new(), Vec::new());
        for segment in segments(&self.folder)?.into_iter().filter(|segment| *segment < current) {
            let age = age(fs::metadata(segment_path(&self.folder, segment))?.modified()?);
            if age > keep / 2 {
                aging.insert(segment);
            }
            if age > keep {
                old.push(segment);
            }
        }
        let known = std::mem::replace(&mut lock(&self.state).aging, aging);
        let mut freed = 0;
        for segment in old.into_iter().filter(|segment| known.contains(segment)) {
            freed += self.retire(segment, is_needed)?;
        }
        Ok(freed)
    }

    /// Removes a segment, having written again what is needed of it.
    fn retire(&self, segment: u32, is_needed: &dyn Fn(&Hash) -> bool) -> io::Result<u64> {
        let length = |hashes: &[(Hash, u32)]| -> u64 {
            hashes.iter().map(|(_, length)| u64::from(*length)).sum()
        };
        let entries: Vec<(Hash, u32)> = {
            let state = lock(&self.state);
            let here = state.places.iter().filter(|(_, place)| place.segment == segment);
            here.map(|(hash, place)| (*hash, place.length)).collect()
        };
        let (needed, over): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(hash, _)| is_needed(hash));
        let path = segment_path(&self.folder, segment);
        if length(&needed).saturating_mul(2) > fs::metadata(&path)?.len() {
            return Ok(0);
        }
        for (hash, _) in &needed {
            if let Some(bytes) = self.get(hash)? {
                self.keep(&[(*hash, &bytes)], Lasts::AtOnce)?;
            }
        }
        {
            let mut state = lock(&self.state);
            // What was kept again meanwhile is elsewhere now.
            let here =
                |hash: &Hash| state.places.get(hash).is_some_and(|place| place.segment == segment);
            let gone: Vec<Hash> = over.iter().map(|(hash, _)| *hash).filter(here).collect();
            for hash in &gone {
                state.places.remove(hash);
            }
            state.recent.remove(gone.into_iter());
            state.aging.remove(&segment);
        }
        fs::remove_file(&path)?;
        Ok(length(&over))
    }

    /// Visits the first `N` bytes of every blob that has as many, unchecked.
    pub(crate) fn heads<const N: usize>(&self, visit: &mut impl FnMut(&[u8; N])) -> io::Result<()> {
        let mut places: Vec<Place> = lock(&self.state).places.values().copied().collect();
        places.retain(|place| place.length as usize >= N);
        places.sort_unstable_by_key(|place| (place.segment, place.offset));
        let mut open: Option<(u32, File)> = None;
        for Place { segment, offset, .. } in places {
            if open.as_ref().is_none_or(|(known, _)| *known != segment) {
                open = Some((segment, File::open(segment_path(&self.folder, segment))?));
            }
            let Some((_, file)) = &mut open else { continue };
            let mut head = [0; N];
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(&mut head)?;
            visit(&head);
        }
        Ok(())
    }

    /// Whether a blob is in memory.
    pub(crate) fn at_hand(&self, hash: &Hash) -> bool {
        lock(&self.state).recent.by_hash.contains_key(hash)
    }

    /// Keeps blobs, each with its hash, none of them large.
    pub(crate) fn keep(&self, blobs: &[(Hash, &[u8])], lasts: Lasts) -> io::Result<()> {
        let mut writer = lock(&self.writer);
        if writer.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        let written = self.write(&mut writer, blobs);
        writer.failed |= written.is_err();
        let places = written?;
        match lasts {
            // What was there already may not have been flushed either.
            Lasts::AtOnce => writer.flush()?,
            Lasts::OnceFlushed => {}
        }
        let segment = writer.segment;
        drop(writer);
        let mut state = lock(&self.state);
        for ((hash, bytes), (offset, length)) in blobs.iter().zip(places) {
            state.places.insert(*hash, Place { segment, offset, length });
            state.recent.add(*hash, (*bytes).into());
        }
        Ok(())
    }

    /// Makes durable whatever is here.
    pub(crate) fn flush(&self) -> io::Result<()> {
        lock(&self.writer).flush()
    }

    /// Adds blobs, those with few bytes in one go.
    fn write(&self, writer: &mut Writer, blobs: &[(Hash, &[u8])]) -> io::Result<Vec<(u64, u32)>> {
        if !blobs.is_empty() && writer.end >= SEGMENT_BYTES {
            writer.turn(&self.folder)?;
        }
        let mut together = Vec::new();
        let mut places = Vec::with_capacity(blobs.len());
        for (hash, bytes) in blobs {
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            let unflushed = writer.end - writer.flushed + together.len() as u64;
            if unflushed + HEAD_BYTES as u64 + u64::from(length) > UNFLUSHED_BYTES_MAX {
                writer.add(&mut together)?;
                writer.flush()?;
            }
            together.extend_from_slice(&head(hash, length));
            places.push((writer.end + together.len() as u64, length));
            together.extend_from_slice(bytes);
        }
        writer.add(&mut together)?;
        Ok(places)
    }

    /// The bytes that hash to `hash`, if they are here and whole.
    pub(crate) fn get(&self, hash: &Hash) -> io::Result<Option<Vec<u8>>> {
        let place = {
            let state = lock(&self.state);
            if let Some(bytes) = state.recent.by_hash.get(hash) {
                return Ok(Some(bytes.to_vec()));
            }
            let Some(place) = state.places.get(hash) else { return Ok(None) };
            *place
        };
        let mut file = match File::open(segment_path(&self.folder, place.segment)) {
            Ok(file) => file,
            // Swept between the look and the reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(place.offset))?;
        let mut bytes = vec![0; place.length as usize];
        file.read_exact(&mut bytes)?;
        if (self.key_of)(&bytes) == *hash {
            lock(&self.state).recent.add(*hash, bytes.as_slice().into());
            return Ok(Some(bytes));
        }
        tracing::warn!(%hash, "a blob was corrupt and is forgotten");
        lock(&self.state).places.remove(hash);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use althing_types::BlobRef;

    use super::*;

    fn key_of(bytes: &[u8]) -> Hash {
        BlobRef::of(bytes).hash
    }

    fn named(bytes: &[u8]) -> (Hash, &[u8]) {
        (BlobRef::of(bytes).hash, bytes)
    }

    #[test]
    fn what_was_kept_survives_and_a_torn_end_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let (log, used) = BlobLog::open(folder.path(), key_of).unwrap();
        assert_eq!(used, 0);
        let (first, second) = (named(b"first"), named(b"second"));
        log.keep(&[first], Lasts::AtOnce).unwrap();
        log.keep(&[second], Lasts::AtOnce).unwrap();
        drop(log);
        let path = segment_path(folder.path(), 0);
        let whole = fs::read(&path).unwrap();
        for cut in 1..(HEAD_BYTES + 6) {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (log, used) = BlobLog::open(folder.path(), key_of).unwrap();
            assert_eq!(used, (HEAD_BYTES + 5) as u64);
            assert_eq!(log.get(&first.0).unwrap().as_deref(), Some(first.1));
            assert_eq!(log.get(&second.0).unwrap(), None);
        }
        // And what is kept afterwards is found behind what is whole.
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        log.keep(&[second], Lasts::AtOnce).unwrap();
        drop(log);
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        assert!(!log.at_hand(&second.0) && log.has(&second.0));
        assert_eq!(log.get(&second.0).unwrap().as_deref(), Some(second.1));
        assert!(log.at_hand(&second.0));
    }

    #[test]
    fn a_flipped_byte_is_never_returned() {
        let folder = tempfile::tempdir().unwrap();
        let blob = named(b"invoice");
        BlobLog::open(folder.path(), key_of).unwrap().0.keep(&[blob], Lasts::AtOnce).unwrap();
        let path = segment_path(folder.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        assert_eq!(log.get(&blob.0).unwrap(), None);
        assert!(!log.has(&blob.0));
    }

    #[test]
    fn what_nobody_needs_any_more_goes_and_what_is_needed_or_kept_again_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        let old: Vec<Vec<u8>> = (0..9).map(|n| vec![n; 100]).collect();
        let old: Vec<(Hash, &[u8])> = old.iter().map(|bytes| named(bytes)).collect();
        log.keep(&old, Lasts::AtOnce).unwrap();
        let is_needed = |hash: &Hash| *hash == old[1].0;
        // The first look is for what will go: whoever keeps it again has it written again.
        assert_eq!(log.sweep(Duration::ZERO, &is_needed).unwrap(), 0);
        assert!(old.iter().all(|(hash, _)| log.has(hash) && !log.stays(hash)));
        log.keep(&old[2..3], Lasts::AtOnce).unwrap();
        assert_eq!(log.sweep(Duration::ZERO, &is_needed).unwrap(), 700);
        let left = |log: &BlobLog| -> Vec<usize> {
            (0..9).filter(|n| log.get(&old[*n].0).unwrap().as_deref() == Some(old[*n].1)).collect()
        };
        assert_eq!(left(&log), [1, 2]);
        assert!(!segment_path(folder.path(), 0).exists());
        drop(log);
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        assert_eq!(left(&log), [1, 2]);
        // Where most is needed, nothing is gained.
        assert_eq!(log.sweep(Duration::ZERO, &|_| true).unwrap(), 0);
        assert_eq!(log.sweep(Duration::ZERO, &|_| true).unwrap(), 0);
        assert_eq!(left(&log), [1, 2]);
        // And what is young is not looked at.
        let day = Duration::from_secs(86_400);
        assert_eq!(log.sweep(day, &|_| false).unwrap(), 0);
        assert_eq!(left(&log), [1, 2]);
    }

    #[test]
    fn memory_holds_the_newest_within_its_bound() {
        let mut recent = Recent::default();
        let count = RECENT_BYTES_MAX / SMALL_BYTES_MAX + 3;
        for number in 0..count {
            let mut hash = Hash::ZERO;
            hash.0[..8].copy_from_slice(&number.to_be_bytes());
            recent.add(hash, vec![0; SMALL_BYTES_MAX].into());
        }
        assert_eq!(recent.by_hash.len(), RECENT_BYTES_MAX / SMALL_BYTES_MAX);
        assert!(!recent.by_hash.contains_key(&Hash::ZERO));
    }

    #[test]
    fn what_is_not_flushed_is_there_and_is_flushed_with_whatever_lasts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        let unflushed = |log: &BlobLog| {
            let writer = lock(&log.writer);
            writer.end - writer.flushed
        };
        log.keep(&[named(b"first")], Lasts::OnceFlushed).unwrap();
        assert_eq!(log.get(&named(b"first").0).unwrap().as_deref(), Some(&b"first"[..]));
        assert!(unflushed(&log) > 0);
        log.keep(&[], Lasts::AtOnce).unwrap();
        assert_eq!(unflushed(&log), 0, "whoever keeps what is there already may rely on it");
        log.keep(&[named(b"second")], Lasts::OnceFlushed).unwrap();
        log.flush().unwrap();
        assert_eq!(unflushed(&log), 0);
        let large = vec![7; SMALL_BYTES_MAX];
        let many: Vec<Vec<u8>> = (0..200_u8).map(|n| [&[n], &large[1..]].concat()).collect();
        let many: Vec<(Hash, &[u8])> = many.iter().map(|bytes| named(bytes)).collect();
        log.keep(&many, Lasts::OnceFlushed).unwrap();
        assert!(unflushed(&log) <= UNFLUSHED_BYTES_MAX, "{}", unflushed(&log));
        assert!(many.iter().all(|(hash, bytes)| log.get(hash).unwrap().as_deref() == Some(*bytes)));
        drop(log);
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        assert!(many.iter().all(|(hash, _)| log.has(hash)));
    }

    #[test]
    fn what_the_power_took_from_behind_a_head_is_missing_and_can_be_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (named(b"first"), named(b"second"));
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        log.keep(&[first, second], Lasts::OnceFlushed).unwrap();
        drop(log);
        let path = segment_path(folder.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        bytes[end - 6..].fill(0);
        fs::write(&path, bytes).unwrap();
        let (log, _) = BlobLog::open(folder.path(), key_of).unwrap();
        assert!(log.has(&first.0) && !log.stays(&second.0));
        log.keep(&[second], Lasts::AtOnce).unwrap();
        assert_eq!(log.get(&second.0).unwrap().as_deref(), Some(second.1));
    }
}
