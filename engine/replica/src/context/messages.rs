//! What validators sign and send: votes, proposals, and the parts of a block's body.

use althing_types::{BlockId, Eip712, Hash, Height, VoteKind, VoteSignature};
use borsh::{BorshDeserialize, BorshSerialize};
use malachite_types::{NilOrVal, Round, SignedExtension, VoteType};

use super::{BlockHeight, BlockValue, Chain, Voter};

/// Length of every piece of a body but the last, in bytes.
pub const PART_BYTES: usize = 128 << 10;

/// Rounds above this are refused from the outside: no height gets there, and the engine adds to them.
pub const ROUND_MAX: u32 = 1 << 20;

/// The round in the project's own vocabulary; `None` if it is nil or absurd.
#[must_use]
pub fn defined_round(round: Round) -> Option<althing_types::Round> {
    round.as_u32().filter(|round| *round <= ROUND_MAX).map(althing_types::Round)
}

/// A validator proposes a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// For this height.
    pub height: BlockHeight,
    /// In this round.
    pub round: Round,
    /// The block.
    pub value: BlockValue,
    /// The round whose prevotes justify proposing the block again, or nil.
    pub pol_round: Round,
    /// Who proposes.
    pub proposer: Voter,
}

impl malachite_types::Proposal<Chain> for Proposal {
    fn height(&self) -> BlockHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockValue {
        &self.value
    }

    fn take_value(self) -> BlockValue {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Voter {
        &self.proposer
    }
}

/// A prevote or precommit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Which of the two.
    pub kind: VoteType,
    /// For this height.
    pub height: BlockHeight,
    /// In this round.
    pub round: Round,
    /// For this block, or nil.
    pub value: NilOrVal<BlockId>,
    /// Who votes.
    pub validator: Voter,
}

impl malachite_types::Vote<Chain> for Vote {
    fn height(&self) -> BlockHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Voter {
        &self.validator
    }

    /// Votes have no extensions.
    fn extension(&self) -> Option<&SignedExtension<Chain>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Chain>> {
        None
    }

    /// Drops the extension: the application never makes one.
    fn extend(self, _: SignedExtension<Chain>) -> Self {
        self
    }
}

/// What a validator signs under a vote; `None` for a vote that cannot be.
///
/// The voter is left out, so that all signers of a certificate sign one digest.
#[must_use]
pub fn vote_digest(eip712: &Eip712, vote: &Vote) -> Option<Hash> {
    let kind = match vote.kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    };
    let block = match vote.value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(id),
    };
    Some(eip712.vote(kind, vote.height.0, defined_round(vote.round)?, block))
}

/// What a proposer signs under a proposal; `None` for a proposal that cannot be.
#[must_use]
pub fn proposal_digest(eip712: &Eip712, proposal: &Proposal) -> Option<Hash> {
    let pol_round = match proposal.pol_round {
        Round::Nil => None,
        defined @ Round::Some(_) => Some(defined_round(defined)?),
    };
    let round = defined_round(proposal.round)?;
    let Proposal { height, value, proposer, .. } = proposal;
    Some(eip712.proposal(height.0, round, pol_round, value.0, proposer.0))
}

/// What a proposer signs before it streams a block's body.
#[must_use]
pub fn seal_digest(eip712: &Eip712, height: Height, round: Round, block: &BlockId) -> Option<Hash> {
    Some(eip712.body(height, defined_round(round)?, *block))
}

/// One message of the stream that carries a block's body: `Init`, then every [`BodyPiece`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Part {
    /// Opens the stream.
    Init(BodyInit),
    /// A piece of the body.
    Data(BodyPiece),
}

/// A piece of a body, of [`PART_BYTES`]; the last one may be shorter.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BodyPiece {
    /// As in the stream's [`BodyInit`].
    pub height: BlockHeight,
    /// As in the stream's [`BodyInit`].
    pub round: Round,
    /// As in the stream's [`BodyInit`].
    pub block: BlockId,
    /// The place of the piece, from zero.
    pub index: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The opening of a stream.
///
/// It carries the seal, so that not one byte of a body is buffered that no proposer has vouched for.
/// That the body is the one that the id commits to is the application's to check: the id is the hash
/// of a header, and the header commits to everything else.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BodyInit {
    /// The height of the block.
    pub height: BlockHeight,
    /// The round in which it is proposed.
    pub round: Round,
    /// The round whose prevotes justify proposing the block again, or nil.
    pub pol_round: Round,
    /// Who proposes.
    pub proposer: Voter,
    /// The block.
    pub block: BlockId,
    /// Length of the body in bytes.
    pub bytes: u32,
    /// The proposer's signature over [`seal_digest`].
    pub seal: VoteSignature,
}

impl malachite_types::ProposalPart<Chain> for Part {
    fn is_first(&self) -> bool {
        matches!(self, Self::Init(_))
    }

    /// Which part is the last follows from the length in `Init`.
    fn is_last(&self) -> bool {
        false
    }
}
