//! Lets an account see a private application, or not any more.

use althing_state::View;
use althing_types::{Address, Grant, Visibility};

use super::deploy::GRANTEES_MAX;
use crate::ledger::Halt;
use crate::{Ledger, Rejection};

/// Who has seen something has seen it: from now on nodes hand out nothing more.
pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    grant: &Grant,
) -> Result<(), Halt> {
    let mut record = ledger.application_of(&sender, &grant.application)?;
    let Visibility::Private(grantees) = &mut record.terms.visibility else {
        return Err(Rejection::NotPrivate.into());
    };
    match (grantees.binary_search(&grant.account), grant.granted) {
        (Err(place), true) => {
            if grantees.len() >= GRANTEES_MAX {
                return Err(Rejection::BadApplication.into());
            }
            grantees.insert(place, grant.account);
        }
        (Ok(place), false) => {
            grantees.remove(place);
        }
        (Ok(_), true) | (Err(_), false) => return Ok(()),
    }
    ledger.put_application(&record);
    Ok(())
}
