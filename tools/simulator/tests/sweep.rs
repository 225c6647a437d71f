//! Networks, their dishonest nodes and their misfortunes, from seeds.

use althing_simulator::shrink::{run, shrink};
use althing_simulator::{Scenario, Statistics};

/// Seeds of the sweep that every check of the repository runs: about an hour of simulated time.
const SEEDS: u64 = 16;

fn sweep(seeds: std::ops::Range<u64>) {
    let mut statistics = Statistics::default();
    for seed in seeds {
        let scenario = Scenario::from_seed(seed);
        let report = run(&scenario);
        assert!(report.is_well(), "{}\nsmallest:\n{}", report.story(), shrink(&report).story());
        assert_eq!(run(&scenario).trace, report.trace, "seed {seed} has two traces");
        statistics.add(&report.statistics);
    }
    let open = &statistics.open_blocks;
    let answers = open.get("answers in the block that asks").copied().unwrap_or(0);
    assert!(answers > 0, "no proposer has answered in its own block: {open:?}");
}

#[test]
fn every_claim_holds_and_equal_seeds_give_equal_traces() {
    sweep(0..SEEDS / 2);
}

#[test]
fn every_claim_holds_and_equal_seeds_give_equal_traces_for_other_seeds() {
    sweep(SEEDS / 2..SEEDS);
}

#[test]
fn different_seeds_give_different_traces() {
    let trace = |seed| run(&Scenario { calm_ms: 5_000, ..Scenario::calm(seed, 4) }).trace;
    assert_ne!(trace(1), trace(2));
}
