//! What a process saw while it was measured.

use std::collections::HashMap;
use std::time::Instant;

use althing_replica::Subject;
use althing_types::Hash;
use serde::{Deserialize, Serialize};

use crate::cost::quantile;

/// Most of its own transactions that a process follows at a time.
pub(crate) const FOLLOWED_MAX: usize = 100_000;

/// One decided height, as one process saw it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct HeightSeen {
    pub(crate) height: u64,
    /// Since the process began.
    pub(crate) at_us: f64,
    pub(crate) transactions: usize,
    /// Executions that it settled.
    pub(crate) executions: usize,
}

/// What was seen between two reports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) heights: Vec<HeightSeen>,
    /// From the submission of an own transaction to its commit here.
    pub(crate) latencies_us: Vec<f64>,
    pub(crate) submitted: usize,
    /// Transactions that the node did not take at once.
    pub(crate) refused: usize,
    /// The last reason.
    pub(crate) refusal: Option<String>,
}

impl Seen {
    /// Milliseconds from each height to the next, ascending. The first of a report has none.
    pub(crate) fn height_ms(&self) -> Vec<f64> {
        let mut gaps: Vec<f64> = self
            .heights
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] => Some((b.at_us - a.at_us) / 1e3),
                _ => None,
            })
            .collect();
        gaps.sort_by(f64::total_cmp);
        gaps
    }

    /// Transactions of all heights but the first, and the seconds that they took.
    pub(crate) fn throughput(&self) -> (usize, f64) {
        let (Some(first), Some(last)) = (self.heights.first(), self.heights.last()) else {
            return (0, 0.0);
        };
        let transactions = self.heights.iter().skip(1).map(|height| height.transactions).sum();
        (transactions, (last.at_us - first.at_us) / 1e6)
    }

    /// p50 and p99 of the time from submission to commit, in milliseconds.
    pub(crate) fn latency_ms(&self) -> (f64, f64) {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_by(f64::total_cmp);
        (quantile(&sorted, 0.5) / 1e3, quantile(&sorted, 0.99) / 1e3)
    }
}

/// Collects what is seen.
#[derive(Debug)]
pub(crate) struct Watch {
    start: Instant,
    seen: Seen,
    /// Own transactions on the way, and when they were submitted.
    on_the_way: HashMap<Hash, Instant>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), seen: Seen::default(), on_the_way: HashMap::new() }
    }

    pub(crate) fn on_the_way(&self) -> usize {
        self.on_the_way.len()
    }

    /// To be called *before* the submission: the commit may be faster than its return.
    pub(crate) fn submitted(&mut self, hash: Hash, at: Instant) {
        self.seen.submitted += 1;
        if self.on_the_way.len() < FOLLOWED_MAX {
            self.on_the_way.insert(hash, at);
        }
    }

    pub(crate) fn refused(&mut self, hash: &Hash, why: String) {
        self.on_the_way.remove(hash);
        self.seen.refused += 1;
        self.seen.refusal = Some(why);
    }

    pub(crate) fn committed(&mut self, height: u64, receipts: &[Subject]) {
        let now = Instant::now();
        let mut transactions = 0;
        for subject in receipts {
            let Subject::Transaction(hash) = subject else { continue };
            transactions += 1;
            if let Some(at) = self.on_the_way.remove(hash) {
                self.seen.latencies_us.push((now - at).as_secs_f64() * 1e6);
            }
        }
        self.decided(height, transactions, receipts.len() - transactions);
    }

    pub(crate) fn decided(&mut self, height: u64, transactions: usize, executions: usize) {
        let at_us = self.start.elapsed().as_secs_f64() * 1e6;
        self.seen.heights.push(HeightSeen { height, at_us, transactions, executions });
    }

    /// Hands out what was seen, and begins anew with the last height.
    pub(crate) fn take(&mut self) -> Seen {
        let taken = std::mem::take(&mut self.seen);
        self.seen.heights.extend(taken.heights.last());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_counts_what_lies_between_the_first_and_the_last_height() {
        let height =
            |height, at_us, transactions| HeightSeen { height, at_us, transactions, executions: 0 };
        let heights = vec![height(1, 1e6, 100), height(2, 2e6, 10), height(3, 4e6, 20)];
        let seen = Seen { heights, ..Seen::default() };
        assert_eq!(seen.throughput(), (30, 3.0));
        assert_eq!(seen.height_ms(), [1_000.0, 2_000.0]);
    }

    #[test]
    fn a_transaction_is_followed_from_submission_to_commit() {
        let mut watch = Watch::new();
        watch.submitted(Hash([1; 32]), Instant::now());
        assert_eq!(watch.on_the_way(), 1);
        let receipts = [Hash([1; 32]), Hash([2; 32])].map(Subject::Transaction);
        watch.committed(7, &receipts);
        let seen = watch.take();
        assert_eq!((watch.on_the_way(), seen.latencies_us.len(), seen.submitted), (0, 1, 1));
        assert_eq!(seen.heights.last().map(|height| height.transactions), Some(2));
        assert_eq!(watch.take().heights.len(), 1);
    }
}
