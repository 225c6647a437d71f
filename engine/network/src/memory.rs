//! A network of nodes in one process, with faults on demand.
//!
//! ```text
//!   node a ── rule: deliver | drop | delay ──► inbox of b (one queue a lane) ── task ──► handlers of b
//! ```
//!
//! Frames of one lane between two nodes keep their order as long as the rule gives them one delay.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use althing_types::EndpointId;
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    BoxFuture, Channel, Handlers, Inbound, Kind, Lane, Network, NetworkError, Outbox, Peers, Reply,
};

/// Frames that may be delayed at the same time; beyond it they are dropped.
const DELAYED_MAX: usize = 65_536;

/// How long an asker waits for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Something on its way from one node to another.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// Who sent it.
    pub from: EndpointId,
    /// Where it goes.
    pub to: EndpointId,
    /// By which way; an answer takes the way of its request.
    pub channel: Channel,
    /// Length in bytes.
    pub bytes: usize,
}

/// What becomes of a passage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at once.
    Deliver,
    /// It is lost.
    Drop,
    /// It arrives later.
    Delay(Duration),
}

/// Decides the fate of every passage.
pub type Rule = Arc<dyn Fn(&Passage) -> Fate + Send + Sync>;

/// Connects nodes of one process with each other.
#[derive(Clone, Default)]
pub struct MemoryHub(Arc<Hub>);

#[derive(Default)]
struct Hub {
    nodes: RwLock<BTreeMap<EndpointId, Arc<Node>>>,
    rule: RwLock<Option<Rule>>,
    /// Pairs that have no connection, the smaller id first.
    cut: Mutex<Vec<(EndpointId, EndpointId)>>,
}

impl fmt::Debug for MemoryHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.nodes().keys()).finish()
    }
}

struct Node {
    id: EndpointId,
    handlers: Handlers,
    inbox: [Outbox<(EndpointId, Bytes)>; 3],
    arrived: Notify,
    delayed: Arc<Semaphore>,
}

impl Hub {
    fn nodes(&self) -> BTreeMap<EndpointId, Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn node(&self, id: &EndpointId) -> Option<Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn is_cut(&self, a: EndpointId, b: EndpointId) -> bool {
        let pair = (a.min(b), a.max(b));
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).contains(&pair)
    }

    fn fate(&self, passage: &Passage) -> Fate {
        if self.is_cut(passage.from, passage.to) {
            return Fate::Drop;
        }
        let rule = self.rule.read().unwrap_or_else(PoisonError::into_inner).clone();
        rule.map_or(Fate::Deliver, |rule| rule(passage))
    }

    fn deliver(&self, from: EndpointId, to: &Arc<Node>, lane: Lane, payload: Bytes) {
        let bytes = payload.len();
        if bytes > lane.frame_bytes_max() {
            return;
        }
        let passage = Passage { from, to: to.id, channel: Channel::Frames(lane), bytes };
        match self.fate(&passage) {
            Fate::Deliver => to.put(from, lane, payload),
            Fate::Drop => {}
            Fate::Delay(delay) => {
                let Ok(permit) = to.delayed.clone().try_acquire_owned() else { return };
                let to = to.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    to.put(from, lane, payload);
                    drop(permit);
                });
            }
        }
    }
}

impl Node {
    fn put(&self, from: EndpointId, lane: Lane, payload: Bytes) {
        if let Some(inbox) = self.inbox.get(usize::from(lane as u8)) {
            inbox.push(payload.len(), (from, payload));
            self.arrived.notify_one();
        }
    }

    /// Hands out what arrives, the most urgent lane first; aborted when the node leaves.
    async fn run(self: Arc<Self>) {
        let peers = self.handlers.watch_peers();
        loop {
            let mut idle = true;
            for (lane, inbox) in Lane::ALL.into_iter().zip(&self.inbox) {
                for (from, payload) in inbox.try_take_all() {
                    idle = false;
                    let known = peers.borrow().contains(&from);
                    if known {
                        self.handlers.frame(from, lane, &payload);
                    }
                }
            }
            if idle {
                // The sender's `notify_one` is kept if it comes before this await.
                self.arrived.notified().await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }
}

impl MemoryHub {
    /// A hub without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node and connects it to all others. An older node of the same name leaves.
    ///
    /// Must be called within a tokio runtime: deliveries run on a task.
    #[must_use]
    pub fn join(&self, id: EndpointId) -> Arc<MemoryNetwork> {
        self.leave(id);
        let node = Arc::new(Node {
            id,
            handlers: Handlers::default(),
            inbox: Lane::ALL.map(|lane| Outbox::new(lane.outbox_bytes_max())),
            arrived: Notify::new(),
            delayed: Arc::new(Semaphore::new(DELAYED_MAX)),
        });
        let task = tokio::spawn(node.clone().run());
        let others = self.0.nodes();
        self.0.nodes.write().unwrap_or_else(PoisonError::into_inner).insert(id, node.clone());
        for other in others.values().filter(|other| !self.0.is_cut(id, other.id)) {
            other.handlers.peer_up(id);
            node.handlers.peer_up(other.id);
        }
        Arc::new(MemoryNetwork { hub: self.clone(), node, task: task.abort_handle() })
    }

    /// Takes a node off the network, as if its process had been killed.
    pub fn leave(&self, id: EndpointId) {
        let left = self.0.nodes.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(left) = left else { return };
        for other in self.0.nodes().values() {
            other.handlers.peer_down(id);
            left.handlers.peer_down(other.id);
        }
    }

    /// Decides the fate of everything from now on.
    pub fn set_rule(&self, rule: impl Fn(&Passage) -> Fate + Send + Sync + 'static) {
        *self.0.rule.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(rule));
    }

    /// Everything arrives again, and at once.
    pub fn clear_rule(&self) {
        *self.0.rule.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Cuts every connection between the two sides.
    pub fn partition(&self, left: &[EndpointId], right: &[EndpointId]) {
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
            self.0.cut.lock().unwrap_or_else(PoisonError::into_inner).push((a.min(b), a.max(b)));
            if let (Some(a), Some(b)) = (self.0.node(&a), self.0.node(&b)) {
                a.handlers.peer_down(b.id);
                b.handlers.peer_down(a.id);
            }
        }
    }

    /// Restores every connection that was cut.
    pub fn heal(&self) {
        let cut = std::mem::take(&mut *self.0.cut.lock().unwrap_or_else(PoisonError::into_inner));
        for (a, b) in cut {
            if let (Some(a), Some(b)) = (self.0.node(&a), self.0.node(&b)) {
                a.handlers.peer_up(b.id);
                b.handlers.peer_up(a.id);
            }
        }
    }
}

/// One node's way to the others of its [`MemoryHub`]; dropping it takes the node off the network.
pub struct MemoryNetwork {
    hub: MemoryHub,
    node: Arc<Node>,
    task: tokio::task::AbortHandle,
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNetwork").field("id", &self.node.id).finish_non_exhaustive()
    }
}

impl Drop for MemoryNetwork {
    fn drop(&mut self) {
        self.task.abort();
        // A newer node may have taken the name.
        let current = self.hub.0.node(&self.node.id);
        if current.is_some_and(|current| Arc::ptr_eq(&current, &self.node)) {
            self.hub.leave(self.node.id);
        }
    }
}

impl MemoryNetwork {
    fn peer(&self, id: &EndpointId) -> Option<Arc<Node>> {
        self.connected().contains(id).then(|| self.hub.0.node(id)).flatten()
    }
}

impl Network for MemoryNetwork {
    fn id(&self) -> EndpointId {
        self.node.id
    }

    fn broadcast(&self, lane: Lane, payload: Bytes) {
        for peer in self.connected().iter().filter_map(|id| self.hub.0.node(id)) {
            self.hub.0.deliver(self.node.id, &peer, lane, payload.clone());
        }
    }

    fn send(&self, peer: EndpointId, lane: Lane, payload: Bytes) {
        if let Some(peer) = self.peer(&peer) {
            self.hub.0.deliver(self.node.id, &peer, lane, payload);
        }
    }

    fn request(
        &self,
        peer: EndpointId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<Result<Bytes, NetworkError>> {
        let (hub, from, node) = (self.hub.clone(), self.node.id, self.peer(&peer));
        Box::pin(async move {
            if body.len() > kind.request_bytes_max() {
                let bytes_max = kind.request_bytes_max();
                return Err(NetworkError::TooLarge { bytes: body.len(), bytes_max });
            }
            let node = node.ok_or(NetworkError::NotConnected { peer })?;
            let exchange = async {
                pass(&hub, from, peer, kind, body.len()).await;
                let (reply, answer) = Reply::channel();
                node.handlers.request(from, kind, body, reply);
                let answer = answer.await.map_err(|_| NetworkError::Refused { peer })?;
                if answer.len() > kind.response_bytes_max() {
                    return Err(NetworkError::Refused { peer });
                }
                pass(&hub, peer, from, kind, answer.len()).await;
                Ok(answer)
            };
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, exchange).await;
            answer.unwrap_or(Err(NetworkError::TimedOut { peer }))
        })
    }

    fn watch_peers(&self) -> watch::Receiver<Peers> {
        self.node.handlers.watch_peers()
    }

    fn subscribe(&self, lanes: &[Lane], kinds: &[Kind], handler: Arc<dyn Inbound>) {
        self.node.handlers.subscribe(lanes, kinds, handler);
    }
}

/// Waits as long as half of an exchange takes: for ever, if it is lost.
async fn pass(hub: &MemoryHub, from: EndpointId, to: EndpointId, kind: Kind, bytes: usize) {
    match hub.0.fate(&Passage { from, to, channel: Channel::Requests(kind), bytes }) {
        Fate::Deliver => {}
        Fate::Drop => std::future::pending().await,
        Fate::Delay(delay) => tokio::time::sleep(delay).await,
    }
}
