//! Makes, publishes and offers services: a file for each verb.

mod build;
mod connect;
mod new;
mod offer;
mod publish;
mod show;
mod wrap;

use anyhow::Result;
pub(crate) use build::build;
use clap::Subcommand;
pub(crate) use show::manifest;

use crate::home::Home;
use crate::output::Output;

/// Make, publish and offer services.
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Make a folder with a service to begin with.
    New(new::New),
    /// Check a service's manifest and build its component.
    Build(build::Build),
    /// Build a service, upload it and register it.
    Publish(publish::Publish),
    /// List the services that are published.
    List(show::List),
    /// Show a service: its tasks, and the nodes that offer it.
    Show(show::Show),
    /// Connect the program of a native service to a node.
    Connect(connect::Connect),
    /// Make a service of an existing HTTP endpoint in one command.
    Wrap(wrap::Wrap),
    /// Offer a service: a node commits itself to execute and check it.
    Offer(offer::Offer),
    /// Withdraw a node's offer; before its term this costs a part of the stake.
    Withdraw(offer::Withdraw),
    /// Return a node's suspended offer to office.
    Resume(offer::Resume),
}

impl Service {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::New(command) => command.run(output),
            Self::Build(command) => command.run(output),
            Self::Publish(command) => command.run(home, output),
            Self::List(command) => command.run(home, output),
            Self::Show(command) => command.run(home, output),
            Self::Connect(command) => command.run(home, output),
            Self::Wrap(command) => command.run(home, output),
            Self::Offer(command) => command.run(home, output),
            Self::Withdraw(command) => command.run(home, output),
            Self::Resume(command) => command.run(home, output),
        }
    }
}
