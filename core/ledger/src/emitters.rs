//! Emitters: who is in office, what their observations come to, what they earn and are fined.
//!
//! - **In office** for an event is who offers the service when the first observation arrives; of more
//!   than [`OFFICE_MAX`], those with the largest stakes. Where the event asks for a majority of at least so
//!   many, those who are missing count as silent.
//! - **Valid**: who contradicts is fined with f(participants); who was silent counts as absent; who
//!   agreed shares what runs pay for the event, and the fines. A measured value is compared with what
//!   was decided and with the median of all who took part: the first few to speak can drag what is
//!   decided to the edge of the tolerance, and must not get others fined for that.
//! - **Contradicted** or **expired**: nobody knows who is right, or whether there was anything to see:
//!   nobody is fined and nobody paid.
//!
//! Source: paper B §3.1, §4.2–4.3; `docs/adr/0008-applications-on-the-ledger.md`.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Address, Amount, EventTerms, Hash};

use crate::agreement::{agrees, at_the_end, is_decided, medians, strongest};
use crate::event::{
    Absentee, EventRecord, EventState, EventStep, HOMES_MAX, Happened, OFFICE_MAX, Standing,
    Statement,
};
use crate::record::Due;
use crate::reputation::Deed;
use crate::settlement::{Charge, take_fine};
use crate::{Agreement, Ledger, Offence, keys, run, standstill};

/// Whose word counts for an event of the service that is observed now, ascending. However many offer
/// the service, it reads as many entries as the office has seats.
pub(crate) fn office<V: View>(
    ledger: &Ledger<'_, V>,
    service: &Hash,
) -> Result<Vec<Address>, Fault> {
    let seats = ledger.state().range(&keys::seats(service), None, OFFICE_MAX)?;
    let node = |(key, _): &(Vec<u8>, Vec<u8>)| {
        let damaged = || Fault { what: "a seat without a node", key: key.clone() };
        key.last_chunk::<20>().map(|bytes| Address(*bytes)).ok_or_else(damaged)
    };
    let mut office = seats.iter().map(node).collect::<Result<Vec<_>, _>>()?;
    office.sort_unstable();
    Ok(office)
}

/// Takes in the last of the event's observations; the event is kept or settled.
pub(crate) fn on_observation<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut event: EventRecord,
    terms: &EventTerms,
    node: Address,
) -> Result<(), Fault> {
    ledger.note_event(event.key, EventStep::Observed(node));
    if event.state == EventState::Open {
        let found = strongest(&terms.measured, &event.observations);
        let counted = terms.emitters.counted(event.office.len());
        let decided = found.filter(|found| is_decided(counted, found.agreeing));
        if let Some(agreement) = decided {
            event = decide(ledger, event, terms, agreement)?;
        }
    }
    compare(&mut event, terms);
    if event.is_complete() {
        return end(ledger, event, terms);
    }
    ledger.keep_event(&event)
}

/// Ends an event whose window is over.
pub(crate) fn on_deadline<V: View>(ledger: &mut Ledger<'_, V>, key: Hash) -> Result<(), Fault> {
    let Some(mut event) = ledger.event(&key)? else { return Ok(()) };
    let missing =
        || Fault { what: "an event of a service that is not there", key: keys::event(&key) };
    let service = ledger.service(&event.name.service)?.ok_or_else(missing)?;
    let terms = service.terms.event(&event.name.event).ok_or_else(missing)?;
    if let Some(until) = standstill::prolonged(&ledger.block, event.until, terms.window_ms.into()) {
        event.until = until;
        ledger.plan(until, &Due::Event(key));
        return ledger.keep_event(&event);
    }
    end(ledger, event, terms)
}

/// Makes an event valid and tells the runs; what they pay for it is in the record that it gives.
fn decide<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut event: EventRecord,
    terms: &EventTerms,
    agreement: Agreement,
) -> Result<EventRecord, Fault> {
    let statement = event.statements.get(usize::from(agreement.statement));
    if let Some(statement) = statement.cloned() {
        (event.keys, event.base) = (statement.keys, statement.data);
    }
    event.measured = agreement.measured;
    event.state = EventState::Valid;
    event.decided_at = ledger.block.time;
    compare(&mut event, terms);
    let mut homes = Vec::new();
    for observation in event.agreeing().take(HOMES_MAX) {
        if let Some(offer) = ledger.offer(&event.name.service, &observation.node)? {
            homes.push(offer.endpoint);
        }
    }
    event.homes = homes;
    ledger.note_event(event.key, EventStep::Decided);
    ledger.keep_event(&event)?;
    run::on_event(ledger, &event)?;
    let lost = || Fault { what: "a valid event is gone", key: keys::event(&event.key) };
    ledger.event(&event.key)?.ok_or_else(lost)
}

/// Says of each observation whether it agrees with what was decided.
fn compare(event: &mut EventRecord, terms: &EventTerms) {
    if event.state != EventState::Valid {
        return;
    }
    let agreed = agreed(event);
    for observation in &mut event.observations {
        let right = agreed
            .is_some_and(|agreed| agrees(&terms.measured, agreed, &event.measured, observation));
        observation.standing = if right { Standing::Agrees } else { Standing::Contradicts };
    }
}

/// Which of its statements a valid event was decided for.
fn agreed(event: &EventRecord) -> Option<u16> {
    let is = |statement: &Statement| statement.keys == event.keys && statement.data == event.base;
    event.statements.iter().position(is).and_then(|index| u16::try_from(index).ok())
}

/// Spares those whose values are near those of all who took part, though not near what was decided when
/// only some had spoken.
fn compare_with_all(event: &mut EventRecord, terms: &EventTerms) {
    let Some(agreed) = agreed(event) else { return };
    let medians = medians(terms.measured.len(), &event.observations, agreed);
    let Some(medians) = medians else { return };
    for observation in &mut event.observations {
        if agrees(&terms.measured, agreed, &medians, observation) {
            observation.standing = Standing::Agrees;
        }
    }
}

/// Ends an event: all have spoken, or its window is over. It is without a deadline.
fn end<V: View>(
    ledger: &mut Ledger<'_, V>,
    mut event: EventRecord,
    terms: &EventTerms,
) -> Result<(), Fault> {
    if event.state == EventState::Open {
        let found = strongest(&terms.measured, &event.observations);
        let agreeing = found.as_ref().map_or(0, |found| found.agreeing);
        let counted = terms.emitters.counted(event.office.len());
        let state = at_the_end(counted, event.observations.len(), agreeing);
        match (state, found) {
            (EventState::Valid, Some(agreement)) => {
                event = decide(ledger, event, terms, agreement)?;
            }
            (state, _) => {
                event.state = state;
                event.decided_at = ledger.block.time;
            }
        }
    }
    let mut payees = Vec::new();
    if event.state == EventState::Valid {
        compare_with_all(&mut event, terms);
        let fines = punish(ledger, &mut event)?;
        reward(ledger, &mut event, fines)?;
        payees = event.agreeing().map(|observation| observation.node).take(HOMES_MAX).collect();
    }
    let (key, state) = (event.key, event.state);
    ledger.archive_event(event)?;
    if state != EventState::Expired {
        let happened = Happened { state, height: ledger.block.height, payees };
        ledger.write(keys::happened(&key), &happened);
    }
    Ok(())
}

/// Fines those who contradict and those who were silent; gives what is left of the fines.
fn punish<V: View>(ledger: &mut Ledger<'_, V>, event: &mut EventRecord) -> Result<Amount, Fault> {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let participants = count(event.observations.len());
    let (service, key) = (event.name.service, event.key);
    let contradicting = |o: &&mut crate::Observation| o.standing == Standing::Contradicts;
    let offenders = count(event.observations.iter_mut().filter(contradicting).count());
    let mut left = Amount::ZERO;
    for observation in event.observations.iter_mut().filter(contradicting) {
        let charge = Charge {
            deed: Deed::Wrong,
            severity: ledger.parameters.emitter_wrong,
            participants,
            offenders,
        };
        let Some(fine) =
            take_fine(ledger, &service, &observation.node, charge, |offer| &mut offer.emitter)?
        else {
            continue;
        };
        (observation.offence, observation.fine) = (Some(Offence::WrongObservation), fine.amount);
        left = left.saturating_add(fine.left);
        let (node, offence, fine) = (observation.node, Offence::WrongObservation, fine.amount);
        ledger.note_event(key, EventStep::Fined { node, offence, fine });
    }
    let silent: Vec<Address> =
        event.office.iter().filter(|node| event.observation(node).is_none()).copied().collect();
    for node in silent {
        let charge = Charge {
            deed: Deed::Absent,
            severity: ledger.parameters.absent,
            participants,
            offenders: 1,
        };
        let Some(fine) = take_fine(ledger, &service, &node, charge, |offer| &mut offer.emitter)?
        else {
            continue;
        };
        event.absent.push(Absentee { node, fine: fine.amount });
        left = left.saturating_add(fine.left);
        let (offence, fine) = (Offence::Absence, fine.amount);
        ledger.note_event(key, EventStep::Fined { node, offence, fine });
    }
    Ok(left)
}

/// Shares the purse and the fines among those who agree; what does not divide goes to the treasury.
fn reward<V: View>(
    ledger: &mut Ledger<'_, V>,
    event: &mut EventRecord,
    fines: Amount,
) -> Result<(), Fault> {
    let now = ledger.block.time;
    let service = event.name.service;
    let purse = core::mem::take(&mut event.purse);
    let net = after_shares(ledger, &service, purse)?;
    let mut pot = net.saturating_add(fines);
    let share = pot.share(1, u64::try_from(event.agreeing().count().max(1)).unwrap_or(u64::MAX));
    for observation in &mut event.observations {
        if observation.standing != Standing::Agrees {
            continue;
        }
        pot = pot.saturating_sub(share);
        observation.earned = share;
        ledger.credit(&observation.node, share)?;
        if let Some(mut offer) = ledger.offer(&service, &observation.node)? {
            offer.earned = offer.earned.saturating_add(share);
            offer.absences_in_a_row = 0;
            offer.emitter.count(Deed::Right, now, &ledger.parameters);
            ledger.put_offer(&service, &observation.node, &offer)?;
        }
    }
    ledger.pay_treasury(pot);
    Ok(())
}

/// Pays the developer's and the treasury's shares of a price; gives the rest.
fn after_shares<V: View>(
    ledger: &mut Ledger<'_, V>,
    service: &Hash,
    price: Amount,
) -> Result<Amount, Fault> {
    if price.is_zero() {
        return Ok(price);
    }
    let for_developer = ledger.parameters.developer_share.of(price);
    let for_treasury = ledger.parameters.treasury_share.of(price);
    ledger.pay_treasury(for_treasury);
    match ledger.service(service)? {
        Some(record) => ledger.credit(&record.developer, for_developer)?,
        None => ledger.pay_treasury(for_developer),
    }
    Ok(price.saturating_sub(for_developer).saturating_sub(for_treasury))
}

/// Gives the emitters of a valid event what a run pays for it; the amount has left its payer.
///
/// While the event's window lasts, the amount waits for all who will have agreed; later, those who
/// serve its data share it.
pub(crate) fn reward_emitters<V: View>(
    ledger: &mut Ledger<'_, V>,
    event_key: &Hash,
    amount: Amount,
) -> Result<(), Fault> {
    if amount.is_zero() {
        return Ok(());
    }
    if let Some(mut event) = ledger.event(event_key)? {
        event.purse = event.purse.saturating_add(amount);
        return ledger.keep_event(&event);
    }
    let payees = ledger.happened(event_key)?.map(|happened| happened.payees).unwrap_or_default();
    let share = amount.share(1, u64::try_from(payees.len().max(1)).unwrap_or(u64::MAX));
    let mut left = amount;
    for payee in &payees {
        left = left.saturating_sub(share);
        ledger.credit(payee, share)?;
    }
    ledger.pay_treasury(left);
    Ok(())
}
