//! From a valid event to the runs that it concerns, some of them in later blocks if they are many.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{EventName, Hash, KeySource, Payload, TimeMs, tagged};
use althing_workflow::{Input, Occurrence, matches};
use borsh::{BorshDeserialize, BorshSerialize};

use super::drive::{Cause, drive, open, pay_for_event};
use super::memory;
use crate::application::{Stamp, topic};
use crate::books::decode;
use crate::record::Due;
use crate::{EventRecord, Ledger, keys};

/// How many it reads at once.
const PAGE: u32 = 100;
/// Most open runs of an application.
const OPEN_MAX: u32 = 1_000_000;

/// A valid event as runs are told of it.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Happening {
    pub(crate) name: EventName,
    pub(crate) occurrence: Occurrence,
    pub(crate) keys: Vec<Hash>,
    pub(crate) decided_at: TimeMs,
    /// Whoever listens or waits since later does not get it from here: it looked into the memory.
    pub(crate) stamp: Stamp,
}

/// How far an event has come in telling runs.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
struct FanOut {
    happening: Happening,
    /// First those who listen, then those who wait for any such event, then by each key.
    index: u8,
    /// The last entry there that was looked at.
    after: Option<Vec<u8>>,
}

/// Starts the runs of every application that listens to a valid event, and wakes those that wait.
pub(crate) fn on_event<V: View>(
    ledger: &mut Ledger<'_, V>,
    event: &EventRecord,
) -> Result<(), Fault> {
    ledger.events_in_block = ledger.events_in_block.saturating_add(1);
    let payload = Payload::Event {
        name: event.name.clone(),
        base: event.base,
        measured: event.measured.clone(),
    };
    let happening = Happening {
        name: event.name.clone(),
        occurrence: Occurrence { key: event.key, payload, holders: event.homes.clone() },
        keys: event.keys.clone(),
        decided_at: event.decided_at,
        stamp: ledger.stamp(),
    };
    memory::remember(ledger, &happening)?;
    go_on(ledger, FanOut { happening, index: 0, after: None })
}

/// Goes on where the block before stopped.
pub(crate) fn on_continuation<V: View>(
    ledger: &mut Ledger<'_, V>,
    event: &Hash,
) -> Result<(), Fault> {
    let key = keys::fan_out(event);
    let Some(fan_out) = ledger.load::<FanOut>(&key)? else { return Ok(()) };
    ledger.delete(key);
    go_on(ledger, fan_out)
}

fn go_on<V: View>(ledger: &mut Ledger<'_, V>, mut fan_out: FanOut) -> Result<(), Fault> {
    while let Some(prefix) = fan_out.prefix() {
        let page = PAGE.min(ledger.fan_out_left);
        if page == 0 {
            let key = fan_out.happening.occurrence.key;
            ledger.write(keys::fan_out(&key), &fan_out);
            ledger.plan(ledger.block.time, &Due::FanOut(key));
            return Ok(());
        }
        let limit = usize::try_from(page).unwrap_or(usize::MAX);
        let entries = ledger.state().range(&prefix, fan_out.after.as_deref(), limit)?;
        let last = entries.last().map(|(key, _)| key.clone());
        let full = entries.len() == limit;
        for (key, bytes) in entries {
            ledger.fan_out_left = ledger.fan_out_left.saturating_sub(1);
            if decode::<Stamp>(&key, &bytes)? < fan_out.happening.stamp {
                fan_out.deliver(ledger, &key)?;
            }
        }
        if full {
            fan_out.after = last;
        } else {
            fan_out.after = None;
            fan_out.index = fan_out.index.saturating_add(1);
        }
    }
    Ok(())
}

impl FanOut {
    /// The entries to be looked at now, by their common beginning.
    fn prefix(&self) -> Option<Vec<u8>> {
        let Happening { name, keys, .. } = &self.happening;
        match self.index {
            0 => Some(keys::listeners(&topic(name, None))),
            1 => Some(keys::waits(&topic(name, None))),
            index => {
                let key = index.saturating_sub(2);
                let value = keys.get(usize::from(key))?;
                Some(keys::waits(&topic(name, Some((key, *value)))))
            }
        }
    }

    fn deliver<V: View>(&self, ledger: &mut Ledger<'_, V>, key: &[u8]) -> Result<(), Fault> {
        if self.index == 0 {
            let Some(application) = keys::last_hash(key) else { return Ok(()) };
            return start(ledger, &application, &self.happening);
        }
        let Some((run, step)) = keys::waiting(key) else { return Ok(()) };
        wake(ledger, run, step, &self.happening)
    }
}

/// Gives the event to a step that waits, if it is one that the step asks for.
fn wake<V: View>(
    ledger: &mut Ledger<'_, V>,
    run: Hash,
    step: u16,
    happening: &Happening,
) -> Result<(), Fault> {
    let Some(record) = ledger.run(&run)? else { return Ok(()) };
    let Some(application) = ledger.application(&record.application)? else { return Ok(()) };
    let planned = application.terms.plan.steps.get(usize::from(step));
    let wait = planned.and_then(|step| step.wait.as_ref());
    let filter = wait.and_then(|wait| record.run.resolve(&wait.filter));
    if filter.is_none_or(|filter| !matches(&filter, &happening.keys)) {
        return Ok(());
    }
    drive(ledger, run, Input::Event { step, occurrence: happening.occurrence.clone() })
}

/// Starts a run of an application that listens, if the event is one that it asks for.
fn start<V: View>(
    ledger: &mut Ledger<'_, V>,
    application: &Hash,
    happening: &Happening,
) -> Result<(), Fault> {
    let Some(application) = ledger.application(application)? else { return Ok(()) };
    let constant = |filter: &althing_types::Filter| match filter.value {
        KeySource::Constant(value) => Some((filter.key, value)),
        KeySource::Trigger(_) | KeySource::Yielded { .. } => None,
    };
    let filter: Vec<(u8, Hash)> =
        application.terms.plan.trigger.filter.iter().filter_map(constant).collect();
    if !application.listens() || !matches(&filter, &happening.keys) {
        return Ok(());
    }
    if ledger.usage(&application.id)?.open >= OPEN_MAX {
        return ledger.change_usage(&application.id, |usage| {
            usage.missed = usage.missed.saturating_add(1);
        });
    }
    let Occurrence { key, payload, holders } = happening.occurrence.clone();
    let chain = ledger.block.chain.0.to_be_bytes();
    let id = tagged("althing run", &[&chain, &application.id.0, &key.0]);
    let cause = Cause {
        id,
        payer: application.id,
        parent: None,
        started_at: ledger.block.time,
        event: payload,
        event_key: Some(key),
        event_homes: holders,
        keys: happening.keys.clone(),
    };
    open(ledger, &application, cause)?;
    if let Some(mut record) = ledger.run(&id)? {
        pay_for_event(ledger, &mut record, &happening.name, &key)?;
        ledger.write(keys::run(&id), &record);
    }
    drive(ledger, id, Input::Started)
}
