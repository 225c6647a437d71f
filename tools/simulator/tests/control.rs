//! Beyond what the network promises to bear, the checks must trip: a suite that stays green here is
//! broken.

use althing_simulator::scenario::{Emitting, Fault, Kind, Part, Voting, Work};
use althing_simulator::shrink::run;
use althing_simulator::{Report, Scenario};

fn broken(report: &Report) -> Vec<&'static str> {
    report.violations.iter().map(|violation| violation.claim).collect()
}

/// Half of the stake runs twice, one copy on each side of a partition.
fn forked(seed: u64) -> Scenario {
    let mut scenario = Scenario::calm(seed, 4);
    let twins = Part { voting: Voting::Twins, ..Part::HONEST };
    scenario.parts = vec![Part::HONEST, Part::HONEST, twins, twins];
    // Nodes 4 and 5 are the second copies of 2 and 3.
    let kind = Kind::Partition { group: 0b00_1101, lasts_ms: 60_000 };
    scenario.faults = vec![Fault { at_ms: 1, kind }];
    // It ends with the partition: users begin nothing, and the blocks are two chains' from the first on.
    (scenario.heal_ms, scenario.calm_ms) = (60_000, 1);
    scenario
}

#[test]
fn more_than_a_third_that_votes_twice_is_seen_to_fork_the_chain() {
    for seed in 0..8 {
        let report = run(&forked(seed));
        let seen = broken(&report).contains(&"one block a height");
        assert!(seen, "half of the stake voted twice, and nobody saw a fork\n{}", report.story());
    }
}

#[test]
fn a_bought_majority_of_checkers_is_seen_to_pass_a_lie() {
    for seed in 0..4 {
        let mut scenario = Scenario::calm(seed, 5);
        let ring = Part { work: Work::Colluder, ..Part::HONEST };
        scenario.parts = vec![ring, ring, ring, Part::HONEST, Part::HONEST];
        scenario.checkers = vec![2];
        scenario.user_every_ms = 500;
        let report = run(&scenario);
        let seen = broken(&report).contains(&"a result is right");
        assert!(seen, "most checkers were bought, and nobody saw a lie\n{}", report.story());
    }
}

#[test]
fn a_bought_majority_of_emitters_is_seen_to_make_a_forged_event_valid() {
    for seed in 0..4 {
        let mut scenario = Scenario::calm(seed, 5);
        let forger = Part { emitting: Emitting::Forger, ..Part::HONEST };
        scenario.parts = vec![forger, forger, forger, Part::HONEST, Part::HONEST];
        let report = run(&scenario);
        let seen = broken(&report).contains(&"a forged event is not valid");
        assert!(seen, "most emitters were bought, and nobody saw a forgery\n{}", report.story());
    }
}

#[test]
fn forgers_without_a_majority_make_nothing_valid_and_are_fined() {
    let mut kept = 0;
    for seed in 0..4 {
        let mut scenario = Scenario::calm(seed, 5);
        let forger = Part { emitting: Emitting::Forger, ..Part::HONEST };
        scenario.parts = vec![forger, forger, Part::HONEST, Part::HONEST, Part::HONEST];
        let report = run(&scenario);
        // Where an office loses its honest nodes, the forgers are its majority: threat model, 16.
        assert!(report.is_well(), "{}", report.story());
        kept += usize::from(report.statistics.captures == 0);
        let fines = report.statistics.event_fines;
        assert!(fines.get("wrong observation").is_some_and(|n| *n > 0), "{fines:?}");
    }
    assert!(kept >= 2, "of four offices {kept} kept their honest nodes");
}

#[test]
fn a_ring_without_a_quorum_passes_nothing() {
    for seed in 0..2 {
        let mut scenario = Scenario::calm(seed, 7);
        let ring = Part { work: Work::Colluder, ..Part::HONEST };
        scenario.parts = vec![Part::HONEST; 7];
        scenario.parts[1] = ring;
        scenario.parts[4] = ring;
        // Of five members two are no quorum, of three they would be.
        scenario.checkers = vec![4];
        scenario.step_checkers = 4;
        scenario.user_every_ms = 500;
        let report = run(&scenario);
        assert!(report.is_well(), "{}", report.story());
        let fines = report.statistics.fines;
        assert!(fines.get("wrong result").is_some_and(|n| *n > 0), "{fines:?}");
    }
}

#[test]
fn a_disk_that_forgets_what_it_acknowledged_is_seen_to_make_a_validator_vote_twice() {
    // Each power loss has a chance of some percent to come between two votes of a round: six hundred
    // of them leave little to luck, and a run ends with the first conviction.
    for seed in 4..=8 {
        let mut scenario = Scenario::calm(seed, 4);
        let at = |at_ms, kind| Fault { at_ms, kind };
        scenario.faults = vec![at(500, Kind::LogLies { node: 1 })];
        for n in 1..590 {
            scenario.faults.push(at(n * 1_013, Kind::Crash { node: 1, down_ms: 0 }));
            // Proposals are lost now and then, so that the node votes for nothing first.
            scenario.faults.push(at(n * 1_000, Kind::Loss { per_mille: 400, lasts_ms: 400 }));
        }
        scenario.faults.sort_unstable();
        scenario.heal_ms = 600_000;
        scenario.calm_ms = 20_000;
        let report = run(&scenario);
        let seen = broken(&report).contains(&"an honest node is never slashed");
        assert!(seen, "a disk lied, and nobody was convicted\n{}", report.story());
    }
}

#[test]
fn a_disk_that_forgets_outputs_that_it_acknowledged_is_seen_to_lose_one_that_was_accepted() {
    for seed in 0..4 {
        let mut scenario = Scenario::calm(seed, 1);
        (scenario.checkers, scenario.step_checkers) = (vec![0], 0);
        (scenario.outside_every_ms, scenario.user_every_ms) = (700, 500);
        scenario.heal_ms = 60_000;
        let at = |at_ms, kind| Fault { at_ms, kind };
        scenario.faults = vec![at(500, Kind::OutputsLie { node: 0 })];
        // The power is lost when a block has just gone out: what it names was written a moment ago.
        for n in 0..40 {
            scenario.faults.push(at(8_000 + n * 1_009, Kind::Crash { node: 0, down_ms: 0 }));
        }
        let report = run(&scenario);
        let seen = broken(&report).contains(&"what was accepted stays on a disk");
        assert!(seen, "a disk lied, and nobody missed an output\n{}", report.story());
    }
}

#[test]
fn a_worker_that_has_programs_asked_while_a_block_is_open_is_seen() {
    for seed in 0..4 {
        let mut scenario = Scenario::calm(seed, 4);
        let hasty = Part { work: Work::Hasty, ..Part::HONEST };
        scenario.parts = vec![hasty, hasty, hasty, Part::HONEST];
        (scenario.checkers, scenario.step_checkers) = (vec![0], 0);
        scenario.outside_every_ms = 700;
        let report = run(&scenario);
        let seen = broken(&report).contains(&"nothing is done outside before a block asks for it");
        assert!(seen, "a program was asked too early, and nobody saw it\n{}", report.story());
    }
}

/// What four would be if absence jailed one of them, whoever that leaves: three, of whom none can be lost.
#[test]
fn three_that_lose_one_for_good_are_seen_to_stand_still() {
    for seed in 0..2 {
        let mut scenario = Scenario::calm(seed, 3);
        // Often, so that it meets something that the node reads.
        let rots = |n: u64| Fault { at_ms: 38_000 + 200 * n, kind: Kind::StateRots { node: 0 } };
        scenario.faults = (0..10).map(rots).collect();
        scenario.heal_ms = 45_000;
        let report = run(&scenario);
        let seen = broken(&report).contains(&"the chain goes on");
        assert!(seen, "two of three are no quorum, and nobody saw it\n{}", report.story());
        assert_eq!(report.statistics.jailed_quorums, 0, "nobody was jailed: it is no excuse");
    }
}
