//! The three rules and the bounds of a plan.
//!
//! What needs other records (services, their tasks, events, statuses and prices, other
//! applications) is checked by the ledger when an application is deployed.

use althing_types::{
    Action, Filter, KEYS_MAX, KeySource, Plan, STEPS_MAX, StepPlan, StepStatus, YIELDS_MAX,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::graph;

/// Most ends that a step hangs on, and most `returns`.
const ENDS_MAX: usize = 64;
/// Most attempts after the first.
const RETRIES_MAX: u16 = 100;
/// Longest wait, time limit or backoff: ten years, in milliseconds.
const TIME_MS_MAX: u64 = 10 * 366 * 86_400_000;

/// Why a graph is not a plan. Steps count from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, BorshSerialize, BorshDeserialize)]
pub enum NotAPlan {
    /// None, or more than the bound.
    #[error("a plan has 1 to {STEPS_MAX} steps")]
    StepCount,
    /// Rule 1: the first step hangs on the trigger, and on nothing else.
    #[error("the first step hangs on the trigger alone")]
    FirstStep,
    /// Rule 2: every later step hangs on at least one end.
    #[error("step {step} hangs on no end of an earlier step")]
    Loose {
        /// The step.
        step: u16,
    },
    /// An end of a step that is not earlier.
    #[error("step {step} hangs on a step that is not earlier")]
    NotEarlier {
        /// The step.
        step: u16,
    },
    /// More ends than the bound, or one of them twice.
    #[error("step {step} names an end twice, or too many")]
    Ends {
        /// The step.
        step: u16,
    },
    /// Two steps of one name.
    #[error("step {step} has the name of an earlier one")]
    SameName {
        /// The step.
        step: u16,
    },
    /// A key number that no event has, or one twice, or a source that is not there.
    #[error("a filter of step {step} is not acceptable")]
    Filter {
        /// The step; zero for the trigger too.
        step: u16,
    },
    /// Two statuses `All` of which a step would need of one other step.
    #[error("step {step} asks one step to end in two ways at once")]
    Impossible {
        /// The step.
        step: u16,
    },
    /// An application's step cannot have conditions, keys, checkers or nodes of its own.
    #[error("step {step} uses an application and has what only a task has")]
    TaskOnly {
        /// The step.
        step: u16,
    },
    /// A number is above its bound.
    #[error("a number of step {step} is above its bound")]
    Bound {
        /// The step.
        step: u16,
    },
    /// A `returns` that names no step's end, or a name twice.
    #[error("a returns is not acceptable")]
    Returns,
}

fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// Checks a plan for itself.
///
/// # Errors
///
/// [`NotAPlan`], the first rule or bound that it breaks.
pub fn check(plan: &Plan) -> Result<(), NotAPlan> {
    if plan.steps.is_empty() || plan.steps.len() > STEPS_MAX {
        return Err(NotAPlan::StepCount);
    }
    let constant = |filter: &Filter| matches!(filter.value, KeySource::Constant(_));
    let distinct = are_distinct(&plan.trigger.filter);
    let lost = plan.trigger.event.is_none() && !plan.trigger.filter.is_empty();
    if !distinct || lost || !plan.trigger.filter.iter().all(constant) {
        return Err(NotAPlan::Filter { step: 0 });
    }
    for index in 0..plan.steps.len() {
        check_step(plan, index)?;
    }
    check_returns(plan)
}

fn check_step(plan: &Plan, index: usize) -> Result<(), NotAPlan> {
    let step = number(index);
    let Some(this) = plan.steps.get(index) else { return Err(NotAPlan::StepCount) };
    if plan.steps.iter().take(index).any(|earlier| earlier.id == this.id) {
        return Err(NotAPlan::SameName { step });
    }
    let ends = &this.after.ends;
    if index == 0 {
        if !ends.is_empty() || this.wait.is_some() {
            return Err(NotAPlan::FirstStep);
        }
    } else if ends.is_empty() {
        return Err(NotAPlan::Loose { step });
    }
    if ends.iter().any(|end| end.step >= step) {
        return Err(NotAPlan::NotEarlier { step });
    }
    let twice = ends.iter().enumerate().any(|(at, end)| ends.iter().take(at).any(|e| e == end));
    if ends.len() > ENDS_MAX || twice {
        return Err(NotAPlan::Ends { step });
    }
    let one_step_twice =
        ends.iter().enumerate().any(|(at, end)| ends.iter().take(at).any(|e| e.step == end.step));
    if this.after.mode == althing_types::Join::All && one_step_twice {
        return Err(NotAPlan::Impossible { step });
    }
    check_numbers(this, step)?;
    check_action(plan, this, step)?;
    check_wait(plan, this, step)
}

fn check_numbers(this: &StepPlan, step: u16) -> Result<(), NotAPlan> {
    let times = [
        this.timeout_ms,
        this.retry.backoff_ms,
        this.wait.as_ref().map_or(0, |wait| wait.timeout_ms),
    ];
    let fits = usize::from(this.yields) <= YIELDS_MAX
        && this.retry.max <= RETRIES_MAX
        && times.iter().all(|time| *time <= TIME_MS_MAX);
    if fits { Ok(()) } else { Err(NotAPlan::Bound { step }) }
}

fn check_action(plan: &Plan, this: &StepPlan, step: u16) -> Result<(), NotAPlan> {
    match &this.action {
        Action::Task { .. } => Ok(()),
        Action::Application { .. } => {
            let conditional = (step == 0 && plan.trigger.conditional)
                || this.wait.as_ref().is_some_and(|wait| wait.conditional);
            let plain =
                this.yields == 0 && this.checkers == 0 && this.quorum == 0 && this.nodes.is_empty();
            if conditional || !plain { Err(NotAPlan::TaskOnly { step }) } else { Ok(()) }
        }
    }
}

fn check_wait(plan: &Plan, this: &StepPlan, step: u16) -> Result<(), NotAPlan> {
    let Some(wait) = &this.wait else { return Ok(()) };
    let ancestors = graph::ancestors(plan, step);
    let known = |filter: &Filter| match filter.value {
        KeySource::Constant(_) => true,
        KeySource::Trigger(key) => plan.trigger.event.is_some() && usize::from(key) < KEYS_MAX,
        KeySource::Yielded { step, index } => {
            ancestors.contains(&step)
                && plan.steps.get(usize::from(step)).is_some_and(|by| index < by.yields)
        }
    };
    if are_distinct(&wait.filter) && wait.filter.iter().all(known) {
        Ok(())
    } else {
        Err(NotAPlan::Filter { step })
    }
}

fn are_distinct(filter: &[Filter]) -> bool {
    let twice =
        filter.iter().enumerate().any(|(at, f)| filter.iter().take(at).any(|e| e.key == f.key));
    !twice && filter.iter().all(|part| usize::from(part.key) < KEYS_MAX)
}

fn check_returns(plan: &Plan) -> Result<(), NotAPlan> {
    let returns = &plan.returns;
    let twice =
        returns.iter().enumerate().any(|(at, r)| returns.iter().take(at).any(|e| e.name == r.name));
    let reserved = |name: &str| matches!(name, "error" | "timeout");
    let there = returns
        .iter()
        .all(|r| usize::from(r.from.step) < plan.steps.len() && !reserved(r.name.as_str()));
    if returns.len() > ENDS_MAX || twice || !there { Err(NotAPlan::Returns) } else { Ok(()) }
}

/// Whether a step can end so at all: by its own plan, without looking at its task.
#[must_use]
pub(crate) fn can_time_out(step: &StepPlan) -> bool {
    step.timeout_ms > 0 || step.wait.as_ref().is_some_and(|wait| wait.timeout_ms > 0)
}

/// Whether `status` is one that every task has, and the step can reach.
#[must_use]
pub fn is_own_status(step: &StepPlan, status: &StepStatus) -> bool {
    match status {
        StepStatus::Error => true,
        StepStatus::Timeout => can_time_out(step),
        StepStatus::Returned(_) => false,
    }
}
