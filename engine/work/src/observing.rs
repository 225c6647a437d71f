//! Observations in line: from the program that reports an occurrence to the ledger's decision about it.
//!
//! ```text
//!   accept ─► Writing ─durable─► Durable ─take_fresh─► outbox ─► fates ─► ended: out of the journal
//!                  └─failed─► gone           ▲                     │
//!                                            └──── recover ◄─lost──┘
//! ```
//!
//! Pure, like the machine: whoever owns a [`Line`] writes its journal and brings it fates.
//!
//! A node that is out of office says so again for a while, more and more seldom: it may be suspended
//! and come back. What the ledger refuses in the end is remembered, so that whoever asks for the event
//! is told.
//!
//! - Invariants: one occurrence is in line once; what is durable stays in line until the ledger has
//!   decided about it; the line is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use althing_ledger::Rejection;
use althing_types::{Hash, Observe, event_key};

use crate::Fate;

/// Most refusals that are remembered.
pub const REFUSED_MAX: usize = 1_024;

/// How often an observation of a node that is out of office is repeated: the pauses double, from one
/// call of [`Line::recover`] to 2,048 of them.
const REPEATS_MAX: u32 = 12;

/// The occurrence that an observation is about.
#[must_use]
pub fn occurrence(observe: &Observe) -> Hash {
    event_key(&observe.service, &observe.event, &observe.id)
}

/// What becomes of an observation that asks for a place.
#[derive(Debug)]
pub enum Place<W> {
    /// It is new: it is to be made durable, then [`Line::written`].
    Write,
    /// It is durable already; whoever asked is answered at once.
    Known(W),
    /// It is being written; whoever asked is answered with the first.
    Shared,
    /// There is no room.
    Full(W),
}

#[derive(Debug)]
enum Pending<W> {
    /// On its way to the disk, with those who wait for it.
    Writing(Vec<W>),
    Durable(Observe),
}

/// When an observation is said again.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    /// How often it was refused.
    tries: u32,
    /// Calls of [`Line::recover`] until it is said again; zero while it is under way.
    pause: u32,
}

/// A node's observations; `W` is whoever waits for one to be durable.
#[derive(Debug)]
pub struct Line<W> {
    pending_max: usize,
    pending: BTreeMap<Hash, Pending<W>>,
    /// Durable, and not submitted yet.
    fresh: Vec<Observe>,
    /// To be submitted again, after a while.
    lost: Vec<Hash>,
    /// Refused because the node is out of office.
    out_of_office: BTreeMap<Hash, Repeat>,
    /// Decided by the ledger, and still in the journal.
    ended: Vec<Hash>,
    /// What the ledger refused, oldest first.
    refused: VecDeque<(Hash, Rejection)>,
    /// How much it has refused since the start.
    refusals: u64,
}

impl<W> Line<W> {
    /// What the journal holds after a start: all of it is submitted again.
    #[must_use]
    pub fn restored(pending_max: usize, journal: Vec<Observe>) -> Self {
        let fresh = journal.clone();
        let durable = |observe: Observe| (occurrence(&observe), Pending::Durable(observe));
        let pending = journal.into_iter().map(durable).collect();
        Self {
            pending_max,
            pending,
            fresh,
            lost: Vec::new(),
            out_of_office: BTreeMap::new(),
            ended: Vec::new(),
            refused: VecDeque::new(),
            refusals: 0,
        }
    }

    /// Remembers what the ledger had refused before a start, oldest first.
    #[must_use]
    pub fn with_refused(mut self, refused: impl IntoIterator<Item = (Hash, Rejection)>) -> Self {
        for (event, rejection) in refused {
            self.remember_refusal(event, rejection);
        }
        self
    }

    /// Whether an occurrence is in line.
    #[must_use]
    pub fn has(&self, event: &Hash) -> bool {
        self.pending.contains_key(event)
    }

    /// How many are in line.
    #[must_use]
    pub fn length(&self) -> usize {
        self.pending.len()
    }

    /// Asks for a place for an occurrence.
    pub fn accept(&mut self, event: Hash, waiter: W) -> Place<W> {
        let room = self.pending.len() < self.pending_max;
        match self.pending.get_mut(&event) {
            Some(Pending::Durable(_)) => Place::Known(waiter),
            Some(Pending::Writing(waiters)) => {
                waiters.push(waiter);
                Place::Shared
            }
            None if !room => Place::Full(waiter),
            None => {
                self.pending.insert(event, Pending::Writing(vec![waiter]));
                Place::Write
            }
        }
    }

    /// Gives up a place whose observation was never begun to be written.
    pub fn withdraw(&mut self, event: &Hash) -> Vec<W> {
        match self.pending.remove(event) {
            Some(Pending::Writing(waiters)) => waiters,
            Some(durable @ Pending::Durable(_)) => {
                self.pending.insert(*event, durable);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// An observation is durable, or could not be made so; gives those who waited.
    pub fn written(&mut self, observe: Observe, durable: bool) -> Vec<W> {
        let event = occurrence(&observe);
        let waiters = self.withdraw(&event);
        if durable {
            self.pending.insert(event, Pending::Durable(observe.clone()));
            self.fresh.push(observe);
        }
        waiters
    }

    /// What is to be submitted now.
    pub fn take_fresh(&mut self) -> Vec<Observe> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes in what became of submitted ones.
    pub fn fates(&mut self, fates: Vec<(Observe, Fate)>) {
        for (observe, fate) in fates {
            let event = occurrence(&observe);
            match fate {
                Fate::Lost => self.lost.push(event),
                Fate::Done => self.end(event),
                // A repetition is what a restart makes of one that was committed before it.
                Fate::Rejected(Rejection::DuplicateObservation { .. }) => self.end(event),
                Fate::Rejected(Rejection::NotAnEmitter) if self.rests(event) => {}
                Fate::Rejected(rejection) => {
                    tracing::warn!(%event, code = rejection.code(), "an observation was refused");
                    self.refuse(event, rejection);
                    self.end(event);
                }
            }
        }
    }

    /// Whether the observation of a node that is out of office is to be said again.
    fn rests(&mut self, event: Hash) -> bool {
        if !matches!(self.pending.get(&event), Some(Pending::Durable(_))) {
            return false;
        }
        let repeat = self.out_of_office.entry(event).or_insert(Repeat { tries: 0, pause: 0 });
        repeat.pause = 1 << repeat.tries;
        repeat.tries += 1;
        repeat.tries <= REPEATS_MAX
    }

    fn refuse(&mut self, event: Hash, rejection: Rejection) {
        self.remember_refusal(event, rejection);
        self.refusals += 1;
    }

    fn remember_refusal(&mut self, event: Hash, rejection: Rejection) {
        if self.refused.len() == REFUSED_MAX {
            self.refused.pop_front();
        }
        self.refused.push_back((event, rejection));
    }

    /// What the ledger refused lately, oldest first.
    pub fn all_refused(&self) -> impl ExactSizeIterator<Item = (Hash, Rejection)> {
        self.refused.iter().copied()
    }

    /// Why the ledger refused the observation of an event, if it did lately.
    #[must_use]
    pub fn refused(&self, event: &Hash) -> Option<Rejection> {
        self.refused.iter().rev().find(|(refused, _)| refused == event).map(|(_, why)| *why)
    }

    /// How many observations the ledger has refused since the start.
    #[must_use]
    pub const fn refusals(&self) -> u64 {
        self.refusals
    }

    fn end(&mut self, event: Hash) {
        self.out_of_office.remove(&event);
        if let Some(Pending::Durable(_)) = self.pending.get(&event) {
            self.pending.remove(&event);
            self.ended.push(event);
        }
    }

    /// What was lost is as if fresh, and what was refused for want of an office is once its pause is over.
    pub fn recover(&mut self) {
        for (event, repeat) in &mut self.out_of_office {
            let waits = repeat.pause > 0;
            repeat.pause = repeat.pause.saturating_sub(1);
            if waits && repeat.pause == 0 {
                self.lost.push(*event);
            }
        }
        for event in std::mem::take(&mut self.lost) {
            if let Some(Pending::Durable(observe)) = self.pending.get(&event) {
                self.fresh.push(observe.clone());
            }
        }
    }

    /// Services of observations that wait for the node's office.
    #[must_use]
    pub fn out_of_office(&self) -> BTreeSet<Hash> {
        let of = |event: &Hash| match self.pending.get(event) {
            Some(Pending::Durable(observe)) => Some(observe.service),
            Some(Pending::Writing(_)) | None => None,
        };
        self.out_of_office.keys().filter_map(of).collect()
    }

    /// What may leave the journal.
    pub fn take_ended(&mut self) -> Vec<Hash> {
        std::mem::take(&mut self.ended)
    }

    /// All that is durable and in line, by ascending occurrence.
    pub fn durable(&self) -> impl Iterator<Item = &Observe> {
        self.pending.values().filter_map(|pending| match pending {
            Pending::Durable(observe) => Some(observe),
            Pending::Writing(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use althing_types::BlobRef;

    use super::*;

    fn observe(number: u8) -> Observe {
        Observe {
            service: Hash([1; 32]),
            event: "ordered".parse().unwrap(),
            id: Hash([number; 32]),
            keys: Vec::new(),
            data: BlobRef::of(&[number]),
            measured: Vec::new(),
        }
    }

    fn ask(line: &mut Line<u8>, observe: &Observe, waiter: u8) -> Place<u8> {
        line.accept(occurrence(observe), waiter)
    }

    #[test]
    fn an_occurrence_is_in_line_once_until_the_ledger_has_decided() {
        let mut line = Line::restored(2, Vec::new());
        let first = observe(1);
        assert!(matches!(ask(&mut line, &first, 1), Place::Write));
        assert!(matches!(ask(&mut line, &first, 2), Place::Shared));
        assert_eq!(line.written(first.clone(), true), [1, 2]);
        assert!(matches!(ask(&mut line, &first, 3), Place::Known(3)));
        assert_eq!(line.take_fresh(), std::slice::from_ref(&first));

        line.fates(vec![(first.clone(), Fate::Lost)]);
        assert!(line.take_fresh().is_empty(), "a lost one waits for a while");
        line.recover();
        assert_eq!(line.take_fresh(), std::slice::from_ref(&first));
        let duplicate = Rejection::DuplicateObservation { event: occurrence(&first) };
        line.fates(vec![(first.clone(), Fate::Rejected(duplicate))]);
        assert_eq!(line.take_ended(), [occurrence(&first)]);
        assert!(!line.has(&occurrence(&first)));
        assert_eq!(line.length(), 0);
    }

    #[test]
    fn a_node_out_of_office_says_it_again_and_is_refused_in_the_end() {
        let mut line = Line::restored(2, Vec::new());
        let first = observe(1);
        let event = occurrence(&first);
        assert!(matches!(ask(&mut line, &first, 1), Place::Write));
        line.written(first.clone(), true);
        line.take_fresh();
        let mut pauses = Vec::new();
        let rejected = || vec![(observe(1), Fate::Rejected(Rejection::NotAnEmitter))];
        while line.refused(&event).is_none() {
            line.fates(rejected());
            let pause = (1..=1 << REPEATS_MAX).find(|_| {
                line.recover();
                !line.take_fresh().is_empty()
            });
            pauses.extend(pause);
        }
        assert_eq!(pauses, (0..REPEATS_MAX).map(|tries| 1 << tries).collect::<Vec<_>>());
        assert_eq!((line.refusals(), line.take_ended()), (1, vec![event]));

        let told: Vec<_> = line.all_refused().collect();
        let again = Line::<u8>::restored(2, Vec::new()).with_refused(told);
        assert_eq!(again.refused(&event), Some(Rejection::NotAnEmitter), "after a start as well");

        // Back in office in time: it counts.
        let mut line = Line::restored(2, Vec::new());
        assert!(matches!(ask(&mut line, &first, 1), Place::Write));
        line.written(first.clone(), true);
        line.fates(rejected());
        assert_eq!(line.out_of_office(), BTreeSet::from([first.service]));
        line.fates(vec![(first.clone(), Fate::Done)]);
        assert!(line.out_of_office().is_empty());
        assert_eq!((line.refused(&event), line.length()), (None, 0));
    }

    #[test]
    fn what_was_not_written_leaves_no_trace_and_the_line_is_bounded() {
        let mut line = Line::restored(1, Vec::new());
        let (first, second) = (observe(1), observe(2));
        assert!(matches!(ask(&mut line, &first, 1), Place::Write));
        assert!(matches!(ask(&mut line, &second, 2), Place::Full(2)));
        assert_eq!(line.written(first.clone(), false), [1]);
        assert!(line.take_fresh().is_empty());
        assert!(matches!(ask(&mut line, &second, 2), Place::Write));
        assert_eq!(line.withdraw(&occurrence(&second)), [2]);

        let mut again = Line::<u8>::restored(1, vec![first.clone()]);
        assert_eq!(again.take_fresh(), std::slice::from_ref(&first));
        assert_eq!(again.durable().collect::<Vec<_>>(), [&first]);
    }
}
