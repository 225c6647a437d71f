//! The replica as the parts of the node share it: transactions in, commits out.
//!
//! ```text
//!   API, worker ──┐                                ┌──► worker, events, metrics
//!   peers ────────┴─► admit ─► Replica ─► commit ──┴──► work: is the next block worth making?
//!                      └─► gossip
//! ```
//!
//! - Invariants: signatures of others are verified before the replica's lock is taken; what consensus calls
//!   never waits for a listener.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use althing_ledger::Authenticated;
use althing_replica::{Committed, Next, NotAdmitted, Reader, Refusal, Replica, SubmitError};
use althing_types::{Hash, SignedTransaction, TimeMs};
use tokio::sync::{broadcast, mpsc, watch};

use crate::clock;

/// How many commits a slow listener may lag behind before it has to look at the state again.
const COMMITS_BUFFERED: usize = 256;
/// How many transactions wait to be passed on.
const GOSSIP_BUFFERED: usize = 16_384;
/// How many of the transactions that were first handed to this node are passed on again.
const OWN_REMEMBERED: usize = 10_000;

/// A transaction on its way to the other nodes.
pub(crate) type Encoded = Arc<[u8]>;

/// The chain on this node.
pub(crate) struct Chain {
    pub(crate) replica: Arc<Mutex<Replica>>,
    pub(crate) reader: Reader,
    commits: broadcast::Sender<Arc<Committed>>,
    work: watch::Sender<bool>,
    due: watch::Sender<Option<TimeMs>>,
    gossip: mpsc::Sender<Encoded>,
    /// Transactions that were first handed to this node, for which it feels responsible.
    own: Mutex<VecDeque<(Hash, Encoded)>>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Chain {
    /// Shares a replica; what is to be passed on arrives at the receiver.
    pub(crate) fn new(mut replica: Replica) -> (Arc<Self>, mpsc::Receiver<Encoded>) {
        let (commits, _) = broadcast::channel(COMMITS_BUFFERED);
        let (gossip, to_gossip) = mpsc::channel(GOSSIP_BUFFERED);
        let (sender, work) = (commits.clone(), watch::Sender::new(false));
        let due = watch::Sender::new(None);
        let (known, known_due) = (work.clone(), due.clone());
        // Both are told from the commit itself: consensus asks for work as soon as it has ended.
        replica.on_commit(Box::new(move |committed| {
            tell_of_work(&known, &known_due, committed.next);
            sender.send(Arc::new(committed)).ok(); // nobody listens during the start
        }));
        let reader = replica.reader();
        let chain = Self {
            replica: Arc::new(Mutex::new(replica)),
            reader,
            commits,
            work,
            due,
            gossip,
            own: Mutex::default(),
        };
        (Arc::new(chain), to_gossip)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Replica> {
        // A panic in the replica is a fault, which stops the node; until then others may read.
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows commits.
    pub(crate) fn commits(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.commits.subscribe()
    }

    /// Follows whether there is something to put into a block.
    pub(crate) fn work(&self) -> watch::Receiver<bool> {
        self.work.subscribe()
    }

    /// Follows when the next deadline is due.
    pub(crate) fn due(&self) -> watch::Receiver<Option<TimeMs>> {
        self.due.subscribe()
    }

    /// Takes a transaction that was handed to this node, and passes it on; so too one that waits here
    /// already, since whoever brought it may be gone. Blocks for the time of a signature's verification
    /// and, at worst, of a block's execution.
    pub(crate) fn submit(&self, bytes: &[u8]) -> Result<Hash, SubmitError> {
        self.hand_in(bytes, self.admit(bytes))
    }

    /// As [`submit`](Self::submit), of a transaction that this node has just signed.
    pub(crate) fn submit_own(&self, signed: SignedTransaction) -> Result<Hash, SubmitError> {
        let bytes = signed.encode();
        let authenticated = self.reader.signed_here(signed, &bytes);
        let admitted = authenticated.map_err(|invalid| NotAdmitted::Invalid(invalid).into());
        self.hand_in(&bytes, admitted.and_then(|own| self.take(own, &bytes)))
    }

    /// Whether the replica is free now: what needs it would not wait.
    pub(crate) fn is_free(&self) -> bool {
        self.replica.try_lock().is_ok()
    }

    fn hand_in(
        &self,
        bytes: &[u8],
        admitted: Result<(Hash, Encoded), SubmitError>,
    ) -> Result<Hash, SubmitError> {
        let (hash, encoded, waits) = match admitted {
            Ok((hash, encoded)) => (hash, encoded, false),
            Err(SubmitError::NotAdmitted(NotAdmitted::Refused(Refusal::Duplicate))) => {
                (SignedTransaction::hash_of(bytes), bytes.into(), true)
            }
            Err(error) => return Err(error),
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        // Only what waits already can be among them.
        if !(waits && own.iter().any(|(known, _)| *known == hash)) {
            if own.len() >= OWN_REMEMBERED {
                own.pop_front();
            }
            own.push_back((hash, encoded.clone()));
        }
        drop(own);
        self.pass_on(encoded);
        Ok(hash)
    }

    /// Takes a transaction into the mempool.
    pub(crate) fn admit(&self, bytes: &[u8]) -> Result<(Hash, Encoded), SubmitError> {
        let transaction = self.reader.authenticate(bytes).map_err(NotAdmitted::Invalid)?;
        self.take(transaction, bytes)
    }

    fn take(
        &self,
        transaction: Arc<Authenticated>,
        bytes: &[u8],
    ) -> Result<(Hash, Encoded), SubmitError> {
        let mut replica = self.lock();
        let hash = replica.admit(transaction)?;
        if !*self.work.borrow() {
            tell_of_work(&self.work, &self.due, replica.next()?);
        }
        drop(replica);
        Ok((hash, bytes.into()))
    }

    /// Queues a transaction for the other nodes; when the queue is full they hear of it later.
    pub(crate) fn pass_on(&self, encoded: Encoded) {
        self.gossip.try_send(encoded).ok();
    }

    /// Passes on again what was handed to this node and still waits.
    pub(crate) fn pass_on_again(&self) {
        let waiting: Vec<Encoded> = {
            let replica = self.lock();
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.retain(|(hash, _)| replica.mempool().find(hash).is_some());
            own.iter().map(|(_, encoded)| encoded.clone()).collect()
        };
        for encoded in waiting {
            self.pass_on(encoded);
        }
    }

    /// Decides anew whether the next block is worth making.
    pub(crate) fn look_for_work(&self) {
        let replica = self.lock();
        // A state that cannot be read is a fault that the next block meets.
        if let Ok(next) = replica.next() {
            tell_of_work(&self.work, &self.due, next);
        }
        drop(replica);
    }
}

/// To be called under the replica's lock: who looks for work meanwhile would take it back.
fn tell_of_work(work: &watch::Sender<bool>, due: &watch::Sender<Option<TimeMs>>, next: Next) {
    let has_work = next.is_worth_making(clock::now());
    work.send_if_modified(|work| std::mem::replace(work, has_work) != has_work);
    due.send_if_modified(|due| std::mem::replace(due, next.due) != next.due);
}

/// True if the transaction is no news, which is no error when it comes from a peer.
pub(crate) fn is_known(error: &SubmitError) -> bool {
    matches!(
        error,
        SubmitError::NotAdmitted(NotAdmitted::Refused(
            Refusal::Duplicate | Refusal::Stale { .. } | Refusal::NonceTaken { .. }
        ))
    )
}
