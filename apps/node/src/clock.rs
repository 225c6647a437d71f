//! The one place where wall time is read.
//!
//! A development network's clock can be set ahead, so that waits of days take seconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use althing_types::TimeMs;

/// How far this process's clock is ahead, in milliseconds.
static AHEAD_MS: AtomicU64 = AtomicU64::new(0);

/// Sets the clock of this process ahead of wall time, never back. For development networks alone:
/// nodes of others refuse blocks from the future.
pub fn set_ahead(ms: u64) {
    AHEAD_MS.fetch_max(ms, Ordering::Relaxed);
}

/// The chain's time: milliseconds since 1970, ahead of wall time if the clock was set so.
#[must_use]
pub fn now() -> TimeMs {
    TimeMs(wall().0.saturating_add(AHEAD_MS.load(Ordering::Relaxed)))
}

/// Wall time as files have it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock of the composition root")]
pub(crate) fn of_files() -> SystemTime {
    SystemTime::now()
}

/// How long ago a file's time was; a clock that was put back makes everything young.
#[must_use]
pub(crate) fn age(time: SystemTime) -> Duration {
    of_files().duration_since(time).unwrap_or_default()
}

/// Wall time, in milliseconds since 1970: what signatures with a time are compared with.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock of the composition root")]
pub(crate) fn wall() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
