//! The port between the consensus driver and the replica: what consensus asks about blocks.
//!
//! ```text
//!   propose ──► (engine votes) ──► commit        own turn
//!   receive ──► (engine votes) ──► commit        another's turn
//!   decided ──► (sync)                           a peer is behind
//! ```
//!
//! The engine's own log holds block *ids* only. So whatever [`Application::propose`] and
//! [`Application::receive`] return must survive a power loss: otherwise a validator that is killed
//! between vote and commit replays a vote for a block that it no longer has.
//!
//! - Errors: [`Fault`], on which the node stops.
//! - Invariant: calls come one at a time, from one driver; none waits for the network.

use std::sync::{Mutex, PoisonError};

use althing_types::{Address, BlockId, Certificate, Evidence, Height, Round, ValidatorSet};

/// This node can no longer be trusted with a vote: it stops.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct Fault {
    /// What was being done.
    pub operation: &'static str,
    /// A stable code with a page in `docs/errors/`, for faults that a person can act on.
    pub code: Option<&'static str>,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Fault {
    /// A fault of an operation.
    pub fn new(
        operation: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { operation, code: None, source: source.into() }
    }

    /// The same fault under a code of `docs/errors/`.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }
}

/// What consensus asks about blocks, and tells about decisions.
pub trait Application: Send + 'static {
    /// The height to decide: one above the last commit.
    fn next_height(&self) -> Height;

    /// Who decides [`next_height`](Self::next_height).
    fn validators(&self) -> ValidatorSet;

    /// Builds a block and makes it durable. Asked twice for the same round, it answers the same:
    /// signing two would be a double proposal.
    ///
    /// The id is the hash of the header, not of the body.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails.
    fn propose(&mut self, height: Height, round: Round) -> Result<(BlockId, Vec<u8>), Fault>;

    /// As [`propose`](Self::propose), where others use the application meanwhile: it may be unlocked while
    /// the block is built. The height cannot be decided in between.
    ///
    /// # Errors
    ///
    /// As [`propose`](Self::propose).
    fn propose_shared(
        shared: &Mutex<Self>,
        height: Height,
        round: Round,
    ) -> Result<(BlockId, Vec<u8>), Fault>
    where
        Self: Sized,
    {
        shared.lock().unwrap_or_else(PoisonError::into_inner).propose(height, round)
    }

    /// Takes a block of another node, and makes it durable before it returns its id and whether it
    /// is valid.
    ///
    /// Called for `next_height` and up to two above; for those above, the answer to `valid` is
    /// ignored and asked again by [`revalidate`](Self::revalidate). `None` for bytes that cannot be
    /// decoded, *and for a body that is not the one which its id commits to*: whoever relays a
    /// body must not be able to spoil it.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails. A bad block is no fault.
    fn receive(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault>;

    /// As [`receive`](Self::receive), for a block of a height that more than two thirds have decided: their
    /// certificate was verified. Nothing that this node alone can see, such as its clock, makes it invalid.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails. A bad block is no fault.
    fn receive_certified(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        self.receive(height, round, proposer, body)
    }

    /// Whether a block that was received early is valid, now that its height is the next.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails.
    fn revalidate(&mut self, id: &BlockId, round: Round) -> Result<bool, Fault>;

    /// The body of a block above the last commit.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails.
    fn body(&self, id: &BlockId) -> Result<Option<Vec<u8>>, Fault>;

    /// Makes state, block and certificate of `next_height` durable in one commit.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails, or when two thirds have decided what this node holds invalid.
    fn commit(&mut self, certificate: Certificate) -> Result<(), Fault>;

    /// A decided block and its certificate, for a peer that is behind.
    ///
    /// # Errors
    ///
    /// [`Fault`] when storage fails.
    fn decided(&self, height: Height) -> Result<Option<(Vec<u8>, Certificate)>, Fault>;

    /// The first height that [`decided`](Self::decided) still has.
    fn history_min(&self) -> Height;

    /// A validator voted twice: to become a transaction. Told at most a few times a height.
    fn misbehaviour(&mut self, evidence: Evidence);
}
