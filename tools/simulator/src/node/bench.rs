//! The worker, as it answers the blocks that its node is building.
//!
//! ```text
//!   Replica::propose_shared ──Owed──► Bench ──► Worker::answer ──► mempool    time passes for this node
//!                           ◄─answered─┘ └──► Left: what goes on after the block, what others are to have
//! ```
//!
//! All of it happens within one event: elsewhere virtual time stands still meanwhile. The node's own clock
//! goes on, and what the block brings leaves the node that much later: in between it can crash.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use althing_replica::application::Fault;
use althing_replica::{Owed, OwnWork, Reader, Refusal, Replica, SubmitError};
use althing_types::Hash;
use bytes::Bytes;

use super::chain::{Chain, lock};
use super::{Clock, Deed, Worker};
use crate::disk::LocalBlobs;
use crate::report::Counts;

/// What became of blocks that were open for answers, on all nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Openings(Arc<Mutex<Counts>>);

impl Openings {
    pub(crate) fn count(&self, what: &'static str, n: u64) {
        if n > 0 {
            *lock(&self.0).entry(what).or_default() += n;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.0).clone()
    }
}

/// What open blocks have left to be done.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) deeds: Vec<Deed>,
    /// Transactions of this node, with their hashes where the mempool has taken them.
    pub(super) said: Vec<(Option<Hash>, Bytes)>,
    /// The block that is open has answers.
    answered: bool,
    fault: Option<Fault>,
}

/// A node's worker, shared with its replica.
pub(super) struct Bench {
    worker: Mutex<Worker>,
    left: Mutex<Left>,
    replica: Weak<Mutex<Replica>>,
    reader: Reader,
    clock: Clock,
    files: Arc<LocalBlobs>,
    openings: Openings,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("worker", &self.worker).finish_non_exhaustive()
    }
}

impl Bench {
    /// Gives the replica this worker.
    pub(super) fn open(
        chain: &Chain,
        worker: Worker,
        clock: Clock,
        files: Arc<LocalBlobs>,
        openings: Openings,
    ) -> Arc<Self> {
        let reader = chain.lock().reader();
        let (worker, left) = (Mutex::new(worker), Mutex::default());
        let replica = chain.downgrade();
        let bench = Arc::new(Self { worker, left, replica, reader, clock, files, openings });
        chain.lock().on_owed(bench.clone());
        bench
    }

    pub(super) fn worker(&self) -> MutexGuard<'_, Worker> {
        lock(&self.worker)
    }

    pub(super) fn take_left(&self) -> Left {
        std::mem::take(&mut lock(&self.left))
    }

    fn submit(&self, bytes: Vec<u8>, left: &mut Left) {
        let Some(replica) = self.replica.upgrade() else { return };
        let submitted = lock(&replica).submit(&bytes);
        match submitted {
            Ok(hash) => left.said.push((Some(hash), bytes.into())),
            Err(SubmitError::NotAdmitted(refused)) => {
                if refused.is_known_elsewhere() {
                    left.said.push((None, bytes.into()));
                }
            }
            Err(SubmitError::Fault(fault)) => left.fault = Some(fault),
        }
    }
}

/// Whether a transaction that was not taken is worth passing on.
pub(super) trait Known {
    fn is_known_elsewhere(&self) -> bool;
}

impl Known for althing_replica::NotAdmitted {
    fn is_known_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal::Duplicate | Refusal::Stale { .. } | Refusal::NonceTaken { .. },)
        )
    }
}

impl OwnWork for Bench {
    fn ask(&self, owed: Owed) {
        let mut left = lock(&self.left);
        if left.fault.is_some() {
            return;
        }
        let (now_us, open_us) = (self.clock.time.us(), self.clock.open_us());
        self.openings.count("executions owed while open", owed.executions.len() as u64);
        let mut worker = self.worker();
        let begun = worker.foresee(owed, open_us, &self.reader, now_us, &mut left.deeds);
        left.fault = begun.err();
    }

    fn answers(&self, within_ms: u64) {
        let mut left = lock(&self.left);
        if left.fault.is_some() {
            return;
        }
        let (now_us, open_us) = (self.clock.time.us(), self.clock.open_us());
        let open_us = open_us..open_us + within_ms * 1_000;
        let answered = self.worker().answer(open_us, &self.reader, now_us, &mut left.deeds);
        match answered {
            Ok(answered) => {
                self.clock.stay_open(answered.at_us);
                self.openings.count("blocks that waited in vain", u64::from(answered.in_vain));
                for signed in answered.signed {
                    left.answered = true;
                    self.submit(signed.encode(), &mut left);
                }
            }
            Err(fault) => left.fault = Some(fault),
        }
    }

    fn flush(&self) -> Result<(), Fault> {
        let mut left = lock(&self.left);
        if let Some(fault) = left.fault.take() {
            return Err(fault);
        }
        let answered = std::mem::take(&mut left.answered);
        self.openings.count("blocks with something said while open", u64::from(answered));
        self.files.flush_block(answered).map_err(|error| {
            self.openings.count("power losses in an open block", 1);
            Fault::new("making outputs durable", error)
        })
    }
}
