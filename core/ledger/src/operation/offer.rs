//! A node's commitment to execute and check a service: a stake and a term, under its signature.

use alloc::vec::Vec;

use althing_state::View;
use althing_types::{Address, Amount, Offer, are_labels};

use crate::ledger::Halt;
use crate::record::{OfferRecord, OfferStatus};
use crate::reputation::Tally;
use crate::{Ledger, Rejection, committee, keys};

/// Longest term: about ten years.
const TERM_MS_MAX: u64 = 315_360_000_000;

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    offer: &Offer,
) -> Result<(), Halt> {
    let now = ledger.block.time;
    let mut service = ledger
        .service(&offer.service)?
        .ok_or(Rejection::UnknownService { service: offer.service })?;
    let known = ledger.offer(&offer.service, &sender)?;
    let returns = known.as_ref().is_some_and(|record| record.status == OfferStatus::Gone);
    let comes = known.is_none() || returns;
    let mut record = known.unwrap_or_else(|| OfferRecord {
        owner: offer.owner,
        endpoint: offer.endpoint,
        labels: Vec::new(),
        stake: Amount::ZERO,
        since: now,
        term_until: now,
        status: OfferStatus::Active,
        executor: Tally { updated: now, ..Tally::default() },
        checker: Tally { updated: now, ..Tally::default() },
        emitter: Tally { updated: now, ..Tally::default() },
        absences_in_a_row: 0,
        incidents: 0,
        last_incident: None,
        fined: Amount::ZERO,
        earned: Amount::ZERO,
    });
    if let OfferStatus::Leaving { .. } = record.status {
        return Err(Rejection::OfferLeaving.into());
    }
    let term_until = now.after(offer.term_ms);
    if offer.term_ms == 0 || offer.term_ms > TERM_MS_MAX || term_until < record.term_until {
        return Err(Rejection::BadTerm.into());
    }
    if !are_labels(&offer.labels) {
        return Err(Rejection::BadLabels.into());
    }
    let (stake, least) = (record.stake.saturating_add(offer.stake), service.terms.stake_min);
    if stake < least || stake.is_zero() {
        return Err(Rejection::StakeTooSmall { stake, least }.into());
    }
    if comes {
        if service.offers >= committee::OFFERS_MAX {
            return Err(Rejection::TooManyOffers.into());
        }
        record.status = OfferStatus::Active;
        record.since = now;
        service.offers = service.offers.saturating_add(1);
        ledger.write(keys::service(&offer.service), &service);
    }
    record.owner = offer.owner;
    record.endpoint = offer.endpoint;
    record.labels.clone_from(&offer.labels);
    record.stake = stake;
    record.term_until = term_until;
    ledger.debit(&sender, offer.stake)?;
    if returns {
        ledger.reinstate_offer(&offer.service, &sender, &record)?;
    } else {
        ledger.put_offer(&offer.service, &sender, &record)?;
    }
    Ok(())
}
