//! Getting files onto a node over the simulated network: as the worker's driver does it, holder by
//! holder, again and again until the time is up.

use std::collections::BTreeMap;

use althing_types::{BlobRef, EndpointId, Hash};
use althing_work::JobId;

/// How long one holder is waited for, in microseconds.
pub(crate) const ANSWER_US_MAX: u64 = 1_000_000;
/// Pause before all holders are asked again, in microseconds; doubles each time.
const PAUSE_US_MIN: u64 = 20_000;
/// The longest such pause, in microseconds.
const PAUSE_US_MAX: u64 = 1_000_000;

/// What a file is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A job.
    Blob { job: JobId },
    /// A service's manifest; then its module.
    Manifest { service: Hash },
    /// A service's module.
    Module { service: Hash },
}

/// A file on its way.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) blob: BlobRef,
    pub(crate) purpose: Purpose,
    pub(crate) from: Vec<EndpointId>,
    pub(crate) until_us: u64,
    /// The holder that is asked next.
    turn: usize,
    pause_us: u64,
}

/// What to do next about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask this holder.
    Ask(EndpointId),
    /// Try again after this long, in microseconds.
    Pause(u64),
    /// The time is up, or nobody may have it.
    GiveUp,
}

impl Fetch {
    pub(crate) const fn new(
        blob: BlobRef,
        purpose: Purpose,
        from: Vec<EndpointId>,
        until_us: u64,
    ) -> Self {
        Self { blob, purpose, from, until_us, turn: 0, pause_us: PAUSE_US_MIN }
    }

    pub(crate) fn next(&mut self, now_us: u64) -> Next {
        if self.from.is_empty() || now_us >= self.until_us {
            return Next::GiveUp;
        }
        if let Some(holder) = self.from.get(self.turn) {
            self.turn += 1;
            return Next::Ask(*holder);
        }
        self.turn = 0;
        let pause_us = self.pause_us.min(self.until_us - now_us);
        self.pause_us = (self.pause_us * 2).min(PAUSE_US_MAX);
        Next::Pause(pause_us)
    }
}

/// Whether these are the bytes that `blob` names.
pub(crate) fn is(blob: BlobRef, bytes: &[u8]) -> bool {
    usize::try_from(blob.bytes).is_ok_and(|length| length == bytes.len())
        && BlobRef::of(bytes) == blob
}

/// Files under way, by number.
pub(crate) type Fetches = BTreeMap<u64, Fetch>;
