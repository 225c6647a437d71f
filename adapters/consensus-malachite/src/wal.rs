//! The write-ahead log of one height: what this node has said, so that it never says otherwise.
//!
//! ```text
//!   header (16 bytes)                        then, from the start again at every height:
//!   magic "ALTHWAL1" ‖ version ‖ crc         frame 0, frame 1, …, stale bytes of earlier heights
//!   frame = marker ‖ height ‖ number ‖ durable ‖ length ‖ crc ‖ entries      one frame a flush
//! ```
//!
//! The bytes are on a [`Medium`]: a file, or the simulator's disk.
//!
//! Entries are gathered in memory and written at the flush, with one write and one `fdatasync`. The file
//! is preallocated and overwritten, so that a flush does not change its size. Every frame says how many
//! of its height were durable before it was written.
//!
//! - Errors: [`WalError`]. What comes behind the last durable frame was never acted upon where others
//!   see it: a power loss may leave any part of it, and what does not follow whole is cut. A broken
//!   frame that a later one knows to have been durable is rot: the node must not vote, and says so with
//!   a code.
//! - Invariant: when [`Log::flush`] returns, what this node has said at the height survives a power loss
//!   with all entries before it, if others see it; so do those that [`Log::start`] returns, for whoever
//!   asks for them acts upon them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use althing_types::Height;

/// Begins every log: the name and the version of the format.
const MAGIC: [u8; 12] = *b"ALTHWAL1\0\0\0\x02";
const HEADER_BYTES: u64 = 16;
const MARKER: [u8; 4] = *b"FRM1";
const FRAME_HEADER_BYTES: usize = 36;
const PREALLOCATED_BYTES: usize = 1 << 20;

/// Largest log: thousands of rounds of one height.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Why the log cannot be trusted or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The file cannot be opened, read or written.
    #[error("{operation} the consensus log {} failed", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where the log is.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The file is no log of this format.
    #[error("{} is not a consensus log of this version", path.display())]
    Foreign {
        /// Where the file is.
        path: PathBuf,
    },
    /// What the node has said cannot be read, though it was acted upon.
    #[error("the consensus log {} is corrupt at byte {offset}, before entries that are whole", path.display())]
    Corrupt {
        /// Where the log is.
        path: PathBuf,
        /// Where the broken frame begins.
        offset: u64,
    },
    /// The log is of a later height than the chain's state: the state was lost or is an old copy.
    #[error("the consensus log {} is at height {logged}, but the state asks for height {asked}", path.display())]
    Ahead {
        /// Where the log is.
        path: PathBuf,
        /// The height of the log.
        logged: Height,
        /// The next height of the state.
        asked: Height,
    },
    /// One height has more entries than the log may hold.
    #[error("the consensus log {} is full", path.display())]
    Full {
        /// Where the log is.
        path: PathBuf,
    },
}

impl WalError {
    /// The code of this error's page in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "WAL-0001",
            Self::Corrupt { .. } => "WAL-0002",
            Self::Foreign { .. } => "WAL-0003",
            Self::Ahead { .. } => "WAL-0004",
            Self::Full { .. } => "WAL-0005",
        }
    }
}

/// Where a log's bytes are: a file, or something that fails like one.
pub trait Medium: Send {
    /// How many bytes there are.
    ///
    /// # Errors
    ///
    /// [`io::Error`]: the node must stop. So for every method.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`length`](Self::length).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes over the bytes from `offset` on; a power loss may undo any part of it.
    ///
    /// # Errors
    ///
    /// As [`length`](Self::length).
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the bytes, or adds zeros.
    ///
    /// # Errors
    ///
    /// As [`length`](Self::length).
    fn resize(&mut self, length: u64) -> io::Result<()>;

    /// Makes the bytes durable; their number too, if it changed.
    ///
    /// # Errors
    ///
    /// As [`length`](Self::length).
    fn sync(&mut self, resized: bool) -> io::Result<()>;
}

impl Medium for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn resize(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&mut self, resized: bool) -> io::Result<()> {
        if resized { self.sync_all() } else { self.sync_data() }
    }
}

/// The log of one node on one chain.
#[derive(Debug)]
pub(crate) struct Log<M = File> {
    medium: M,
    path: PathBuf,
    height: Height,
    /// Where the next frame goes, and its number.
    position: u64,
    number: u64,
    /// How many frames of the height survive a power loss.
    durable: u64,
    /// The highest height of which the file may hold a frame.
    highest: Option<Height>,
    /// Entries since the last flush, each behind its length.
    buffer: Vec<u8>,
    /// Something that this node has said is not durable yet.
    unsynced_own: bool,
}

/// Whose an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// This node's: it must not be sent before it is durable, with all that led to it.
    Here,
    /// Somebody else's, or nobody's: if it is lost, it comes again, and nothing was done about it.
    Elsewhere,
}

struct Frame<'a> {
    height: Height,
    number: u64,
    durable: u64,
    entries: &'a [u8],
    bytes: usize,
}

impl Log {
    /// Opens or creates the log in a file.
    pub(crate) fn open(path: &Path) -> Result<Self, WalError> {
        let failed = |operation| {
            let path = path.to_path_buf();
            move |source| WalError::Io { operation, path, source }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed("creating the folder of"))?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed("opening"))?;
        let (log, is_fresh) = Self::on(file, path)?;
        if is_fresh {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = File::open(folder.unwrap_or_else(|| Path::new(".")));
            folder.and_then(|folder| folder.sync_all()).map_err(failed("syncing the folder of"))?;
        }
        Ok(log)
    }
}

impl<M: Medium> Log<M> {
    /// Opens the log on a medium, or begins one on an empty medium; the second part is true then.
    pub(crate) fn on(medium: M, path: &Path) -> Result<(Self, bool), WalError> {
        let mut log = Self {
            medium,
            path: path.to_path_buf(),
            height: Height(0),
            position: HEADER_BYTES,
            number: 0,
            durable: 0,
            highest: None,
            buffer: Vec::new(),
            unsynced_own: false,
        };
        let bytes = log.read_all()?;
        let header = header();
        let is_fresh = is_unfinished(&bytes);
        if is_fresh {
            let mut fresh = vec![0; PREALLOCATED_BYTES];
            fresh.splice(..header.len(), header);
            log.medium.write_at(&fresh, 0).map_err(log.io("writing"))?;
            log.medium.sync(true).map_err(log.io("syncing"))?;
        } else if !bytes.starts_with(&header) {
            return Err(WalError::Foreign { path: path.to_path_buf() });
        }
        log.highest = frames(&bytes).map(|(_, frame)| frame.height).max();
        Ok((log, is_fresh))
    }

    fn io(&self, operation: &'static str) -> impl FnOnce(io::Error) -> WalError + use<M> {
        let path = self.path.clone();
        move |source| WalError::Io { operation, path, source }
    }

    fn read_all(&self) -> Result<Vec<u8>, WalError> {
        let length = self.medium.length().map_err(self.io("reading"))?;
        let full = WalError::Full { path: self.path.clone() };
        let length = usize::try_from(length).ok().filter(|l| *l as u64 <= 2 * LOG_BYTES_MAX);
        let mut bytes = vec![0; length.ok_or(full)?];
        self.medium.read_at(&mut bytes, 0).map_err(self.io("reading"))?;
        Ok(bytes)
    }

    /// Begins a height; returns the entries of it that an earlier run has flushed.
    pub(crate) fn start(&mut self, height: Height) -> Result<Vec<Vec<u8>>, WalError> {
        if height == self.height {
            return Ok(Vec::new());
        }
        self.begin(height);
        // After the first height of a run, the file holds what this run wrote itself.
        let Some(logged) = self.highest.filter(|highest| *highest >= height) else {
            return Ok(Vec::new());
        };
        if logged > height {
            return Err(WalError::Ahead { path: self.path.clone(), logged, asked: height });
        }
        let bytes = self.read_all()?;
        let mut entries = Vec::new();
        while let Some(frame) = frame_at(&bytes, self.position)
            .filter(|frame| frame.height == height && frame.number == self.number)
        {
            let whole = split_entries(frame.entries, &mut entries);
            whole.ok_or_else(|| self.corrupt())?;
            self.position += frame.bytes as u64;
            self.number += 1;
        }
        self.cut(&bytes)?;
        if !entries.is_empty() {
            // A killed process leaves what it wrote to the system: it is acted upon from here on.
            self.sync()?;
        }
        Ok(entries)
    }

    /// Removes what comes behind the last frame that follows whole, unless it was acted upon.
    fn cut(&mut self, bytes: &[u8]) -> Result<(), WalError> {
        let (height, position, number) = (self.height, self.position, self.number);
        let later =
            || frames(bytes).filter(move |(at, frame)| *at >= position && frame.height == height);
        if later().any(|(_, frame)| frame.durable > number) {
            return Err(self.corrupt());
        }
        if later().next().is_some() {
            // Else they would be taken for successors of what is written from here on.
            self.erase_from(position)?;
        }
        Ok(())
    }

    /// Leaves zeros from here to the end of the file, durably.
    fn erase_from(&mut self, position: u64) -> Result<(), WalError> {
        let length = self.medium.length().map_err(self.io("reading"))?;
        self.medium.resize(position).map_err(self.io("writing"))?;
        self.medium.resize(length).map_err(self.io("writing"))?;
        self.medium.sync(true).map_err(self.io("syncing"))
    }

    fn sync(&mut self) -> Result<(), WalError> {
        self.medium.sync(false).map_err(self.io("syncing"))?;
        self.durable = self.number;
        self.unsynced_own = false;
        Ok(())
    }

    fn corrupt(&self) -> WalError {
        WalError::Corrupt { path: self.path.clone(), offset: self.position }
    }

    fn begin(&mut self, height: Height) {
        (self.height, self.position, self.number, self.durable) = (height, HEADER_BYTES, 0, 0);
        self.buffer.clear();
        self.unsynced_own = false;
    }

    /// Forgets the entries of a height, and begins it anew.
    pub(crate) fn reset(&mut self, height: Height) -> Result<(), WalError> {
        self.begin(height);
        if self.highest.is_some_and(|highest| highest >= height) {
            self.erase_from(HEADER_BYTES)?;
            self.highest = None;
        }
        Ok(())
    }

    /// Adds an entry, to be written at the next flush.
    pub(crate) fn append(&mut self, height: Height, entry: &[u8], said: Said) {
        if height == self.height {
            self.unsynced_own |= said == Said::Here;
            let length = u32::try_from(entry.len()).expect("an entry is far smaller than 4 GiB");
            self.buffer.extend(length.to_be_bytes());
            self.buffer.extend(entry);
        }
    }

    /// Writes everything that was added: it survives a killed process. It is durable if this node's own
    /// words are among it and are `seen` by others; what others have said alone needs no sync.
    pub(crate) fn flush(&mut self, seen: bool) -> Result<(), WalError> {
        let sync = seen && self.unsynced_own;
        if self.buffer.is_empty() {
            // What was flushed without a sync before may be seen from now on.
            return if sync { self.sync() } else { Ok(()) };
        }
        let length = u32::try_from(self.buffer.len()).ok();
        let length = length.filter(|length| self.position + u64::from(*length) <= LOG_BYTES_MAX);
        let length = length.ok_or_else(|| WalError::Full { path: self.path.clone() })?;
        let crc = checksum(self.height, self.number, self.durable, &self.buffer);
        let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + self.buffer.len());
        frame.extend(MARKER);
        frame.extend(self.height.0.to_be_bytes());
        frame.extend(self.number.to_be_bytes());
        frame.extend(self.durable.to_be_bytes());
        frame.extend(length.to_be_bytes());
        frame.extend(crc.to_be_bytes());
        frame.append(&mut self.buffer);
        self.medium.write_at(&frame, self.position).map_err(self.io("writing"))?;
        self.highest = Some(self.height);
        self.position += frame.len() as u64;
        self.number += 1;
        if sync { self.sync() } else { Ok(()) }
    }
}

/// What a crash leaves of a file that was being created: nothing, zeros, or a part of the header
/// before zeros.
fn is_unfinished(bytes: &[u8]) -> bool {
    let header = header();
    let (begun, rest) = bytes.split_at(bytes.len().min(header.len()));
    let same = begun.iter().zip(&header).take_while(|(found, byte)| found == byte).count();
    let whole = same == header.len();
    !whole && begun.iter().skip(same).chain(rest).all(|byte| *byte == 0)
}

fn header() -> [u8; 16] {
    let mut header = [0; 16];
    let (magic, crc) = header.split_at_mut(MAGIC.len());
    magic.copy_from_slice(&MAGIC);
    crc.copy_from_slice(&crc32fast::hash(&MAGIC).to_be_bytes());
    header
}

fn checksum(height: Height, number: u64, durable: u64, entries: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&height.0.to_be_bytes());
    hasher.update(&number.to_be_bytes());
    hasher.update(&durable.to_be_bytes());
    hasher.update(entries);
    hasher.finalize()
}

/// The whole frame that begins at `position`, if there is one.
fn frame_at(bytes: &[u8], position: u64) -> Option<Frame<'_>> {
    let rest = bytes.get(usize::try_from(position).ok()?..)?;
    let (header, rest) = rest.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let field = |from: usize, length: usize| header.get(from..from + length);
    if field(0, 4)? != MARKER {
        return None;
    }
    let height = Height(u64::from_be_bytes(field(4, 8)?.try_into().ok()?));
    let number = u64::from_be_bytes(field(12, 8)?.try_into().ok()?);
    let durable = u64::from_be_bytes(field(20, 8)?.try_into().ok()?);
    let length = usize::try_from(u32::from_be_bytes(field(28, 4)?.try_into().ok()?)).ok()?;
    let entries = rest.get(..length)?;
    let whole = field(32, 4)? == checksum(height, number, durable, entries).to_be_bytes();
    whole.then_some(Frame { height, number, durable, entries, bytes: FRAME_HEADER_BYTES + length })
}

/// Every whole frame, wherever it begins: also those behind a broken one.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (u64, Frame<'_>)> {
    let mut position = HEADER_BYTES;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(usize::try_from(position).ok()?..)?;
            let skipped = rest.windows(MARKER.len()).position(|window| window == MARKER)?;
            let at = position + skipped as u64;
            if let Some(frame) = frame_at(bytes, at) {
                position = at + frame.bytes as u64;
                return Some((at, frame));
            }
            position = at + 1;
        }
    })
}

fn split_entries(mut bytes: &[u8], entries: &mut Vec<Vec<u8>>) -> Option<()> {
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        entries.push(rest.get(..length)?.to_vec());
        bytes = rest.get(length..)?;
    }
    Some(())
}

#[cfg(test)]
#[path = "wal_tests.rs"]
mod tests;
