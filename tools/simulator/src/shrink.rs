//! Makes a failing scenario smaller, as long as the same claim is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::auditor::Violation;
use crate::report::{Report, Statistics};
use crate::scenario::{Fault, Part, Scenario};
use crate::simulation::Simulation;

/// Runs of a shrinking, at most.
const RUNS_MAX: usize = 200;

/// Runs a scenario; a panic anywhere in it is a broken claim too.
#[must_use]
pub fn run(scenario: &Scenario) -> Report {
    let guarded = AssertUnwindSafe(|| Simulation::run(scenario.clone()));
    catch_unwind(guarded).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        let violation = Violation { claim: "nothing panics", at_us: 0, what: text };
        Report {
            scenario: scenario.clone(),
            trace: althing_types::Hash::ZERO,
            violations: vec![violation],
            statistics: Statistics::default(),
            lines: Vec::new(),
        }
    })
}

/// The smallest scenario that was found to break the same claim as `failing` does.
#[must_use]
pub fn shrink(failing: &Report) -> Report {
    let Some(claim) = failing.violations.first().map(|violation| violation.claim) else {
        return failing.clone();
    };
    let mut best = failing.clone();
    let mut runs = 0;
    loop {
        let before = runs;
        let mut smaller = None;
        for candidate in candidates(&best.scenario) {
            if runs >= RUNS_MAX {
                return best;
            }
            runs += 1;
            let report = run(&candidate);
            if report.violations.first().is_some_and(|violation| violation.claim == claim) {
                smaller = Some(report);
                break;
            }
        }
        match smaller {
            Some(report) if runs > before => best = report,
            _ => return best,
        }
    }
}

/// Smaller scenarios, the boldest first.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut candidates = Vec::new();
    let faults = scenario.faults.len();
    let without = |range: std::ops::Range<usize>| {
        let kept: Vec<Fault> = scenario
            .faults
            .iter()
            .enumerate()
            .filter(|(place, _)| !range.contains(place))
            .map(|(_, fault)| *fault)
            .collect();
        Scenario { faults: kept, ..scenario.clone() }
    };
    let mut length = faults;
    while length > 0 {
        for start in (0..faults).step_by(length) {
            candidates.push(without(start..(start + length).min(faults)));
        }
        length /= 2;
    }
    for (node, part) in scenario.parts.iter().enumerate() {
        if !part.is_honest() {
            let mut parts = scenario.parts.clone();
            if let Some(part) = parts.get_mut(node) {
                *part = Part::HONEST;
            }
            candidates.push(Scenario { parts, ..scenario.clone() });
        }
    }
    let last = scenario.faults.last().map_or(0, |fault| fault.at_ms);
    let heal_ms = (last + 16_000).min(scenario.heal_ms);
    if heal_ms < scenario.heal_ms {
        candidates.push(Scenario { heal_ms, ..scenario.clone() });
    }
    if scenario.user_every_ms < 60_000 {
        let user_every_ms = scenario.user_every_ms * 4;
        candidates.push(Scenario { user_every_ms, ..scenario.clone() });
    }
    candidates
}
