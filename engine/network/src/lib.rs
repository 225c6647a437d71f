//! The port to other nodes, and its in-memory twin.
//!
//! ```text
//!   consensus, node                      adapter (iroh, memory)
//!   ---------------                      ----------------------
//!   Network::broadcast / send  ───────►  Outbox per peer and lane ──► peer
//!   Network::request           ───────►  one exchange             ──► peer
//!   Inbound::frame / request   ◄───────  Handlers                 ◄── peer
//! ```
//!
//! - Shapes: a *frame* is one-way and may be lost; it travels on a [`Lane`]. A *request* of some
//!   [`Kind`] has an answer or an error. Both are opaque bytes here.
//! - Units: bytes, everywhere.
//! - Errors: [`NetworkError`] for requests. A frame that cannot be delivered is dropped and counted.
//! - Invariants: no call waits for a peer; every queue is bounded in bytes; a handler hears of a peer
//!   (`peer_up`) before anything the peer says; who the peer is has been authenticated by the
//!   adapter.
mod handlers;
mod memory;
mod outbox;
mod port;

pub use handlers::Handlers;
pub use memory::{Fate, MemoryHub, MemoryNetwork, Passage, Rule};
pub use outbox::Outbox;
pub use port::{BoxFuture, Channel, Inbound, Kind, Lane, Network, NetworkError, Peers, Reply};
