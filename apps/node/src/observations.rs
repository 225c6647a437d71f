//! Observations on their way to the ledger: durable before they are acknowledged, submitted until
//! they are committed.
//!
//! ```text
//!   accept ──► writer: data, then journal with it, one sync for all that gathered ──► acknowledged
//!                 │                                                                    │
//!                 └── Ended ◄── committed, or refused for good ◄── worker's outbox ◄────┘
//!                                          lost ──► submitted again
//! ```
//!
//! Who is in line is [`Line`]'s to say, here are its disk, its threads and those who wait.
//!
//! - Errors: [`NotAccepted`]; a torn entry at the journal's end is what a crash leaves and was never
//!   acknowledged.
//! - Invariants: an acknowledged observation is in the journal until the ledger has decided about it;
//!   one occurrence is in line once; the line is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use althing_ledger::Rejection;
use althing_types::{Hash, Observe, Operation};
use althing_work::Fate;
use althing_work::observing::{Line, Place, REFUSED_MAX, occurrence};
use althing_work::port::Observations;
use borsh::{BorshDeserialize, BorshSerialize};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::blobs::{BlobError, BlobStore};
use crate::framed::{decode, encode, sync_name};

/// Most observations in line.
const PENDING_MAX: usize = 8_192;
/// Most that are made durable in one go.
const BATCH_MAX: usize = 1_024;
/// Data of up to this length is written to the journal too: the blobs need no sync of their own then.
const WITH_DATA_BYTES_MAX: usize = 2 << 10;
/// Longest entry: an observation carries at most eight hashes and a few numbers.
const ENTRY_BYTES_MAX: usize = WITH_DATA_BYTES_MAX + (4 << 10);
/// The journal is rewritten when it holds this many entries more than observations are in line. A start looks
/// for the data of all of them.
const GARBAGE_MAX: usize = 20_000;
/// How long a lost observation waits before it is submitted again.
const AGAIN: Duration = Duration::from_millis(250);

/// Why an observation is not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NotAccepted {
    /// As many are in line as may be.
    #[error("the node has {PENDING_MAX} observations in line")]
    Full,
    /// It could not be made durable.
    #[error("the observation could not be stored: {0}")]
    NotStored(Arc<str>),
}

/// An observation that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Names the occurrence.
    pub(crate) event: Hash,
    /// It was in line already.
    pub(crate) duplicate: bool,
}

type Waiter = oneshot::Sender<Result<(), NotAccepted>>;

enum Message {
    Write(Box<(Observe, Vec<u8>)>),
    /// There may be ended ones to note.
    Wake,
}

/// The node's observations.
pub(crate) struct Observatory {
    line: Arc<Mutex<Line<Waiter>>>,
    writer: mpsc::Sender<Message>,
    /// There are fresh ones.
    submit: Arc<Notify>,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum Entry {
    Accepted(Observe),
    Ended(Hash),
    /// Ended without counting: told to whoever asks, after a start as well.
    Refused(Hash, Rejection),
    /// As `Accepted`, with data that may not have lasted elsewhere.
    AcceptedWith(Observe, Vec<u8>),
}

/// What a journal held when it was opened.
#[derive(Default)]
struct Found {
    pending: BTreeMap<Hash, Observe>,
    /// Oldest first.
    refused: VecDeque<(Hash, Rejection)>,
    /// Of whatever is in the journal, ended or not: it may not have lasted elsewhere.
    data: Vec<Vec<u8>>,
}

struct Journal {
    path: PathBuf,
    file: File,
    entries: usize,
    /// A write or sync failed: nobody knows what the disk has, so nothing more is acknowledged.
    failed: bool,
}

fn lock(line: &Mutex<Line<Waiter>>) -> MutexGuard<'_, Line<Waiter>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Opens or creates the journal, and reads what is still in line.
    fn open(path: &Path) -> io::Result<(Self, Found)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut found, mut entries, mut place) = (Found::default(), 0, 0);
        while let Some((entry, length)) =
            decode(bytes.get(place..).unwrap_or_default(), ENTRY_BYTES_MAX)?
        {
            match entry {
                Entry::Accepted(observe) => {
                    found.pending.insert(occurrence(&observe), observe);
                }
                Entry::AcceptedWith(observe, data) => {
                    found.pending.insert(occurrence(&observe), observe);
                    found.data.push(data);
                }
                Entry::Ended(key) => drop(found.pending.remove(&key)),
                Entry::Refused(key, why) => {
                    found.pending.remove(&key);
                    if found.refused.len() == REFUSED_MAX {
                        found.refused.pop_front();
                    }
                    found.refused.push_back((key, why));
                }
            }
            entries += 1;
            place += length;
        }
        file.set_len(place as u64)?;
        // A killed process leaves what it wrote to the system: it is acted upon from here on.
        file.sync_all()?;
        sync_name(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { path: path.to_owned(), file, entries, failed: false }, found))
    }

    /// Adds entries, durable if asked for.
    fn append(&mut self, entries: &[Entry], durable: bool) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        let bytes: Vec<u8> = entries.iter().flat_map(encode).collect();
        let written = self.file.write_all(&bytes);
        let written = written.and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        self.failed = written.is_err();
        self.entries += entries.len();
        written
    }

    /// Replaces the file by one without what has ended.
    fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&entries.iter().flat_map(encode).collect::<Vec<u8>>())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        (self.entries, self.file) = (entries.len(), file);
        let named = sync_name(&self.path);
        self.failed |= named.is_err();
        named
    }
}

impl Observatory {
    /// Opens the journal and begins to write; what was in line is submitted again.
    pub(crate) fn start(path: &Path, blobs: Arc<BlobStore>) -> io::Result<Self> {
        let (journal, Found { pending, refused, data }) = Journal::open(path)?;
        let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        blobs.put_all(&data).map_err(io::Error::other)?;
        let line = Line::restored(PENDING_MAX, pending.into_values().collect());
        let line = line.with_refused(refused);
        let (line, submit) = (Arc::new(Mutex::new(line)), Arc::new(Notify::new()));
        submit.notify_one();
        let (writer, messages) = mpsc::channel(PENDING_MAX);
        let writing = Writing { journal, blobs, line: line.clone(), submit: submit.clone() };
        std::thread::Builder::new()
            .name("observations".into())
            .spawn(move || writing.run(messages))?;
        Ok(Self { line, writer, submit })
    }

    /// Whether an occurrence is in line.
    pub(crate) fn has(&self, event: &Hash) -> bool {
        lock(&self.line).has(event)
    }

    /// The data of all observations in line.
    pub(crate) fn data(&self) -> Vec<Hash> {
        lock(&self.line).durable().map(|observe| observe.data.hash).collect()
    }

    /// Why the ledger refused this node's observation of an event, if it did lately.
    pub(crate) fn refused(&self, event: &Hash) -> Option<Rejection> {
        lock(&self.line).refused(event)
    }

    /// How many observations the ledger has refused since the start.
    pub(crate) fn refusals(&self) -> u64 {
        lock(&self.line).refusals()
    }

    /// Services of observations that wait for this node's office.
    pub(crate) fn out_of_office(&self) -> BTreeSet<Hash> {
        lock(&self.line).out_of_office()
    }

    /// Puts an observation in line with its data; durable when it returns.
    pub(crate) async fn accept(
        &self,
        observe: Observe,
        data: Vec<u8>,
    ) -> Result<Accepted, NotAccepted> {
        let event = occurrence(&observe);
        let (waiter, written) = oneshot::channel();
        let duplicate = {
            let mut line = lock(&self.line);
            match line.accept(event, waiter) {
                Place::Known(_) => return Ok(Accepted { event, duplicate: true }),
                Place::Shared => true,
                Place::Full(_) => return Err(NotAccepted::Full),
                Place::Write => {
                    let message = Message::Write(Box::new((observe, data)));
                    if self.writer.try_send(message).is_err() {
                        line.withdraw(&event);
                        return Err(NotAccepted::Full);
                    }
                    false
                }
            }
        };
        let stopped = || NotAccepted::NotStored("the node is stopping".into());
        written.await.map_err(|_| stopped())??;
        Ok(Accepted { event, duplicate })
    }

    /// Submits what is in line, and again what was lost, until the node stops.
    pub(crate) async fn submit(self: Arc<Self>, requests: mpsc::Sender<Operation>) {
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.submit.notified() => {}
                _ = again.tick() => lock(&self.line).recover(),
            }
            let fresh = lock(&self.line).take_fresh();
            for observe in fresh {
                if requests.send(Operation::Observe(observe)).await.is_err() {
                    return; // the worker has ended
                }
            }
        }
    }
}

impl Observations for Observatory {
    fn fates(&self, fates: Vec<(Observe, Fate)>) {
        lock(&self.line).fates(fates);
        self.writer.try_send(Message::Wake).ok(); // a full channel wakes the writer as well
    }
}

/// The thread that waits for the disk.
struct Writing {
    journal: Journal,
    blobs: Arc<BlobStore>,
    line: Arc<Mutex<Line<Waiter>>>,
    submit: Arc<Notify>,
}

impl Writing {
    fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut batch = Vec::new();
        while messages.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            let mut accepted = Vec::new();
            for message in batch.drain(..) {
                match message {
                    Message::Write(item) => accepted.push(*item),
                    Message::Wake => {}
                }
            }
            let written = self.write(&accepted);
            let observed = accepted.into_iter().map(|(observe, _)| observe);
            self.answer(observed, written.as_ref().copied());
            if let Err(error) = self.tidy() {
                tracing::warn!(%error, "the journal of observations could not be rewritten");
            }
        }
    }

    /// Data first, then the entries that name it; what has ended goes along. Short data is in the entries, and
    /// lasts with them.
    fn write(&mut self, accepted: &[(Observe, Vec<u8>)]) -> Result<(), BlobError> {
        let failed = |source| BlobError::Io { operation: "journalling", source };
        let mut entries = self.ended();
        let (short, long): (Vec<&[u8]>, Vec<&[u8]>) = accepted
            .iter()
            .map(|(_, data)| data.as_slice())
            .partition(|data| data.len() <= WITH_DATA_BYTES_MAX);
        if !long.is_empty() {
            self.blobs.put_all(&long)?;
        }
        self.blobs.put_unflushed(&short)?;
        entries.extend(accepted.iter().map(|(observe, data)| {
            if data.len() <= WITH_DATA_BYTES_MAX {
                Entry::AcceptedWith(observe.clone(), data.clone())
            } else {
                Entry::Accepted(observe.clone())
            }
        }));
        self.journal.append(&entries, !accepted.is_empty()).map_err(failed)
    }

    /// What the ledger has decided about since the last time.
    fn ended(&self) -> Vec<Entry> {
        let mut line = lock(&self.line);
        let ended = line.take_ended();
        let entry = |event| match line.refused(&event) {
            Some(why) => Entry::Refused(event, why),
            None => Entry::Ended(event),
        };
        ended.into_iter().map(entry).collect()
    }

    fn answer(&self, observed: impl Iterator<Item = Observe>, written: Result<(), &BlobError>) {
        let answer = written.map_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "observations are not stored");
            NotAccepted::NotStored(error.to_string().into())
        });
        let mut waiters = Vec::new();
        {
            let mut line = lock(&self.line);
            for observe in observed {
                waiters.extend(line.written(observe, answer.is_ok()));
            }
        }
        self.submit.notify_one();
        for waiter in waiters {
            waiter.send(answer.clone()).ok(); // who asked may have gone
        }
    }

    fn tidy(&mut self) -> io::Result<()> {
        let entries: Vec<Entry> = {
            let line = lock(&self.line);
            if self.journal.entries <= line.length() + GARBAGE_MAX {
                return Ok(());
            }
            let refused = line.all_refused().map(|(event, why)| Entry::Refused(event, why));
            refused.chain(line.durable().cloned().map(Entry::Accepted)).collect()
        };
        // The data of those that have ended is in the old journal only, as far as it is not flushed.
        self.blobs.flush().map_err(io::Error::other)?;
        self.journal.rewrite(&entries)
    }
}

#[cfg(test)]
mod tests;
