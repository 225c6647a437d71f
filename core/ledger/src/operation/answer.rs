//! The executor answers openly: without checkers, or for the checkers to apply the method.

use althing_state::View;
use althing_types::{Address, Answer, Claim, Outcome, Verification};

use crate::execution::{Conclusion, MemberState, Phase, Reason, Role, Step};
use crate::ledger::Halt;
use crate::record::Due;
use crate::{Ledger, Rejection, committee, settlement, verdict};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    answer: &Answer,
) -> Result<(), Halt> {
    let mut execution = super::open(ledger, &answer.execution, answer.round)?;
    let open_answer = execution.checkers == 0 || execution.verification == Verification::Method;
    let phase = execution.phase;
    let member = execution.member_mut(&sender).ok_or(Rejection::NotAMember)?;
    let asked = open_answer && phase == Phase::Working && member.role == Role::Executor;
    if !asked || member.state != MemberState::Assigned {
        return Err(Rejection::WrongPhase.into());
    }
    member.state = MemberState::Opened(Claim::Outcome(answer.outcome.clone()));
    super::check_status(ledger, &execution, &answer.outcome)?;
    ledger.note(answer.execution, Step::Answered(sender));

    let trusted = execution.checkers == 0;
    match &answer.outcome {
        Outcome::Returned { .. } | Outcome::Declined if !trusted => {
            committee::ask_checkers(ledger, execution)?;
        }
        Outcome::Returned { .. } | Outcome::Declined | Outcome::Failed(_) if trusted => {
            ledger.unplan(execution.due, &Due::Execution(execution.id));
            settlement::settle(ledger, execution, Conclusion::Accepted(answer.outcome.clone()))?;
        }
        // Nobody can check a failure with the method, and nobody is believed without a check:
        // another executor is asked.
        Outcome::Returned { .. }
        | Outcome::Declined
        | Outcome::Failed(_)
        | Outcome::Inconclusive(_) => {
            ledger.unplan(execution.due, &Due::Execution(execution.id));
            let reason = if trusted { Reason::Inconclusive } else { Reason::NoValidAnswer };
            verdict::try_again(ledger, execution, reason)?;
        }
    }
    Ok(())
}
