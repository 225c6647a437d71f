//! Money at the end of an execution: fines, rewards, refunds.
//!
//! - A **fine** leaves the offender's stake. A part is burned, so that convicting oneself never pays;
//!   the rest waits in the execution. A jury that the caller picked fines nobody for its opinion:
//!   only what the ledger sees for itself (absence, a seal not opened or forged) is fined there.
//! - **Accepted**: everybody who worked in agreement with the verdict gets the price of the work,
//!   less the developer's and the treasury's shares, and an equal part of the fines. What nobody
//!   earned goes back to the payer.
//! - **Declined**: as accepted, at a tenth of the price: only a condition was evaluated.
//! - **Failed**: the payer gets the whole fee back, and out of the fines as much again as a
//!   compensation; the rest of them goes to the treasury.
//!
//! Source: paper B §4.2–4.3; `docs/adr/0005-verdicts-fines-and-fees.md`.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Address, Amount, BasisPoints, Claim, Hash, Opinion, Outcome, Verification};

use crate::execution::{Conclusion, MemberState, Offence, Origin, Phase, Role, Step};
use crate::fine::fine;
use crate::record::{OfferRecord, OfferStatus};
use crate::reputation::{Deed, Tally};
use crate::{Execution, Ledger, run};

/// What evaluating a condition costs that turned out false: a tenth of the price.
const DECLINED: BasisPoints = BasisPoints(1_000);

/// Fines the member at `index`, and puts what is not burned with the execution's fines.
pub(crate) fn punish<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
    index: usize,
    offence: Offence,
    participants: u32,
    offenders: u32,
) -> Result<(), Fault> {
    let picked = !execution.nodes.is_empty();
    let Some(member) = execution.members.get_mut(index) else { return Ok(()) };
    let verdict = match offence {
        Offence::WrongResult | Offence::WrongCheck => true,
        // An output that is not handed over is something that checkers say.
        Offence::Withheld => matches!(member.state, MemberState::Opened(_)),
        Offence::ForgedSeal | Offence::Absence | Offence::WrongObservation => false,
    };
    if picked && verdict {
        // Else a caller could seat one stranger among its own nodes and live on the fines.
        member.offence = Some(offence);
        return Ok(());
    }
    let parameters = &ledger.parameters;
    let severity = match offence {
        Offence::WrongResult if member.role == Role::Executor => parameters.executor_wrong,
        Offence::WrongResult | Offence::WrongCheck => parameters.checker_wrong,
        Offence::ForgedSeal => parameters.bad_opening,
        Offence::Withheld => parameters.withheld,
        Offence::Absence => parameters.absent,
        Offence::WrongObservation => parameters.emitter_wrong,
    };
    let deed = if offence == Offence::Absence { Deed::Absent } else { Deed::Wrong };
    let (node, service, role) = (member.node, execution.service, member.role);
    let charge = Charge { deed, severity, participants, offenders };
    let taken = take_fine(ledger, &service, &node, charge, |offer| match role {
        Role::Executor => &mut offer.executor,
        Role::Checker => &mut offer.checker,
    })?;
    let Some(taken) = taken else { return Ok(()) };
    member.offence = Some(offence);
    member.fine = member.fine.saturating_add(taken.amount);
    execution.fines = execution.fines.saturating_add(taken.left);
    // The totals see it there when the caller keeps or archives the execution, as it must.
    ledger.note(execution.id, Step::Fined { node, offence, fine: taken.amount });
    Ok(())
}

/// What a node is fined for, and beside whom.
#[derive(Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) deed: Deed,
    pub(crate) severity: BasisPoints,
    pub(crate) participants: u32,
    pub(crate) offenders: u32,
}

/// A fine that has left its offer.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    /// All of it.
    pub(crate) amount: Amount,
    /// What was not burned: the caller puts it where it belongs.
    pub(crate) left: Amount,
}

/// Fines a node's offer and counts the deed there; `None` if there is no offer.
pub(crate) fn take_fine<V: View>(
    ledger: &mut Ledger<'_, V>,
    service: &Hash,
    node: &Address,
    charge: Charge,
    tally: impl FnOnce(&mut OfferRecord) -> &mut Tally,
) -> Result<Option<Taken>, Fault> {
    let now = ledger.block.time;
    let Some(mut offer) = ledger.offer(service, node)? else { return Ok(None) };
    let amount = fine(offer.stake, charge.severity, charge.participants, charge.offenders);
    offer.stake = offer.stake.saturating_sub(amount);
    offer.fined = offer.fined.saturating_add(amount);
    if charge.deed == Deed::Absent {
        offer.absences_in_a_row = offer.absences_in_a_row.saturating_add(1);
    } else {
        offer.incidents = offer.incidents.saturating_add(1);
        offer.last_incident = Some(now);
    }
    tally(&mut offer).count(charge.deed, now, &ledger.parameters);
    let least = ledger.service(service)?.map_or(Amount::ZERO, |service| service.terms.stake_min);
    let too_absent = offer.absences_in_a_row >= ledger.parameters.absences_max;
    if offer.status == OfferStatus::Active && (too_absent || offer.stake < least) {
        offer.status = OfferStatus::Suspended;
    }
    ledger.put_offer(service, node, &offer)?;
    let burned = ledger.parameters.slash_burned.of(amount);
    ledger.burn(burned);
    Ok(Some(Taken { amount, left: amount.saturating_sub(burned) }))
}

/// Ends an execution: pays, refunds, and moves it from the state into the block's receipts.
///
/// The execution is without a deadline when this is called.
pub(crate) fn settle<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut execution: Execution,
    conclusion: Conclusion,
) -> Result<(), Fault> {
    for member in &mut execution.members {
        if matches!(
            member.state,
            MemberState::Standby | MemberState::Assigned | MemberState::Sealed(_)
        ) {
            member.state = MemberState::Released;
        }
    }
    // From here on the tokens are loose; `archive` asserts that the record holds none.
    let mut escrow = core::mem::take(&mut execution.escrow);
    let mut fines = core::mem::take(&mut execution.fines);
    match &conclusion {
        Conclusion::Accepted(_) => {
            let right = in_agreement(&execution, &conclusion);
            let declined = matches!(conclusion, Conclusion::Accepted(Outcome::Declined));
            reward(ledger, &mut execution, &right, declined, &mut escrow, &mut fines)?;
        }
        Conclusion::Failed(_) => {
            let compensation = fines.min(execution.paid_in);
            fines = fines.saturating_sub(compensation);
            ledger.credit(&execution.payer, compensation)?;
            execution.refunded = execution.refunded.saturating_add(compensation);
        }
    }
    ledger.credit(&execution.payer, escrow)?;
    execution.refunded = execution.refunded.saturating_add(escrow);
    ledger.pay_treasury(fines);
    execution.substitutes.clear();
    execution.phase = Phase::Settled;
    execution.conclusion = Some(conclusion);
    // The run is told after the payer was refunded: what it does next costs money.
    match &execution.origin {
        Origin::Call => ledger.archive(execution),
        Origin::Step(_) => {
            ledger.archive(execution.clone())?;
            run::on_settled(ledger, &execution)
        }
    }
}

/// Indices of the members who did what the verdict of their round bears out.
fn in_agreement(execution: &Execution, conclusion: &Conclusion) -> Vec<usize> {
    let Conclusion::Accepted(accepted) = conclusion else { return Vec::new() };
    let refused = |round: u32| {
        execution.members.iter().any(|member| {
            member.round == round
                && member.role == Role::Executor
                && member.offence == Some(Offence::WrongResult)
        })
    };
    let agrees = |member: &crate::Member| match &member.state {
        MemberState::Opened(Claim::Outcome(outcome)) => {
            outcome == accepted
                && (execution.verification == Verification::Deterministic
                    || member.round == execution.round)
        }
        MemberState::Opened(Claim::Opinion(opinion)) => match opinion {
            Opinion::Valid => member.round == execution.round,
            // Unpaid, an honest refusal would lose against a "valid" that was never looked at.
            Opinion::Invalid => refused(member.round),
            Opinion::Unavailable | Opinion::Inconclusive => false,
        },
        MemberState::Standby
        | MemberState::Assigned
        | MemberState::Sealed(_)
        | MemberState::Absent
        | MemberState::Withheld(_)
        | MemberState::Forged { .. }
        | MemberState::Released => false,
    };
    execution
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| agrees(member))
        .map(|(index, _)| index)
        .collect()
}

/// Pays the members at `right` out of the escrow, and shares the fines among them.
fn reward<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &mut Execution,
    right: &[usize],
    declined: bool,
    escrow: &mut Amount,
    fines: &mut Amount,
) -> Result<(), Fault> {
    let now = ledger.block.time;
    let service = execution.service;
    let developer = ledger.service(&service)?.map(|record| record.developer);
    // Where the condition was false, nobody ran the task.
    let share = if declined { DECLINED } else { BasisPoints::WHOLE };
    let (price, check_price) = (share.of(execution.price), share.of(execution.check_price));
    let unit_of = |role: Role| match role {
        Role::Executor => price,
        Role::Checker => check_price,
    };
    let roles: Vec<Role> = right
        .iter()
        .filter_map(|index| execution.members.get(*index))
        .map(|member| member.role)
        .collect();
    let wanted: Amount = roles.iter().map(|role| unit_of(*role)).sum();
    // A committee that had to grow shares what the caller paid for the one that it asked for.
    let budget = *escrow;
    let gross_of = |role: Role| {
        if wanted <= budget { unit_of(role) } else { scaled(budget, unit_of(role), wanted) }
    };
    let gross: Vec<Amount> = roles.iter().map(|role| gross_of(*role)).collect();
    let bounty = fines.share(1, u64::try_from(right.len()).unwrap_or(u64::MAX));
    for (index, gross) in right.iter().zip(gross) {
        let Some(member) = execution.members.get_mut(*index) else { continue };
        let for_developer = ledger.parameters.developer_share.of(gross);
        let for_treasury = ledger.parameters.treasury_share.of(gross);
        let net = gross.saturating_sub(for_developer).saturating_sub(for_treasury);
        let pay = net.saturating_add(bounty);
        *escrow = escrow.saturating_sub(gross);
        *fines = fines.saturating_sub(bounty);
        member.earned = pay;
        let (node, role) = (member.node, member.role);
        ledger.credit(&node, pay)?;
        ledger.pay_treasury(for_treasury);
        match developer {
            Some(developer) => ledger.credit(&developer, for_developer)?,
            None => ledger.pay_treasury(for_developer),
        }
        if let Some(mut offer) = ledger.offer(&service, &node)? {
            offer.earned = offer.earned.saturating_add(pay);
            offer.absences_in_a_row = 0;
            let tally =
                if role == Role::Executor { &mut offer.executor } else { &mut offer.checker };
            tally.count(Deed::Right, now, &ledger.parameters);
            ledger.put_offer(&service, &node, &offer)?;
        }
    }
    Ok(())
}

/// `part / whole` of `budget`, rounded down.
fn scaled(budget: Amount, part: Amount, whole: Amount) -> Amount {
    let (budget, part, whole) = (budget.base_units(), part.base_units(), whole.base_units());
    let units = budget.checked_mul(part).and_then(|product| product.checked_div(whole));
    Amount::from_base_units(units.unwrap_or(0))
}
