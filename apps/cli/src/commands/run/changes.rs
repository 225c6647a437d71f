//! What happens to a run, in words.

use althing_api::wire::{Run, RunStep};

use crate::services::ServiceNames;

pub(super) fn in_words(change: &RunStep, run: &Run, services: &ServiceNames<'_>) -> String {
    let step = |index: u16| {
        run.steps.get(usize::from(index)).map_or_else(|| index.to_string(), |s| s.id.to_string())
    };
    match change {
        RunStep::Started => "started".to_owned(),
        RunStep::Began { index, attempt, id } => {
            format!("{} began, attempt {}: {id}", step(*index), attempt.saturating_add(1))
        }
        RunStep::Waiting { index, event } => {
            format!("{} waits for {}", step(*index), services.event(event))
        }
        RunStep::Took { index, key } => format!("{} took the event {key}", step(*index)),
        RunStep::StepEnded { index, status } => format!("{} ended: {status}", step(*index)),
        RunStep::OutOfFunds => "out of funds".to_owned(),
        RunStep::Resumed => "goes on".to_owned(),
        RunStep::Failed => "failed; a step can be repeated".to_owned(),
        RunStep::Ended => "ended".to_owned(),
    }
}
