//! One file per operation; this is the one match that knows them all.
//!
//! An operation either is carried out or is rejected and leaves no trace: the caller rolls back.

pub(crate) mod answer;
mod bond;
mod call;
mod cancel;
mod collect;
mod deploy;
mod evidence;
mod grant;
mod observe;
mod offer;
mod pause;
mod publish;
mod remove;
mod repeat;
mod restart;
mod resume;
mod reveal;
mod seal;
mod transfer;
pub(crate) mod unbond;
mod unjail;
pub(crate) mod withdraw;

use althing_state::View;
use althing_types::{Address, Claim, Hash, Operation, Outcome, YIELDS_MAX};

use crate::execution::Origin;
use crate::ledger::Halt;
use crate::receipt::OperationResult;
use crate::{Authenticated, Execution, Ledger, Rejection, RunRecord};

/// Carries out the operation at `index` of a transaction.
pub(crate) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    transaction: &Authenticated,
    index: usize,
    operation: &Operation,
) -> Result<OperationResult, Halt> {
    let sender = transaction.account();
    match operation {
        Operation::Transfer(transfer) => transfer::apply(ledger, sender, transfer)?,
        Operation::Bond(bond) => bond::apply(ledger, sender, bond)?,
        Operation::Unbond(unbond) => unbond::apply(ledger, sender, unbond)?,
        Operation::Unjail(_) => unjail::apply(ledger, sender)?,
        Operation::Evidence(evidence) => evidence::apply(ledger, evidence)?,
        Operation::Publish(publish) => {
            return publish::apply(ledger, sender, publish).map(OperationResult::Created);
        }
        Operation::Offer(offer) => offer::apply(ledger, sender, offer)?,
        Operation::Withdraw(withdraw) => withdraw::apply(ledger, sender, withdraw)?,
        Operation::Resume(resume) => resume::apply(ledger, sender, resume)?,
        Operation::Call(call) => {
            let id = call::execution_id(transaction.transaction(), index);
            return call::apply(ledger, sender, id, call).map(OperationResult::Created);
        }
        Operation::Seal(seal) => seal::apply(ledger, sender, seal)?,
        Operation::Reveal(reveal) => reveal::apply(ledger, sender, reveal)?,
        Operation::Answer(answer) => answer::apply(ledger, sender, answer)?,
        Operation::Observe(observe) => {
            let opened = observe::apply(ledger, sender, observe)?;
            return Ok(opened.map_or(OperationResult::Done, OperationResult::Created));
        }
        Operation::Deploy(deploy) => {
            return deploy::apply(ledger, sender, deploy).map(OperationResult::Created);
        }
        Operation::Pause(pause) => pause::apply(ledger, sender, pause)?,
        Operation::Remove(remove) => remove::apply(ledger, sender, remove)?,
        Operation::Collect(collect) => collect::apply(ledger, sender, collect)?,
        Operation::Repeat(repeat) => repeat::apply(ledger, sender, repeat)?,
        Operation::Cancel(cancel) => cancel::apply(ledger, sender, cancel)?,
        Operation::Grant(grant) => grant::apply(ledger, sender, grant)?,
        Operation::Restart(restart) => {
            return restart::apply(ledger, sender, restart).map(OperationResult::Created);
        }
    }
    Ok(OperationResult::Done)
}

/// The open execution that an operation names.
fn open<V: View>(ledger: &Ledger<'_, V>, id: &Hash, round: u32) -> Result<Execution, Halt> {
    let execution = ledger.execution(id)?.ok_or(Rejection::UnknownExecution { execution: *id })?;
    if execution.round != round {
        return Err(Rejection::NotAMember.into());
    }
    Ok(execution)
}

/// An open run that the sender's application pays for, directly or through others.
fn open_run<V: View>(
    ledger: &Ledger<'_, V>,
    sender: &Address,
    id: &Hash,
) -> Result<RunRecord, Halt> {
    let record = ledger.run(id)?.ok_or(Rejection::UnknownRun { run: *id })?;
    ledger.application_of(sender, &record.payer)?;
    Ok(record)
}

/// A returned status must be one that the service declares for the task; only a step of a run can
/// be declined, and yields keys.
fn check_status<V: View>(
    ledger: &Ledger<'_, V>,
    execution: &Execution,
    outcome: &Outcome,
) -> Result<(), Halt> {
    let in_a_run = matches!(execution.origin, Origin::Step(_));
    let (status, keys) = match outcome {
        Outcome::Returned { status, keys, .. } => (status, keys.len()),
        Outcome::Declined if in_a_run => return Ok(()),
        Outcome::Declined => return Err(Rejection::NotAsked.into()),
        Outcome::Failed(_) | Outcome::Inconclusive(_) => return Ok(()),
    };
    if keys > if in_a_run { YIELDS_MAX } else { 0 } {
        return Err(Rejection::NotAsked.into());
    }
    let service = ledger.service(&execution.service)?;
    let declared = service
        .as_ref()
        .and_then(|service| service.terms.task(&execution.task))
        .is_some_and(|task| task.statuses.contains(status));
    if declared { Ok(()) } else { Err(Rejection::UndeclaredStatus.into()) }
}

/// As [`check_status`], for a claim.
fn check_claim<V: View>(
    ledger: &Ledger<'_, V>,
    execution: &Execution,
    claim: &Claim,
) -> Result<(), Halt> {
    match claim {
        Claim::Outcome(outcome) => check_status(ledger, execution, outcome),
        Claim::Opinion(_) => Ok(()),
    }
}
