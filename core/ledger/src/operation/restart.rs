//! Ends a run, and begins it anew from the event that started it.

use althing_state::View;
use althing_types::{Address, Hash, Restart};

use crate::ledger::Halt;
use crate::{Ledger, Rejection, run};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    restart: &Restart,
) -> Result<Hash, Halt> {
    let record = super::open_run(ledger, &sender, &restart.run)?;
    if record.parent.is_some() {
        return Err(Rejection::UsedByAnother.into());
    }
    let application = ledger.application_of(&sender, &record.application)?;
    if application.removed {
        return Err(Rejection::ApplicationRemoved.into());
    }
    Ok(run::restart(ledger, &application, record)?)
}
