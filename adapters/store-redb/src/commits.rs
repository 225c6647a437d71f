//! Heights that redb has taken but not made durable yet: each with one write and one fsync.
//!
//! ```text
//!   commit ─┬─ room in the log ──► record, fsync ──► redb, in memory
//!           └─ none ─────────────► redb, durable (a checkpoint) ──► the log begins anew
//!
//!   open ──► redb's last checkpoint ──► the records above it, in order ──► a checkpoint
//! ```
//!
//! A log is a run of records from the file's start, each at a multiple of [`ALIGNMENT`]: `magic: 8 ‖
//! checksum: 4 ‖ length: 4 ‖ height: 8 ‖ changes`. It is overwritten in place, and keeps its length, so
//! that an fsync has no metadata to write. Heights only rise: what older rounds have left behind the end
//! is known by its lower height.
//!
//! - Bounds: [`HEIGHTS_MAX`] heights and [`LOG_BYTES_MAX`] bytes between two checkpoints.
//! - Invariant: a height that is acknowledged is in redb's checkpoint or in the log. A record that is
//!   broken although a later height is whole was no torn write: that is [`StoreError::Corrupt`].
//! - Limit: the *last* record has no such witness. If it rots before the next is written, and no
//!   orderly end has made a checkpoint, it is taken for a torn write, and the node is one height behind.

use althing_replica::store::{Commit, StoreError, Tip};
use althing_types::Height;
use redb::StorageBackend;

use crate::archive_key;
use crate::error::{corrupt, failed};
use crate::record::{self, checksum};

const MAGIC: [u8; 8] = *b"althingC";
const HEADER_BYTES: usize = 24;
/// A torn write keeps or loses whole sectors: each record begins with one of its own.
const ALIGNMENT: u64 = 512;
/// Length of the log above which the next height becomes a checkpoint.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// Memory that is kept from one record to the next.
const RECORD_BYTES_KEPT: usize = 1 << 20;
/// Heights after which the next one becomes a checkpoint; one is made beside them after half as many.
pub(crate) const HEIGHTS_MAX: u32 = 128;

/// What one height changes, as it is written down.
pub(crate) struct Changes<'a> {
    pub(crate) tip: Tip,
    pub(crate) block: &'a [u8],
    pub(crate) certificate: &'a [u8],
    pub(crate) writes: Vec<(&'a [u8], Option<&'a [u8]>)>,
    pub(crate) archive: Vec<([u8; 33], &'a [u8])>,
}

impl<'a> From<&Commit<'a>> for Changes<'a> {
    fn from(commit: &Commit<'a>) -> Self {
        let writes = commit.writes.iter();
        let archive = commit.archive.iter();
        Self {
            tip: commit.tip,
            block: commit.block,
            certificate: commit.certificate,
            writes: writes.map(|(key, value)| (key.as_slice(), value.as_deref())).collect(),
            archive: archive
                .map(|(kind, id, value)| (archive_key(*kind, id), value.as_slice()))
                .collect(),
        }
    }
}

impl<'a> Changes<'a> {
    /// Writes a record with its header over what is in `record`; `None` if it is longer than a log may be.
    fn encode(&self, record: &mut Vec<u8>) -> Option<()> {
        record.clear();
        record.extend_from_slice(&[0; HEADER_BYTES]);
        put(record, &record::encode_tip(&self.tip));
        put(record, self.block);
        put(record, self.certificate);
        put_count(record, self.writes.len());
        for (key, value) in &self.writes {
            put(record, key);
            record.push(u8::from(value.is_some()));
            put(record, value.unwrap_or_default());
        }
        put_count(record, self.archive.len());
        for (key, value) in &self.archive {
            record.extend_from_slice(key);
            put(record, value);
        }
        let bytes = u64::try_from(record.len()).ok().filter(|bytes| *bytes <= LOG_BYTES_MAX)?;
        let length = u32::try_from(bytes).ok()?;
        let (header, changes) = record.split_first_chunk_mut::<HEADER_BYTES>()?;
        let height = self.tip.height.0.to_le_bytes();
        let sum = checksum(&[&length.to_le_bytes(), &height], changes);
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&sum);
        header[12..16].copy_from_slice(&length.to_le_bytes());
        header[16..].copy_from_slice(&height);
        Some(())
    }

    /// What [`encode`](Self::encode) wrote behind the header.
    pub(crate) fn decode(changes: &'a [u8]) -> Result<Self, StoreError> {
        let mut rest = changes;
        let mut read = || -> Option<_> {
            let tip = take(&mut rest)?;
            let (block, certificate) = (take(&mut rest)?, take(&mut rest)?);
            let mut writes = Vec::new();
            for _ in 0..take_count(&mut rest)? {
                let key = take(&mut rest)?;
                let (is_some, behind) = rest.split_first()?;
                rest = behind;
                let value = take(&mut rest)?;
                writes.push((key, (*is_some == 1).then_some(value)));
            }
            let mut archive = Vec::new();
            for _ in 0..take_count(&mut rest)? {
                let (key, behind) = rest.split_first_chunk::<33>()?;
                rest = behind;
                archive.push((*key, take(&mut rest)?));
            }
            rest.is_empty().then_some((tip, block, certificate, writes, archive))
        };
        let read = read();
        let (tip, block, certificate, writes, archive) =
            read.ok_or_else(|| corrupt("a kept height that cannot be read"))?;
        Ok(Self { tip: record::decode_tip(tip)?, block, certificate, writes, archive })
    }
}

fn put(record: &mut Vec<u8>, bytes: &[u8]) {
    put_count(record, bytes.len());
    record.extend_from_slice(bytes);
}

fn put_count(record: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("blocks are far smaller than 4 GiB");
    record.extend_from_slice(&count.to_le_bytes());
}

fn take_count(rest: &mut &[u8]) -> Option<usize> {
    let (count, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    usize::try_from(u32::from_le_bytes(*count)).ok()
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let count = take_count(rest)?;
    let (bytes, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(bytes)
}

/// The log between two checkpoints.
#[derive(Debug)]
pub(crate) struct CommitLog {
    medium: Box<dyn StorageBackend>,
    /// Where the next record goes.
    end: u64,
    /// Heights since the last checkpoint.
    heights: u32,
    heights_max: u32,
    /// The last record, whose memory the next one takes: fresh memory is zeroed by the kernel first, which
    /// costs more than the record.
    record: Vec<u8>,
}

impl CommitLog {
    /// Reads the changes above redb's checkpoint, oldest first, as [`Changes::decode`] takes them.
    ///
    /// The log takes no record until [`restart`](Self::restart) says that they are in redb.
    pub(crate) fn open(
        medium: Box<dyn StorageBackend>,
        heights_max: u32,
        checkpoint: Option<Height>,
    ) -> Result<(Self, Vec<Vec<u8>>), StoreError> {
        let mut log =
            Self { medium, end: 0, heights: heights_max, heights_max, record: Vec::new() };
        let mut expected = checkpoint.map_or(Height(0), Height::next);
        let mut missing = Vec::new();
        let mut older = None;
        while let Some((height, changes)) = log.read(log.end)? {
            // A round begins behind a checkpoint and rises by one; lower again are older rounds.
            if older.is_some_and(|older: Height| older.next() != height) {
                break;
            }
            older = Some(height);
            log.end += space(HEADER_BYTES + changes.len());
            if height == expected {
                missing.push(changes);
                expected = expected.next();
            }
        }
        let mut place = log.end;
        let length = log.length()?;
        while place < length {
            if log.read(place)?.is_some_and(|(height, _)| height >= expected) {
                return Err(corrupt("a kept height differs from its checksum"));
            }
            place += ALIGNMENT;
        }
        Ok((log, missing))
    }

    /// Makes a height durable; false if there is no room, and it must be a checkpoint.
    pub(crate) fn append(&mut self, changes: &Changes<'_>) -> Result<bool, StoreError> {
        // One of them is the checkpoint itself.
        if self.heights.saturating_add(1) >= self.heights_max {
            return Ok(false);
        }
        self.record.shrink_to(RECORD_BYTES_KEPT);
        if changes.encode(&mut self.record).is_none() {
            return Ok(false);
        }
        let end = self.end + space(self.record.len());
        if end > LOG_BYTES_MAX {
            return Ok(false);
        }
        let write = || {
            if self.medium.len()? < end {
                // Rounded up, so that few appends change the file's length.
                self.medium.set_len(end.next_multiple_of(1 << 20))?;
            }
            self.medium.write(self.end, &self.record)?;
            self.medium.sync_data()
        };
        write().map_err(|error: std::io::Error| failed("keeping a height", error.into()))?;
        self.end = end;
        self.heights += 1;
        Ok(true)
    }

    /// Whether a checkpoint is worth making before one is needed.
    pub(crate) const fn is_half_full(&self) -> bool {
        self.end > LOG_BYTES_MAX / 2 || self.heights > self.heights_max / 2
    }

    /// Begins anew: everything is in redb's checkpoint.
    pub(crate) fn restart(&mut self) {
        (self.end, self.heights) = (0, 0);
    }

    fn length(&self) -> Result<u64, StoreError> {
        self.medium.len().map_err(|error| failed("reading kept heights", error.into()))
    }

    /// Height and changes of the record at an offset; `None` if there is no whole one.
    fn read(&self, offset: u64) -> Result<Option<(Height, Vec<u8>)>, StoreError> {
        let left = self.length()?.saturating_sub(offset);
        let read = || -> Result<_, std::io::Error> {
            let mut header = [0; HEADER_BYTES];
            if left < HEADER_BYTES as u64 {
                return Ok(None);
            }
            self.medium.read(offset, &mut header)?;
            let Some((sum, rest)) =
                header.strip_prefix(&MAGIC).and_then(|rest| rest.split_first_chunk::<4>())
            else {
                return Ok(None);
            };
            let Some((length, height)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            let size = u32::from_le_bytes(*length) as usize;
            if size < HEADER_BYTES || size as u64 > left.min(LOG_BYTES_MAX) {
                return Ok(None);
            }
            let mut changes = vec![0; size - HEADER_BYTES];
            self.medium.read(offset + HEADER_BYTES as u64, &mut changes)?;
            if checksum(&[length, height], &changes) != *sum {
                return Ok(None);
            }
            let height = height.try_into().expect("the last eight of the header's bytes");
            Ok(Some((Height(u64::from_le_bytes(height)), changes)))
        };
        read().map_err(|error| failed("reading kept heights", error.into()))
    }
}

/// Bytes that a record takes, with what is left of its last sector.
fn space(bytes: usize) -> u64 {
    (bytes as u64).next_multiple_of(ALIGNMENT)
}
