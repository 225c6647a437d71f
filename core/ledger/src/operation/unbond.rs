//! Takes stake back; until it is paid out it can be slashed.

use althing_state::{Fault, View};
use althing_types::{Address, Amount, Unbond};

use crate::ledger::Halt;
use crate::record::{Due, Unbonding, ValidatorStatus};
use crate::{Ledger, Rejection, consensus_set, keys};

/// Most unbondings of one validator at a time.
const UNBONDINGS_MAX: usize = 16;

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    unbond: &Unbond,
) -> Result<(), Halt> {
    let requested = unbond.amount;
    if requested.is_zero() {
        return Err(Rejection::ZeroAmount.into());
    }
    let mut record = ledger.validator(&sender)?.ok_or(Rejection::NotAValidator)?;
    let bonded = record.bonded;
    let rest =
        bonded.checked_sub(requested).ok_or(Rejection::InsufficientBond { bonded, requested })?;
    if record.unbonding.len() >= UNBONDINGS_MAX {
        return Err(Rejection::TooManyUnbondings.into());
    }
    let least = ledger.parameters.bond_min;
    if !rest.is_zero() && rest < least {
        return Err(Rejection::BondTooSmall { least }.into());
    }
    let leaves = rest.is_zero() && record.status == ValidatorStatus::Active;
    if leaves
        && consensus_set::eligible(ledger)?.iter().all(|validator| validator.address == sender)
    {
        return Err(Rejection::LastValidator.into());
    }
    let due = ledger.block.time.after(ledger.parameters.unbonding_ms);
    record.bonded = rest;
    record.unbonding.push(Unbonding { due, amount: requested });
    ledger.plan(due, &Due::Unbonding(sender));
    ledger.put_validator(&sender, &record)?;
    Ok(())
}

/// Pays what is due of a validator's unbondings.
pub(crate) fn pay_out<V: View>(
    ledger: &mut Ledger<'_, V>,
    validator: Address,
) -> Result<(), Fault> {
    let Some(mut record) = ledger.validator(&validator)? else { return Ok(()) };
    let now = ledger.block.time;
    let due: Amount = record.unbonding.iter().filter(|u| u.due <= now).map(|u| u.amount).sum();
    record.unbonding.retain(|unbonding| unbonding.due > now);
    ledger.put_validator_quietly(&validator, &record)?;
    // Whoever is out leaves nothing behind, unless it is a conviction or a jail term.
    let out = record.bonded.is_zero() && record.unbonding.is_empty();
    if out && record.status == ValidatorStatus::Active {
        ledger.delete(keys::validator(&validator));
    }
    ledger.credit(&validator, due)
}
