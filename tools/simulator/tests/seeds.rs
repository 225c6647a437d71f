//! Seeds whose scenarios once broke a claim, and a scenario of the kind that did.

use althing_simulator::Scenario;
use althing_simulator::scenario::{Fault, Kind};
use althing_simulator::shrink::run;

/// One node of four is gone for good; then nobody hears anybody for long enough that everyone misses its
/// proposals. (That an outage jails nobody is shown by the ledger's own tests.)
fn outage(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 4);
    let at = |at_ms, kind| Fault { at_ms, kind };
    let apart = |group| Kind::Partition { group, lasts_ms: 18_000 + 1_500 * seed };
    scenario.faults = vec![
        at(10_000, Kind::StateRots { node: 3 }),
        at(15_000, apart(0b0001)),
        at(15_000, apart(0b0010)),
        at(15_000, apart(0b0100)),
    ];
    scenario.heal_ms = 45_000;
    scenario
}

#[test]
fn a_chain_outlives_an_outage_of_all_while_one_is_gone_for_good() {
    for seed in 0..12 {
        let report = run(&outage(seed));
        assert!(report.is_well(), "{}", report.story());
    }
}

/// One of four is cut off for long enough to miss more proposals than it may; when it is back, another one
/// has lost its disk for good.
fn cut_off_and_lost(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 4);
    let at = |at_ms, kind| Fault { at_ms, kind };
    scenario.faults = vec![
        at(5_000, Kind::Partition { group: 0b1000, lasts_ms: 35_000 }),
        at(39_500, Kind::StateRots { node: 0 }),
    ];
    scenario.heal_ms = 45_000;
    scenario
}

#[test]
fn four_outlive_that_one_is_cut_off_for_long_and_another_lost_for_good() {
    for seed in 0..2 {
        let report = run(&cut_off_and_lost(seed));
        assert!(report.is_well(), "{}", report.story());
        assert_eq!(report.statistics.jailed_quorums, 0, "seed {seed}");
    }
}

#[test]
fn seeds_that_failed_once_hold() {
    for seed in [59, 3_023, 4_018, 4_100, 5_072, 5_099, 20_088, 20_126] {
        let report = run(&Scenario::from_seed(seed));
        assert!(report.is_well(), "{}", report.story());
        assert_eq!(report.statistics.jailed_quorums, 0, "seed {seed}");
    }
}

/// Four sound nodes in two halves that are no quorum each, for longer than any window; nobody is down.
fn halves(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 4);
    let apart = |at_ms| Fault { at_ms, kind: Kind::Partition { group: 0b0011, lasts_ms: 9_000 } };
    scenario.faults = (1..6).map(|n| apart(n * 16_000 + seed * 100)).collect();
    (scenario.heal_ms, scenario.user_every_ms) = (110_000, 300);
    scenario.checkers = vec![2, 3];
    scenario
}

#[test]
fn a_halt_longer_than_every_window_fines_no_worker() {
    let mut prolonged = 0;
    for seed in 0..2 {
        let report = run(&halves(seed));
        assert!(report.is_well(), "{}", report.story());
        let statistics = &report.statistics;
        assert!(statistics.fines.is_empty(), "seed {seed}: {:?}", statistics.fines);
        assert!(statistics.event_fines.is_empty(), "seed {seed}: {:?}", statistics.event_fines);
        prolonged += statistics.steps.get("prolonged").copied().unwrap_or_default();
    }
    assert!(prolonged > 0, "no halt met a window");
}
