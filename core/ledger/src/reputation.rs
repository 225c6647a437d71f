//! Reputation of a node for a service and role, and what it weighs in a draw.
//!
//! The weight is the product of paper B's seven criteria (§5), each a positive integer:
//!
//! | criterion | factor |
//! |---|---|
//! | runs the service | only active offers are candidates |
//! | stake | whole tokens, 1 to 2^32 |
//! | committed period | 100 plus remaining days, to 200 |
//! | success rate | 1 to 1000, one success and one failure granted in advance |
//! | past slashes | 1000 / (1 + incidents) |
//! | time since the last | 100, rising to 1000 while the misbehaviour heals |
//! | uptime | 1 to 1000, share of good work among it and absences |

use althing_types::{Parameters, TimeMs};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::record::OfferRecord;

/// One event counts this much, so that halving keeps fractions.
const ONE: u64 = 1_000_000;

/// What a node did in one role, halved again and again as time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tally {
    /// In agreement with the verdict, in millionths.
    pub right: u64,
    /// Against the verdict, in millionths.
    pub wrong: u64,
    /// Not there in time, in millionths.
    pub absent: u64,
    /// All that was ever done right; does not decay.
    pub done: u32,
    /// The last time that the tally was brought up to date.
    pub updated: TimeMs,
}

/// What a tally counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// In agreement with the verdict.
    Right,
    /// Against the verdict.
    Wrong,
    /// Not there in time.
    Absent,
}

impl Tally {
    /// The tally as it counts at `now`.
    #[must_use]
    pub fn decayed(self, now: TimeMs, parameters: &Parameters) -> Self {
        let Some(halvings) = self.updated.until(now).checked_div(parameters.reputation_halving_ms)
        else {
            return Self { updated: now, ..self };
        };
        if halvings == 0 {
            return self;
        }
        let shift = u32::try_from(halvings).unwrap_or(u32::MAX);
        let halve = |count: u64| count.checked_shr(shift).unwrap_or(0);
        let passed = halvings.saturating_mul(parameters.reputation_halving_ms);
        Self {
            right: halve(self.right),
            wrong: halve(self.wrong),
            absent: halve(self.absent),
            done: self.done,
            updated: self.updated.after(passed),
        }
    }

    pub(crate) fn count(&mut self, deed: Deed, now: TimeMs, parameters: &Parameters) {
        *self = self.decayed(now, parameters);
        match deed {
            Deed::Right => {
                self.right = self.right.saturating_add(ONE);
                self.done = self.done.saturating_add(1);
            }
            Deed::Wrong => self.wrong = self.wrong.saturating_add(ONE),
            Deed::Absent => self.absent = self.absent.saturating_add(ONE),
        }
    }
}

/// `good / (good + bad)` in thousandths, one of each granted in advance; 1 to 999.
fn rate(good: u64, bad: u64) -> u128 {
    let good = u128::from(good).saturating_add(u128::from(ONE));
    let all = good.saturating_add(u128::from(bad)).saturating_add(u128::from(ONE));
    good.saturating_mul(1000).checked_div(all).unwrap_or(1).max(1)
}

/// The weight of an offer in a draw at `now`; positive.
#[must_use]
pub fn weight(offer: &OfferRecord, now: TimeMs, parameters: &Parameters) -> u128 {
    const DAY_MS: u64 = 86_400_000;
    let executor = offer.executor.decayed(now, parameters);
    let checker = offer.checker.decayed(now, parameters);
    let emitter = offer.emitter.decayed(now, parameters);
    let all = [executor, checker, emitter];
    let sum = |count: fn(&Tally) -> u64| all.iter().map(count).fold(0, u64::saturating_add);
    let (right, wrong, absent) = (sum(|t| t.right), sum(|t| t.wrong), sum(|t| t.absent));

    let stake = u128::from(offer.stake.whole_tokens()).max(1);
    let days = now.until(offer.term_until).checked_div(DAY_MS).unwrap_or(0).min(100);
    let period = u128::from(days).saturating_add(100);
    let success = rate(right, wrong);
    let slashes =
        1000u128.checked_div(u128::from(offer.incidents).saturating_add(1)).unwrap_or(1).max(1);
    let healed = offer.last_incident.map_or(900, |at| {
        let passed = at.until(now).min(parameters.misbehaviour_heals_ms);
        passed.saturating_mul(900).checked_div(parameters.misbehaviour_heals_ms).unwrap_or(900)
    });
    let since = u128::from(healed).saturating_add(100);
    // A wrong result counts nothing here: presence of that kind must not make up for absences.
    let uptime = rate(right, absent);
    [period, success, slashes, since, uptime]
        .iter()
        .fold(stake, |product, factor| product.saturating_mul(*factor))
}
