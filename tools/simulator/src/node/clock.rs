//! Virtual time, and what a node takes for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use althing_types::TimeMs;

use crate::setting::START_MS;

/// Virtual time, shared with the nodes' clocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Time(Arc<AtomicU64>);

impl Time {
    pub(crate) fn set(&self, now_us: u64) {
        self.0.store(now_us, Ordering::Relaxed);
    }

    pub(crate) fn us(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_micros(self.us())
    }
}

/// A node's own idea of the time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    pub(super) time: Time,
    wrong_by_ms: Arc<AtomicI64>,
    /// For how long the node has been building a block, in microseconds.
    open_us: Arc<AtomicU64>,
}

impl Clock {
    pub(super) fn new(time: Time) -> Self {
        Self { time, ..Self::default() }
    }

    pub(crate) fn step(&self, by_ms: i64) {
        self.wrong_by_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(crate) fn set_right(&self) {
        self.wrong_by_ms.store(0, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> TimeMs {
        let right = START_MS + 1_000 + (self.time.us() + self.open_us()) / 1_000;
        TimeMs(right.saturating_add_signed(self.wrong_by_ms.load(Ordering::Relaxed)))
    }

    pub(super) fn open_us(&self) -> u64 {
        self.open_us.load(Ordering::Relaxed)
    }

    /// A block is open, and was until now for this long.
    pub(super) fn stay_open(&self, open_us: u64) {
        self.open_us.store(open_us, Ordering::Relaxed);
    }

    /// No block is open; tells how long one was.
    pub(super) fn close(&self) -> u64 {
        self.open_us.swap(0, Ordering::Relaxed)
    }
}
