//! Puts bodies together from their parts, within bounds.
//!
//! ```text
//!   Init (sealed by the proposer) ──► open stream ──► Data … Data ──► Body
//! ```
//!
//! - Shapes: a stream is named by (peer, height, round, block): peers cannot spoil each other's streams.
//! - Invariants: nothing is buffered before a proposer's seal over it was verified; at most
//!   [`STREAMS_PER_PEER_MAX`] streams a peer and [`BUFFER_BYTES_MAX`] in all.

use std::collections::BTreeMap;

use althing_replica::context::{BodyInit, BodyPiece, Members, Part, seal_digest};
use althing_types::{BLOCK_BYTES_MAX, BlockId, EndpointId, Height};
use malachite_types::Round;

use crate::signing::Checker;

/// Streams that one peer may have open.
const STREAMS_PER_PEER_MAX: usize = 4;

/// Bytes that all open streams may hold together.
const BUFFER_BYTES_MAX: usize = 64 << 20;

/// How far above the next height a body may be.
pub(crate) const HEIGHTS_AHEAD_MAX: u64 = 2;

/// What the node waits for: the next height and who decides it.
#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub(crate) next: Height,
    pub(crate) members: Members,
}

/// A body whose parts have all arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) init: BodyInit,
    pub(crate) bytes: Vec<u8>,
}

/// Why a part was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its height is decided, or too far ahead.
    Height,
    /// Larger than a block may be, or empty.
    Size,
    /// Not from who may propose there.
    Proposer,
    /// The seal is not the proposer's.
    Seal,
    /// A piece without a stream, or not of the length that its place demands.
    Piece,
    /// There is no room.
    Full,
}

type Key = (EndpointId, Height, u64, BlockId);

struct Stream {
    init: BodyInit,
    bytes: Vec<u8>,
    /// Which pieces have arrived.
    seen: Vec<bool>,
    missing: usize,
    opened: u64,
}

/// The streams that are open.
pub(crate) struct Assembly {
    checker: Checker,
    /// Length of every piece of a body but the last.
    part_bytes: usize,
    streams: BTreeMap<Key, Stream>,
    /// Sum of the announced lengths of all open streams.
    buffered_bytes: usize,
    opened: u64,
}

fn round_number(round: Round) -> u64 {
    round.as_u32().map_or(0, |round| u64::from(round) + 1)
}

impl Assembly {
    pub(crate) fn new(checker: Checker, part_bytes: usize) -> Self {
        Self { checker, part_bytes, streams: BTreeMap::new(), buffered_bytes: 0, opened: 0 }
    }

    /// Takes a part; returns the body that it completes.
    pub(crate) fn take(
        &mut self,
        from: EndpointId,
        part: Part,
        expectation: &Expectation,
    ) -> Result<Option<Body>, Refusal> {
        match part {
            Part::Init(init) => self.open(from, init, expectation).map(|()| None),
            Part::Data(piece) => self.add(from, &piece),
        }
    }

    /// Drops what belongs to decided heights.
    pub(crate) fn forget_below(&mut self, next: Height) {
        let old: Vec<Key> = self.streams.keys().filter(|key| key.1 < next).copied().collect();
        for key in old {
            self.close(&key);
        }
    }

    /// Drops what a peer had begun.
    pub(crate) fn forget_peer(&mut self, peer: EndpointId) {
        for key in self.of_peer(peer) {
            self.close(&key);
        }
    }

    fn of_peer(&self, peer: EndpointId) -> Vec<Key> {
        self.streams.keys().filter(|key| key.0 == peer).copied().collect()
    }

    fn close(&mut self, key: &Key) -> Option<Stream> {
        let stream = self.streams.remove(key)?;
        self.buffered_bytes = self.buffered_bytes.saturating_sub(stream.bytes.len());
        Some(stream)
    }

    fn open(
        &mut self,
        from: EndpointId,
        init: BodyInit,
        expectation: &Expectation,
    ) -> Result<(), Refusal> {
        let Expectation { next, members } = expectation;
        let height = init.height.0;
        if height < *next || height > next.after(HEIGHTS_AHEAD_MAX) {
            return Err(Refusal::Height);
        }
        let length = usize::try_from(init.bytes).map_err(|_| Refusal::Size)?;
        if length == 0 || length > BLOCK_BYTES_MAX {
            return Err(Refusal::Size);
        }
        // Who proposes above the next height is known only once it is decided: any member may claim it.
        let proposer = members.get(&init.proposer).ok_or(Refusal::Proposer)?;
        let expected = members.proposer(height, init.round).map(|member| member.address);
        if height == *next && expected != Some(init.proposer) {
            return Err(Refusal::Proposer);
        }
        let digest = seal_digest(&self.checker.eip712, height, init.round, &init.block);
        if !self.checker.verifies(digest, &init.seal, &proposer.public_key) {
            return Err(Refusal::Seal);
        }

        let key = (from, height, round_number(init.round), init.block);
        self.close(&key); // Begun anew, as after a lost connection.
        let mut open = self.of_peer(from);
        if open.len() >= STREAMS_PER_PEER_MAX {
            open.sort_by_key(|key| self.streams.get(key).map(|stream| stream.opened));
            if let Some(oldest) = open.first() {
                self.close(oldest);
            }
        }
        if self.buffered_bytes + length > BUFFER_BYTES_MAX {
            return Err(Refusal::Full);
        }
        self.buffered_bytes += length;
        self.opened += 1;
        let pieces = length.div_ceil(self.part_bytes);
        let stream = Stream {
            init,
            bytes: vec![0; length],
            seen: vec![false; pieces],
            missing: pieces,
            opened: self.opened,
        };
        self.streams.insert(key, stream);
        Ok(())
    }

    fn add(&mut self, from: EndpointId, piece: &BodyPiece) -> Result<Option<Body>, Refusal> {
        let key = (from, piece.height.0, round_number(piece.round), piece.block);
        let stream = self.streams.get_mut(&key).ok_or(Refusal::Piece)?;
        let index = usize::try_from(piece.index).map_err(|_| Refusal::Piece)?;
        let seen = stream.seen.get_mut(index).ok_or(Refusal::Piece)?;
        let start = index * self.part_bytes;
        let end = stream.bytes.len().min(start + self.part_bytes);
        let place = stream.bytes.get_mut(start..end).ok_or(Refusal::Piece)?;
        if place.len() != piece.bytes.len() {
            return Err(Refusal::Piece);
        }
        if !*seen {
            place.copy_from_slice(&piece.bytes);
            *seen = true;
            stream.missing -= 1;
        }
        if stream.missing > 0 {
            return Ok(None);
        }
        Ok(self.close(&key).map(|stream| Body { init: stream.init, bytes: stream.bytes }))
    }
}

/// The parts of a body, in order.
pub(crate) fn parts_of(
    init: BodyInit,
    body: &[u8],
    part_bytes: usize,
) -> impl Iterator<Item = Part> {
    let (height, round, block) = (init.height, init.round, init.block);
    let pieces = (0..).zip(body.chunks(part_bytes)).map(move |(index, bytes)| {
        Part::Data(BodyPiece { height, round, block, index, bytes: bytes.to_vec() })
    });
    std::iter::once(Part::Init(init)).chain(pieces)
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
