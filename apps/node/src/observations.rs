//! Observations on their way to the ledger: durable before they are acknowledged, submitted until
//! they are committed.
//!
//! ```text
//!   accept ──► writer: data, then journal, one sync each for all that gathered ──► acknowledged
//!                 │                                                                    │
//!                 └── Ended ◄── committed, or refused for good ◄── worker's outbox ◄────┘
//!                                          lost ──► submitted again
//! ```
//!
//! - Errors: [`NotAccepted`]; a torn entry at the journal's end is what a crash leaves and was never
//!   acknowledged.
//! What the ledger refuses is remembered for a while, so that whoever asks for the event is told.
//!
//! - Invariants: an acknowledged observation is in the journal until the ledger has decided about it;
//!   one occurrence is in line once; the line is bounded.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use althing_ledger::Rejection;
use althing_types::{Hash, Observe, Operation, event_key};
use althing_work::Fate;
use althing_work::port::Observations;
use borsh::{BorshDeserialize, BorshSerialize};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::blobs::{BlobError, BlobStore};
use crate::framed::{decode, encode};

/// Most observations in line.
const PENDING_MAX: usize = 8_192;
/// Most that are made durable in one go.
const BATCH_MAX: usize = 1_024;
/// Longest entry: an observation carries at most eight hashes and a few numbers.
const ENTRY_BYTES_MAX: usize = 4 << 10;
/// The journal is rewritten when it holds this many entries more than observations are in line.
const GARBAGE_MAX: usize = 50_000;
/// Most refusals that are remembered.
const REFUSED_MAX: usize = 1_024;
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

enum Pending {
    /// On its way to the disk, with those who wait for it.
    Writing(Vec<Waiter>),
    Durable(Observe),
}

#[derive(Default)]
struct Line {
    pending: HashMap<Hash, Pending>,
    /// Durable, and not submitted yet.
    fresh: Vec<Observe>,
    /// To be submitted again, after a while.
    lost: Vec<Hash>,
    /// Decided by the ledger, and still in the journal.
    ended: Vec<Hash>,
    /// What the ledger refused, oldest first.
    refused: VecDeque<(Hash, Rejection)>,
    /// How much it has refused since the start.
    refusals: u64,
}

enum Message {
    Write(Box<(Observe, Vec<u8>)>),
    /// There may be ended ones to note.
    Wake,
}

/// The node's observations.
pub(crate) struct Observatory {
    line: Arc<Mutex<Line>>,
    writer: mpsc::Sender<Message>,
    /// There are fresh ones.
    submit: Arc<Notify>,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum Entry {
    Accepted(Observe),
    Ended(Hash),
}

struct Journal {
    path: PathBuf,
    file: File,
    entries: usize,
    /// A write or sync failed: nobody knows what the disk has, so nothing more is acknowledged.
    failed: bool,
}

fn key_of(observe: &Observe) -> Hash {
    event_key(&observe.service, &observe.event, &observe.id)
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Opens or creates the journal, and reads what is still in line.
    fn open(path: &Path) -> io::Result<(Self, HashMap<Hash, Observe>)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut pending, mut entries, mut place) = (HashMap::new(), 0, 0);
        while let Some((entry, length)) =
            decode(bytes.get(place..).unwrap_or_default(), ENTRY_BYTES_MAX)?
        {
            match entry {
                Entry::Accepted(observe) => drop(pending.insert(key_of(&observe), observe)),
                Entry::Ended(key) => drop(pending.remove(&key)),
            }
            entries += 1;
            place += length;
        }
        file.set_len(place as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { path: path.to_owned(), file, entries, failed: false }, pending))
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
    fn rewrite(&mut self, pending: &[Observe]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        for observe in pending {
            file.write_all(&encode(&Entry::Accepted(observe.clone())))?;
        }
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.entries = pending.len();
        self.file = file;
        Ok(())
    }
}

impl Observatory {
    /// Opens the journal and begins to write; what was in line is submitted again.
    pub(crate) fn start(path: &Path, blobs: Arc<BlobStore>) -> io::Result<Self> {
        let (journal, pending) = Journal::open(path)?;
        let fresh = pending.values().cloned().collect();
        let pending = pending.into_iter().map(|(key, o)| (key, Pending::Durable(o))).collect();
        let line = Line { pending, fresh, ..Line::default() };
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
        lock(&self.line).pending.contains_key(event)
    }

    /// Why the ledger refused this node's observation of an event, if it did lately.
    pub(crate) fn refused(&self, event: &Hash) -> Option<Rejection> {
        let line = lock(&self.line);
        line.refused.iter().rev().find(|(refused, _)| refused == event).map(|(_, why)| *why)
    }

    /// How many observations the ledger has refused since the start.
    pub(crate) fn refusals(&self) -> u64 {
        lock(&self.line).refusals
    }

    /// Puts an observation in line with its data; durable when it returns.
    pub(crate) async fn accept(
        &self,
        observe: Observe,
        data: Vec<u8>,
    ) -> Result<Accepted, NotAccepted> {
        let event = key_of(&observe);
        let (waiter, written) = oneshot::channel();
        let duplicate = {
            let mut line = lock(&self.line);
            let room = line.pending.len() < PENDING_MAX;
            match line.pending.get_mut(&event) {
                Some(Pending::Durable(_)) => return Ok(Accepted { event, duplicate: true }),
                Some(Pending::Writing(waiters)) => {
                    waiters.push(waiter);
                    true
                }
                None if !room => return Err(NotAccepted::Full),
                None => {
                    let message = Message::Write(Box::new((observe, data)));
                    self.writer.try_send(message).map_err(|_| NotAccepted::Full)?;
                    line.pending.insert(event, Pending::Writing(vec![waiter]));
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
                _ = again.tick() => self.recover(),
            }
            let fresh = std::mem::take(&mut lock(&self.line).fresh);
            for observe in fresh {
                if requests.send(Operation::Observe(observe)).await.is_err() {
                    return; // the worker has ended
                }
            }
        }
    }

    /// What was lost is as if fresh.
    fn recover(&self) {
        let mut line = lock(&self.line);
        for event in std::mem::take(&mut line.lost) {
            if let Some(Pending::Durable(observe)) = line.pending.get(&event) {
                let observe = observe.clone();
                line.fresh.push(observe);
            }
        }
    }
}

impl Observations for Observatory {
    fn fates(&self, fates: Vec<(Observe, Fate)>) {
        let mut line = lock(&self.line);
        for (observe, fate) in fates {
            let event = key_of(&observe);
            match fate {
                Fate::Lost => line.lost.push(event),
                Fate::Done => line.end(event),
                // A repetition is what a restart makes of one that was committed before it.
                Fate::Rejected(Rejection::DuplicateObservation { .. }) => line.end(event),
                Fate::Rejected(rejection) => {
                    tracing::warn!(%event, code = rejection.code(), "an observation was refused");
                    line.refuse(event, rejection);
                    line.end(event);
                }
            }
        }
        drop(line);
        self.writer.try_send(Message::Wake).ok(); // a full channel wakes the writer as well
    }
}

impl Line {
    fn refuse(&mut self, event: Hash, rejection: Rejection) {
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back((event, rejection));
        self.refusals += 1;
    }

    fn end(&mut self, event: Hash) {
        if let Some(Pending::Durable(_)) = self.pending.get(&event) {
            self.pending.remove(&event);
            self.ended.push(event);
        }
    }
}

/// The thread that waits for the disk.
struct Writing {
    journal: Journal,
    blobs: Arc<BlobStore>,
    line: Arc<Mutex<Line>>,
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

    /// Data first, then the entries that name it; what has ended goes along.
    fn write(&mut self, accepted: &[(Observe, Vec<u8>)]) -> Result<(), BlobError> {
        let failed = |source| BlobError::Io { operation: "journalling", source };
        let ended = std::mem::take(&mut lock(&self.line).ended);
        let data: Vec<&[u8]> = accepted.iter().map(|(_, data)| data.as_slice()).collect();
        self.blobs.put_all(&data)?;
        let entries: Vec<Entry> = ended
            .into_iter()
            .map(Entry::Ended)
            .chain(accepted.iter().map(|(observe, _)| Entry::Accepted(observe.clone())))
            .collect();
        self.journal.append(&entries, !accepted.is_empty()).map_err(failed)
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
                let event = key_of(&observe);
                if let Some(Pending::Writing(waiting)) = line.pending.remove(&event) {
                    waiters.extend(waiting);
                }
                if answer.is_ok() {
                    line.pending.insert(event, Pending::Durable(observe.clone()));
                    line.fresh.push(observe);
                }
            }
        }
        self.submit.notify_one();
        for waiter in waiters {
            waiter.send(answer.clone()).ok(); // who asked may have gone
        }
    }

    fn tidy(&mut self) -> io::Result<()> {
        let pending: Vec<Observe> = {
            let line = lock(&self.line);
            if self.journal.entries <= line.pending.len() + GARBAGE_MAX {
                return Ok(());
            }
            let durable = |pending: &Pending| match pending {
                Pending::Durable(observe) => Some(observe.clone()),
                Pending::Writing(_) => None,
            };
            let mut durable: Vec<Observe> = line.pending.values().filter_map(durable).collect();
            durable.sort_unstable_by_key(key_of);
            durable
        };
        self.journal.rewrite(&pending)
    }
}

#[cfg(test)]
mod tests;
