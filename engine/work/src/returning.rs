//! When a node asks for its office back.
//!
//! ```text
//!   away, or stopped ─► absences ─► suspended ─┬─ back a moment ago ────────┬─► Resume
//!                                              └─ has observations in line ─┘    (pauses double)
//! ```
//!
//! Absences in a row suspend an offer, since nobody can tell a node that is away from one that is no more.
//! Who was away and is back can tell; without it a laptop that slept, or a machine that stood still for
//! minutes, would stay out until a person comes, and so would the events that its programs have given it.
//! A node that is there and does nothing all the same has no reason to come back, and stays out.
//!
//! Pure, like the machine: whoever owns a [`Returning`] brings it the time and what the ledger says.
//!
//! - Units: milliseconds of the node's own clock, which only has to go forward.
//! - Bounds: [`PAUSE_MIN_MS`] to [`PAUSE_MAX_MS`] between two requests for one service.
//! - Source: `docs/adr/0005-verdicts-fines-and-fees.md`.

use std::collections::BTreeMap;

use althing_types::Hash;

/// How long after it is back a node is excused: what it was asked before is counted as absence meanwhile.
pub const EXCUSED_MS: u64 = 120_000;
/// The first pause before a suspended offer is resumed; it doubles each time.
const PAUSE_MIN_MS: u64 = 1_000;
/// The longest such pause.
const PAUSE_MAX_MS: u64 = 600_000;
/// After this long without a suspension the pauses are short again.
const FORGOTTEN_MS: u64 = 3_600_000;

/// An offer of this node that is suspended, and has stake enough to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The service.
    pub service: Hash,
    /// Observations of its events wait for the node's office.
    pub has_observed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    /// When the next one may go out.
    next_ms: u64,
    /// The pause behind that one.
    pause_ms: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Returning {
    excused_until_ms: u64,
    requests: BTreeMap<Hash, Request>,
}

impl Returning {
    /// The node was away, and is back.
    pub const fn back(&mut self, now_ms: u64) {
        self.excused_until_ms = now_ms.saturating_add(EXCUSED_MS);
    }

    /// Whether a look at the node's offers may be of use.
    #[must_use]
    pub const fn looks(&self, now_ms: u64, has_observed: bool) -> bool {
        has_observed || now_ms < self.excused_until_ms
    }

    /// Which of the suspended offers are to be resumed now.
    pub fn due(&mut self, now_ms: u64, suspended: &[Suspended]) -> Vec<Hash> {
        self.requests.retain(|_, request| now_ms < request.next_ms.saturating_add(FORGOTTEN_MS));
        let excused = now_ms < self.excused_until_ms;
        let mut due = Vec::new();
        for offer in suspended.iter().filter(|offer| excused || offer.has_observed) {
            let first = Request {
                next_ms: now_ms.saturating_add(PAUSE_MIN_MS),
                pause_ms: PAUSE_MIN_MS.saturating_mul(2),
            };
            let request = self.requests.entry(offer.service).or_insert(first);
            if now_ms >= request.next_ms {
                due.push(offer.service);
                request.next_ms = now_ms.saturating_add(request.pause_ms);
                request.pause_ms = request.pause_ms.saturating_mul(2).min(PAUSE_MAX_MS);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: Hash = Hash([1; 32]);

    fn suspended(has_observed: bool) -> [Suspended; 1] {
        [Suspended { service: SHOP, has_observed }]
    }

    /// When it asks within so long, looking every half second.
    fn asks(returning: &mut Returning, within_ms: u64, has_observed: bool) -> Vec<u64> {
        let asks = |now_ms: &u64| !returning.due(*now_ms, &suspended(has_observed)).is_empty();
        (0..within_ms).step_by(500).filter(asks).collect()
    }

    #[test]
    fn who_was_away_asks_again_and_again_for_a_while_and_ever_more_seldom() {
        let mut returning = Returning::default();
        assert!(!returning.looks(0, false));
        returning.back(0);
        assert!(returning.looks(0, false));
        let asked = asks(&mut returning, 10 * EXCUSED_MS, false);
        assert_eq!(asked, [1_000, 3_000, 7_000, 15_000, 31_000, 63_000]);
        assert!(!returning.looks(EXCUSED_MS, false));
    }

    #[test]
    fn who_was_there_stays_out_unless_it_has_observed_something() {
        assert!(asks(&mut Returning::default(), 10 * EXCUSED_MS, false).is_empty());
        let asked = asks(&mut Returning::default(), 2 * FORGOTTEN_MS, true);
        assert_eq!(asked[..3], [1_000, 3_000, 7_000]);
        let pauses: Vec<u64> = asked.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(pauses.last(), Some(&PAUSE_MAX_MS));
    }

    #[test]
    fn the_pauses_are_short_again_after_a_long_time_in_office() {
        let mut returning = Returning::default();
        asks(&mut returning, 60_000, true);
        let later = 60_000 + 2 * FORGOTTEN_MS;
        assert!(returning.due(later, &suspended(true)).is_empty(), "a second passes first");
        assert_eq!(returning.due(later + 1_000, &suspended(true)), [SHOP]);
    }
}
