//! What is derived from a run, never written: the status of its branches, and its own.

use alloc::vec::Vec;

use althing_types::{End, EventName, Name, Plan, StepStatus};

use crate::graph::is_followed;
use crate::run::{Run, RunEnd, StepPhase};

/// Most branches that are listed: joins can multiply paths.
pub const BRANCHES_MAX: usize = 256;

/// All branches of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branches {
    /// In the order of the file.
    pub branches: Vec<Branch>,
    /// Whether there are more than [`BRANCHES_MAX`].
    pub truncated: bool,
}

/// A path from the first step to one that nothing hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The steps, from the first on.
    pub steps: Vec<u16>,
    /// How far it is.
    pub status: BranchStatus,
}

/// How far a branch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchStatus {
    /// Something is under way.
    Running,
    /// It waits for an event.
    Waiting {
        /// The step that waits.
        step: u16,
        /// The event.
        event: EventName,
    },
    /// A step cannot be paid.
    OutOfFunds {
        /// The step.
        step: u16,
    },
    /// Its last step returned; or an earlier one with its main status or one that the application
    /// returns, and nothing hangs on that.
    Done(StepStatus),
    /// A step ended in another way that nothing hangs on.
    Dead {
        /// The step.
        step: u16,
        /// How it ended.
        status: StepStatus,
    },
    /// The run went another way.
    NotTaken,
    /// The run ended before the branch did.
    Stopped,
}

/// What a run's branches come to together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Something is under way.
    Running,
    /// It waits for events, and for nothing else.
    Waiting,
    /// It lacks money; it goes on when a step is repeated after a deposit.
    OutOfFunds,
    /// A step failed and nothing hangs on that.
    Failed,
    /// All branches have ended, at least one of them well.
    Done,
    /// All branches have ended, none of them well.
    Dead,
    /// The condition of the trigger was false.
    Skipped,
    /// The owner ended it.
    Cancelled,
}

impl RunStatus {
    /// As people see it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::OutOfFunds => "out of funds",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Branches {
    /// Derives the branches of a run, of whose steps nobody says which status is the main one.
    #[must_use]
    pub fn of(plan: &Plan, run: &Run) -> Self {
        Self::with(plan, run, &[])
    }

    /// Derives the branches of a run. `mains` are the main statuses of its steps, as far as known: the
    /// plan does not say them.
    #[must_use]
    pub fn with(plan: &Plan, run: &Run, mains: &[Option<Name>]) -> Self {
        let mut branches = Vec::new();
        let mut truncated = false;
        let mut open: Vec<Vec<u16>> = alloc::vec![alloc::vec![0]];
        while let Some(path) = open.pop() {
            if branches.len() >= BRANCHES_MAX {
                truncated = true;
                break;
            }
            let next = path.last().map_or_else(Vec::new, |last| successors(plan, *last));
            if next.is_empty() {
                let status = status(plan, run, mains, &path);
                branches.push(Branch { steps: path, status });
                continue;
            }
            for step in next.into_iter().rev() {
                let mut longer = path.clone();
                longer.push(step);
                open.push(longer);
            }
        }
        Self { branches, truncated }
    }

    /// What they come to together.
    #[must_use]
    pub fn status(&self, run: &Run) -> RunStatus {
        match run.end {
            Some(RunEnd::Skipped) => return RunStatus::Skipped,
            Some(RunEnd::OutOfFunds) => return RunStatus::OutOfFunds,
            Some(RunEnd::Cancelled) => return RunStatus::Cancelled,
            Some(RunEnd::Completed { .. }) | None => {}
        }
        let any = |wanted: fn(&BranchStatus) -> bool| {
            self.branches.iter().any(|branch| wanted(&branch.status))
        };
        let failed = |status: &BranchStatus| {
            matches!(status, BranchStatus::Dead { status: StepStatus::Error, .. })
        };
        if any(|status| matches!(status, BranchStatus::Running)) {
            RunStatus::Running
        } else if any(|status| matches!(status, BranchStatus::OutOfFunds { .. })) {
            RunStatus::OutOfFunds
        } else if any(|status| matches!(status, BranchStatus::Waiting { .. })) {
            RunStatus::Waiting
        } else if any(failed) {
            RunStatus::Failed
        } else if any(|status| matches!(status, BranchStatus::Done(_))) {
            RunStatus::Done
        } else {
            RunStatus::Dead
        }
    }
}

fn successors(plan: &Plan, step: u16) -> Vec<u16> {
    let hangs = |later: &althing_types::StepPlan| later.after.ends.iter().any(|e| e.step == step);
    let steps = plan.steps.iter().enumerate().filter(|(_, later)| hangs(later));
    steps.filter_map(|(index, _)| u16::try_from(index).ok()).filter(|next| *next > step).collect()
}

fn status(plan: &Plan, run: &Run, mains: &[Option<Name>], path: &[u16]) -> BranchStatus {
    let mut next = path.iter().skip(1);
    for step in path {
        let next = next.next();
        let Some(known) = run.step(*step) else { return BranchStatus::NotTaken };
        let under_way = |status| if run.end.is_some() { BranchStatus::Stopped } else { status };
        match &known.phase {
            StepPhase::Ended(ending) => {
                let end = End { step: *step, status: ending.status.clone() };
                let Some(next) = next else { return last(end) };
                let on = plan.steps.get(usize::from(*next));
                if on.is_some_and(|next| next.after.ends.contains(&end)) {
                    continue;
                }
                if is_followed(plan, &end) {
                    return BranchStatus::NotTaken;
                }
                return if is_arrival(plan, mains, &end) {
                    BranchStatus::Done(end.status)
                } else {
                    BranchStatus::Dead { step: *step, status: end.status }
                };
            }
            StepPhase::NotTaken => return BranchStatus::NotTaken,
            StepPhase::Waiting => {
                let event = plan.steps.get(usize::from(*step)).and_then(|s| s.wait.as_ref());
                return under_way(event.map_or(BranchStatus::Running, |wait| {
                    BranchStatus::Waiting { step: *step, event: wait.event.clone() }
                }));
            }
            StepPhase::Short { .. } | StepPhase::Child { short: true, .. } => {
                return under_way(BranchStatus::OutOfFunds { step: *step });
            }
            StepPhase::Idle
            | StepPhase::Working { .. }
            | StepPhase::Resting { .. }
            | StepPhase::Child { .. } => return under_way(BranchStatus::Running),
        }
    }
    BranchStatus::NotTaken
}

/// Whether a branch may well end here, although steps hang on other ends of the same step: with the
/// step's main status, or with what the application returns. If the main status is not known, other
/// steps may only hang on the step's failures.
fn is_arrival(plan: &Plan, mains: &[Option<Name>], end: &End) -> bool {
    let StepStatus::Returned(name) = &end.status else { return false };
    if plan.returns.iter().any(|returned| returned.from == *end) {
        return true;
    }
    match mains.get(usize::from(end.step)).and_then(Option::as_ref) {
        Some(main) => main == name,
        None => {
            !plan.steps.iter().flat_map(|step| &step.after.ends).any(|other| {
                other.step == end.step && matches!(other.status, StepStatus::Returned(_))
            })
        }
    }
}

fn last(end: End) -> BranchStatus {
    match end.status {
        StepStatus::Returned(_) => BranchStatus::Done(end.status),
        StepStatus::Error | StepStatus::Timeout => {
            BranchStatus::Dead { step: end.step, status: end.status }
        }
    }
}
