//! Returns a validator to the consensus set after its jail term.

use althing_state::View;
use althing_types::Address;

use crate::ledger::Halt;
use crate::record::ValidatorStatus;
use crate::{Ledger, Rejection};

pub(super) fn apply<V: View>(ledger: &mut Ledger<'_, V>, sender: Address) -> Result<(), Halt> {
    let mut record = ledger.validator(&sender)?.ok_or(Rejection::NotAValidator)?;
    match record.status {
        ValidatorStatus::Active => return Err(Rejection::NotJailed.into()),
        ValidatorStatus::Convicted => return Err(Rejection::Convicted.into()),
        ValidatorStatus::Jailed { until } if ledger.block.time < until => {
            return Err(Rejection::StillJailed.into());
        }
        ValidatorStatus::Jailed { .. } => {}
    }
    record.status = ValidatorStatus::Active;
    ledger.put_validator(&sender, &record)?;
    Ok(())
}
