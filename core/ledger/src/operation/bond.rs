//! Stakes tokens on honest consensus.

use althing_state::View;
use althing_types::{Address, Amount, Bond};

use crate::ledger::Halt;
use crate::record::{ValidatorRecord, ValidatorStatus};
use crate::{Ledger, Rejection, consensus_set};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    bond: &Bond,
) -> Result<(), Halt> {
    if bond.amount.is_zero() {
        return Err(Rejection::ZeroAmount.into());
    }
    if ledger.signatures.address_of(&bond.public_key) != Some(sender) {
        return Err(Rejection::ForeignPublicKey.into());
    }
    let mut record = match ledger.validator(&sender)? {
        Some(record) => {
            if (record.endpoint, record.beacon_key) != (bond.endpoint, bond.beacon_key) {
                return Err(Rejection::OtherKeys.into());
            }
            if record.status == ValidatorStatus::Convicted {
                return Err(Rejection::Convicted.into());
            }
            record
        }
        None => {
            if consensus_set::is_full(ledger)? {
                return Err(Rejection::TooManyValidators.into());
            }
            ValidatorRecord {
                public_key: bond.public_key,
                endpoint: bond.endpoint,
                beacon_key: bond.beacon_key,
                bonded: Amount::ZERO,
                unbonding: alloc::vec::Vec::new(),
                status: ValidatorStatus::Active,
                missed: 0,
            }
        }
    };
    record.bonded = record.bonded.saturating_add(bond.amount);
    let least = ledger.parameters.bond_min;
    if record.bonded < least {
        return Err(Rejection::BondTooSmall { least }.into());
    }
    ledger.debit(&sender, bond.amount)?;
    ledger.put_validator(&sender, &record)?;
    Ok(())
}
