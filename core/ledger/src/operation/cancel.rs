//! Ends a run; what is under way is not waited for.

use althing_state::View;
use althing_types::{Address, Cancel};
use althing_workflow::Input;

use crate::ledger::Halt;
use crate::{Ledger, run};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    cancel: &Cancel,
) -> Result<(), Halt> {
    super::open_run(ledger, &sender, &cancel.run)?;
    Ok(run::drive(ledger, cancel.run, Input::Cancelled)?)
}
