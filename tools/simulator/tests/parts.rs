//! Each dishonest part alone, and what the network does about it.

use althing_simulator::scenario::{Fault, Kind, Part, Voting, Work};
use althing_simulator::shrink::run;
use althing_simulator::{Report, Scenario};

/// Five nodes, of which the last plays a part.
fn with(part: Part) -> Report {
    let mut scenario = Scenario::calm(7, 5);
    scenario.parts[4] = part;
    scenario.checkers = vec![2, 3];
    scenario.user_every_ms = 700;
    let report = run(&scenario);
    assert!(report.is_well(), "{}", report.story());
    report
}

fn at_work(work: Work) -> Report {
    with(Part { work, ..Part::HONEST })
}

fn in_consensus(voting: Voting) -> Report {
    with(Part { voting, ..Part::HONEST })
}

fn fined(report: &Report, offence: &str) -> u64 {
    report.statistics.fines.get(offence).copied().unwrap_or(0)
}

#[test]
fn an_honest_network_fines_nobody() {
    let report = with(Part::HONEST);
    assert!(report.statistics.fines.is_empty(), "{:?}", report.statistics.fines);
    assert!(report.statistics.ends.keys().all(|end| *end == "accepted"), "{}", report.story());
    assert!(report.statistics.acknowledged > 100);
}

#[test]
fn a_liar_is_fined_for_wrong_results_and_wrong_checks() {
    let report = at_work(Work::Liar(100));
    assert!(fined(&report, "wrong result") > 0);
    assert!(fined(&report, "wrong check") > 0);
}

#[test]
fn a_copier_is_fined_for_forged_seals() {
    assert!(fined(&at_work(Work::Copier), "forged seal") > 0);
}

#[test]
fn a_mute_node_is_fined_for_absence_and_its_work_is_done_by_others() {
    let report = at_work(Work::Mute);
    assert!(fined(&report, "absence") > 0);
    assert!(report.statistics.steps.get("reassigned").is_some_and(|n| *n > 0));
}

#[test]
fn who_never_opens_is_fined_for_withholding() {
    assert!(fined(&at_work(Work::Withholder), "withheld") > 0);
}

#[test]
fn who_opens_late_is_fined_when_it_is_too_late() {
    assert!(fined(&at_work(Work::LateRevealer), "withheld") > 0);
}

#[test]
fn an_equivocating_voter_is_convicted() {
    let report = in_consensus(Voting::Equivocator);
    assert_eq!(report.statistics.convicted, 1, "{}", report.story());
}

#[test]
fn twins_under_one_key_are_convicted() {
    let report = in_consensus(Voting::Twins);
    assert_eq!(report.statistics.convicted, 1, "{}", report.story());
}

#[test]
fn withheld_proposals_grinding_spam_and_silence_cost_rounds_and_nothing_else() {
    let parts =
        [Voting::Withholder, Voting::Grinder, Voting::Spammer, Voting::Spoiler, Voting::Mute];
    for voting in parts {
        let report = in_consensus(voting);
        assert_eq!(report.statistics.convicted, 0, "{}", report.story());
        let accepted = report.statistics.ends.get("accepted").copied().unwrap_or(0);
        assert!(accepted > 50, "{voting:?}: {accepted} executions accepted");
    }
}

#[test]
fn two_who_spoil_bodies_cost_rounds_and_nothing_else() {
    let mut scenario = Scenario::calm(7, 7);
    for part in &mut scenario.parts[5..] {
        part.voting = Voting::Spoiler;
    }
    (scenario.heal_ms, scenario.calm_ms) = (20_000, 20_000);
    let report = run(&scenario);
    assert!(report.is_well(), "{}", report.story());
    let events = report.statistics.events;
    assert!(events < 1_000_000, "{events} events: what one has spoiled, the other passes on");
}

#[test]
fn a_clock_that_is_an_hour_wrong_costs_a_node_its_votes_but_not_the_chain() {
    for by_ms in [-3_600_000, 3_600_000] {
        let mut scenario = Scenario::calm(3, 4);
        scenario.faults = vec![Fault { at_ms: 10_000, kind: Kind::ClockStep { node: 1, by_ms } }];
        // It ends while the clock is still wrong.
        (scenario.heal_ms, scenario.calm_ms) = (60_000, 1);
        let report = run(&scenario);
        assert!(report.is_well(), "{}", report.story());
        assert!(report.statistics.heights > 30, "{}", report.story());
    }
}
