//! Lets an application start no more runs, or start them again.

use althing_state::View;
use althing_types::{Address, Pause};

use crate::ledger::Halt;
use crate::{Ledger, Rejection, application};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    pause: &Pause,
) -> Result<(), Halt> {
    let mut record = ledger.application_of(&sender, &pause.application)?;
    if record.removed {
        return Err(Rejection::ApplicationRemoved.into());
    }
    if record.paused == pause.paused {
        return Ok(());
    }
    record.paused = pause.paused;
    ledger.put_application(&record);
    application::listen(ledger, &record);
    Ok(())
}
