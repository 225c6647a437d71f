//! Ledgers with a mistake: each must be seen by the check that is there for it. A check of keys, money or
//! waits that stays silent here is broken.

use althing_simulator::Scenario;
use althing_simulator::defect::Defect;
use althing_simulator::shrink::run;

const WAITS: &str = "a run waits for something that comes";
const TAKES: &str = "a wait takes what it asks for";
const LASTS: &str = "a wait lasts as long as its file says";
const LISTENS: &str = "an event starts every run that listens to it";
const CONSERVED: &str = "tokens are conserved";
const DEPOSITS: &str = "a deposit is spent on what its runs cost";
const PAYS: &str = "money that lasts pays for every step";
const LACKS: &str = "a step lacks money only where there is too little";

/// The first that is seen of a mistake breaks these claims, on each seed.
fn seen(defect: Defect, claims: &[&str]) {
    for seed in 0..4 {
        let scenario = Scenario {
            defect: Some(defect),
            outside_every_ms: 700,
            user_every_ms: 4_000,
            heal_ms: 60_000,
            ..Scenario::calm(seed, 4)
        };
        let report = run(&scenario);
        let broken: Vec<_> = report.violations.iter().map(|violation| violation.claim).collect();
        for claim in claims {
            assert!(broken.contains(claim), "not '{claim}' but\n{}", report.story());
        }
    }
}

#[test]
fn waits_that_events_do_not_find_by_their_keys_are_seen() {
    seen(Defect::WaitsUnderOtherKeys, &[WAITS]);
}

#[test]
fn applications_that_events_do_not_find_are_seen() {
    seen(Defect::ListenersUnderOtherKeys, &[LISTENS]);
}

#[test]
fn a_wait_that_is_given_an_event_with_other_keys_is_seen() {
    seen(Defect::GivesAnothersEvent, &[TAKES]);
}

#[test]
fn a_timeout_that_never_comes_is_seen() {
    seen(Defect::LosesDeadlines, &[WAITS]);
}

#[test]
fn a_wait_that_ends_too_early_is_seen() {
    seen(Defect::EndsWaitsEarly, &[LASTS]);
}

#[test]
fn a_refund_that_is_paid_twice_is_seen_to_make_money() {
    seen(Defect::RefundsTwice, &[CONSERVED, DEPOSITS]);
}

#[test]
fn a_refund_that_goes_to_somebody_else_is_seen() {
    seen(Defect::RefundsOthers, &[DEPOSITS]);
}

#[test]
fn a_step_that_is_refused_for_want_of_money_that_is_there_is_seen() {
    seen(Defect::RefusesMoney, &[PAYS, LACKS]);
}

#[test]
fn a_deposit_that_never_runs_out_is_seen() {
    seen(Defect::SpendsForNothing, &[DEPOSITS]);
}
