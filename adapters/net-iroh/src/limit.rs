//! How much one peer may send.

use std::time::{Duration, Instant};

/// A bucket that fills steadily and holds one second's worth.
#[derive(Debug)]
struct Bucket {
    per_second: u64,
    tokens: f64,
}

/// The limits of one peer: bytes and frames in a second, each with a burst of one second's worth.
#[derive(Debug)]
pub(crate) struct RateLimit {
    bytes: Bucket,
    frames: Bucket,
    filled: Instant,
    /// Dropped frames since the peer last kept within its limits for a second.
    dropped: u32,
    last_drop: Instant,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    Drop,
    /// The peer has gone on for too long.
    Disconnect,
}

/// Frames that a peer may lose in a row before it is disconnected.
const DROPPED_MAX: u32 = 1000;

impl Bucket {
    #[expect(clippy::cast_precision_loss, reason = "a rate limit needs no exact numbers")]
    fn new(per_second: u64) -> Self {
        Self { per_second, tokens: per_second as f64 }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate limit needs no exact numbers")]
    fn fill(&mut self, time: Duration) {
        let full = self.per_second as f64;
        self.tokens = (self.tokens + full * time.as_secs_f64()).min(full);
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate limit needs no exact numbers")]
    fn has(&self, amount: u64) -> bool {
        self.tokens >= amount as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate limit needs no exact numbers")]
    fn take(&mut self, amount: u64) {
        self.tokens -= amount as f64;
    }
}

impl RateLimit {
    pub(crate) fn new(bytes_per_second: u64, frames_per_second: u64, now: Instant) -> Self {
        let (bytes, frames) = (Bucket::new(bytes_per_second), Bucket::new(frames_per_second));
        Self { bytes, frames, filled: now, dropped: 0, last_drop: now }
    }

    /// Judges a frame of this many bytes that arrives now.
    pub(crate) fn judge(&mut self, bytes: usize, now: Instant) -> Verdict {
        let time = now.saturating_duration_since(self.filled);
        self.bytes.fill(time);
        self.frames.fill(time);
        self.filled = now;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.bytes.has(bytes) && self.frames.has(1) {
            self.bytes.take(bytes);
            self.frames.take(1);
            return Verdict::Take;
        }
        if now.saturating_duration_since(self.last_drop) > Duration::from_secs(1) {
            self.dropped = 0;
        }
        self.last_drop = now;
        self.dropped += 1;
        if self.dropped > DROPPED_MAX { Verdict::Disconnect } else { Verdict::Drop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_frames_are_dropped_then_the_peer_must_go() {
        let now = Instant::now();
        let mut limit = RateLimit::new(1 << 30, 100, now);
        let verdicts: Vec<Verdict> = (0..2000).map(|_| limit.judge(10, now)).collect();
        assert!(verdicts[..100].iter().all(|verdict| *verdict == Verdict::Take));
        assert!(verdicts[100..1100].iter().all(|verdict| *verdict == Verdict::Drop));
        assert_eq!(verdicts[1100], Verdict::Disconnect);
    }

    #[test]
    fn bytes_are_limited_as_frames_are() {
        let now = Instant::now();
        let mut limit = RateLimit::new(1000, 1_000_000, now);
        assert_eq!(limit.judge(600, now), Verdict::Take);
        assert_eq!(limit.judge(600, now), Verdict::Drop);
        assert_eq!(limit.judge(600, now + Duration::from_millis(500)), Verdict::Take);
    }

    #[test]
    fn who_keeps_within_the_limits_is_never_dropped() {
        let start = Instant::now();
        let mut limit = RateLimit::new(100_000, 100, start);
        for frame in 0..10_000 {
            let now = start + Duration::from_millis(10) * frame;
            assert_eq!(limit.judge(1000, now), Verdict::Take);
        }
    }
}
