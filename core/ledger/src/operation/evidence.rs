//! Convicts a validator that voted twice, by two of its own signatures.
//!
//! The fine is burned and goes to the treasury; the reporter gets nothing, so that there is nothing
//! to gain from running ahead of somebody else's evidence, and every node reports what it sees.

use althing_state::View;
use althing_types::{Amount, Evidence, PublicKey, SignedVote};

use crate::ledger::Halt;
use crate::record::ValidatorStatus;
use crate::{Ledger, Rejection};

pub(super) fn apply<V: View>(ledger: &mut Ledger<'_, V>, evidence: &Evidence) -> Result<(), Halt> {
    let (first, second) = (&evidence.first, &evidence.second);
    let same_vote =
        (first.kind, first.height, first.round) == (second.kind, second.height, second.round);
    // Nil is signed as block zero, so the two are one vote: an honest one for nil is no evidence.
    let block = |vote: &SignedVote| vote.block.unwrap_or_default();
    // The canonical order keeps one pair of votes from being two pieces of evidence.
    if !same_vote || block(first) >= block(second) {
        return Err(Rejection::NoContradiction.into());
    }
    let mut record = ledger.validator(&evidence.validator)?.ok_or(Rejection::NotAValidator)?;
    if record.status == ValidatorStatus::Convicted {
        return Err(Rejection::Convicted.into());
    }
    if !signed(ledger, first, &record.public_key) || !signed(ledger, second, &record.public_key) {
        return Err(Rejection::ForgedEvidence.into());
    }

    let share = ledger.parameters.double_vote_slash;
    let mut fine = share.of(record.bonded);
    record.bonded = record.bonded.saturating_sub(fine);
    for unbonding in &mut record.unbonding {
        let part = share.of(unbonding.amount);
        unbonding.amount = unbonding.amount.saturating_sub(part);
        fine = fine.saturating_add(part);
    }
    record.status = ValidatorStatus::Convicted;
    ledger.put_validator(&evidence.validator, &record)?;
    let burned: Amount = ledger.parameters.slash_burned.of(fine);
    ledger.burn(burned);
    ledger.pay_treasury(fine.saturating_sub(burned));
    Ok(())
}

fn signed<V: View>(ledger: &Ledger<'_, V>, vote: &SignedVote, key: &PublicKey) -> bool {
    let digest = ledger.eip712.vote(vote.kind, vote.height, vote.round, vote.block);
    vote.signature.is_low_s() && ledger.signatures.verifies(&digest, &vote.signature, key)
}
