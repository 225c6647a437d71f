//! Events that services observe: a file for each verb.

mod emit;
mod list;
mod show;

use anyhow::Result;
use clap::Subcommand;

use crate::home::Home;
use crate::output::Output;

/// Events that services observe.
#[derive(Debug, Subcommand)]
pub(crate) enum Event {
    /// Post an event to a node, as a service's program does.
    Emit(emit::Emit),
    /// List events, open and settled.
    List(list::List),
    /// Show an event: who observed what, and whether it counts.
    Show(show::Show),
}

impl Event {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::Emit(command) => command.run(home, output),
            Self::List(command) => command.run(home, output),
            Self::Show(command) => command.run(home, output),
        }
    }
}
