//! Events, runs, waits, money and effects outside: each alone, and what the network makes of it.

use althing_simulator::report::{Counts, Statistics};
use althing_simulator::scenario::{Emitting, Fault, Kind, Part};
use althing_simulator::shrink::run;
use althing_simulator::{Report, Scenario};

fn count(counts: &Counts, what: &str) -> u64 {
    counts.get(what).copied().unwrap_or(0)
}

/// Something happens every second; most of it is about applications.
fn busy(seed: u64, nodes: usize) -> Scenario {
    Scenario {
        outside_every_ms: 1_000,
        user_every_ms: 4_000,
        heal_ms: 40_000,
        ..Scenario::calm(seed, nodes)
    }
}

fn well(scenario: &Scenario) -> Report {
    let report = run(scenario);
    assert!(report.is_well(), "{}", report.story());
    report
}

/// Five nodes, of which the last tells events in this way.
fn with(emitting: Emitting) -> Report {
    with_seed(11, emitting)
}

fn with_seed(seed: u64, emitting: Emitting) -> Report {
    let mut scenario = busy(seed, 5);
    scenario.parts[4] = Part { emitting, ..Part::HONEST };
    well(&scenario)
}

#[test]
fn every_way_in_which_a_run_goes_on_and_ends_is_met_and_nobody_is_fined() {
    let mut statistics = Statistics::default();
    // What one seed happens not to meet, another does.
    for seed in 1..=4 {
        statistics.add(&well(&busy(seed, 4)).statistics);
    }
    for end in ["completed: done", "completed: dead", "skipped"] {
        assert!(count(&statistics.run_ends, end) > 0, "{end}: {:?}", statistics.run_ends);
    }
    let steps = [
        "run started",
        "attempt begun",
        "wait begun",
        "event taken",
        "step returned",
        "step failed",
        "step timed out",
        "out of funds",
        "resumed",
        "run ended",
    ];
    for step in steps {
        assert!(count(&statistics.run_steps, step) > 0, "{step}: {:?}", statistics.run_steps);
    }
    assert!(statistics.event_fines.is_empty(), "{:?}", statistics.event_fines);
    assert!(statistics.fines.is_empty(), "{:?}", statistics.fines);
    assert!(count(&statistics.outside, "done once") > 10, "{:?}", statistics.outside);
}

#[test]
fn a_forger_is_fined_and_makes_nothing_valid() {
    let statistics = with(Emitting::Forger).statistics;
    assert!(count(&statistics.event_fines, "wrong observation") > 0);
    assert_eq!(statistics.captures, 0);
    let expired = statistics.event_edges.get(&("Open", "Expired, settled")).copied();
    assert!(expired.is_some_and(|n| n > 0), "what one node invents expires");
}

#[test]
fn a_drifting_emitter_is_fined_and_one_within_the_tolerance_is_not() {
    assert!(count(&with(Emitting::Drifter(80)).statistics.event_fines, "wrong observation") > 0);
    assert_eq!(count(&with(Emitting::Drifter(30)).statistics.event_fines, "wrong observation"), 0);
}

#[test]
fn who_drags_measures_to_the_edge_of_the_tolerance_gets_no_honest_emitter_fined() {
    for by in [-50, 50] {
        for seed in 0..2 {
            let mut scenario = busy(seed, 5);
            for node in [3, 4] {
                scenario.parts[node] = Part { emitting: Emitting::Drifter(by), ..Part::HONEST };
            }
            well(&scenario);
        }
    }
}

#[test]
fn a_silent_emitter_is_fined_for_absence_and_a_late_one_is_refused() {
    assert!(count(&with(Emitting::Mute).statistics.event_fines, "absence") > 0);
    // Whether it speaks at all after it was suspended, one seed or another decides.
    let mut late = Statistics::default();
    for seed in 11..=14 {
        late.add(&with_seed(seed, Emitting::Late).statistics);
    }
    assert!(count(&late.event_fines, "absence") > 0);
    assert!(count(&late.observations_refused, "LED-0043") > 0, "{:?}", late.observations_refused);
}

#[test]
fn answers_that_are_lost_are_asked_for_again_under_the_same_key() {
    let statistics = well(&Scenario { answers_lost_per_mille: 250, ..busy(5, 4) }).statistics;
    assert!(count(&statistics.outside, "answers lost") > 10, "{:?}", statistics.outside);
    assert!(count(&statistics.run_ends, "completed: done") > 0);
}

#[test]
fn a_step_after_any_of_two_asks_for_the_same_thing_however_often_it_is_tried() {
    for seed in 0..2 {
        let scenario =
            Scenario { answers_lost_per_mille: 350, outside_every_ms: 500, ..busy(seed, 4) };
        let statistics = well(&scenario).statistics;
        let again = statistics.run_edges.get(&("Resting", "Working")).copied();
        assert!(again.is_some_and(|n| n > 10), "seed {seed}: {:?}", statistics.run_edges);
    }
}

#[test]
fn an_application_that_is_tried_again_does_nothing_outside_a_second_time() {
    let mut again = 0;
    for seed in 0..8 {
        let scenario =
            Scenario { answers_lost_per_mille: 350, outside_every_ms: 500, ..busy(seed, 4) };
        let edges = well(&scenario).statistics.run_edges;
        again += edges.get(&("Resting", "Child")).copied().unwrap_or_default();
    }
    assert!(again > 2, "{again} later attempts of an application");
}

#[test]
fn acknowledged_events_outlive_crashes_of_every_node() {
    let mut scenario = Scenario { outside_every_ms: 500, ..busy(9, 4) };
    let crash = |at_ms, node| Fault { at_ms, kind: Kind::Crash { node, down_ms: 700 } };
    let nodes = (0..4).cycle();
    scenario.faults = (8..40).zip(nodes).map(|(n, node)| crash(n * 1_000, node)).collect();
    let statistics = well(&scenario).statistics;
    assert!(count(&statistics.run_ends, "completed: done") > 0);
}

#[test]
fn blocks_of_many_pieces_are_put_together_under_loss_and_reordering() {
    let mut scenario = Scenario { part_bytes: 100, ..busy(2, 4) };
    let at = |at_ms, kind| Fault { at_ms, kind };
    scenario.faults = vec![
        at(8_000, Kind::Loss { per_mille: 20, lasts_ms: 12_000 }),
        at(8_000, Kind::Duplicates { per_mille: 300, lasts_ms: 20_000 }),
        at(20_000, Kind::Delay { up_to_ms: 300, lasts_ms: 15_000 }),
    ];
    let whole = well(&Scenario { part_bytes: 128 << 10, ..scenario.clone() }).statistics;
    let cut = well(&scenario).statistics;
    assert!(
        count(&cut.frames, "sent") * 2 > count(&whole.frames, "sent") * 3,
        "{:?} and {:?}",
        cut.frames,
        whole.frames
    );
    assert!(cut.heights * 2 > whole.heights, "{} and {}", cut.heights, whole.heights);
}
