//! Removes an application: it starts no more runs, and with the end of its last one its deposit
//! returns to the owner.

use althing_state::View;
use althing_types::{Address, Remove};

use crate::ledger::Halt;
use crate::{Ledger, Rejection, application};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    remove: &Remove,
) -> Result<(), Halt> {
    let mut record = ledger.application_of(&sender, &remove.application)?;
    if record.removed {
        return Err(Rejection::ApplicationRemoved.into());
    }
    record.removed = true;
    ledger.put_application(&record);
    application::listen(ledger, &record);
    Ok(application::retire(ledger, &remove.application)?)
}
