//! What an offer weighs in a draw: each of the seven criteria, one way only.

use althing_ledger::{OfferRecord, OfferStatus, Tally, weight};
use althing_types::{Address, Amount, EndpointId, TimeMs};
use proptest::prelude::*;

use crate::common::world::tally;
use crate::common::{DAY_MS, START, parameters, tokens, units};

const NOW: TimeMs = TimeMs(START.0 + 100 * DAY_MS);

fn record(stake: Amount, days: u64, executor: Tally) -> OfferRecord {
    OfferRecord {
        owner: Address::ZERO,
        endpoint: EndpointId::ZERO,
        labels: Vec::new(),
        stake,
        since: START,
        term_until: NOW.after(days * DAY_MS),
        status: OfferStatus::Active,
        executor: Tally { updated: NOW, ..executor },
        emitter: Tally::default(),
        checker: Tally { updated: NOW, ..Tally::default() },
        absences_in_a_row: 0,
        incidents: 0,
        last_incident: None,
        fined: Amount::ZERO,
        earned: Amount::ZERO,
    }
}

fn of(offer: &OfferRecord) -> u128 {
    weight(offer, NOW, &parameters())
}

#[test]
fn weights_are_these() {
    // 1,000 tokens × 100 % × 500 × 1000 × 1000 × 500
    let fresh = record(tokens(1_000), 0, Tally::default());
    assert_eq!(of(&fresh), 1_000 * 100 * 500 * 1_000 * 1_000 * 500);
    // Eight successes, thirty days, and one incident fifteen days ago: halfway to healed.
    let known = OfferRecord {
        incidents: 1,
        last_incident: Some(TimeMs(NOW.0 - 15 * DAY_MS)),
        ..record(tokens(1_000), 30, tally(8, 0, 0))
    };
    assert_eq!(of(&known), 1_000 * 130 * 900 * 500 * 550 * 900);
}

#[test]
fn the_smallest_weight_is_positive_and_the_largest_fits() {
    let worst = OfferRecord {
        incidents: u32::MAX,
        last_incident: Some(NOW),
        ..record(units(1), 0, tally(0, 1_000_000, 1_000_000))
    };
    assert!(of(&worst) > 0);
    let best = record(units(u128::MAX), 4_000, tally(4_000_000, 0, 0));
    assert!(of(&best) < u128::MAX / 1_000, "a thousand of them can be summed");
}

#[test]
fn a_decade_halves_what_was_done_away_but_not_the_incidents() {
    let old = record(tokens(10), 0, tally(0, 50, 0));
    let later = NOW.after(3_650 * DAY_MS);
    let healed = weight(&old, later, &parameters());
    assert_eq!(healed, of(&record(tokens(10), 0, Tally::default())));
    let fined = OfferRecord { incidents: 3, ..old };
    assert_eq!(weight(&fined, later, &parameters()), healed / 4);
}

proptest! {
    #[test]
    fn a_weight_is_monotone_in_each_criterion(
        stake in 1_u64..1 << 33,
        days in 0_u64..200,
        right in 0_u64..50,
        wrong in 0_u64..50,
        absent in 0_u64..50,
        incidents in 0_u32..20,
        ago in 0_u64..60,
    ) {
        let base = OfferRecord {
            incidents,
            last_incident: Some(TimeMs(NOW.0 - ago * DAY_MS)),
            ..record(tokens(stake), days, tally(right, wrong, absent))
        };
        let with = |change: &dyn Fn(&mut OfferRecord)| {
            let mut changed = base.clone();
            change(&mut changed);
            of(&changed)
        };
        let now = of(&base);
        prop_assert!(with(&|o| o.stake = tokens(stake + 1)) >= now, "stake");
        prop_assert!(with(&|o| o.term_until = o.term_until.after(DAY_MS)) >= now, "period");
        prop_assert!(with(&|o| o.executor.right += 1_000_000) >= now, "success");
        prop_assert!(with(&|o| o.checker.right += 1_000_000) >= now, "success as a checker");
        prop_assert!(with(&|o| o.executor.wrong += 1_000_000) <= now, "failure");
        prop_assert!(with(&|o| o.incidents += 1) <= now, "past slashes");
        prop_assert!(with(&|o| o.last_incident = Some(NOW)) <= now, "time since the last");
        prop_assert!(with(&|o| o.last_incident = None) >= now, "healed");
        prop_assert!(with(&|o| o.executor.absent += 1_000_000) <= now, "uptime");
    }
}
