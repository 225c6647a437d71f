//! What must hold of waits.
//!
//! | claim | checked |
//! |---|---|
//! | a run waits for something that comes: no event that a wait asks for passes it by | every open run, every block |
//! | a wait takes what it asks for: that event, those keys, since its run began | every written run |
//! | a wait lasts as long as its file says | every wait that begins, every one that times out |

use althing_ledger::{RunChange, RunRecord, RunStep};
use althing_types::{Hash, StepPlan, StepStatus, TimeMs, Wait};
use althing_workflow::{StepPhase, StepRun, matches};

use super::Auditor;
use super::events::Valid;

impl Auditor {
    /// Takes in which steps were given which events.
    pub(super) fn events_taken(&mut self, changes: &[RunChange]) {
        let taken = changes.iter().filter_map(|change| match change.step {
            RunStep::Took { step, event } => Some((change.run, step, event)),
            _ => None,
        });
        self.runs.taken.extend(taken);
    }

    /// Whether a step still waits, although an event that it asks for has come since the run began, and
    /// was not given to it.
    pub(super) fn has_missed(&self, record: &RunRecord, index: u16, planned: &StepPlan) -> bool {
        let Some(wait) = planned.wait.as_ref() else { return false };
        let step = record.run.steps.get(usize::from(index));
        let until = step.and_then(|step| step.wait_until);
        let in_time = |at: TimeMs| until.is_none_or(|until| at < until);
        let given =
            |key: &Hash| wait.conditional && self.runs.taken.contains(&(record.id, index, *key));
        let Some(filter) = record.run.resolve(&wait.filter) else { return false };
        let mut valid = self.events.valid.iter();
        valid.any(|(key, valid)| {
            in_time(valid.decided_at)
                && is_asked_for(record, (wait, &filter), (key, valid))
                && !given(key)
        })
    }

    /// What is wrong with how a step waits or has waited. `before` is the step as it was, if it was there.
    pub(super) fn waits_wrongly(
        &self,
        record: &RunRecord,
        (before, now): (Option<&StepRun>, &StepRun),
        planned: &StepPlan,
        time: TimeMs,
    ) -> Option<(&'static str, String)> {
        const TAKES: &str = "a wait takes what it asks for";
        const LASTS: &str = "a wait lasts as long as its file says";
        let wait = planned.wait.as_ref()?;
        let took = before.and_then(|before| before.awaited.as_ref()).map(|event| event.key);
        if let Some(event) = now.awaited.as_ref().filter(|event| Some(event.key) != took) {
            let (valid, key) = (self.events.valid.get(&event.key), &event.key);
            let filter = record.run.resolve(&wait.filter);
            let fits = filter
                .zip(valid)
                .is_some_and(|(filter, valid)| is_asked_for(record, (wait, &filter), (key, valid)));
            if !fits {
                return Some((TAKES, format!("it was given {}: {valid:?}", event.key)));
            }
        }
        let phase = before.map_or(&StepPhase::Idle, |before| &before.phase);
        match (phase, &now.phase) {
            (StepPhase::Idle, StepPhase::Waiting) => {
                let until = (wait.timeout_ms > 0).then(|| time.after(wait.timeout_ms));
                (now.wait_until != until)
                    .then(|| (LASTS, format!("until {:?}, not {until:?}", now.wait_until)))
            }
            (StepPhase::Waiting, StepPhase::Ended(end)) if end.status == StepStatus::Timeout => {
                let until = before.and_then(|before| before.wait_until);
                until
                    .is_none_or(|until| time < until)
                    .then(|| (LASTS, format!("it timed out at {time:?}, and was until {until:?}")))
            }
            _ => None,
        }
    }
}

/// Whether an event is one that a step of a run waits for, by the step's file and not by any index.
fn is_asked_for(
    record: &RunRecord,
    (wait, filter): (&Wait, &[(u8, Hash)]),
    (key, valid): (&Hash, &Valid),
) -> bool {
    valid.decided_at >= record.started_at
        && valid.name == wait.event
        && matches(filter, &valid.keys)
        && record.event_key != Some(*key)
}
