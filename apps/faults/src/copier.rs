//! Copies instead of working.

use std::collections::BTreeMap;

use althing_ledger::{Conclusion, Execution, MemberState, Role};
use althing_types::{
    Address, Claim, Failure, Hash, Name, Opening, Opinion, Outcome, Verification, tagged,
};
use althing_work::{Approach, Conduct, Finding};

/// Most tasks whose last answer is remembered.
const TASKS_MAX: usize = 1024;

/// Never runs a task. Where it has to seal, it waits for another member's seal and repeats it, and
/// opens it with what another member has opened. Where it has to answer openly, it repeats the last
/// answer to the task that it saw, or guesses that the task fails.
#[derive(Clone, Debug)]
pub struct Copier {
    seed: u64,
    node: Address,
    seen: BTreeMap<(Hash, Name), Outcome>,
}

impl Copier {
    /// The copier that `node` is; `seed` salts its openings.
    #[must_use]
    pub const fn new(seed: u64, node: Address) -> Self {
        Self { seed, node, seen: BTreeMap::new() }
    }

    fn others<'e>(&self, execution: &'e Execution) -> impl Iterator<Item = &'e MemberState> {
        let me = self.node;
        execution.committee().filter(move |member| member.node != me).map(|member| &member.state)
    }
}

impl Conduct for Copier {
    fn on_sight(&mut self, execution: &Execution) {
        let Some(Conclusion::Accepted(outcome)) = &execution.conclusion else { return };
        let task = (execution.service, execution.task.clone());
        if self.seen.len() < TASKS_MAX || self.seen.contains_key(&task) {
            self.seen.insert(task, outcome.clone());
        }
    }

    fn on_assignment(&mut self, execution: &Execution) -> Approach {
        let checks = execution.verification == Verification::Method
            && execution.member(&self.node).is_some_and(|member| member.role == Role::Checker);
        let claim = if checks {
            Claim::Opinion(Opinion::Valid)
        } else {
            let task = (execution.service, execution.task.clone());
            let guess = Outcome::Failed(Failure::GaveUp);
            Claim::Outcome(self.seen.get(&task).cloned().unwrap_or(guess))
        };
        Approach::Pretend(Finding { claim, output: None })
    }

    fn on_seal(&mut self, execution: &Execution, _honest: Hash) -> Option<Hash> {
        self.others(execution).find_map(|state| match state {
            MemberState::Sealed(commitment) => Some(*commitment),
            _ => None,
        })
    }

    fn on_reveal(&mut self, execution: &Execution, _fitting: Option<Opening>) -> Option<Opening> {
        let claim = self.others(execution).find_map(|state| match state {
            MemberState::Opened(claim)
                if execution.verification == Verification::Deterministic
                    || matches!(claim, Claim::Opinion(_)) =>
            {
                Some(claim.clone())
            }
            _ => None,
        })?;
        let salt = tagged("althing copier", &[&self.seed.to_be_bytes(), &execution.id.0]);
        Some(Opening { claim, salt })
    }
}
