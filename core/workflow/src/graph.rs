//! How steps hang on one another.

use alloc::vec::Vec;

use althing_types::{End, Join, Plan};

use crate::{Run, StepPhase};

/// Whether what a step hangs on has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It may begin.
    Reached,
    /// It may still come.
    Open,
    /// It will not come.
    Unreachable,
}

/// The steps that a step hangs on, directly or through others, ascending.
#[must_use]
pub fn ancestors(plan: &Plan, step: u16) -> Vec<u16> {
    let mut found: Vec<u16> = Vec::new();
    let mut open = alloc::vec![step];
    while let Some(next) = open.pop() {
        let Some(step) = plan.steps.get(usize::from(next)) else { continue };
        for end in &step.after.ends {
            if end.step < next && !found.contains(&end.step) {
                found.push(end.step);
                open.push(end.step);
            }
        }
    }
    found.sort_unstable();
    found
}

/// Whether a step may begin. Only earlier steps count, so one pass in order settles them all.
pub(crate) fn joined(plan: &Plan, run: &Run, step: usize) -> Joined {
    let Some(after) = plan.steps.get(step).map(|plan| &plan.after) else {
        return Joined::Unreachable;
    };
    let fates: Vec<Joined> = after.ends.iter().map(|end| fate(run, end)).collect();
    let (all, any) = match after.mode {
        Join::All => (Joined::Reached, Joined::Unreachable),
        Join::Any => (Joined::Unreachable, Joined::Reached),
    };
    if fates.contains(&any) {
        any
    } else if fates.iter().all(|fate| *fate == all) {
        all
    } else {
        Joined::Open
    }
}

fn fate(run: &Run, end: &End) -> Joined {
    match run.step(end.step).map(|step| &step.phase) {
        Some(StepPhase::Ended(ending)) if ending.status == end.status => Joined::Reached,
        Some(StepPhase::Ended(_) | StepPhase::NotTaken) | None => Joined::Unreachable,
        Some(
            StepPhase::Idle
            | StepPhase::Waiting
            | StepPhase::Working { .. }
            | StepPhase::Resting { .. }
            | StepPhase::Child { .. }
            | StepPhase::Short { .. },
        ) => Joined::Open,
    }
}

/// Whether a step that ended so has successors.
pub(crate) fn is_followed(plan: &Plan, end: &End) -> bool {
    plan.steps.iter().any(|step| step.after.ends.contains(end))
}
