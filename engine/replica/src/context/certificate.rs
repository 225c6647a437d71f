//! Certificates and evidence, between the engine's form and the ledger's.

use althing_types::{Certificate, CommitSignature, Evidence, SignedVote, VoteKind};
use malachite_types::{
    CommitCertificate, ExtendedCommitCertificate, ExtendedCommitSignature, NilOrVal, Round,
    VoteType,
};

use super::{BlockHeight, Chain, Vote, Voter, defined_round};

/// The ledger's form of a commit certificate, signatures by ascending address.
///
/// `None` for a nil round: the engine makes no such certificate.
#[must_use]
pub fn from_commits(certificate: &CommitCertificate<Chain>) -> Option<Certificate> {
    let signatures = certificate.commit_signatures.iter();
    let mut signatures: Vec<CommitSignature> = signatures
        .map(|s| CommitSignature { validator: s.address.0, signature: s.signature })
        .collect();
    signatures.sort_by_key(|signature| signature.validator);
    Some(Certificate {
        height: certificate.height.0,
        round: defined_round(certificate.round)?,
        block: certificate.value_id,
        signatures,
    })
}

/// The engine's form of a certificate, as its value sync carries it.
#[must_use]
pub fn to_extended_commits(certificate: &Certificate) -> ExtendedCommitCertificate<Chain> {
    let signatures = certificate.signatures.iter();
    ExtendedCommitCertificate {
        height: BlockHeight(certificate.height),
        round: Round::new(certificate.round.0),
        value_id: certificate.block,
        commit_signatures: signatures
            .map(|s| ExtendedCommitSignature::new(Voter(s.validator), s.signature, None))
            .collect(),
    }
}

/// The engine's form of a certificate.
#[must_use]
pub fn to_commits(certificate: &Certificate) -> CommitCertificate<Chain> {
    to_extended_commits(certificate).trim_vote_extensions()
}

fn signed(vote: &malachite_types::SignedVote<Chain>) -> Option<SignedVote> {
    let Vote { kind, height, round, value, .. } = &vote.message;
    Some(SignedVote {
        kind: match kind {
            VoteType::Prevote => VoteKind::Prevote,
            VoteType::Precommit => VoteKind::Precommit,
        },
        height: height.0,
        round: defined_round(*round)?,
        block: match value {
            NilOrVal::Nil => None,
            NilOrVal::Val(id) => Some(*id),
        },
        signature: vote.signature,
    })
}

/// Evidence of a double vote in its canonical order; `None` if the two do not conflict.
#[must_use]
pub fn double_vote(
    one: &malachite_types::SignedVote<Chain>,
    other: &malachite_types::SignedVote<Chain>,
) -> Option<Evidence> {
    let (a, b) = (signed(one)?, signed(other)?);
    let conflict = (a.kind, a.height, a.round) == (b.kind, b.height, b.round)
        && one.message.validator == other.message.validator
        && a.block != b.block;
    // `None` is smaller than every id.
    let (first, second) = if a.block < b.block { (a, b) } else { (b, a) };
    conflict.then_some(Evidence {
        validator: one.message.validator.0,
        first: first.into(),
        second: second.into(),
    })
}
