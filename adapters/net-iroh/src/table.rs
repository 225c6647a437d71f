//! Who is connected, and whom this node knows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use althing_types::EndpointId;

use crate::hello::{Reason, Record};
use crate::session::Session;

/// Addresses that are remembered.
const BOOK_MAX: usize = 1024;

/// Dials under way at a time.
const DIALS_MAX: usize = 32;

/// Attempts after which an address that never worked is forgotten, unless it was configured.
const FAILURES_MAX: u32 = 50;

/// Between attempts of the more eager side, at first; doubled up to 16 times that.
const EAGER_DELAY: Duration = Duration::from_millis(100);

/// Between attempts of the other side, at first; doubled up to 8 times that.
const PATIENT_DELAY: Duration = Duration::from_secs(1);

/// Before a peer is dialled again that would refuse again.
const REFUSED_DELAY: Duration = Duration::from_secs(30);

/// Two connections that begin within this time of each other may have crossed.
const CROSSING: Duration = Duration::from_secs(2);

/// A connection that others replaced is remembered for so long.
const SUSPICION: Duration = Duration::from_secs(30);

/// So many within [`SUSPICION`] mean that another node has this node's key.
const SUSPICIONS_MIN: usize = 3;

/// What is known of a node that may be dialled.
#[derive(Debug)]
struct Known {
    address: SocketAddr,
    /// Configured, or connected before: never forgotten.
    kept: bool,
    dialling: bool,
    failures: u32,
    next_try: Instant,
}

/// The peers of one node.
pub(crate) struct Table {
    own: EndpointId,
    peers_max: usize,
    /// Whoever takes a place from others when all are taken.
    preferred: BTreeSet<EndpointId>,
    sessions: BTreeMap<EndpointId, Arc<Session>>,
    book: BTreeMap<EndpointId, Known>,
    replaced: VecDeque<(Instant, EndpointId)>,
    pub(crate) closing: bool,
}

impl Table {
    pub(crate) fn new(own: EndpointId, peers_max: usize) -> Self {
        Self {
            own,
            peers_max,
            preferred: BTreeSet::new(),
            sessions: BTreeMap::new(),
            book: BTreeMap::new(),
            replaced: VecDeque::new(),
            closing: false,
        }
    }

    /// Names whoever takes a place from others when all are taken.
    pub(crate) fn prefer(&mut self, peers: BTreeSet<EndpointId>) {
        self.preferred = peers;
    }

    /// The session that gives its place to this peer when all are taken: the youngest of those that
    /// are not preferred, and only if the peer is.
    fn displaced_by(&self, peer: &EndpointId) -> Option<&Arc<Session>> {
        if !self.preferred.contains(peer) {
            return None;
        }
        // One that has given its place already is closed, and about to be removed.
        let others = self.sessions.values().filter(|other| {
            !self.preferred.contains(&other.peer) && other.connection.close_reason().is_none()
        });
        others.max_by_key(|other| other.since)
    }

    pub(crate) fn session(&self, peer: &EndpointId) -> Option<Arc<Session>> {
        self.sessions.get(peer).cloned()
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.sessions.values()
    }

    /// Makes a session the current one of its peer; returns the one that it replaces, and why that ends.
    ///
    /// One of another peer, which gives its place, stays until its end is noticed.
    pub(crate) fn install(
        &mut self,
        session: &Arc<Session>,
    ) -> Result<Option<(Arc<Session>, Reason)>, Reason> {
        if self.closing {
            return Err(Reason::Shutdown);
        }
        let mut replaced = None;
        if let Some(current) = self.sessions.get(&session.peer) {
            let crossed = current.dialled != session.dialled && current.since.elapsed() < CROSSING;
            let lower_dialled_current = current.dialled == (self.own < session.peer);
            if crossed && lower_dialled_current {
                return Err(Reason::Crossed);
            }
            let reason = if crossed { Reason::Crossed } else { Reason::Replaced };
            replaced = Some((current.clone(), reason));
        } else if self.sessions.len() >= self.peers_max {
            let displaced = self.displaced_by(&session.peer).ok_or(Reason::Full)?;
            replaced = Some((displaced.clone(), Reason::Full));
        }
        self.sessions.insert(session.peer, session.clone());
        Ok(replaced)
    }

    /// Forgets a session unless it was replaced; true if it was the current one.
    pub(crate) fn remove(&mut self, session: &Arc<Session>) -> bool {
        let current = self.sessions.get(&session.peer);
        let same = current.is_some_and(|current| Arc::ptr_eq(current, session));
        if same {
            self.sessions.remove(&session.peer);
        }
        same
    }

    /// Notes where a node is. What the node says itself counts more than what others say.
    pub(crate) fn learn(&mut self, peer: EndpointId, address: SocketAddr, firsthand: bool) {
        if peer == self.own {
            return;
        }
        if let Some(known) = self.book.get_mut(&peer) {
            if firsthand || (known.failures > 0 && !known.kept) {
                known.address = address;
            }
            known.kept |= firsthand;
        } else if self.book.len() < BOOK_MAX || firsthand {
            let known = Known {
                address,
                kept: firsthand,
                dialling: false,
                failures: 0,
                next_try: Instant::now(),
            };
            self.book.insert(peer, known);
        }
        // Firsthand addresses push out hearsay.
        if self.book.len() > BOOK_MAX {
            let hearsay = self.book.iter().find(|(_, known)| !known.kept && !known.dialling);
            if let Some(peer) = hearsay.map(|(peer, _)| *peer) {
                self.book.remove(&peer);
            }
        }
    }

    /// Marks whom to dial now; returns them, and when to look again.
    pub(crate) fn due(&mut self, now: Instant) -> (Vec<(EndpointId, SocketAddr)>, Instant) {
        let mut dialling = self.book.values().filter(|known| known.dialling).count();
        let yields = self.sessions.keys().any(|peer| !self.preferred.contains(peer));
        let mut due = Vec::new();
        let mut next = now + Duration::from_secs(3600);
        for (peer, known) in &mut self.book {
            if known.dialling || self.sessions.contains_key(peer) {
                continue;
            }
            if known.next_try > now {
                next = next.min(known.next_try);
                continue;
            }
            let free = self.sessions.len() + dialling < self.peers_max;
            let place = free || (yields && self.preferred.contains(peer));
            if dialling < DIALS_MAX && place {
                known.dialling = true;
                dialling += 1;
                due.push((*peer, known.address));
            }
        }
        (due, next)
    }

    /// A dial failed, or the session that it began has ended.
    pub(crate) fn dialled(&mut self, peer: &EndpointId, worked: bool, refused: Option<Reason>) {
        let eager = self.own < *peer;
        let Some(known) = self.book.get_mut(peer) else { return };
        known.dialling = false;
        known.failures = if worked { 0 } else { known.failures.saturating_add(1) };
        let delay = match (refused, eager) {
            (Some(reason), _) if reason.is_lasting() => REFUSED_DELAY,
            (_, true) => EAGER_DELAY * 2_u32.pow(known.failures.min(4)),
            (_, false) => PATIENT_DELAY * 2_u32.pow(known.failures.min(3)),
        };
        known.next_try = Instant::now() + delay;
        if !known.kept && known.failures >= FAILURES_MAX {
            self.book.remove(peer);
        }
    }

    /// A peer closed a connection because a newer one took its place, and this node began none.
    ///
    /// Returns who has seen it, when that is no accident: often, and by more than one peer if there is
    /// more than one, since a single peer may lie.
    pub(crate) fn suspect(&mut self, peer: EndpointId) -> Option<Vec<EndpointId>> {
        let now = Instant::now();
        self.replaced.push_back((now, peer));
        while self.replaced.front().is_some_and(|(at, _)| now.duration_since(*at) > SUSPICION) {
            self.replaced.pop_front();
        }
        let mut seen_by: Vec<EndpointId> = self.replaced.iter().map(|(_, peer)| *peer).collect();
        let often = seen_by.len() >= SUSPICIONS_MIN;
        seen_by.sort_unstable();
        seen_by.dedup();
        let known = self.book.values().filter(|known| known.kept).count();
        (often && seen_by.len() >= known.min(2)).then(|| {
            self.replaced.clear();
            seen_by
        })
    }

    /// Signed records of connected peers, beginning anywhere: so that all are told of in time.
    pub(crate) fn records(&self, from: usize, count: usize) -> Vec<Record> {
        let known = self.sessions.len();
        let start = from.checked_rem(known).unwrap_or(0);
        let sessions = self.sessions.values().cycle().skip(start);
        sessions.take(count.min(known)).filter_map(|session| session.told()).collect()
    }
}
