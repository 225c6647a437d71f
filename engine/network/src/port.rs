//! The port: what the engines ask of the network, and what it tells them.

use std::pin::Pin;
use std::sync::Arc;

use althing_types::EndpointId;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};

/// A future that a trait object can return.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The endpoints that are connected, ascending.
pub type Peers = Arc<[EndpointId]>;

/// What a frame is for; each lane has its own queue, so that none delays a more urgent one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Votes and other small messages of consensus: first in line.
    Votes = 0,
    /// Parts of proposed blocks.
    Bodies = 1,
    /// Transactions on their way to a proposer.
    Transactions = 2,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Votes, Self::Bodies, Self::Transactions];

    /// The lane with this number.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| *lane as u8 == byte)
    }

    /// Largest frame in bytes: a certificate of a hundred votes, a part of a block, a batch of
    /// transactions.
    #[must_use]
    pub const fn frame_bytes_max(self) -> usize {
        match self {
            Self::Votes | Self::Bodies => 256 << 10,
            Self::Transactions => 512 << 10,
        }
    }

    /// How much may wait for one peer, in bytes; beyond it the oldest frames are dropped.
    #[must_use]
    pub const fn outbox_bytes_max(self) -> usize {
        match self {
            Self::Votes => 1 << 20,
            Self::Bodies => 16 << 20,
            Self::Transactions => 4 << 20,
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Decided heights, for a node that is behind.
    Sync = 0,
    /// Bytes by their hash.
    Blob = 1,
    /// Where other nodes are; answered by the adapter itself.
    Peers = 2,
    /// An event of a native service, for a node to which the service's program is connected.
    Observe = 3,
    /// Secrets of an application, for a node that is drawn for a step which is given them.
    Secrets = 4,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Sync, Self::Blob, Self::Peers, Self::Observe, Self::Secrets];

    /// The kind with this number.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Largest request in bytes.
    #[must_use]
    pub const fn request_bytes_max(self) -> usize {
        match self {
            Self::Sync | Self::Blob | Self::Peers => 64 << 10,
            // An event of a megabyte with its envelope.
            Self::Observe => (1 << 20) + (64 << 10),
            // The execution.
            Self::Secrets => 32,
        }
    }

    /// Largest answer in bytes.
    #[must_use]
    pub const fn response_bytes_max(self) -> usize {
        match self {
            Self::Sync => 16 << 20,
            Self::Blob => 32 << 20,
            Self::Peers => 128 << 10,
            Self::Observe => 4 << 10,
            // Sixteen of 4 KiB with their names.
            Self::Secrets => 128 << 10,
        }
    }
}

/// A lane or a kind: the way that something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Frames.
    Frames(Lane),
    /// Requests and their answers.
    Requests(Kind),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// There is no connection to this peer.
    #[error("{peer} is not connected")]
    NotConnected {
        /// Who was asked.
        peer: EndpointId,
    },
    /// The peer has nobody to answer this kind of request, or would not.
    #[error("{peer} refused the request")]
    Refused {
        /// Who was asked.
        peer: EndpointId,
    },
    /// The peer did not answer in time.
    #[error("{peer} did not answer in time")]
    TimedOut {
        /// Who was asked.
        peer: EndpointId,
    },
    /// The request is larger than its kind allows; nothing was sent.
    #[error("a request of {bytes} bytes, at most {bytes_max} are allowed")]
    TooLarge {
        /// Length of the request.
        bytes: usize,
        /// Limit of its kind.
        bytes_max: usize,
    },
    /// The connection broke, or the answer was too large.
    #[error("the exchange with {peer} broke off")]
    Broken {
        /// Who was asked.
        peer: EndpointId,
        /// How it broke.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The way to answer a request once; dropped unused, it tells the asker that there is no answer.
#[derive(Debug)]
pub struct Reply(oneshot::Sender<Bytes>);

impl Reply {
    /// A reply, and where it arrives: an error there means that it was dropped.
    #[must_use]
    pub fn channel() -> (Self, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. Never waits; an asker that has gone is no error.
    pub fn send(self, body: Bytes) {
        self.0.send(body).ok();
    }
}

/// What an engine does with what arrives.
///
/// Called on the connection's task: must neither block nor subscribe from within.
pub trait Inbound: Send + Sync + 'static {
    /// A peer is connected, and has proven which chain and account it speaks for.
    fn peer_up(&self, peer: EndpointId) {
        let _unheeded = peer;
    }

    /// A peer is gone.
    fn peer_down(&self, peer: EndpointId) {
        let _unheeded = peer;
    }

    /// A frame arrived. `from` is authenticated, `payload` is not.
    fn frame(&self, from: EndpointId, lane: Lane, payload: Bytes) {
        let _unheeded = (from, lane, payload);
    }

    /// A request arrived; dropping `reply` refuses it.
    fn request(&self, from: EndpointId, kind: Kind, body: Bytes, reply: Reply) {
        let _refused = (from, kind, body, reply);
    }
}

/// The way to the other nodes of one chain.
pub trait Network: Send + Sync + 'static {
    /// This node's own name.
    fn id(&self) -> EndpointId;

    /// Queues a frame for every connected peer. Never waits.
    ///
    /// A frame above [`Lane::frame_bytes_max`] is dropped: its maker has a bug, not the peer.
    fn broadcast(&self, lane: Lane, payload: Bytes);

    /// Queues a frame for one peer; dropped if it is not connected. Never waits.
    fn send(&self, peer: EndpointId, lane: Lane, payload: Bytes);

    /// Asks one peer.
    ///
    /// # Errors
    ///
    /// The future gives [`NetworkError`] when there is no answer.
    fn request(
        &self,
        peer: EndpointId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<Result<Bytes, NetworkError>>;

    /// Follows who is connected.
    fn watch_peers(&self) -> watch::Receiver<Peers>;

    /// Hands frames on `lanes` and requests of `kinds` to `handler` from now on.
    ///
    /// Before this returns, the handler has heard of every peer that is connected. A frame goes to
    /// every handler of its lane; a request to the first handler of its kind.
    fn subscribe(&self, lanes: &[Lane], kinds: &[Kind], handler: Arc<dyn Inbound>);

    /// Who is connected now.
    fn connected(&self) -> Peers {
        self.watch_peers().borrow().clone()
    }
}
