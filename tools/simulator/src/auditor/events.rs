//! What must hold of events.
//!
//! | claim | checked |
//! |---|---|
//! | events move along documented edges, and end with their window | every written event, every block |
//! | an event id counts once | every settled event |
//! | what was decided follows from the observations | every settled event, by a slow model |
//! | a forged event is not valid | every event that becomes valid |
//! | an honest emitter is never fined for what it said | every fine |
//! | an acknowledged event reaches the ledger | at the end ([`crate::verdict`]) |

use std::collections::{BTreeMap, BTreeSet};

use althing_ledger::{
    EventChange, EventRecord, EventState, EventStep, Executed, Offence, OperationResult, Receipt,
    Rejection, Standing,
};
use althing_types::{Address, Block, EventName, Hash, Operation, TimeMs};

use super::{Auditor, offence_name};
use crate::occurrences::Occurrence;
use crate::shop;

/// The edges that the ledger documents, by name of state; `-` is before the first observation, and
/// `in the receipts` behind the last.
const EDGES: [(&str, &str); 12] = [
    ("-", "Open"),
    ("-", "Valid"),
    ("-", "Valid, settled"),
    ("-", "Expired, settled"),
    ("Open", "Open"),
    ("Open", "Valid"),
    ("Open", "Valid, settled"),
    ("Open", "Contradicted, settled"),
    ("Open", "Expired, settled"),
    ("Valid", "Valid"),
    ("Valid", "Valid, settled"),
    ("-", "Contradicted, settled"),
];

const fn state_name(state: EventState) -> &'static str {
    match state {
        EventState::Open => "Open",
        EventState::Valid => "Valid",
        EventState::Contradicted => "Contradicted",
        EventState::Expired => "Expired",
    }
}

const fn settled_name(state: EventState) -> &'static str {
    match state {
        EventState::Open => "Open, settled",
        EventState::Valid => "Valid, settled",
        EventState::Contradicted => "Contradicted, settled",
        EventState::Expired => "Expired, settled",
    }
}

/// An event that occurred, as the ledger has it.
#[derive(Clone, Debug)]
pub(crate) struct Valid {
    pub(crate) name: EventName,
    pub(crate) keys: Vec<Hash>,
    pub(crate) decided_at: TimeMs,
}

/// What is known of events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    truth: BTreeMap<Hash, Occurrence>,
    forgers: BTreeSet<Address>,
    /// How many nodes there are.
    nodes: usize,
    open: BTreeMap<Hash, EventRecord>,
    /// When each event was first seen, in microseconds.
    since_us: BTreeMap<Hash, u64>,
    counted: BTreeMap<Hash, EventState>,
    pub(super) valid: BTreeMap<Hash, Valid>,
    /// Those about which at least half of those who spoke say what is not so.
    outnumbered: BTreeSet<Hash>,
    /// By node and event, when a node promised that it will reach the ledger, in microseconds.
    acknowledged: BTreeMap<(usize, Hash), u64>,
    /// Whose observation of which event the ledger has taken or refused.
    decided: BTreeSet<(Address, Hash)>,
    pub(crate) edges: BTreeMap<(&'static str, &'static str), u64>,
    pub(crate) fines: BTreeMap<&'static str, u64>,
    pub(crate) refused: BTreeMap<&'static str, u64>,
    pub(crate) captures: u64,
}

impl Events {
    pub(super) fn new(forgers: BTreeSet<Address>, nodes: usize) -> Self {
        Self { forgers, nodes, ..Self::default() }
    }
}

impl Auditor {
    /// Something happens outside, or forgers say so.
    pub(crate) fn happens(&mut self, occurrence: &Occurrence) {
        self.events.truth.insert(occurrence.key(), occurrence.clone());
    }

    /// A node has promised that these reach the ledger.
    pub(crate) fn acknowledged_events(&mut self, node: usize, events: Vec<Hash>, now_us: u64) {
        for event in events {
            self.events.acknowledged.entry((node, event)).or_insert(now_us);
        }
    }

    /// Promises of a node that are not kept yet, with their time in microseconds.
    pub(crate) fn unkept(&self, node: usize, address: Address) -> Vec<(Hash, u64)> {
        let own = (node, Hash([0; 32]))..=(node, Hash([0xff; 32]));
        let promises = self.events.acknowledged.range(own);
        let kept = |event: &Hash| self.events.decided.contains(&(address, *event));
        promises.filter(|((_, e), _)| !kept(e)).map(|((_, e), at_us)| (*e, *at_us)).collect()
    }

    /// What a block says of events.
    pub(super) fn block_of_events(&mut self, block: &Block, executed: &Executed, now_us: u64) {
        let time = block.header.time;
        self.observations(block, executed, now_us);
        // An id that expired may be observed again in the same block: its end comes first.
        for receipt in &executed.receipts {
            if let Receipt::Event(record) = receipt {
                self.event_settled(record, now_us);
            }
        }
        for (key, value) in &executed.writes {
            if key.starts_with(althing_ledger::keys::EVENTS)
                && let Some(value) = value
                && let Ok(record) = borsh::from_slice::<EventRecord>(value)
            {
                self.event_moved(record, time, now_us);
            }
        }
        for EventChange { event, step } in &executed.event_changes {
            if let EventStep::Fined { node, offence, .. } = step {
                self.emitter_fined(event, node, *offence, now_us);
            }
        }
        let late = self.events.open.values().find(|event| event.until <= time);
        if let Some(event) = late {
            let what =
                format!("{} is open at {time:?}, its window ended {:?}", event.key, event.until);
            self.violated("an event ends with its window", now_us, what);
        }
    }

    fn observations(&mut self, block: &Block, executed: &Executed, now_us: u64) {
        let receipts = executed.receipts.iter().filter_map(|receipt| match receipt {
            Receipt::Transaction(receipt) => Some(receipt),
            _ => None,
        });
        for (signed, receipt) in block.transactions.iter().zip(receipts) {
            let transaction = &signed.transaction;
            for (operation, result) in transaction.operations.iter().zip(&receipt.results) {
                let Operation::Observe(observe) = operation else { continue };
                let event = shop::key_of(observe);
                self.events.decided.insert((transaction.account, event));
                let OperationResult::Rejected(rejection) = result else { continue };
                *self.events.refused.entry(rejection.code()).or_default() += 1;
                let expected = matches!(
                    rejection,
                    Rejection::LateObservation { .. }
                        | Rejection::DuplicateObservation { .. }
                        | Rejection::NotAnEmitter
                        | Rejection::NoOffer
                );
                if !expected && self.sound.contains_key(&transaction.account) {
                    let what = format!("{event}: {rejection}");
                    self.violated("an honest observation is well formed", now_us, what);
                }
            }
        }
    }

    fn event_edge(&mut self, from: &'static str, to: &'static str, key: &Hash, now_us: u64) {
        *self.events.edges.entry((from, to)).or_default() += 1;
        if !EDGES.contains(&(from, to)) {
            let what = format!("{key}: {from} -> {to}");
            self.violated("events move along documented edges", now_us, what);
        }
    }

    fn event_moved(&mut self, now: EventRecord, time: TimeMs, now_us: u64) {
        let key = now.key;
        self.events.since_us.entry(key).or_insert(now_us);
        if let Some(state) = self.events.counted.get(&key) {
            let what = format!("{key} is open again, and was {state:?}");
            self.violated("an event id counts once", now_us, what);
        }
        let before = self.events.open.get(&key);
        let from = before.map_or("-", |before| state_name(before.state));
        let fewer = before.is_some_and(|b| b.observations.len() > now.observations.len());
        // A window that ended while the chain stood still goes on once the chain does.
        let moved = before.is_some_and(|b| b.until != now.until && b.until > time);
        if fewer || moved || before.is_some_and(|b| b.office != now.office) {
            let what = format!("{key} has lost observations, or has another office or window");
            self.violated("events move along documented edges", now_us, what);
        }
        self.event_edge(from, state_name(now.state), &key, now_us);
        if now.state == EventState::Valid && from != "Valid" {
            self.became_valid(&now, now_us);
        }
        self.events.open.insert(key, now);
    }

    fn event_settled(&mut self, now: &EventRecord, now_us: u64) {
        let key = now.key;
        self.events.since_us.entry(key).or_insert(now_us);
        let before = self.events.open.remove(&key);
        let from = before.as_ref().map_or("-", |before| state_name(before.state));
        self.event_edge(from, settled_name(now.state), &key, now_us);
        if now.state == EventState::Valid && from != "Valid" {
            self.became_valid(now, now_us);
        }
        if let Some(before) = before.filter(|before| before.state == EventState::Valid)
            && (&before.keys, before.base, &before.measured) != (&now.keys, now.base, &now.measured)
        {
            let what = format!("{key} was decided otherwise before");
            self.violated("what was decided stays", now_us, what);
        }
        let said = now.observations.len();
        if 2 * self.liars(now.observations.iter().map(|o| &o.node)) >= said {
            self.events.outnumbered.insert(key);
        }
        if now.state != EventState::Expired
            && let Some(other) = self.events.counted.insert(key, now.state)
        {
            let what = format!("{key} is {:?} and was {other:?}", now.state);
            self.violated("an event id counts once", now_us, what);
        }
        if let Some(what) = differs(now) {
            let what = format!("{key} is {:?}: {what}", now.state);
            self.violated("what was decided follows from the observations", now_us, what);
        }
    }

    fn became_valid(&mut self, event: &EventRecord, now_us: u64) {
        let valid = Valid {
            name: event.name.clone(),
            keys: event.keys.clone(),
            decided_at: event.decided_at,
        };
        if self.events.valid.insert(event.key, valid).is_some() {
            let what = format!("{} is valid twice", event.key);
            self.violated("an event id counts once", now_us, what);
        }
        self.fresh_events.push(event.key);
        let truth = self.events.truth.get(&event.key);
        let is_true =
            truth.is_some_and(|t| t.is_true(&event.keys, &event.base.hash, &event.measured));
        if is_true {
            return;
        }
        let invented = truth.is_none_or(|occurrence| occurrence.invented);
        // An office that has lost its honest nodes is the liars'; so is one in which they keep silent.
        let captured = if invented {
            2 * self.liars(event.office.iter()) > event.office.len()
        } else {
            let said = event.observations.len();
            2 * self.liars(event.observations.iter().map(|o| &o.node)) > said
        };
        let bought = 2 * self.events.forgers.len() > self.events.nodes;
        self.events.captures += 1;
        if bought || !captured {
            let what = format!(
                "{} {} was agreed by {} of {}",
                event.name.event,
                event.key,
                event.agreeing().count(),
                event.office.len()
            );
            self.violated("a forged event is not valid", now_us, what);
        }
    }

    fn liars<'n>(&self, nodes: impl Iterator<Item = &'n Address>) -> usize {
        nodes.filter(|node| self.events.forgers.contains(node)).count()
    }

    fn emitter_fined(&mut self, event: &Hash, node: &Address, offence: Offence, now_us: u64) {
        *self.events.fines.entry(offence_name(offence)).or_default() += 1;
        let Some(key) = self.sound.get(node).copied() else { return };
        let unjust = match offence {
            Offence::Absence | Offence::Withheld => {
                let since_us = self.events.since_us.get(event).copied();
                since_us.is_some_and(|since_us| since_us >= self.well_from_us)
            }
            Offence::WrongObservation
            | Offence::WrongResult
            | Offence::WrongCheck
            | Offence::ForgedSeal => !self.events.outnumbered.contains(event),
        };
        if unjust {
            let what = format!("node {key} was fined for {offence:?} of event {event}");
            self.violated("an honest emitter is never fined", now_us, what);
        }
    }
}

/// What of a settled event does not follow from what was said: by counting, one statement after the
/// other.
fn differs(event: &EventRecord) -> Option<&'static str> {
    let (office, said) = (event.office.len(), event.observations.len());
    let nodes: BTreeSet<&Address> = event.observations.iter().map(|o| &o.node).collect();
    if nodes.len() != said || !nodes.iter().all(|node| event.office.contains(node)) {
        return Some("somebody spoke twice, or out of office");
    }
    let most = (0..event.statements.len())
        .map(|statement| agreeing(event, statement))
        .max()
        .unwrap_or_default();
    let quorate = 2 * said > office;
    match event.state {
        EventState::Open => Some("an open event is settled"),
        EventState::Valid => {
            let agreeing = event.agreeing().count();
            let fits = 2 * agreeing > office || (quorate && 2 * agreeing > said);
            // Others may join after the decision, and contradict it.
            (!fits && 2 * agreeing <= office && !quorate).then_some("too few agree")
        }
        EventState::Contradicted if !quorate => Some("too few took part"),
        EventState::Contradicted => (2 * most > said).then_some("a majority agrees"),
        EventState::Expired => quorate.then_some("enough took part"),
    }
    .or_else(|| {
        let open = event.observations.iter().any(|o| o.standing == Standing::Open);
        (event.state == EventState::Valid && open).then_some("an observation was not compared")
    })
}

/// How many agree with the median of a statement's values.
fn agreeing(event: &EventRecord, statement: usize) -> usize {
    let group: Vec<_> =
        event.observations.iter().filter(|o| usize::from(o.statement) == statement).collect();
    let terms = shop::manifest().terms();
    let terms = terms.events.iter().find(|terms| terms.name == event.name.event);
    let measured = terms.map(|terms| terms.measured.as_slice()).unwrap_or_default();
    let near = |field: usize, value: i64| {
        let mut values: Vec<i64> =
            group.iter().filter_map(|o| o.measured.get(field).copied()).collect();
        values.sort_unstable();
        let median = values.get((values.len().max(1) - 1) / 2).copied().unwrap_or_default();
        let tolerance = measured.get(field).and_then(|terms| terms.tolerance);
        tolerance.is_none_or(|tolerance| median.abs_diff(value) <= tolerance)
    };
    let agrees = |o: &&&althing_ledger::Observation| {
        o.measured.iter().enumerate().all(|(field, value)| near(field, *value))
    };
    group.iter().filter(agrees).count()
}
