//! Who hears what: the inbound half of every implementation of the port.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use althing_types::EndpointId;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{Inbound, Kind, Lane, Peers, Reply};

#[derive(Clone)]
struct Entry {
    lanes: Vec<Lane>,
    kinds: Vec<Kind>,
    handler: Arc<dyn Inbound>,
}

/// The handlers of one node, and the peers that they have been told of.
///
/// Handlers hear of peers in one order: the order in which the set of peers changed.
pub struct Handlers {
    entries: RwLock<Arc<[Entry]>>,
    peers: watch::Sender<Peers>,
    /// Held while handlers are told of a peer, so that none hears "down" before "up".
    telling: Mutex<()>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("peers", &*self.peers.borrow()).finish_non_exhaustive()
    }
}

impl Default for Handlers {
    fn default() -> Self {
        Self {
            entries: RwLock::new(Arc::new([])),
            peers: watch::Sender::new(Arc::new([])),
            telling: Mutex::new(()),
        }
    }
}

impl Handlers {
    fn entries(&self) -> Arc<[Entry]> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`Network::subscribe`](crate::Network::subscribe).
    pub fn subscribe(&self, lanes: &[Lane], kinds: &[Kind], handler: Arc<dyn Inbound>) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        for peer in self.peers.borrow().iter() {
            handler.peer_up(*peer);
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let added = Entry { lanes: lanes.to_vec(), kinds: kinds.to_vec(), handler };
        *entries = entries.iter().cloned().chain([added]).collect();
    }

    /// See [`Network::watch_peers`](crate::Network::watch_peers).
    pub fn watch_peers(&self) -> watch::Receiver<Peers> {
        self.peers.subscribe()
    }

    /// Tells everybody of a peer. A second call for the same peer tells them again: it reconnected.
    pub fn peer_up(&self, peer: EndpointId) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        self.peers.send_if_modified(|peers| {
            let Err(place) = peers.binary_search(&peer) else { return false };
            let mut all = peers.to_vec();
            all.insert(place, peer);
            *peers = all.into();
            true
        });
        for entry in self.entries().iter() {
            entry.handler.peer_up(peer);
        }
    }

    /// Tells everybody that a peer is gone, if they knew of it.
    pub fn peer_down(&self, peer: EndpointId) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.peers.send_if_modified(|peers| {
            let Ok(place) = peers.binary_search(&peer) else { return false };
            let mut all = peers.to_vec();
            all.remove(place);
            *peers = all.into();
            true
        });
        if known {
            for entry in self.entries().iter() {
                entry.handler.peer_down(peer);
            }
        }
    }

    /// Hands a frame to the handlers of its lane.
    pub fn frame(&self, from: EndpointId, lane: Lane, payload: &Bytes) {
        for entry in self.entries().iter().filter(|entry| entry.lanes.contains(&lane)) {
            entry.handler.frame(from, lane, payload.clone());
        }
    }

    /// Hands a request to the handler of its kind; without one the reply is dropped.
    pub fn request(&self, from: EndpointId, kind: Kind, body: Bytes, reply: Reply) {
        if let Some(entry) = self.entries().iter().find(|entry| entry.kinds.contains(&kind)) {
            entry.handler.request(from, kind, body, reply);
        }
    }
}
