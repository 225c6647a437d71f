//! Begins a run anew from the event that started it.

use althing_state::{Fault, View};
use althing_types::{Hash, tagged};
use althing_workflow::Input;

use super::RunRecord;
use super::drive::{Cause, drive, open};
use crate::Ledger;
use crate::application::ApplicationRecord;

/// Ends an open run that no other one uses, and begins another one from what started it; gives its id.
///
/// It is another run: its steps have effects under keys of their own, so that whatever the first one has
/// done outside is done again. To its waits it counts as begun with the first, whose events it finds. The
/// emitters of its event are not paid again: they have seen nothing new.
pub(crate) fn restart<V: View>(
    ledger: &mut Ledger<'_, V>,
    application: &ApplicationRecord,
    record: RunRecord,
) -> Result<Hash, Fault> {
    drive(ledger, record.id, Input::Cancelled)?;
    let id = tagged("althing run again", &[&record.id.0]);
    let cause = Cause {
        id,
        payer: record.payer,
        parent: None,
        started_at: record.started_at,
        event: record.event,
        event_key: record.event_key,
        event_homes: record.event_homes,
        keys: record.run.keys,
    };
    open(ledger, application, cause)?;
    drive(ledger, id, Input::Started)?;
    Ok(id)
}
