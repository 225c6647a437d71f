//! Blocks in which their proposer answers what it alone owes, and what becomes of them.

use althing_simulator::report::{Counts, Statistics};
use althing_simulator::scenario::{Fault, Kind};
use althing_simulator::shrink::run;
use althing_simulator::{Report, Scenario};

fn count(counts: &Counts, what: &str) -> u64 {
    counts.get(what).copied().unwrap_or(0)
}

fn well(scenario: &Scenario) -> Report {
    let report = run(scenario);
    assert!(report.is_well(), "{}", report.story());
    report
}

fn sum(scenarios: impl IntoIterator<Item = Scenario>) -> Statistics {
    let mut all = Statistics::default();
    for scenario in scenarios {
        all.add(&well(&scenario).statistics);
    }
    all
}

/// Nothing is checked: whoever is drawn answers alone.
fn unchecked(seed: u64, nodes: usize) -> Scenario {
    Scenario {
        checkers: vec![0],
        step_checkers: 0,
        outside_every_ms: 700,
        user_every_ms: 1_000,
        heal_ms: 60_000,
        ..Scenario::calm(seed, nodes)
    }
}

/// Nodes lose their power while their blocks are open, one after the other.
fn interrupted(seed: u64, nodes: usize) -> Scenario {
    let mut scenario = unchecked(seed, nodes);
    let fails = |(n, node): (u64, usize)| {
        let kind = Kind::BlockFails { node, block: 1 + n % 3 };
        Fault { at_ms: 8_000 + n * 2_500, kind }
    };
    scenario.faults = (0..20).zip((0..nodes).cycle()).map(fails).collect();
    scenario
}

#[test]
fn a_lone_node_answers_most_of_what_it_is_asked_in_the_block_that_asks() {
    let statistics = sum((0..2).map(|seed| unchecked(seed, 1)));
    let open = &statistics.open_blocks;
    let (owed, answers) =
        (count(open, "executions owed while open"), count(open, "answers in the block that asks"));
    assert!(answers * 2 > owed && answers > 100, "{open:?}");
    assert!(statistics.fines.is_empty(), "{:?}", statistics.fines);
}

#[test]
fn of_several_nodes_the_proposer_answers_what_was_drawn_for_it() {
    let statistics = sum((0..2).map(|seed| unchecked(seed, 4)));
    let open = &statistics.open_blocks;
    assert!(count(open, "blocks that answer themselves") > 10, "{open:?}");
    assert!(count(open, "blocks that waited in vain") > 0, "files of others take longer: {open:?}");
    assert!(statistics.fines.is_empty(), "{:?}", statistics.fines);
}

#[test]
fn what_was_answered_in_a_block_that_was_never_proposed_is_neither_lost_nor_done_twice() {
    for nodes in [1, 4] {
        let statistics = sum((0..2).map(|seed| interrupted(seed, nodes)));
        let open = &statistics.open_blocks;
        assert!(count(open, "power losses in an open block") > 5, "{nodes} nodes: {open:?}");
        assert!(count(open, "answers in the block that asks") > 0, "{nodes} nodes: {open:?}");
        assert!(count(&statistics.run_ends, "completed: done") > 20, "{:?}", statistics.run_ends);
    }
}

#[test]
fn what_was_answered_in_a_block_that_lost_to_anothers_is_neither_lost_nor_done_twice() {
    let lossy = |seed| {
        let mut scenario = unchecked(seed, 4);
        let loss = |n: u64| Fault {
            at_ms: 8_000 + n * 2_000,
            kind: Kind::Loss { per_mille: 500, lasts_ms: 1_000 },
        };
        scenario.faults = (0..25).map(loss).collect();
        scenario
    };
    let statistics = sum((0..3).map(lossy));
    let open = &statistics.open_blocks;
    assert!(count(open, "foreseen, and another's block came") > 0, "{open:?}");
    assert!(count(open, "answers in the block that asks") > 0, "{open:?}");
}
