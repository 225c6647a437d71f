//! What the worker must not forget: an append-only file, rewritten when most of it is forgotten.
//!
//! ```text
//!   entry:  length (4) · CRC-32 (4) · borsh(Remember(record) | Forget(execution) | Batch(entries))
//! ```
//!
//! One write and one sync make one entry: so a crash can spoil the last entry and no other. What is
//! forgotten waits in memory for the next entry; until then a crash brings it back, which harms
//! nobody.
//!
//! - Errors: what is left of the last entry after a crash, or after a write that failed, is cut off;
//!   a damaged entry before a whole one is an error, because what it said may already be sealed on
//!   the ledger.
//! - Invariant: what `remember` returned for survives a power loss; so does what `recall` returns.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use althing_types::Hash;
use althing_work::Record;
use althing_work::port::{Journal, PortError};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::framed::sync_name;

/// Longest entry: a claim is far shorter than 4 KiB, and a batch has few.
const ENTRY_BYTES_MAX: usize = 4 << 20;
/// The file is rewritten when it holds this many records more than there are.
const GARBAGE_MAX: usize = 10_000;
/// Most executions whose end waits for the next entry.
const FORGOTTEN_MAX: usize = 1_000;

#[derive(BorshSerialize, BorshDeserialize)]
enum Entry {
    Remember(Record),
    Forget(Hash),
    Batch(Vec<Self>),
}

type Records = BTreeMap<(Hash, u32), Record>;

struct State {
    file: File,
    /// Where the next entry goes.
    end: u64,
    records: Records,
    /// Records and ends that the file holds, and from how many on it is rewritten.
    said: usize,
    said_max: usize,
    /// Ends that the file does not hold yet.
    forgotten: Vec<Entry>,
}

/// The journal of one node.
pub(crate) struct FileJournal {
    path: PathBuf,
    state: Mutex<State>,
}

fn body(entry: &Entry) -> Vec<u8> {
    borsh::to_vec(entry).expect("writing to memory cannot fail")
}

fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let body = body(entry);
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "more than an entry may hold");
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= ENTRY_BYTES_MAX);
    let length = length.ok_or_else(too_long)?;
    Ok([&length.to_be_bytes(), &crc32fast::hash(&body).to_be_bytes(), &body[..]].concat())
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The whole entry at the beginning of `bytes`, and its length.
fn decode(bytes: &[u8]) -> Option<(Entry, usize)> {
    let (length, check) = (number(bytes)?, number(bytes.get(4..)?)?);
    let length = usize::try_from(length).ok().filter(|length| *length <= ENTRY_BYTES_MAX)?;
    let body = bytes.get(8..8 + length)?;
    if crc32fast::hash(body) != check {
        return None;
    }
    Some((borsh::from_slice(body).ok()?, 8 + length))
}

/// How many records and ends an entry holds.
fn size(entry: &Entry) -> usize {
    match entry {
        Entry::Remember(_) | Entry::Forget(_) => 1,
        Entry::Batch(entries) => entries.len(),
    }
}

fn apply(records: &mut Records, entry: Entry) {
    match entry {
        Entry::Remember(record) => {
            records.insert((record.execution, record.round), record);
        }
        Entry::Forget(execution) => {
            records.retain(|(of, _), _| *of != execution);
        }
        Entry::Batch(entries) => entries.into_iter().for_each(|entry| apply(records, entry)),
    }
}

impl FileJournal {
    /// Opens or creates the journal.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut records, mut said, mut place) = (Records::new(), 0, 0);
        while let Some((entry, length)) = bytes.get(place..).and_then(decode) {
            said += size(&entry);
            apply(&mut records, entry);
            place += length;
        }
        let rest = bytes.get(place..).unwrap_or_default();
        if (1..rest.len()).any(|at| rest.get(at..).and_then(decode).is_some()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal is damaged"));
        }
        file.set_len(place as u64)?;
        // A killed process leaves what it wrote to the system: it is acted upon from here on.
        file.sync_all()?;
        sync_name(path)?;
        let state = State {
            file,
            end: place as u64,
            records,
            said,
            said_max: said + GARBAGE_MAX,
            forgotten: Vec::new(),
        };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes these and what was forgotten before as one entry.
    fn append(&self, state: &mut State, records: &[Record]) -> io::Result<()> {
        let mut entries = std::mem::take(&mut state.forgotten);
        let forgotten = entries.len();
        entries.extend(records.iter().cloned().map(Entry::Remember));
        let mut batch = Entry::Batch(entries);
        let written = encode(&batch).and_then(|bytes| {
            // Over what a write that failed has left there.
            state.file.write_all_at(&bytes, state.end)?;
            state.file.sync_data()?;
            Ok(bytes.len() as u64)
        });
        match written {
            Ok(bytes) => state.end += bytes,
            Err(error) => {
                if let Entry::Batch(entries) = &mut batch {
                    entries.truncate(forgotten);
                    state.forgotten = std::mem::take(entries);
                }
                return Err(error);
            }
        }
        state.said += size(&batch);
        records
            .iter()
            .for_each(|record| apply(&mut state.records, Entry::Remember(record.clone())));
        if state.said > state.said_max {
            // What was asked for is durable already: a full disk only keeps the file long.
            state.said_max = match self.rewrite(state) {
                Ok(()) => state.records.len() + GARBAGE_MAX,
                Err(_) => state.said + GARBAGE_MAX,
            };
        }
        Ok(())
    }

    /// Replaces the file by one that holds nothing but the records.
    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        let mut end = 0;
        for record in state.records.values() {
            let entry = encode(&Entry::Remember(record.clone()))?;
            file.write_all(&entry)?;
            end += entry.len() as u64;
        }
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        (state.file, state.end, state.said) = (file, end, state.records.len());
        sync_name(&self.path)
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> PortError {
    move |source| PortError { operation, source: Box::new(source) }
}

impl Journal for FileJournal {
    fn remember(&self, records: &[Record]) -> Result<(), PortError> {
        let written = self.append(&mut self.lock(), records);
        written.map_err(failed("writing the worker's journal"))
    }

    fn forget(&self, executions: &[Hash]) -> Result<(), PortError> {
        let mut state = self.lock();
        for execution in executions {
            let rounds = (*execution, 0)..=(*execution, u32::MAX);
            if state.records.range(rounds).next().is_some() {
                apply(&mut state.records, Entry::Forget(*execution));
                state.forgotten.push(Entry::Forget(*execution));
            }
        }
        if state.forgotten.len() < FORGOTTEN_MAX {
            return Ok(());
        }
        self.append(&mut state, &[]).map_err(failed("writing the worker's journal"))
    }

    fn recall(&self) -> Result<Vec<Record>, PortError> {
        Ok(self.lock().records.values().cloned().collect())
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
