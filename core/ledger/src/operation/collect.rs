//! Takes tokens out of an application's deposit.

use althing_state::View;
use althing_types::{Address, Collect, purse};

use crate::ledger::Halt;
use crate::{Ledger, Rejection};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    collect: &Collect,
) -> Result<(), Halt> {
    let record = ledger.application_of(&sender, &collect.application)?;
    if collect.amount.is_zero() {
        return Err(Rejection::ZeroAmount.into());
    }
    ledger.debit(&purse(&record.id), collect.amount)?;
    Ok(ledger.credit(&sender, collect.amount)?)
}
