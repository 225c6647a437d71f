//! Repeats a step of a run that has ended with an error or for want of money.

use althing_state::View;
use althing_types::{Address, Repeat};
use althing_workflow::Input;

use crate::ledger::Halt;
use crate::{Ledger, Rejection, run};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    repeat: &Repeat,
) -> Result<(), Halt> {
    let record = super::open_run(ledger, &sender, &repeat.run)?;
    let application = ledger
        .application(&record.application)?
        .ok_or(Rejection::UnknownApplication { application: record.application })?;
    record
        .run
        .can_repeat(&application.terms.plan, repeat.step)
        .map_err(|_| Rejection::NotRepeatable)?;
    Ok(run::drive(ledger, repeat.run, Input::Repeat { step: repeat.step })?)
}
