//! Returns a suspended offer to office.

use althing_state::View;
use althing_types::{Address, Resume};

use crate::ledger::Halt;
use crate::record::OfferStatus;
use crate::{Ledger, Rejection};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    resume: &Resume,
) -> Result<(), Halt> {
    let mut record = ledger.offer(&resume.service, &sender)?.ok_or(Rejection::NoOffer)?;
    if record.status != OfferStatus::Suspended {
        return Err(Rejection::NotSuspended.into());
    }
    let least =
        ledger.service(&resume.service)?.map(|service| service.terms.stake_min).unwrap_or_default();
    if record.stake < least {
        return Err(Rejection::StakeTooSmall { stake: record.stake, least }.into());
    }
    record.status = OfferStatus::Active;
    record.absences_in_a_row = 0;
    ledger.put_offer(&resume.service, &sender, &record)?;
    Ok(())
}
