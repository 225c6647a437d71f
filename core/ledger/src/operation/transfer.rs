//! Moves tokens from one account to another.

use althing_state::View;
use althing_types::{Address, Transfer};

use crate::ledger::Halt;
use crate::{Ledger, Rejection};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    transfer: &Transfer,
) -> Result<(), Halt> {
    if transfer.amount.is_zero() {
        return Err(Rejection::ZeroAmount.into());
    }
    ledger.debit(&sender, transfer.amount)?;
    ledger.credit(&transfer.to, transfer.amount)?;
    Ok(())
}
