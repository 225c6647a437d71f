//! Ends an offer. The stake stays slashable for the unbonding delay; leaving before the term costs.

use althing_state::{Fault, View};
use althing_types::{Address, Amount, Hash, Withdraw};

use crate::ledger::Halt;
use crate::record::{Due, OfferStatus};
use crate::{Ledger, Rejection, keys};

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    withdraw: &Withdraw,
) -> Result<(), Halt> {
    let mut record = ledger.offer(&withdraw.service, &sender)?.ok_or(Rejection::NoOffer)?;
    match record.status {
        OfferStatus::Active | OfferStatus::Suspended => {}
        OfferStatus::Leaving { .. } => return Err(Rejection::OfferLeaving.into()),
        OfferStatus::Gone => return Err(Rejection::NoOffer.into()),
    }
    let now = ledger.block.time;
    let cost = if now < record.term_until {
        ledger.parameters.early_exit.of(record.stake)
    } else {
        Amount::ZERO
    };
    let due = now.after(ledger.parameters.unbonding_ms);
    record.stake = record.stake.saturating_sub(cost);
    record.status = OfferStatus::Leaving { due };
    ledger.pay_treasury(cost);
    ledger.plan(due, &Due::Offer(withdraw.service, sender));
    ledger.put_offer(&withdraw.service, &sender, &record)?;
    Ok(())
}

/// Pays the stake of an offer that has left; its history stays.
pub(crate) fn pay_out<V: View>(
    ledger: &mut Ledger<'_, V>,
    service: Hash,
    node: Address,
) -> Result<(), Fault> {
    let Some(mut record) = ledger.offer(&service, &node)? else { return Ok(()) };
    let stake = core::mem::take(&mut record.stake);
    record.status = OfferStatus::Gone;
    ledger.put_offer(&service, &node, &record)?;
    ledger.credit(&node, stake)?;
    if let Some(mut published) = ledger.service(&service)? {
        published.offers = published.offers.saturating_sub(1);
        ledger.write(keys::service(&service), &published);
    }
    Ok(())
}
