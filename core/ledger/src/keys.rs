//! The layout of the state: one letter, then the identity of the record.
//!
//! | key | record |
//! |---|---|
//! | `a` address | [`Account`](crate::Account) |
//! | `b` execution | the application whose deposit pays for this execution of a step |
//! | `c` application | [`ApplicationRecord`](crate::ApplicationRecord) |
//! | `d` time (8, big-endian) item | what is due at that time |
//! | `e` execution | [`Execution`](crate::Execution), while it is open |
//! | `f` event | [`EventRecord`](crate::EventRecord), while its window lasts |
//! | `g` service node | [`OfferRecord`](crate::OfferRecord) of a node that has left: its history |
//! | `h` event | [`Happened`](crate::Happened): the id has counted |
//! | `i` topic | how many waits look for the event, by key |
//! | `j` event | a remembered event |
//! | `k` topic run step | since when the step waits |
//! | `l` topic application | since when the application listens |
//! | `m` topic time (8, big-endian) event | a remembered event is found here |
//! | `n` namespace | the account that owns the namespace |
//! | `o` service node | [`OfferRecord`](crate::OfferRecord) |
//! | `p` | the chain's parameters |
//! | `q` event | how far the event has come in telling runs |
//! | `r` run | [`RunRecord`](crate::RunRecord), while it is open |
//! | `s` service | [`ServiceRecord`](crate::ServiceRecord) |
//! | `t` | [`Totals`](crate::Totals) |
//! | `u` application run | an open run of the application |
//! | `v` address | [`ValidatorRecord`](crate::ValidatorRecord) |
//! | `w` | the validator set of the next height |
//! | `x` alias | the id of the service |
//! | `y` alias | the id of the application |
//! | `z` application | [`Usage`](crate::Usage) |
//! | `O` service stake (16, big-endian complement) node | an active offer, the largest stake first |
//!
//! A *topic* is the hash of an event, or of an event and one of its keys with its value.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use althing_types::{Address, Alias, Amount, Hash, Name, TimeMs};

fn key(letter: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(61);
    key.push(letter);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The key of an account.
#[must_use]
pub fn account(address: &Address) -> Vec<u8> {
    key(b'a', &[&address.0])
}

/// The key of what is due at `time`; `item` keeps several apart.
#[must_use]
pub fn due(time: TimeMs, item: &[u8]) -> Vec<u8> {
    key(b'd', &[&time.0.to_be_bytes(), item])
}

/// The time in a key of [`due`].
#[must_use]
pub fn due_time(key: &[u8]) -> Option<TimeMs> {
    let (_, time) = key.split_first()?;
    time.first_chunk().map(|bytes| TimeMs(u64::from_be_bytes(*bytes)))
}

/// The common beginning of everything that is due.
pub const DUE: &[u8] = b"d";

/// The key of an open execution.
#[must_use]
pub fn execution(id: &Hash) -> Vec<u8> {
    key(b'e', &[&id.0])
}

/// The common beginning of all open executions.
pub const EXECUTIONS: &[u8] = b"e";

/// The key of an event whose window lasts.
#[must_use]
pub fn event(key: &Hash) -> Vec<u8> {
    self::key(b'f', &[&key.0])
}

/// The common beginning of all events whose window lasts.
pub const EVENTS: &[u8] = b"f";

/// The key of what stays of an event for ever.
#[must_use]
pub fn happened(key: &Hash) -> Vec<u8> {
    self::key(b'h', &[&key.0])
}

/// The key of the history of a node that has left a service.
///
/// Apart from the offers in office, so that those who left take nobody's place in a draw.
#[must_use]
pub fn former_offer(service: &Hash, node: &Address) -> Vec<u8> {
    key(b'g', &[&service.0, &node.0])
}

/// The key of a namespace's owner.
#[must_use]
pub fn namespace(name: &Name) -> Vec<u8> {
    key(b'n', &[name.as_str().as_bytes()])
}

/// The key of a node's offer of a service.
#[must_use]
pub fn offer(service: &Hash, node: &Address) -> Vec<u8> {
    key(b'o', &[&service.0, &node.0])
}

/// The common beginning of all offers of a service.
#[must_use]
pub fn offers(service: &Hash) -> Vec<u8> {
    key(b'o', &[&service.0])
}

/// The key under which an active offer is found by its stake: the largest first, of equal ones the
/// smallest address.
#[must_use]
pub fn seat(service: &Hash, stake: Amount, node: &Address) -> Vec<u8> {
    key(b'O', &[&service.0, &(!stake.base_units()).to_be_bytes(), &node.0])
}

/// The common beginning of all active offers of a service, by descending stake.
#[must_use]
pub fn seats(service: &Hash) -> Vec<u8> {
    key(b'O', &[&service.0])
}

/// The key of the parameters.
pub const PARAMETERS: &[u8] = b"p";

/// The key of a service.
#[must_use]
pub fn service(id: &Hash) -> Vec<u8> {
    key(b's', &[&id.0])
}

/// The common beginning of all services.
pub const SERVICES: &[u8] = b"s";

/// The key of the totals.
pub const TOTALS: &[u8] = b"t";

/// The key of a validator.
#[must_use]
pub fn validator(address: &Address) -> Vec<u8> {
    key(b'v', &[&address.0])
}

/// The common beginning of all validators.
pub const VALIDATORS: &[u8] = b"v";

/// The key of the validator set of the next height.
pub const NEXT_VALIDATORS: &[u8] = b"w";

/// The key under which an alias names a service.
#[must_use]
pub fn alias(alias: &Alias) -> Vec<u8> {
    key(b'x', &[alias.to_string().as_bytes()])
}

// Applications and runs.

/// The key of an application.
#[must_use]
pub fn application(id: &Hash) -> Vec<u8> {
    key(b'c', &[&id.0])
}

/// The common beginning of all applications.
pub const APPLICATIONS: &[u8] = b"c";

/// The key of what an application's runs have come to.
#[must_use]
pub fn usage(application: &Hash) -> Vec<u8> {
    key(b'z', &[&application.0])
}

/// The key under which an alias names an application.
#[must_use]
pub fn application_alias(alias: &Alias) -> Vec<u8> {
    key(b'y', &[alias.to_string().as_bytes()])
}

/// The key of the application that pays for an execution of a step.
#[must_use]
pub fn payer(execution: &Hash) -> Vec<u8> {
    key(b'b', &[&execution.0])
}

/// The key of an open run.
#[must_use]
pub fn run(id: &Hash) -> Vec<u8> {
    key(b'r', &[&id.0])
}

/// The common beginning of all open runs.
pub const RUNS: &[u8] = b"r";

/// The key under which an open run is found by its application.
#[must_use]
pub fn open_run(application: &Hash, run: &Hash) -> Vec<u8> {
    key(b'u', &[&application.0, &run.0])
}

/// The common beginning of all open runs of an application.
#[must_use]
pub fn open_runs(application: &Hash) -> Vec<u8> {
    key(b'u', &[&application.0])
}

/// The key under which an event finds an application that listens to it.
#[must_use]
pub fn listener(topic: &Hash, application: &Hash) -> Vec<u8> {
    key(b'l', &[&topic.0, &application.0])
}

/// The common beginning of all that listen to an event.
#[must_use]
pub fn listeners(topic: &Hash) -> Vec<u8> {
    key(b'l', &[&topic.0])
}

/// The key under which an event finds a step that waits for it.
#[must_use]
pub fn wait(topic: &Hash, run: &Hash, step: u16) -> Vec<u8> {
    key(b'k', &[&topic.0, &run.0, &step.to_be_bytes()])
}

/// The common beginning of all that wait under a topic.
#[must_use]
pub fn waits(topic: &Hash) -> Vec<u8> {
    key(b'k', &[&topic.0])
}

/// The run and the step in a key of [`wait`].
#[must_use]
pub fn waiting(key: &[u8]) -> Option<(Hash, u16)> {
    let (rest, step) = key.split_last_chunk::<2>()?;
    Some((last_hash(rest)?, u16::from_be_bytes(*step)))
}

/// The hash at the end of a key.
#[must_use]
pub fn last_hash(key: &[u8]) -> Option<Hash> {
    key.last_chunk().copied().map(Hash)
}

/// The key of the count of waits that look for an event.
#[must_use]
pub fn interest(topic: &Hash) -> Vec<u8> {
    key(b'i', &[&topic.0])
}

/// The key of a remembered event.
#[must_use]
pub fn remembered(event: &Hash) -> Vec<u8> {
    key(b'j', &[&event.0])
}

/// The common beginning of all remembered events.
pub const REMEMBERED: &[u8] = b"j";

/// The key under which a remembered event is found.
#[must_use]
pub fn memory(topic: &Hash, time: TimeMs, event: &Hash) -> Vec<u8> {
    key(b'm', &[&topic.0, &time.0.to_be_bytes(), &event.0])
}

/// The common beginning of all that is remembered under a topic.
#[must_use]
pub fn memories(topic: &Hash) -> Vec<u8> {
    key(b'm', &[&topic.0])
}

/// The time and the event in a key of [`memory`].
#[must_use]
pub fn remembered_at(key: &[u8]) -> Option<(TimeMs, Hash)> {
    let (rest, event) = key.split_last_chunk::<32>()?;
    let time = rest.last_chunk::<8>()?;
    Some((TimeMs(u64::from_be_bytes(*time)), Hash(*event)))
}

/// The key of how far an event has come in telling runs.
#[must_use]
pub fn fan_out(event: &Hash) -> Vec<u8> {
    key(b'q', &[&event.0])
}
