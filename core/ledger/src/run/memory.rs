//! Events that came lately, for runs that come to wait for them.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Hash, TimeMs};
use althing_workflow::{Occurrence, QUEUE_MAX, matches};

use super::fan_out::Happening;
use crate::application::{Interest, topic};
use crate::record::Due;
use crate::{Ledger, keys};

/// How many events are remembered under one topic; of more, the last ones.
const PER_TOPIC_MAX: usize = 64;

/// Remembers an event under each key by which a wait of a deployed application could look for it.
pub(super) fn remember<V: View>(
    ledger: &mut Ledger<'_, V>,
    happening: &Happening,
) -> Result<(), Fault> {
    let topics = topics(ledger, happening)?;
    if topics.is_empty() {
        return Ok(());
    }
    let event = happening.occurrence.key;
    ledger.write(keys::remembered(&event), happening);
    ledger.plan(happening.decided_at.after(ledger.parameters.events_kept_ms), &Due::Forget(event));
    for topic in topics {
        let prefix = keys::memories(&topic);
        let known = ledger.state().range(&prefix, None, PER_TOPIC_MAX)?;
        if known.len() >= PER_TOPIC_MAX
            && let Some((oldest, _)) = known.into_iter().next()
        {
            ledger.delete(oldest);
        }
        ledger.write(keys::memory(&topic, happening.decided_at, &event), &());
    }
    Ok(())
}

fn topics<V: View>(ledger: &Ledger<'_, V>, happening: &Happening) -> Result<Vec<Hash>, Fault> {
    let any = topic(&happening.name, None);
    let Some(Interest(counts)) = ledger.load(&keys::interest(&any))? else {
        return Ok(Vec::new());
    };
    let (any_count, by_key) =
        counts.split_last().map_or((0, &[][..]), |(last, rest)| (*last, rest));
    let by_key =
        by_key.iter().zip(&happening.keys).zip(0_u8..).filter(|((count, _), _)| **count > 0);
    let by_key = by_key.map(|((_, value), key)| topic(&happening.name, Some((key, *value))));
    Ok((any_count > 0).then_some(any).into_iter().chain(by_key).collect())
}

/// The events since a time that a step asks for, the oldest first; as many as it can take.
pub(super) fn find<V: View>(
    ledger: &Ledger<'_, V>,
    topic: &Hash,
    filter: &[(u8, Hash)],
    since: TimeMs,
) -> Result<Vec<Occurrence>, Fault> {
    let mut found = Vec::new();
    for (key, _) in ledger.state().range(&keys::memories(topic), None, PER_TOPIC_MAX)? {
        let Some((time, event)) = keys::remembered_at(&key) else { continue };
        if time < since || found.len() > QUEUE_MAX {
            continue;
        }
        let Some(happening) = ledger.load::<Happening>(&keys::remembered(&event))? else {
            continue;
        };
        if matches(filter, &happening.keys) {
            found.push(happening.occurrence);
        }
    }
    Ok(found)
}

/// Forgets an event whose time is over.
pub(crate) fn forget<V: View>(ledger: &mut Ledger<'_, V>, event: &Hash) -> Result<(), Fault> {
    let key = keys::remembered(event);
    let Some(happening) = ledger.load::<Happening>(&key)? else { return Ok(()) };
    ledger.delete(key);
    let any = topic(&happening.name, None);
    let by_key = happening.keys.iter().zip(0_u8..);
    let by_key = by_key.map(|(value, key)| topic(&happening.name, Some((key, *value))));
    for topic in core::iter::once(any).chain(by_key) {
        let memory = keys::memory(&topic, happening.decided_at, event);
        if ledger.state().read(&memory)?.is_some() {
            ledger.delete(memory);
        }
    }
    Ok(())
}
