//! A member opens its seal. An opening that does not fit, under the member's own signature, proves
//! that the seal was not made from its work.

use althing_state::View;
use althing_types::{Address, Claim, Reveal, Verification, commitment};

use crate::execution::{MemberState, Offence, Phase, Step};
use crate::ledger::Halt;
use crate::{Ledger, Rejection, committee, settlement};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    reveal: &Reveal,
) -> Result<(), Halt> {
    let mut execution = super::open(ledger, &reveal.execution, reveal.round)?;
    let (phase, verification) = (execution.phase, execution.verification);
    let member = execution.member_mut(&sender).ok_or(Rejection::NotAMember)?;
    let MemberState::Sealed(sealed) = member.state else {
        return Err(Rejection::WrongPhase.into());
    };
    if phase != Phase::Revealing {
        return Err(Rejection::WrongPhase.into());
    }
    let fits = match verification {
        Verification::Deterministic => matches!(reveal.opening.claim, Claim::Outcome(_)),
        Verification::Method => matches!(reveal.opening.claim, Claim::Opinion(_)),
        // It has no checkers, so nobody seals.
        Verification::None => false,
    };
    if !fits {
        return Err(Rejection::WrongClaim.into());
    }
    let honest = commitment(&reveal.execution, reveal.round, &sender, &reveal.opening) == sealed;
    member.state = if honest {
        MemberState::Opened(reveal.opening.claim.clone())
    } else {
        MemberState::Forged { commitment: sealed, opening: reveal.opening.clone() }
    };
    super::check_claim(ledger, &execution, &reveal.opening.claim)?;
    ledger.note(reveal.execution, Step::Revealed(sender));
    if !honest {
        let round = execution.round;
        let index = execution.members.iter().position(|m| m.round == round && m.node == sender);
        let participants = execution.participants();
        settlement::punish(
            ledger,
            &mut execution,
            index.unwrap_or(usize::MAX),
            Offence::ForgedSeal,
            participants,
            1,
        )?;
    }
    committee::after_reveal(ledger, execution)?;
    Ok(())
}
