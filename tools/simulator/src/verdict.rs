//! What must hold at the end, once the network was well for long enough.

use althing_ledger::{ValidatorStatus, query};
use althing_replica::Subject;
use althing_types::{Address, Hash};
use althing_workflow::RunStatus;

use crate::auditor::Auditor;
use crate::scenario::Scenario;
use crate::setting;
use crate::simulation::Simulation;

/// How far sound nodes may be apart in the end, in blocks.
const APART_MAX: u64 = 5;
/// How many blocks the calm must have brought in a hundred seconds, where everybody is honest.
const HEIGHTS_MIN_PER_100_S: u64 = 60;
/// The same where some are not: absent proposers cost a timeout each.
const HEIGHTS_MIN_PER_100_S_DISHONEST: u64 = 10;

/// How long an acknowledged observation may be on its way once the network is well, in microseconds.
const PROMISE_US: u64 = 30_000_000;
/// How long a run may stay as it is where everybody is sound and the network is well, in microseconds: a step
/// that uses an application stays while that one's two waits and few steps, some of them repeated, take place.
/// A run moves a bounded number of times, so one that moves on ends.
const RUN_US_MAX: u64 = 100_000_000;

/// Judges a simulation whose time is over.
pub(crate) fn at_the_end(simulation: &mut Simulation) {
    let now_us = simulation.now_us();
    let mut broken: Vec<(&'static str, String)> = Vec::new();
    memory(simulation, &mut broken);
    if is_without_a_quorum(simulation) {
        // A limit of the promise, not a break of it: see `docs/simulator.md`.
        simulation.statistics.jailed_quorums += 1;
        for (claim, what) in broken {
            simulation.auditor.violated(claim, now_us, what);
        }
        return;
    }
    progress(simulation, &mut broken);
    ends(simulation.scenario(), &simulation.auditor, now_us, &mut broken);
    promises(simulation, now_us, &mut broken);
    runs(simulation, now_us, &mut broken);
    for user in simulation.users() {
        if let Some(pending) = &user.pending
            && now_us > pending.since_us + 60_000_000
        {
            let what = format!(
                "a transaction of user {} waits since {:.1} s",
                user.number,
                pending.since_us as f64 / 1e6
            );
            broken.push(("a transaction gets in once the network is well", what));
        }
    }
    for (claim, what) in broken {
        simulation.auditor.violated(claim, now_us, what);
    }
}

/// Whether the sound nodes are no quorum of the set in force, only because some of them are jailed: who is
/// jailed needs a block to return, and there is none if others are then lost for good. Never for the loss
/// of a single one: absence takes nobody without whom that could not be borne.
fn is_without_a_quorum(simulation: &Simulation) -> bool {
    let scenario = simulation.scenario();
    let is_sound = |address: &Address| {
        simulation.nodes.iter().any(|n| n.address() == *address && scenario.is_sound(n.key))
    };
    let view = simulation.auditor.state();
    let set = query::next_validators(view).unwrap_or_default();
    let (mut present, mut all, mut lost) = (0_u128, 0_u128, 0);
    for member in set.members() {
        all += u128::from(member.power);
        if is_sound(&member.address) {
            present += u128::from(member.power);
        } else {
            lost += 1;
        }
    }
    let jailed = query::validators(view, 1_000).unwrap_or_default().into_iter();
    let jailed = jailed.filter(|(address, record)| {
        is_sound(address) && matches!(record.status, ValidatorStatus::Jailed { .. })
    });
    let jailed: u128 = jailed.map(|(_, r)| u128::from(r.bonded.whole_tokens())).sum();
    let is_quorum = |part: u128, all: u128| part * 3 > all * 2;
    lost > 1 && !is_quorum(present, all) && is_quorum(present + jailed, all + jailed)
}

fn progress(simulation: &Simulation, broken: &mut Vec<(&'static str, String)>) {
    let scenario = simulation.scenario();
    let highest = simulation.auditor.height();
    for (number, node) in simulation.nodes.iter().enumerate() {
        if !scenario.is_sound(node.key) {
            continue;
        }
        let Some(running) = &node.running else {
            broken.push(("a sound node runs in the end", format!("node {number} does not")));
            continue;
        };
        let tip = running.reader().head().tip.height;
        if tip.until(highest) > APART_MAX {
            let what = format!("node {number} is at {tip}, others at {highest}");
            broken.push(("everybody catches up", what));
        }
    }
    let all_sound = (0..scenario.parts.len()).all(|node| scenario.is_sound(node));
    let least = if all_sound { HEIGHTS_MIN_PER_100_S } else { HEIGHTS_MIN_PER_100_S_DISHONEST };
    let least = scenario.calm_ms * least / 100_000;
    let healed_at = simulation.healed_at.unwrap_or_default();
    if healed_at.until(highest) < least {
        let standing = |(number, node): (usize, &crate::node::Node)| {
            let standing = node.running.as_ref().map(crate::node::Running::standing);
            format!("node {number}: {}", standing.unwrap_or_else(|| "not running".to_owned()))
        };
        let nodes: Vec<String> = simulation.nodes.iter().enumerate().map(standing).collect();
        let what =
            format!("from height {healed_at} to {highest} in the calm; {}", nodes.join("; "));
        broken.push(("the chain goes on", what));
    }
}

fn ends(
    scenario: &Scenario,
    auditor: &Auditor,
    now_us: u64,
    broken: &mut Vec<(&'static str, String)>,
) {
    let bound_us = setting::execution_ms_max() * 1_000;
    for (execution, since_us) in auditor.open() {
        let counted_from_us = since_us.max(scenario.heal_ms * 1_000);
        if now_us > counted_from_us + bound_us {
            let what = format!(
                "{} is {:?} in round {} since {:.1} s",
                execution.id,
                execution.phase,
                execution.round,
                since_us as f64 / 1e6
            );
            broken.push(("every execution ends within its bound", what));
        }
    }
}

/// Every sound node still has everything that anybody was told.
fn memory(simulation: &Simulation, broken: &mut Vec<(&'static str, String)>) {
    const CLAIM: &str = "what was acknowledged stays";
    let scenario = simulation.scenario();
    let file = |hash: &Hash| simulation.nodes.iter().find_map(|node| node.disk.blobs.get(hash));
    broken.extend(simulation.auditor.lost_outputs(file));
    for (number, node) in simulation.nodes.iter().enumerate() {
        let Some(running) = node.running.as_ref().filter(|_| scenario.is_sound(node.key)) else {
            continue;
        };
        let reader = running.reader();
        let tip = reader.head().tip.height;
        for (hash, height) in &simulation.auditor.acknowledged {
            let here = reader.archived(&Subject::Transaction(*hash)).ok().flatten();
            if *height <= tip && here.is_none_or(|archived| archived.height != *height) {
                broken.push((CLAIM, format!("node {number} has lost transaction {hash}")));
            }
        }
        for (id, settled) in &simulation.auditor.settled {
            let here: Option<_> = reader.execution(id).ok().flatten();
            if settled.changed <= tip && here.as_ref() != Some(settled) {
                broken.push((CLAIM, format!("node {number} has another end of {}", short(id))));
            }
        }
        let view = reader.view();
        let validator = query::validator(&view, &node.address()).ok().flatten();
        if validator.is_none() {
            broken.push((CLAIM, format!("node {number} has lost its own validator record")));
        }
    }
}

/// Observations that a sound node has acknowledged have reached the ledger.
fn promises(simulation: &Simulation, now_us: u64, broken: &mut Vec<(&'static str, String)>) {
    let scenario = simulation.scenario();
    for (number, node) in simulation.nodes.iter().enumerate() {
        if !scenario.is_sound(node.key) {
            continue;
        }
        for (event, at_us) in simulation.auditor.unkept(number, node.address()) {
            if now_us > at_us.max(scenario.heal_ms * 1_000) + PROMISE_US {
                let what = format!(
                    "node {number} has acknowledged {event} at {:.1} s",
                    at_us as f64 / 1e6
                );
                broken.push(("an acknowledged event reaches the ledger", what));
            }
        }
    }
}

/// Runs have ended, or say what they lack.
fn runs(simulation: &Simulation, now_us: u64, broken: &mut Vec<(&'static str, String)>) {
    const CLAIM: &str = "every run ends, or moves on within its bound";
    let scenario = simulation.scenario();
    let all_sound = (0..scenario.parts.len()).all(|node| scenario.is_sound(node));
    let runs = &simulation.auditor.runs;
    for (record, moved_us) in runs.open() {
        let status = runs.status(record);
        let what = || format!("{} is {status:?} since {:.1} s", record.id, moved_us as f64 / 1e6);
        match status {
            Some(RunStatus::Failed) => {}
            Some(RunStatus::OutOfFunds) if !runs.lasts(record) => {}
            Some(RunStatus::Running | RunStatus::Waiting) => {
                let counted_from_us = moved_us.max(scenario.heal_ms * 1_000);
                if all_sound && now_us > counted_from_us + RUN_US_MAX {
                    broken.push((CLAIM, what()));
                }
            }
            Some(
                RunStatus::OutOfFunds
                | RunStatus::Done
                | RunStatus::Dead
                | RunStatus::Skipped
                | RunStatus::Cancelled,
            )
            | None => broken.push((CLAIM, what())),
        }
    }
}

fn short(hash: &Hash) -> String {
    hash.to_string().chars().take(12).collect()
}
