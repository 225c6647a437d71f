//! Typed reads of a state, for those who show it.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Address, Alias, EventName, Hash, Parameters, ValidatorSet};
use althing_workflow::Occurrence;

use crate::books::{decode, load};
use crate::run::Happening;
use crate::{
    Account, ApplicationRecord, EventRecord, Execution, Happened, OfferRecord, RunRecord,
    ServiceRecord, Totals, Usage, ValidatorRecord, keys,
};

/// An account; an unknown one is empty.
///
/// # Errors
///
/// [`Fault`] if the state cannot be read. So for every function here.
pub fn account(view: &impl View, address: &Address) -> Result<Account, Fault> {
    Ok(load(view, &keys::account(address))?.unwrap_or_default())
}

/// The chain's parameters.
///
/// # Errors
///
/// As [`account`].
pub fn parameters(view: &impl View) -> Result<Parameters, Fault> {
    let missing = Fault { what: "the parameters are missing", key: keys::PARAMETERS.to_vec() };
    load(view, keys::PARAMETERS)?.ok_or(missing)
}

/// Where the tokens are.
///
/// # Errors
///
/// As [`account`].
pub fn totals(view: &impl View) -> Result<Totals, Fault> {
    Ok(load(view, keys::TOTALS)?.unwrap_or_default())
}

/// Who decides the next height.
///
/// # Errors
///
/// As [`account`].
pub fn next_validators(view: &impl View) -> Result<ValidatorSet, Fault> {
    Ok(load(view, keys::NEXT_VALIDATORS)?.unwrap_or_default())
}

/// A validator's record.
///
/// # Errors
///
/// As [`account`].
pub fn validator(view: &impl View, address: &Address) -> Result<Option<ValidatorRecord>, Fault> {
    load(view, &keys::validator(address))
}

/// A service.
///
/// # Errors
///
/// As [`account`].
pub fn service(view: &impl View, id: &Hash) -> Result<Option<ServiceRecord>, Fault> {
    load(view, &keys::service(id))
}

/// The service that an alias names.
///
/// # Errors
///
/// As [`account`].
pub fn alias(view: &impl View, alias: &Alias) -> Result<Option<Hash>, Fault> {
    load(view, &keys::alias(alias))
}

/// An open execution.
///
/// # Errors
///
/// As [`account`].
pub fn execution(view: &impl View, id: &Hash) -> Result<Option<Execution>, Fault> {
    load(view, &keys::execution(id))
}

/// An event whose window lasts; its key is [`event_key`](althing_types::event_key).
///
/// # Errors
///
/// As [`account`].
pub fn event(view: &impl View, key: &Hash) -> Result<Option<EventRecord>, Fault> {
    load(view, &keys::event(key))
}

/// What stays of an event whose id has counted: the block whose receipts have the whole record.
///
/// # Errors
///
/// As [`account`].
pub fn happened(view: &impl View, key: &Hash) -> Result<Option<Happened>, Fault> {
    load(view, &keys::happened(key))
}

/// Up to `limit` events whose windows last, after `after`, by ascending key.
///
/// # Errors
///
/// As [`account`].
pub fn events(
    view: &impl View,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<EventRecord>, Fault> {
    let entries = view.range(keys::EVENTS, after.map(keys::event).as_deref(), limit)?;
    entries.iter().map(|(key, bytes)| decode(key, bytes)).collect()
}

/// A node's offer of a service, or the history of one that has left.
///
/// # Errors
///
/// As [`account`].
pub fn offer(
    view: &impl View,
    service: &Hash,
    node: &Address,
) -> Result<Option<OfferRecord>, Fault> {
    match load(view, &keys::offer(service, node))? {
        Some(offer) => Ok(Some(offer)),
        None => load(view, &keys::former_offer(service, node)),
    }
}

/// Up to `limit` offers of a service by nodes that have not left, by ascending node.
///
/// # Errors
///
/// As [`account`].
pub fn offers(
    view: &impl View,
    service: &Hash,
    limit: usize,
) -> Result<Vec<(Address, OfferRecord)>, Fault> {
    let entries = view.range(&keys::offers(service), None, limit)?;
    entries.iter().map(|(key, bytes)| Ok((Address(last(key)), decode(key, bytes)?))).collect()
}

/// Up to `limit` services after `after`, by ascending id.
///
/// # Errors
///
/// As [`account`].
pub fn services(
    view: &impl View,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<(Hash, ServiceRecord)>, Fault> {
    let entries = view.range(keys::SERVICES, after.map(keys::service).as_deref(), limit)?;
    entries.iter().map(|(key, bytes)| Ok((Hash(last(key)), decode(key, bytes)?))).collect()
}

/// Up to `limit` open executions after `after`, by ascending id.
///
/// # Errors
///
/// As [`account`].
pub fn executions(
    view: &impl View,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<Execution>, Fault> {
    let entries = view.range(keys::EXECUTIONS, after.map(keys::execution).as_deref(), limit)?;
    entries.iter().map(|(key, bytes)| decode(key, bytes)).collect()
}

/// Up to `limit` validators, by ascending address.
///
/// # Errors
///
/// As [`account`].
pub fn validators(
    view: &impl View,
    limit: usize,
) -> Result<Vec<(Address, ValidatorRecord)>, Fault> {
    let entries = view.range(keys::VALIDATORS, None, limit)?;
    entries.iter().map(|(key, bytes)| Ok((Address(last(key)), decode(key, bytes)?))).collect()
}

/// An application.
///
/// # Errors
///
/// As [`account`].
pub fn application(view: &impl View, id: &Hash) -> Result<Option<ApplicationRecord>, Fault> {
    load(view, &keys::application(id))
}

/// The application that an alias names.
///
/// # Errors
///
/// As [`account`].
pub fn application_alias(view: &impl View, alias: &Alias) -> Result<Option<Hash>, Fault> {
    load(view, &keys::application_alias(alias))
}

/// What an application's runs have come to.
///
/// # Errors
///
/// As [`account`].
pub fn usage(view: &impl View, application: &Hash) -> Result<Usage, Fault> {
    Ok(load(view, &keys::usage(application))?.unwrap_or_default())
}

/// Up to `limit` applications after `after`, by ascending id.
///
/// # Errors
///
/// As [`account`].
pub fn applications(
    view: &impl View,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<ApplicationRecord>, Fault> {
    let after = after.map(keys::application);
    let entries = view.range(keys::APPLICATIONS, after.as_deref(), limit)?;
    entries.iter().map(|(key, bytes)| decode(key, bytes)).collect()
}

/// An open run; one that has ended is in the receipts of its last block.
///
/// # Errors
///
/// As [`account`].
pub fn run(view: &impl View, id: &Hash) -> Result<Option<RunRecord>, Fault> {
    load(view, &keys::run(id))
}

/// Up to `limit` open runs after `after`, by ascending id: of one application, or of all.
///
/// # Errors
///
/// As [`account`].
pub fn runs(
    view: &impl View,
    application: Option<&Hash>,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<RunRecord>, Fault> {
    let Some(application) = application else {
        let entries = view.range(keys::RUNS, after.map(keys::run).as_deref(), limit)?;
        return entries.iter().map(|(key, bytes)| decode(key, bytes)).collect();
    };
    let after = after.map(|run| keys::open_run(application, run));
    let entries = view.range(&keys::open_runs(application), after.as_deref(), limit)?;
    let ids = entries.iter().filter_map(|(key, _)| keys::last_hash(key));
    ids.filter_map(|id| run(view, &id).transpose()).collect()
}

/// Up to `limit` runs with a step that waits for an event: under the value of the first key of its
/// `where`, or for any such event.
///
/// # Errors
///
/// As [`account`].
pub fn waits(
    view: &impl View,
    event: &EventName,
    key: Option<(u8, Hash)>,
    limit: usize,
) -> Result<Vec<(Hash, u16)>, Fault> {
    let topic = crate::application::topic(event, key);
    let entries = view.range(&keys::waits(&topic), None, limit)?;
    Ok(entries.iter().filter_map(|(key, _)| keys::waiting(key)).collect())
}

/// Up to `limit` remembered events after `after`, by ascending key: what waits that begin later may
/// still be told of.
///
/// # Errors
///
/// As [`account`].
pub fn remembered(
    view: &impl View,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<Occurrence>, Fault> {
    let after = after.map(keys::remembered);
    let entries = view.range(keys::REMEMBERED, after.as_deref(), limit)?;
    let occurrence =
        |(key, bytes): &(Vec<u8>, Vec<u8>)| Ok(decode::<Happening>(key, bytes)?.occurrence);
    entries.iter().map(occurrence).collect()
}

fn last<const N: usize>(key: &[u8]) -> [u8; N] {
    key.last_chunk().copied().unwrap_or([0; N])
}
