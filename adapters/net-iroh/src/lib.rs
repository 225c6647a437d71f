//! The network port over iroh: one QUIC endpoint a node.
//!
//! ```text
//!   Keeper: address book ──► dial ──┐                       ┌─ three one-way streams, one a lane
//!   Accept ─────────────────────────┴─► Hello ──► Session ──┼─ a two-way stream a request
//!                                       (both ways)         └─ rate limit ──► Handlers
//! ```
//!
//! - **Who may connect**: any endpoint whose hello names this chain and genesis and is signed by its
//!   account for this endpoint; nothing else of a connection is read before. At most
//!   [`Limits::peers_max`]; those that are preferred, the validators, take the place of others.
//! - **Links**: one connection a pair. Both sides dial those that they know; the lower endpoint id is the
//!   more eager. The newest connection wins, except that of two dialled at once the lower id's stays.
//! - **Lanes**: long-lived one-way streams, so that frames of a lane stay in order; each has an outbox
//!   limited in bytes, which drops its oldest frames. A peer that sends too much loses frames, then its
//!   connection.
//! - **Addresses**: nodes ask each other for signed records, and dial whom they do not know yet.
//! - Units: bytes; rates in a second.
//! - Errors: [`Error`] at the start, with a code; later, [`Event`]s.
//! - Invariant: no server of anybody else is contacted: no relay, no DNS, no address lookup.
mod hello;
mod limit;
mod metrics;
mod network;
mod session;
mod table;
pub mod wire;

use std::net::SocketAddr;
use std::sync::Arc;

use althing_types::{Address, ChainId, EndpointId, Hash, RecoverableSignature, Signatures};
pub use hello::{PROTOCOL, Reason};
pub use metrics::Metrics;
pub use network::IrohNetwork;

/// A node and where to dial it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// Its name, which it proves.
    pub endpoint: EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What one node takes from others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most peers at a time.
    pub peers_max: usize,
    /// Bytes that one peer may send in a second.
    pub bytes_per_second: u64,
    /// Frames and requests that one peer may send in a second.
    pub frames_per_second: u64,
}

impl Default for Limits {
    /// 128 peers, 64 MiB and 20,000 frames a second.
    fn default() -> Self {
        Self { peers_max: 128, bytes_per_second: 64 << 20, frames_per_second: 20_000 }
    }
}

/// What a node needs to speak with others.
#[derive(Clone)]
pub struct Config {
    /// The ed25519 secret of the endpoint; never the key that votes.
    pub secret: [u8; 32],
    /// The UDP address to listen on; port zero takes a free one.
    pub listen: SocketAddr,
    /// The chain.
    pub chain: ChainId,
    /// The hash of its genesis.
    pub genesis: Hash,
    /// The account that this node speaks for.
    pub account: Address,
    /// The account's signature over [`Eip712::hello`](althing_types::Eip712::hello) with this endpoint.
    pub hello: RecoverableSignature,
    /// Whom to dial first.
    pub bootstrap: Vec<PeerAddress>,
    /// Checks the hellos of others.
    pub signatures: Arc<dyn Signatures + Send + Sync>,
    /// What this node takes from others.
    pub limits: Limits,
}

impl std::fmt::Debug for Config {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("chain", &self.chain)
            .field("account", &self.account)
            .field("bootstrap", &self.bootstrap)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The name of the endpoint whose secret this is: what an account signs in its hello.
#[must_use]
pub fn endpoint_of(secret: &[u8; 32]) -> EndpointId {
    EndpointId(*iroh::SecretKey::from_bytes(secret).public().as_bytes())
}

/// Why the network cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the port.
    #[error("the UDP address {address} is in use by another process")]
    AddressInUse {
        /// The address that was asked for.
        address: SocketAddr,
        /// As the system says it.
        #[source]
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("listening on {address} failed")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The own hello would be refused by every other node.
    #[error("the account {account} has not signed this node's endpoint")]
    BadHello {
        /// The account.
        account: Address,
    },
}

impl Error {
    /// The code of this error's page in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AddressInUse { .. } => "NET-0001",
            Self::Bind { .. } => "NET-0002",
            Self::BadHello { .. } => "NET-0003",
        }
    }
}

/// The code of [`Event::DuplicateIdentity`]'s page in `docs/errors/`.
pub const DUPLICATE_IDENTITY: &str = "NET-0004";

/// What somebody should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Another node runs with this node's key: both must not vote. The node should stop with
    /// [`DUPLICATE_IDENTITY`].
    DuplicateIdentity {
        /// Who has both: peers that replaced this node's connection by another one, or this node
        /// itself, when somebody dialled it in its own name.
        seen_by: Vec<EndpointId>,
    },
    /// A peer was refused, or refused this node.
    Refused {
        /// The peer.
        peer: EndpointId,
        /// Why.
        reason: Reason,
        /// True if the peer closed the connection.
        by_peer: bool,
    },
}
