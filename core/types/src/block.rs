//! Blocks, their headers, and the certificates that make them final.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    Address, BeaconProof, ChainId, Hash, Height, Malformed, Round, SignedTransaction, TimeMs,
    VoteSignature, canonical, tagged,
};

/// The hash of a header.
pub type BlockId = Hash;

/// Largest block in bytes.
pub const BLOCK_BYTES_MAX: usize = 4 << 20;

/// What a certificate makes final: the state *after* the block's transactions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The chain.
    pub chain: ChainId,
    /// One more than the previous block's.
    pub height: Height,
    /// The round in which the block was first proposed.
    pub round: Round,
    /// Later than the previous block's.
    pub time: TimeMs,
    /// The previous block; for the first block, the hash of the genesis.
    pub previous: BlockId,
    /// Merkle root of the hashes of the block's transactions.
    pub transactions_root: Hash,
    /// Root of the authenticated state after the block.
    pub state_root: Hash,
    /// Merkle root of the block's receipts (see `althing-ledger`).
    pub receipts_root: Hash,
    /// Merkle mountain range of the ids of all earlier blocks.
    pub headers_root: Hash,
    /// Unpredictable before the block was proposed, and not the proposer's to choose.
    pub beacon: Hash,
    /// Hash of the validator set that decides this block.
    pub validator_set: Hash,
    /// Hash of the validator set that decides the next block.
    pub next_validator_set: Hash,
    /// Who proposed the block.
    pub proposer: Address,
}

impl Header {
    /// The block's id.
    #[must_use]
    pub fn id(&self) -> BlockId {
        tagged("althing header", &[&canonical::encode(self)])
    }
}

/// A header with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// What is signed.
    pub header: Header,
    /// Proves `header.beacon`.
    pub beacon_proof: BeaconProof,
    /// In the order of execution.
    pub transactions: Vec<SignedTransaction>,
}

impl Block {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Decodes canonical bytes of at most [`BLOCK_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        canonical::decode(bytes, BLOCK_BYTES_MAX, "block")
    }
}

/// What the proposer's beacon key is applied to.
///
/// The round is left out: a proposer has one value a height, however often its turn comes.
#[must_use]
pub fn beacon_input(chain: ChainId, height: Height, previous_beacon: &Hash) -> Hash {
    tagged("althing beacon", &[&chain.0.to_be_bytes(), &height.0.to_be_bytes(), &previous_beacon.0])
}

/// Precommits of more than two thirds of the power: the block is final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// The decided height.
    pub height: Height,
    /// The round that decided it.
    pub round: Round,
    /// The decided block.
    pub block: BlockId,
    /// By ascending address.
    pub signatures: Vec<CommitSignature>,
}

/// One validator's precommit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CommitSignature {
    /// Who signed.
    pub validator: Address,
    /// Over [`Eip712::vote`](crate::Eip712::vote).
    pub signature: VoteSignature,
}
