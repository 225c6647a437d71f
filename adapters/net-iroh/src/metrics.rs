//! What the network has done.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections whose hello was accepted.
    pub connections: AtomicU64,
    /// Connections that were refused before or instead of a session.
    pub refused: AtomicU64,
    /// Frames queued for a peer.
    pub frames_sent: AtomicU64,
    /// Bytes of these.
    pub bytes_sent: AtomicU64,
    /// Frames that reached the handlers.
    pub frames_received: AtomicU64,
    /// Bytes of these.
    pub bytes_received: AtomicU64,
    /// Frames dropped because a peer was too slow to take them.
    pub dropped_outgoing: AtomicU64,
    /// Frames and requests dropped because a peer sent too many.
    pub dropped_incoming: AtomicU64,
    /// Requests made.
    pub requests_made: AtomicU64,
    /// Requests taken from peers.
    pub requests_taken: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
}
