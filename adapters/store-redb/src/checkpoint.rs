//! Checkpoints that no height waits for.
//!
//! ```text
//!   commit ──► log, redb in memory ──► half full? ──wake──► thread: redb, durable ──► the log begins anew
//!                     └── full before the thread came to it: the height itself is the checkpoint
//! ```
//!
//! A checkpoint writes what many heights have changed, and takes as long as several of them: beside the next
//! block's making it delays nobody.
//!
//! - Errors: what a checkpoint meets is the next commit's.
//! - Invariant: the log is held while redb is made durable, so that nothing is appended that is forgotten
//!   with it.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use althing_replica::store::StoreError;
use redb::{Durability, ReadableTable as _};

use crate::commits::CommitLog;
use crate::error::{failed, guarded};
use crate::{Closing, META};

/// What a commit and a checkpoint write to.
#[derive(Debug)]
pub(crate) struct Media {
    pub(crate) database: Closing,
    /// Held while a height is written, or a checkpoint.
    commits: Mutex<CommitLog>,
    /// What the last checkpoint met.
    failure: Mutex<Option<StoreError>>,
}

impl Media {
    pub(crate) fn new(database: Closing, commits: CommitLog) -> Self {
        Self { database, commits: Mutex::new(commits), failure: Mutex::default() }
    }

    /// The log, once no checkpoint is being made.
    ///
    /// # Errors
    ///
    /// What the last checkpoint met.
    pub(crate) fn commits(&self) -> Result<MutexGuard<'_, CommitLog>, StoreError> {
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(commits), Err)
    }

    /// Makes redb durable, and begins the log anew, if that is worth it.
    pub(crate) fn checkpoint(&self) {
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        if !commits.is_half_full() {
            return;
        }
        let done = guarded("making a checkpoint", || {
            self.make_durable().map_err(|error| failed("making a checkpoint", error))
        });
        match done {
            Ok(()) => commits.restart(),
            Err(error) => {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
    }

    /// Everything that was committed before becomes durable with this transaction.
    fn make_durable(&self) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.set_quick_repair(true);
        {
            // Written again as it is: a transaction that changes nothing might be none.
            let mut meta = transaction.open_table(META)?;
            let tip = meta.get("tip")?.map(|tip| tip.value().to_vec());
            if let Some(tip) = tip {
                meta.insert("tip", tip.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// The thread that makes checkpoints; it ends, after the one that it makes, when this is dropped.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(media: &Arc<Media>) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let media = Arc::clone(media);
        let work = move || {
            for () in woken {
                media.checkpoint();
            }
        };
        let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(work)?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// There is something to do. Never waits.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake.try_send(()).ok(); // it was woken already
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // what it met was the next commit's
        }
    }
}
