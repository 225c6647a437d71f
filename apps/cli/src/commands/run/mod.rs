//! Runs of applications: a file for each verb.

mod cancel;
mod changes;
mod drawing;
mod follow;
mod history;
mod list;
mod retry;
mod show;

use anyhow::Result;
use clap::Subcommand;
pub(crate) use drawing::EventNames;

use crate::home::Home;
use crate::output::Output;

/// Runs of applications.
#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    /// List runs, open and ended.
    List(list::List),
    /// Show a run: its branches, drawn, with their status.
    Show(show::Show),
    /// Show what happened to a run, block by block.
    History(history::History),
    /// Show what happens to a run until it is over.
    Follow(follow::Follow),
    /// Repeat a step that failed or could not be paid: of a run, or of all runs of an application.
    Retry(retry::Retry),
    /// End a run; what is under way is not waited for.
    Cancel(cancel::Cancel),
}

impl Run {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::List(command) => command.run(home, output),
            Self::Show(command) => command.run(home, output),
            Self::History(command) => command.run(home, output),
            Self::Follow(command) => command.run(home, output),
            Self::Retry(command) => command.run(home, output),
            Self::Cancel(command) => command.run(home, output),
        }
    }
}
