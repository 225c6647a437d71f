//! An emitter states that an event occurred; enough equal statements make it valid.

use althing_state::View;
use althing_types::{Address, Emitters, EventName, EventTerms, Hash, Observe, event_key};

use crate::event::{EventRecord, EventState, Observation, Statement};
use crate::ledger::Halt;
use crate::record::{Due, OfferStatus};
use crate::{Ledger, Rejection, emitters};

/// Largest part of an event's data that is kept outside of the ledger, in bytes.
const DATA_BYTES_MAX: u32 = 1 << 20;

/// Gives the event's key if this is its first observation.
pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    observe: &Observe,
) -> Result<Option<Hash>, Halt> {
    let service = ledger
        .service(&observe.service)?
        .ok_or(Rejection::UnknownService { service: observe.service })?;
    let terms = service.terms.event(&observe.event).ok_or(Rejection::UnknownEvent)?;
    check_shape(terms, observe)?;
    let key = event_key(&observe.service, &observe.event, &observe.id);
    if ledger.happened(&key)?.is_some() {
        // Where the first one counts, whoever comes after it repeats it.
        return Err(match terms.emitters {
            Emitters::One => Rejection::DuplicateObservation { event: key },
            Emitters::Majority | Emitters::AtLeast(_) => Rejection::LateObservation { event: key },
        }
        .into());
    }
    match ledger.event(&key)? {
        None => open(ledger, sender, observe, terms, key).map(|()| Some(key)),
        Some(event) => join(ledger, sender, observe, terms, event).map(|()| None),
    }
}

fn check_shape(terms: &EventTerms, observe: &Observe) -> Result<(), Rejection> {
    if observe.keys.len() != usize::from(terms.keys) {
        return Err(Rejection::WrongKeys { expected: terms.keys });
    }
    if observe.measured.len() != terms.measured.len() {
        let expected = u8::try_from(terms.measured.len()).unwrap_or(u8::MAX);
        return Err(Rejection::WrongMeasures { expected });
    }
    if observe.data.bytes > DATA_BYTES_MAX {
        return Err(Rejection::EventTooLarge { most: DATA_BYTES_MAX });
    }
    Ok(())
}

fn open<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    observe: &Observe,
    terms: &EventTerms,
    key: Hash,
) -> Result<(), Halt> {
    let now = ledger.block.time;
    let offer = ledger.offer(&observe.service, &sender)?.ok_or(Rejection::NoOffer)?;
    if offer.status != OfferStatus::Active {
        return Err(Rejection::NotAnEmitter.into());
    }
    let office = match terms.emitters {
        Emitters::One => alloc::vec![sender],
        Emitters::Majority | Emitters::AtLeast(_) => emitters::office(ledger, &observe.service)?,
    };
    if !office.contains(&sender) {
        return Err(Rejection::NotAnEmitter.into());
    }
    let event = EventRecord {
        key,
        name: EventName { service: observe.service, event: observe.event.clone() },
        id: observe.id,
        state: EventState::Open,
        opened_at: now,
        until: now.after(terms.window_ms.into()),
        office,
        statements: alloc::vec![],
        observations: alloc::vec![],
        absent: alloc::vec![],
        keys: observe.keys.clone(),
        base: observe.data,
        measured: observe.measured.clone(),
        decided_at: now,
        homes: alloc::vec![],
        purse: althing_types::Amount::ZERO,
    };
    if !is_last(&event) {
        ledger.plan(event.until, &Due::Event(key));
    }
    record(ledger, sender, observe, terms, event)
}

fn join<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    observe: &Observe,
    terms: &EventTerms,
    event: EventRecord,
) -> Result<(), Halt> {
    if ledger.block.time >= event.until {
        return Err(Rejection::LateObservation { event: event.key }.into());
    }
    if !event.office.contains(&sender) {
        return Err(Rejection::NotAnEmitter.into());
    }
    if event.observation(&sender).is_some() {
        return Err(Rejection::DuplicateObservation { event: event.key }.into());
    }
    if is_last(&event) {
        ledger.unplan(event.until, &Due::Event(event.key));
    }
    record(ledger, sender, observe, terms, event)
}

/// Whether all will have spoken with the next observation: then the event needs no deadline.
const fn is_last(event: &EventRecord) -> bool {
    event.observations.len().saturating_add(1) >= event.office.len()
}

fn record<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    observe: &Observe,
    terms: &EventTerms,
    mut event: EventRecord,
) -> Result<(), Halt> {
    let statement = Statement { keys: observe.keys.clone(), data: observe.data };
    let known = event.statements.iter().position(|other| *other == statement);
    let index = known.unwrap_or(event.statements.len());
    if known.is_none() {
        event.statements.push(statement);
    }
    // There are no more statements than emitters in office, and those are bounded.
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let measured = observe.measured.clone();
    event.observations.push(Observation::new(sender, ledger.block.time, index, measured));
    emitters::on_observation(ledger, event, terms, sender)?;
    Ok(())
}
