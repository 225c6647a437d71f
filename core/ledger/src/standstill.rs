//! No window ends while the chain stands still.
//!
//! Deadlines are in the chain's time, which goes on without blocks: after a halt as long as a window, the
//! first block would close it over everybody who had no block to speak in.
//!
//! ```text
//!   blocks   │ │ │ │ │                    │ │ │
//!   window       ├─────────┼─────────┤    ├────┤
//!                            no block     └─ half a window more
//! ```
//!
//! A window ends if a block came in its last half. If none did, it is prolonged once, by half of itself
//! from the block that found it over.
//!
//! - Units: milliseconds of block time.
//! - Invariant: a window that was prolonged ends at its new deadline, however few blocks there are: the
//!   block that prolonged it is one in its last half, and carries what was said meanwhile. So every phase
//!   still ends.
//! - Bound: a block looks at a limited number of deadlines; those that a halt leaves over for the next
//!   block end there.
//! - Source: `docs/adr/0005-verdicts-fines-and-fees.md`.

use althing_types::TimeMs;

use crate::BlockContext;

/// The new deadline of a window that nobody had a block for; `None` if it may end.
pub(crate) fn prolonged(block: &BlockContext, due: TimeMs, window_ms: u64) -> Option<TimeMs> {
    let half = window_ms.checked_div(2).unwrap_or(0).max(1);
    (block.previous.after(half) < due).then(|| block.time.after(half))
}

#[cfg(test)]
mod tests {
    use althing_types::{Address, ChainId, Hash, Height, Round};

    use super::*;

    fn block(previous: u64, time: u64) -> BlockContext {
        BlockContext {
            chain: ChainId(1),
            height: Height(2),
            round: Round(0),
            time: TimeMs(time),
            previous: TimeMs(previous),
            proposer: Address::ZERO,
            beacon: Hash::ZERO,
        }
    }

    #[test]
    fn a_window_ends_if_a_block_came_in_its_last_half() {
        // From 1,000 to 2,000.
        let ends = |previous, time| prolonged(&block(previous, time), TimeMs(2_000), 1_000);
        assert_eq!(ends(1_999, 2_000), None);
        assert_eq!(ends(1_500, 9_000), None);
        assert_eq!(ends(1_499, 2_000), Some(TimeMs(2_500)));
        assert_eq!(ends(1_000, 90_000), Some(TimeMs(90_500)));
        assert_eq!(ends(2_100, 2_200), None, "a deadline that was left over");
    }

    #[test]
    fn a_window_is_prolonged_once_however_short_it_is_and_however_few_blocks_there_are() {
        for window_ms in [0, 1, 2, 3, 1_000, u64::MAX] {
            let now = 1 << 40;
            let due = TimeMs(now - 5);
            let Some(due) = prolonged(&block(0, now), due, window_ms) else { continue };
            assert!(due > TimeMs(now));
            for next in [due.0, due.0.saturating_add(1_000_000)] {
                assert_eq!(prolonged(&block(now, next), due, window_ms), None, "{window_ms}");
            }
        }
    }
}
