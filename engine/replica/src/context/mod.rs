//! The types that the consensus engine is generic over, gathered by [`Chain`].
//!
//! The consensus *value* is only the id of a block. Bodies travel beside it as parts ([`Part`]): that is
//! the only mode in which the engine asks whether a proposed block is valid.
//!
//! ```text
//!   althing-types          here               engine
//!   Height          ───►   BlockHeight   ───► Context::Height
//!   Address         ───►   Voter         ───► Context::Address
//!   BlockId         ───►   BlockValue    ───► Context::Value (its id is the BlockId itself)
//!   ValidatorSet    ───►   Members       ───► Context::ValidatorSet
//! ```
//!
//! - Shapes: everything here has canonical bytes (borsh); they are the wire format between nodes.
//! - Invariants: proposers are those of [`ValidatorSet::proposer`](althing_types::ValidatorSet::proposer);
//!   digests are those of [`Eip712`](althing_types::Eip712), so that a commit certificate is a proof for
//!   contracts and light clients as it stands. No vote has an extension, no message a nil round.
//! - Source: `docs/spec` of Tendermint as the engine implements it; the digests are ours.
mod certificate;
mod messages;
mod set;
mod values;

#[cfg(test)]
mod tests;

use althing_types::{BlockId, Malformed, PublicKey, VoteSignature};
pub use certificate::{double_vote, from_commits, to_commits, to_extended_commits};
use malachite_types::{Context, LinearTimeouts, NilOrVal, Round, SigningScheme, VoteType};
pub use messages::{
    BodyInit, BodyPiece, PART_BYTES, Part, Proposal, ROUND_MAX, Vote, defined_round,
    proposal_digest, seal_digest, vote_digest,
};
pub use set::{Member, Members};
pub use values::{BlockHeight, BlockValue, Voter};

/// The engine's `Context`: names every type of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain;

impl Context for Chain {
    type Address = Voter;
    type Height = BlockHeight;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Member;
    type ValidatorSet = Members;
    type Timeouts = LinearTimeouts;
    type Value = BlockValue;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Secp256k1;

    fn select_proposer<'a>(
        &self,
        set: &'a Members,
        height: BlockHeight,
        round: Round,
    ) -> &'a Member {
        set.proposer(height.0, round).expect("a height starts only with a set that has power")
    }

    fn new_proposal(
        &self,
        height: BlockHeight,
        round: Round,
        value: BlockValue,
        pol_round: Round,
        proposer: Voter,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(
        &self,
        height: BlockHeight,
        round: Round,
        value: NilOrVal<BlockId>,
        validator: Voter,
    ) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, validator }
    }

    fn new_precommit(
        &self,
        height: BlockHeight,
        round: Round,
        value: NilOrVal<BlockId>,
        validator: Voter,
    ) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, validator }
    }
}

/// secp256k1 over EIP-712 digests, in the form that the EVM verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secp256k1;

impl SigningScheme for Secp256k1 {
    type DecodingError = Malformed;
    type Signature = VoteSignature;
    type PublicKey = PublicKey;
    /// The engine signs through a port and never sees a key.
    type PrivateKey = core::convert::Infallible;

    fn decode_signature(bytes: &[u8]) -> Result<VoteSignature, Self::DecodingError> {
        let length = bytes.len();
        let malformed = Malformed::Length { expected: 64, found: length };
        bytes.try_into().map(VoteSignature).map_err(|_| malformed)
    }

    fn encode_signature(signature: &VoteSignature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, Self::DecodingError> {
        PublicKey::try_from(bytes)
    }

    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.to_vec()
    }
}
