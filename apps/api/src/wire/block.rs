//! Blocks, headers and certificates.

use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mirror::mirror;
use super::operation::SignedTransaction;
use super::text::{
    AddressText, BeaconKeyText, BeaconProofText, EndpointText, HashText, PublicKeyText,
    VoteSignatureText,
};

mirror! {
    /// What a certificate makes final: the state after the block's transactions.
    Header = core::Header {
        /// The chain.
        chain: u64,
        /// One more than the previous block's.
        height: u64,
        /// The round in which the block was first proposed.
        round: u32,
        /// Milliseconds since 1970.
        time: u64,
        /// The previous block; for the first block, the hash of the genesis.
        previous: HashText,
        /// Merkle root of the hashes of the block's transactions.
        transactions_root: HashText,
        /// Root of the authenticated state after the block.
        state_root: HashText,
        /// Merkle root of the block's receipts.
        receipts_root: HashText,
        /// Merkle mountain range of the ids of all earlier blocks.
        headers_root: HashText,
        /// The block's random value.
        beacon: HashText,
        /// Hash of the validator set that decides this block.
        validator_set: HashText,
        /// Hash of the validator set that decides the next block.
        next_validator_set: HashText,
        /// Who proposed the block.
        proposer: AddressText,
    }

    /// One validator's precommit.
    CommitSignature = core::CommitSignature {
        /// Who signed.
        validator: AddressText,
        /// Over the precommit's typed data.
        signature: VoteSignatureText,
    }

    /// Precommits of more than two thirds of the power: the block is final.
    Certificate = core::Certificate {
        /// The decided height.
        height: u64,
        /// The round that decided it.
        round: u32,
        /// The decided block.
        block: HashText,
        /// By ascending address.
        signatures: Vec<CommitSignature>,
    }

    /// A member of the consensus set.
    SetMember = core::Validator {
        /// Its account.
        address: AddressText,
        /// The key that signs its votes.
        public_key: PublicKeyText,
        /// Where it is on the network.
        endpoint: EndpointText,
        /// Its key for the random beacon.
        beacon_key: BeaconKeyText,
        /// Bonded stake in whole tokens.
        power: u64,
    }
}

/// A header with the block's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentifiedHeader {
    /// The header's hash.
    pub id: HashText,
    /// What is signed.
    pub header: Header,
}

impl From<core::Header> for IdentifiedHeader {
    fn from(header: core::Header) -> Self {
        Self { id: header.id().into(), header: header.into() }
    }
}

/// A transaction with its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentifiedTransaction {
    /// Its hash, signature included.
    pub hash: HashText,
    /// The transaction.
    pub signed: SignedTransaction,
}

impl From<core::SignedTransaction> for IdentifiedTransaction {
    fn from(signed: core::SignedTransaction) -> Self {
        Self { hash: signed.hash().into(), signed: signed.into() }
    }
}

/// A decided block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Block {
    /// The header's hash.
    pub id: HashText,
    /// What is signed.
    pub header: Header,
    /// Proves the header's beacon.
    pub beacon_proof: BeaconProofText,
    /// In the order of execution.
    pub transactions: Vec<IdentifiedTransaction>,
    /// What made it final.
    pub certificate: Certificate,
}

impl Block {
    /// A block with what made it final.
    #[must_use]
    pub fn of(block: core::Block, certificate: core::Certificate) -> Self {
        Self {
            id: block.header.id().into(),
            header: block.header.into(),
            beacon_proof: block.beacon_proof.into(),
            transactions: block.transactions.into_iter().map(Into::into).collect(),
            certificate: certificate.into(),
        }
    }
}
