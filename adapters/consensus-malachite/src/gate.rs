//! What of the peers' messages may reach the engine.
//!
//! - Invariant: for the height that is decided next, only what a validator of that height has signed.

use althing_replica::context::{BlockHeight, Chain, proposal_digest, vote_digest};
use malachite_app::app::types::SignedConsensusMsg;
use malachite_core::LivenessMsg;

use crate::codec::Message;
use crate::parts::Expectation;
use crate::signing::Checker;

/// Heights above the next one of which votes are passed on; the engine queues no more.
const VOTES_AHEAD_MAX: u64 = 10;

/// Why a message stays outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Its height is decided, or too far ahead.
    OutOfRange,
    /// Nobody who may has signed it.
    Unsigned,
}

/// A message that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// It is of the next height, and signed by a validator: the height has begun elsewhere.
    Next,
    /// Who decides its height is not known yet: the engine keeps a few and checks them then.
    Later,
    /// It is not about one height.
    Status,
}

/// Whether a message may reach the engine.
pub(crate) fn admits(
    checker: &Checker,
    expectation: &Expectation,
    message: &Message,
) -> Result<Open, Shut> {
    let at = |height: BlockHeight, signed: &dyn Fn() -> bool| {
        let (height, next) = (height.0, expectation.next);
        if height < next || height > next.after(VOTES_AHEAD_MAX) {
            return Err(Shut::OutOfRange);
        }
        match height == next {
            true if signed() => Ok(Open::Next),
            true => Err(Shut::Unsigned),
            false => Ok(Open::Later),
        }
    };
    match message {
        Message::Consensus(SignedConsensusMsg::Vote(vote))
        | Message::Liveness(LivenessMsg::Vote(vote)) => {
            at(vote.message.height, &|| is_signed(checker, expectation, vote))
        }
        Message::Consensus(SignedConsensusMsg::Proposal(proposal)) => {
            let (said, signature) = (&proposal.message, &proposal.signature);
            at(said.height, &|| {
                let digest = proposal_digest(&checker.eip712, said);
                let proposer = expectation.members.proposer(said.height.0, said.round);
                proposer.is_some_and(|member| {
                    member.address == said.proposer
                        && checker.verifies(digest, signature, &member.public_key)
                })
            })
        }
        // The engine verifies every signature in a certificate itself, and only once.
        Message::Liveness(LivenessMsg::PolkaCertificate(certificate)) => {
            at(certificate.height, &|| true)
        }
        Message::Liveness(LivenessMsg::SkipRoundCertificate(certificate)) => {
            at(certificate.height, &|| true)
        }
        Message::Status { .. } => Ok(Open::Status),
    }
}

fn is_signed(
    checker: &Checker,
    expectation: &Expectation,
    vote: &malachite_types::SignedVote<Chain>,
) -> bool {
    let digest = vote_digest(&checker.eip712, &vote.message);
    let member = expectation.members.get(&vote.message.validator);
    member.is_some_and(|m| checker.verifies(digest, &vote.signature, &m.public_key))
}
