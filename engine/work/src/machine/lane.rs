//! A lane: jobs of similar length, with places of their own.
//!
//! ```text
//!   waiting ──fetching_max──► fetching ──► ready ──running_max──► running
//! ```
//!
//! Long tasks have their own lane, so they never take a place that a short one could use.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use althing_types::{Hash, TimeMs};

use super::JobId;

/// How many jobs of a lane are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Jobs whose files are being fetched or are there, and which do not run yet.
    pub fetching_max: usize,
    /// Jobs that run on a processor.
    pub running_max: usize,
}

/// Jobs in line: services take turns, and within a service the earliest deadline comes first, so
/// that no service's flood delays another's.
#[derive(Debug, Default)]
pub(super) struct Queue {
    by_service: BTreeMap<Hash, BTreeSet<(TimeMs, JobId)>>,
    last: Option<Hash>,
}

impl Queue {
    pub(super) fn push(&mut self, service: Hash, due: TimeMs, job: JobId) {
        self.by_service.entry(service).or_default().insert((due, job));
    }

    pub(super) fn pop(&mut self) -> Option<JobId> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.by_service.range((after, Bound::Unbounded)).next();
        let service =
            next.or_else(|| self.by_service.iter().next()).map(|(service, _)| *service)?;
        let line = self.by_service.get_mut(&service)?;
        let (_, job) = line.pop_first()?;
        if line.is_empty() {
            self.by_service.remove(&service);
        }
        self.last = Some(service);
        Some(job)
    }

    pub(super) fn remove(&mut self, service: &Hash, due: TimeMs, job: &JobId) {
        let Some(line) = self.by_service.get_mut(service) else { return };
        line.remove(&(due, *job));
        if line.is_empty() {
            self.by_service.remove(service);
        }
    }
}

#[derive(Debug)]
pub(super) struct Lane {
    limits: LaneLimits,
    pub(super) waiting: Queue,
    pub(super) ready: Queue,
    /// Jobs that are being fetched for, or are ready.
    pub(super) fetching: usize,
    /// Also jobs that were dropped while they ran: they keep their place until they end.
    pub(super) running: BTreeSet<JobId>,
}

impl Lane {
    pub(super) fn new(limits: LaneLimits) -> Self {
        Self {
            limits,
            waiting: Queue::default(),
            ready: Queue::default(),
            fetching: 0,
            running: BTreeSet::new(),
        }
    }

    pub(super) fn next_to_fetch(&mut self) -> Option<JobId> {
        if self.fetching < self.limits.fetching_max { self.waiting.pop() } else { None }
    }

    pub(super) fn next_to_run(&mut self) -> Option<JobId> {
        if self.running.len() < self.limits.running_max { self.ready.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(n: u8) -> JobId {
        JobId { execution: Hash([n; 32]), round: 0 }
    }

    #[test]
    fn services_take_turns_and_the_earliest_deadline_comes_first() {
        let (flood, other) = (Hash([1; 32]), Hash([2; 32]));
        let mut queue = Queue::default();
        for n in 1..=4 {
            queue.push(flood, TimeMs(100 - u64::from(n)), job(n));
        }
        queue.push(other, TimeMs(1000), job(9));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [job(4), job(9), job(3), job(2), job(1)]);
    }

    #[test]
    fn a_removed_job_is_not_handed_out() {
        let service = Hash([1; 32]);
        let mut queue = Queue::default();
        queue.push(service, TimeMs(1), job(1));
        queue.remove(&service, TimeMs(1), &job(1));
        assert_eq!(queue.pop(), None);
    }
}
