//! The story of a run.

use althing_api::wire::{BranchStatus, Run, RunStatus, StepPhase, StepState, StepStatus};
use althing_types::Hash;

use crate::commands::run::EventNames;
use crate::moment::moment;

/// Why an execution ended as it did, if the node still knows.
pub(super) type Reasons<'a> = dyn Fn(&Hash) -> Option<String> + 'a;

/// What started it, what each step came to and why, and what the owner can do.
pub(super) fn tell(run: &Run, names: &EventNames<'_>, reasons: &Reasons<'_>) -> String {
    let cause = match (&run.event, &run.parent) {
        (Some(event), _) => format!("the event {event}"),
        (None, Some(parent)) => format!("step {} of the run {}", parent.step, parent.run),
        (None, None) => "nothing that is known".to_owned(),
    };
    let mut text = format!(
        "This run of {} was started by {cause} at {}.\n",
        run.alias,
        moment(run.started_at)
    );
    for step in &run.steps {
        if let Some(sentence) = sentence(run, step, names, reasons) {
            text.push_str(&sentence);
            text.push('\n');
        }
    }
    text.push_str(&format!("{}\nIt has cost {} so far.\n", whole(run), run.spent));
    text
}

fn sentence(
    run: &Run,
    step: &StepState,
    names: &EventNames<'_>,
    reasons: &Reasons<'_>,
) -> Option<String> {
    let name = &step.id;
    let is_begun =
        !matches!(step.phase, StepPhase::Idle | StepPhase::NotTaken | StepPhase::Ended { .. });
    // A run can end before its steps: nothing goes on in it any more.
    match run.status {
        RunStatus::Skipped if is_begun => return None,
        RunStatus::Cancelled if is_begun => {
            return Some(format!("{name} was under way when the run was cancelled."));
        }
        _ => {}
    }
    let attempt = step.attempt.map(|id| format!(" (execution {id})")).unwrap_or_default();
    let after =
        step.awaited.map(|event| format!(" after the event {event} had come")).unwrap_or_default();
    Some(match &step.phase {
        StepPhase::Idle => return None,
        StepPhase::NotTaken => {
            format!("{name} was not taken: what it hangs on did not come about.")
        }
        StepPhase::Waiting { event, until } => {
            let until = until.map_or_else(
                || "for as long as it takes".to_owned(),
                |until| format!("until {}", moment(until)),
            );
            format!("{name} waits for {}, {until}.", names(event))
        }
        StepPhase::Working { execution } => format!("{name} is at work: execution {execution}."),
        StepPhase::Resting { until } => format!(
            "{name} has failed {} times and is tried again at {}.",
            step.attempts,
            moment(*until)
        ),
        StepPhase::Child { run, short: false } => {
            format!("{name} uses another application: run {run}.")
        }
        StepPhase::Child { run, short: true } => {
            format!("{name} uses another application, whose run {run} cannot be paid.")
        }
        StepPhase::Short { until } => format!(
            "{name} cannot be paid; add to the deposit and repeat it before {}.",
            moment(*until)
        ),
        StepPhase::Ended { status, at } => {
            let at = moment(*at);
            match status {
                StepStatus::Returned(status) => {
                    format!("{name} returned {status} at {at}{after}{attempt}.")
                }
                StepStatus::Error => {
                    let nobody = if is_dead_end(run, step) {
                        "; nothing in the application hangs on that"
                    } else {
                        ""
                    };
                    let times = match step.attempts {
                        1 => "1 attempt".to_owned(),
                        attempts => format!("{attempts} attempts"),
                    };
                    let reason = step.attempt.as_ref().and_then(|id| reasons(&id.0));
                    let reason = reason.map(|why| format!(": {why}")).unwrap_or_default();
                    format!(
                        "{name} ended with an error at {at}, after {times}{attempt}{reason}{nobody}."
                    )
                }
                StepStatus::Timeout => format!("{name} ran out of time at {at}."),
            }
        }
    })
}

fn is_dead_end(run: &Run, step: &StepState) -> bool {
    run.branches.iter().any(
        |branch| matches!(&branch.status, BranchStatus::Dead { step: dead, .. } if *dead == step.id),
    )
}

fn whole(run: &Run) -> &'static str {
    match run.status {
        RunStatus::Running => "The run goes on.",
        RunStatus::Waiting => "The run waits.",
        RunStatus::OutOfFunds => {
            "The run lacks money: `althing app deposit` adds some, `althing run retry` goes on."
        }
        RunStatus::Failed => "The run failed: `althing run retry` repeats the step.",
        RunStatus::Done => "The run is done.",
        RunStatus::Dead => "The run is over, and no branch of it ended well.",
        RunStatus::Skipped => "The run was skipped: the condition of its trigger was false.",
        RunStatus::Cancelled => "The run was cancelled.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_step_that_has_begun_is_told_with_its_reason() {
        let hash = |byte: &str| format!("0x{}", byte.repeat(32));
        let run: Run = serde_json::from_value(json!({
            "id": hash("01"), "application": hash("00"), "alias": "acme/cart@1.0.0",
            "owner": format!("0x{}", "07".repeat(20)), "event": hash("02"), "parent": null,
            "started_at": 0, "ended_at": null, "spent": "0.5", "payer": hash("00"),
            "status": "failed", "returned": null, "truncated": false,
            "steps": [
                { "id": "address", "attempts": 1, "attempt": hash("03"), "awaited": null,
                  "phase": "ended", "status": { "returned": "ok" }, "at": 1_000 },
                { "id": "paid", "attempts": 3, "attempt": hash("04"), "awaited": hash("05"),
                  "phase": "ended", "status": "error", "at": 2_000 },
                { "id": "later", "attempts": 0, "attempt": null, "awaited": null, "phase": "idle" },
            ],
            "branches": [{ "steps": ["address", "paid", "later"], "status": "dead",
                "step": "paid", "with": "error" }],
        }))
        .unwrap();
        let reasons = |id: &Hash| (id.0 == [4; 32]).then(|| "the service gave up".to_owned());
        let mut run = run;
        let text = tell(&run, &|event| event.event.to_string(), &reasons);
        let expected = format!(
            "This run of acme/cart@1.0.0 was started by the event {} at 1970-01-01T00:00:00Z.\n\
             address returned ok at 1970-01-01T00:00:01Z (execution {}).\n\
             paid ended with an error at 1970-01-01T00:00:02Z, after 3 attempts (execution {}): the service gave up; nothing in the application hangs on that.\n\
             The run failed: `althing run retry` repeats the step.\nIt has cost 0.5 so far.\n",
            hash("02"),
            hash("03"),
            hash("04")
        );
        assert_eq!(text, expected);

        // Nothing is at work in a run that is over.
        run.status = RunStatus::Skipped;
        run.steps[1].phase = StepPhase::Working { execution: Hash([4; 32]).into() };
        let text = tell(&run, &|event| event.event.to_string(), &reasons);
        assert!(!text.contains("at work") && text.contains("was skipped"), "{text}");
    }
}
