//! A member commits itself without showing its claim: nobody can copy what nobody can see.

use althing_state::View;
use althing_types::{Address, Seal, Verification};

use crate::execution::{MemberState, Phase, Role, Step};
use crate::ledger::Halt;
use crate::{Ledger, Rejection, committee};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    seal: &Seal,
) -> Result<(), Halt> {
    let mut execution = super::open(ledger, &seal.execution, seal.round)?;
    let (phase, verification, checkers) =
        (execution.phase, execution.verification, execution.checkers);
    let member = execution.member_mut(&sender).ok_or(Rejection::NotAMember)?;
    let asked = match verification {
        Verification::Deterministic => phase == Phase::Working && checkers > 0,
        Verification::Method => phase == Phase::Checking && member.role == Role::Checker,
        Verification::None => false,
    };
    if !asked || member.state != MemberState::Assigned {
        return Err(Rejection::WrongPhase.into());
    }
    member.state = MemberState::Sealed(seal.commitment);
    ledger.note(seal.execution, Step::Sealed(sender));
    committee::after_seal(ledger, execution)?;
    Ok(())
}
