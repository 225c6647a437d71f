//! What the opened claims come to.
//!
//! A deterministic task: the outcome that a quorum of executor and checkers share is accepted; who
//! claims another one is fined. A task with a method: the executor's answer is accepted if a quorum,
//! the executor counted in, holds it valid; if a majority of the checkers refuse it, the executor is
//! fined and another one is drawn; a lone checker's word can refuse an answer, but convicts nobody.
//! Whoever could not tell neither supports nor contradicts.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Claim, Opinion, Outcome, Verification};

use crate::execution::{Conclusion, Member, MemberState, Offence, Reason, Role};
use crate::settlement::{punish, settle};
use crate::{Execution, Ledger, committee};

/// Judges an execution whose seals are open, or will not be opened; it is without a deadline.
pub(crate) fn judge<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
) -> Result<(), Fault> {
    punish_withheld(ledger, &mut execution)?;
    match execution.verification {
        // Without checkers there is nothing to judge: an answer settles it.
        Verification::Deterministic | Verification::None => judge_results(ledger, execution),
        Verification::Method => judge_opinions(ledger, execution),
    }
}

fn punish_withheld<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
) -> Result<(), Fault> {
    let withheld: Vec<usize> = execution
        .members
        .iter()
        .enumerate()
        .filter(|(_, m)| m.round == execution.round && matches!(m.state, MemberState::Withheld(_)))
        .map(|(index, _)| index)
        .collect();
    punish_all(ledger, execution, &withheld, |_| Offence::Withheld)
}

fn punish_all<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
    offenders: &[usize],
    offence: impl Fn(Role) -> Offence,
) -> Result<(), Fault> {
    let participants = execution.participants();
    let count = u32::try_from(offenders.len()).unwrap_or(u32::MAX);
    for index in offenders {
        let Some(role) = execution.members.get(*index).map(|member| member.role) else { continue };
        punish(ledger, execution, *index, offence(role), participants, count)?;
    }
    Ok(())
}

/// The conclusive results of all rounds, by member.
fn results(execution: &Execution) -> Vec<(usize, &Outcome)> {
    let members = execution.members.iter().enumerate();
    members.filter_map(|(index, member)| Some((index, conclusive(member)?))).collect()
}

fn conclusive(member: &Member) -> Option<&Outcome> {
    let MemberState::Opened(Claim::Outcome(outcome)) = &member.state else { return None };
    match outcome {
        Outcome::Returned { .. } | Outcome::Declined | Outcome::Failed(_) => Some(outcome),
        Outcome::Inconclusive(_) => None,
    }
}

/// How many conclusive results earlier rounds have left.
pub(crate) fn earlier_votes(execution: &Execution) -> usize {
    results(execution).len()
}

fn judge_results<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
) -> Result<(), Fault> {
    let results = results(&execution);
    let mut groups: BTreeMap<&Outcome, Vec<usize>> = BTreeMap::new();
    for (index, outcome) in &results {
        groups.entry(outcome).or_default().push(*index);
    }
    let votes = results.len();
    let needed =
        usize::from(execution.quorum).max(votes.checked_div(2).unwrap_or(0).saturating_add(1));
    let accepted = groups
        .iter()
        .find(|(_, members)| members.len() >= needed)
        .map(|(outcome, _)| (*outcome).clone());
    let Some(accepted) = accepted else {
        let told =
            execution.committee().filter(|m| matches!(m.state, MemberState::Opened(_))).count();
        let reason =
            if votes.saturating_mul(2) < told { Reason::Inconclusive } else { Reason::NoQuorum };
        return try_again(ledger, execution, reason);
    };
    let wrong: Vec<usize> = groups
        .iter()
        .filter(|(outcome, _)| ***outcome != accepted)
        .flat_map(|(_, members)| members.clone())
        .collect();
    punish_all(ledger, &mut execution, &wrong, |_| Offence::WrongResult)?;
    settle(ledger, execution, Conclusion::Accepted(accepted))
}

fn judge_opinions<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
) -> Result<(), Fault> {
    let round = execution.round;
    let with = |wanted: Opinion| -> Vec<usize> {
        let holds =
            |m: &Member| m.round == round && m.state == MemberState::Opened(Claim::Opinion(wanted));
        execution
            .members
            .iter()
            .enumerate()
            .filter(|(_, m)| holds(m))
            .map(|(index, _)| index)
            .collect()
    };
    let (valid, invalid, unavailable) =
        (with(Opinion::Valid), with(Opinion::Invalid), with(Opinion::Unavailable));
    let checkers = usize::from(execution.checkers);
    // One word stands against another where there is one checker: nobody is fined for it.
    let most = |opinions: &[usize]| checkers > 1 && opinions.len().saturating_mul(2) > checkers;
    let executor = execution.members.iter().position(|m| {
        m.round == round && m.role == Role::Executor && matches!(m.state, MemberState::Opened(_))
    });
    let answer = execution.answer().map(|(_, outcome)| outcome.clone());
    let (Some(executor), Some(answer)) = (executor, answer) else {
        return try_again(ledger, execution, Reason::NoValidAnswer);
    };
    if valid.len().saturating_add(1) >= usize::from(execution.quorum) {
        punish_all(ledger, &mut execution, &invalid, |_| Offence::WrongCheck)?;
        return settle(ledger, execution, Conclusion::Accepted(answer));
    }
    if most(&invalid) {
        punish_all(ledger, &mut execution, &[executor], |_| Offence::WrongResult)?;
        punish_all(ledger, &mut execution, &valid, |_| Offence::WrongCheck)?;
        return try_again(ledger, execution, Reason::NoValidAnswer);
    }
    if most(&unavailable) {
        punish_all(ledger, &mut execution, &[executor], |_| Offence::Withheld)?;
        return try_again(ledger, execution, Reason::NoValidAnswer);
    }
    let reason = if valid.is_empty() && !invalid.is_empty() {
        Reason::NoValidAnswer
    } else {
        Reason::NoQuorum
    };
    try_again(ledger, execution, reason)
}

/// Another round, as long as there may be one; then the refund.
pub(crate) fn try_again<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: Execution,
    reason: Reason,
) -> Result<(), Fault> {
    if execution.round < ledger.parameters.escalations_max {
        return committee::draw_again(ledger, execution);
    }
    settle(ledger, execution, Conclusion::Failed(reason))
}
