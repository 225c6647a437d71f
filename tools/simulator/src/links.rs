//! The network between nodes: delays, and what the misfortunes of a scenario do to frames.
//!
//! Frames of one lane between two nodes arrive in their order, as on a stream, except while a scenario
//! delays them or doubles them.

use std::collections::BTreeMap;

use althing_network::Lane;

use crate::random::Random;

/// Frames take from this long, in microseconds.
const DELAY_US_MIN: u64 = 2_000;
/// To this long when nothing is wrong, in microseconds.
const DELAY_US_MAX: u64 = 40_000;

/// Something that holds until a moment.
#[derive(Clone, Copy, Debug)]
struct Until<T> {
    what: T,
    until_us: u64,
}

/// What is wrong with the network at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    random: Random,
    partitions: Vec<Until<u32>>,
    losses: Vec<Until<u32>>,
    delays: Vec<Until<u64>>,
    duplicates: Vec<Until<u32>>,
    /// When the last frame of each lane arrives.
    last_us: BTreeMap<(usize, usize, Option<Lane>), u64>,
    pub(crate) lost: u64,
    pub(crate) cut: u64,
    pub(crate) doubled: u64,
    pub(crate) sent: u64,
}

impl Links {
    pub(crate) const fn new(random: Random) -> Self {
        Self {
            random,
            partitions: Vec::new(),
            losses: Vec::new(),
            delays: Vec::new(),
            duplicates: Vec::new(),
            last_us: BTreeMap::new(),
            lost: 0,
            cut: 0,
            doubled: 0,
            sent: 0,
        }
    }

    pub(crate) fn partition(&mut self, group: u32, until_us: u64) {
        self.partitions.push(Until { what: group, until_us });
    }

    pub(crate) fn lose(&mut self, per_mille: u32, until_us: u64) {
        self.losses.push(Until { what: per_mille, until_us });
    }

    pub(crate) fn delay(&mut self, up_to_us: u64, until_us: u64) {
        self.delays.push(Until { what: up_to_us, until_us });
    }

    pub(crate) fn double(&mut self, per_mille: u32, until_us: u64) {
        self.duplicates.push(Until { what: per_mille, until_us });
    }

    /// Nothing is wrong from now on.
    pub(crate) fn heal(&mut self) {
        self.partitions.clear();
        self.losses.clear();
        self.delays.clear();
        self.duplicates.clear();
    }

    /// When a frame sent now arrives: never, once, or twice. Questions and answers have no lane.
    pub(crate) fn send(
        &mut self,
        now_us: u64,
        from: usize,
        to: usize,
        lane: Option<Lane>,
    ) -> Vec<u64> {
        self.sent += 1;
        for list in [&mut self.partitions, &mut self.losses, &mut self.duplicates] {
            list.retain(|entry| entry.until_us > now_us);
        }
        self.delays.retain(|entry| entry.until_us > now_us);
        let side = |group: u32, node: usize| group >> node & 1;
        if self.partitions.iter().any(|p| side(p.what, from) != side(p.what, to)) {
            self.cut += 1;
            return Vec::new();
        }
        let random = &mut self.random;
        if self.losses.iter().any(|loss| random.chance(loss.what)) {
            self.lost += 1;
            return Vec::new();
        }
        let slow: u64 = self.delays.iter().map(|delay| random.below(delay.what)).sum();
        let mut arrives_us = now_us + random.between(DELAY_US_MIN, DELAY_US_MAX) + slow;
        let last_us = self.last_us.entry((from, to, lane)).or_default();
        if slow == 0 && lane.is_some() {
            arrives_us = arrives_us.max(*last_us + 1);
            *last_us = arrives_us;
        }
        let mut arrivals = vec![arrives_us];
        if self.duplicates.iter().any(|doubling| random.chance(doubling.what)) {
            self.doubled += 1;
            arrivals.push(arrives_us + random.between(1, DELAY_US_MAX));
        }
        arrivals
    }
}
