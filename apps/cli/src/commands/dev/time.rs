//! Waits of days in seconds: when everything waits, the network's clock goes on to what is due next.
//!
//! - Invariant: nothing is skipped while a task is under way, so windows of seconds keep their length.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_api::wire::{RunStatus, StepPhase};
use althing_api::{Cut, PAGE_MAX, RunFilter};
use anyhow::{Context as _, Result};

use crate::commands::execution;

/// How long everything must have been waiting.
const QUIET: Duration = Duration::from_secs(1);
/// Shorter waits are waited for.
const SHORT_MS: u64 = 5_000;

/// The clock of a development network: how far it is ahead, in a file that its nodes follow.
#[derive(Debug)]
pub(super) struct FastTime {
    file: PathBuf,
    quiet_since: Option<Instant>,
}

impl FastTime {
    pub(super) fn new(folder: &Path) -> Self {
        Self { file: folder.join("clock"), quiet_since: None }
    }

    /// The file that nodes follow.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Goes on to the next deadline if everything waits; returns by how much, in milliseconds.
    pub(super) fn look(&mut self, client: &Client) -> Result<Option<u64>> {
        let Some(due) = next(client)? else {
            self.quiet_since = None;
            return Ok(None);
        };
        if self.quiet_since.get_or_insert_with(Instant::now).elapsed() < QUIET {
            return Ok(None);
        }
        self.quiet_since = None;
        let ahead = self.ahead();
        let now = althing_node::now().0.saturating_add(ahead);
        let skip = due.saturating_sub(now);
        if skip < SHORT_MS {
            return Ok(None);
        }
        // Whole, or as before: a node may read it at any time.
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, (ahead.saturating_add(skip)).to_string())
            .and_then(|()| std::fs::rename(&beside, &self.file))
            .with_context(|| format!("writing {}", self.file.display()))?;
        Ok(Some(skip))
    }

    fn ahead(&self) -> u64 {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

/// The nearest deadline of a step that waits or rests, if nothing else goes on.
fn next(client: &Client) -> Result<Option<u64>> {
    if execution::count_open(client)? > 0 {
        return Ok(None);
    }
    let mut due: Option<u64> = None;
    // A run whose step rests before its next attempt counts as running.
    for status in [RunStatus::Running, RunStatus::Waiting] {
        let of = RunFilter { status: Some(status), ..RunFilter::default() };
        let runs = client.runs(of, Cut { after: None, limit: PAGE_MAX })?;
        for step in runs.items.iter().flat_map(|run| &run.steps) {
            let until = match &step.phase {
                StepPhase::Working { .. } => return Ok(None),
                StepPhase::Waiting { until, .. } => *until,
                StepPhase::Resting { until } => Some(*until),
                StepPhase::Idle
                | StepPhase::Child { .. }
                | StepPhase::Short { .. }
                | StepPhase::Ended { .. }
                | StepPhase::NotTaken => None,
            };
            due = due.into_iter().chain(until).min();
        }
    }
    Ok(due)
}
