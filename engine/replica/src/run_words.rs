//! A run's final record as people read it in a receipt file.

use althing_ledger::RunRecord;
use althing_workflow::{RunEnd, StepPhase};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct RunWords {
    id: String,
    application: String,
    paid_by_application: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    started_at_height: u64,
    started_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at_ms: Option<u64>,
    end: String,
    spent: String,
    /// In the order of the application's plan.
    steps: Vec<String>,
}

impl RunWords {
    pub(crate) fn of(run: &RunRecord) -> Self {
        Self {
            id: run.id.to_string(),
            application: run.application.to_string(),
            paid_by_application: run.payer.to_string(),
            event: run.event_key.map(|key| key.to_string()),
            started_at_height: run.started.0,
            started_at_ms: run.started_at.0,
            ended_at_ms: run.ended_at.map(|at| at.0),
            end: match run.run.end {
                None => "open".to_owned(),
                Some(RunEnd::Completed { returned: None }) => "completed".to_owned(),
                Some(RunEnd::Completed { returned: Some(index) }) => {
                    format!("completed, with number {index} of its returns")
                }
                Some(RunEnd::Skipped) => "skipped: the condition was false".to_owned(),
                Some(RunEnd::OutOfFunds) => "out of funds".to_owned(),
                Some(RunEnd::Cancelled) => "cancelled".to_owned(),
            },
            spent: run.spent.to_string(),
            steps: run.run.steps.iter().map(|step| phase_words(&step.phase)).collect(),
        }
    }
}

fn phase_words(phase: &StepPhase) -> String {
    match phase {
        StepPhase::Idle => "not begun".to_owned(),
        StepPhase::Waiting => "waits for its event".to_owned(),
        StepPhase::Working { execution } => format!("at work: execution {execution}"),
        StepPhase::Resting { until } => format!("tries again at {until}"),
        StepPhase::Child { run, .. } => format!("at work: run {run}"),
        StepPhase::Short { until } => format!("out of funds until {until}"),
        StepPhase::Ended(ending) => format!("{} at {}", ending.status, ending.at),
        StepPhase::NotTaken => "not taken".to_owned(),
    }
}
