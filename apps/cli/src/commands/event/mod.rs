//! Events that services observe: a file for each verb.

mod decide;
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
    /// Approve what a run asks of this account: an event with your signature.
    Approve(decide::Decide),
    /// Reject what a run asks of this account: an event with your signature.
    Reject(decide::Decide),
    /// List events, open and settled.
    List(list::List),
    /// Show an event: who observed what, and whether it counts.
    Show(show::Show),
}

impl Event {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::Emit(command) => command.run(home, output),
            Self::Approve(command) => command.run(true, home, output),
            Self::Reject(command) => command.run(false, home, output),
            Self::List(command) => command.run(home, output),
            Self::Show(command) => command.run(home, output),
        }
    }
}
