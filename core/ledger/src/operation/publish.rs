//! Registers a service under its content hash and its alias.

use althing_state::View;
use althing_types::{
    Address, EventTerms, Hash, KEYS_MAX, Name, Publish, STATUSES_MAX, ServiceTerms, TaskTerms,
    Verification,
};

use crate::ledger::Halt;
use crate::record::ServiceRecord;
use crate::{Ledger, Rejection, keys};

/// Largest manifest in bytes.
const MANIFEST_BYTES_MAX: u32 = 256 << 10;
/// Largest component in bytes.
const MODULE_BYTES_MAX: u32 = 16 << 20;
/// Most tasks of a service.
const TASKS_MAX: usize = 64;
/// Longest time limit of a task.
const TIME_LIMIT_MS_MAX: u32 = 600_000;
/// Most events of a service.
const EVENTS_MAX: usize = 64;
/// Most fields of an event that are agreed on by value.
const MEASURED_MAX: usize = 16;
/// Most decimals of a measured value: more do not fit 64 bits.
const DECIMALS_MAX: u8 = 18;
/// Longest time that emitters may take to agree: a day.
const WINDOW_MS_MAX: u32 = 86_400_000;

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    publish: &Publish,
) -> Result<Hash, Halt> {
    let terms = &publish.terms;
    let id = terms.id();
    if !are_acceptable(terms) {
        return Err(Rejection::BadTerms.into());
    }
    if ledger.service(&id)?.is_some() {
        return Err(Rejection::AlreadyPublished.into());
    }
    take_namespace(ledger, sender, &terms.alias.namespace)?;
    let alias = keys::alias(&terms.alias);
    if ledger.load::<Hash>(&alias)?.is_some() {
        return Err(Rejection::AliasTaken.into());
    }
    ledger.write(alias, &id);
    let record = ServiceRecord {
        terms: (**terms).clone(),
        developer: sender,
        published: ledger.block.height,
        offers: 0,
    };
    ledger.write(keys::service(&id), &record);
    Ok(id)
}

/// A namespace belongs to who first publishes or deploys in it.
pub(super) fn take_namespace<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    name: &Name,
) -> Result<(), Halt> {
    let namespace = keys::namespace(name);
    match ledger.load::<Address>(&namespace)? {
        Some(owner) if owner != sender => return Err(Rejection::ForeignNamespace.into()),
        Some(_) => {}
        None => ledger.write(namespace, &sender),
    }
    Ok(())
}

fn are_acceptable(terms: &ServiceTerms) -> bool {
    let sizes = (1..=MANIFEST_BYTES_MAX).contains(&terms.manifest.bytes)
        && terms.module.is_none_or(|module| (1..=MODULE_BYTES_MAX).contains(&module.bytes));
    let counts = terms.tasks.len() <= TASKS_MAX && terms.events.len() <= EVENTS_MAX;
    let does_something = !terms.tasks.is_empty() || !terms.events.is_empty();
    let names = distinct(terms.tasks.iter().map(|task| &task.name))
        && distinct(terms.events.iter().map(|event| &event.name));
    sizes
        && counts
        && does_something
        && names
        && terms.tasks.iter().all(task_is_acceptable)
        && terms.events.iter().all(event_is_acceptable)
}

fn event_is_acceptable(event: &EventTerms) -> bool {
    usize::from(event.keys) <= KEYS_MAX
        && (1..=WINDOW_MS_MAX).contains(&event.window_ms)
        && event.measured.len() <= MEASURED_MAX
        && event.measured.iter().all(|measured| measured.decimals <= DECIMALS_MAX)
}

fn task_is_acceptable(task: &TaskTerms) -> bool {
    let same_price = task.verification == Verification::Method || task.price == task.check_price;
    (1..=STATUSES_MAX).contains(&task.statuses.len())
        && distinct(task.statuses.iter())
        && (1..=TIME_LIMIT_MS_MAX).contains(&task.time_limit_ms)
        && same_price
}

fn distinct<'a>(names: impl Iterator<Item = &'a Name>) -> bool {
    let mut names: alloc::vec::Vec<&Name> = names.collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == count
}
