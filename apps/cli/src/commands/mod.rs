//! The commands: one file per noun, one type per verb.

mod account;
mod app;
mod call;
mod chain;
mod dev;
mod doctor;
mod event;
mod execution;
mod explain;
mod node;
mod program;
mod receipt;
mod run;
mod service;
mod stake;
mod test;
mod transfer;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::Global;
use crate::home::Home;
use crate::output::Output;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole network on this machine, liars included if you like.
    Dev(dev::Dev),
    /// Run a node.
    #[command(subcommand)]
    Node(node::Node),
    /// Accounts and their encrypted keys.
    #[command(subcommand)]
    Account(account::Account),
    /// Send tokens to another account.
    Transfer(transfer::Transfer),
    /// Stake tokens on honest consensus.
    #[command(subcommand)]
    Stake(stake::Stake),
    /// Make, publish and offer services.
    #[command(subcommand)]
    Service(service::Service),
    /// Applications: when this event occurs, then these tasks.
    #[command(subcommand)]
    App(app::App),
    /// Runs of applications.
    #[command(subcommand)]
    Run(run::Run),
    /// Events that services observe.
    #[command(subcommand)]
    Event(event::Event),
    /// Post events and compare the branches of the runs that they start with what a file expects.
    Test(test::Test),
    /// Call a task of a service.
    Call(call::Call),
    /// What became of calls.
    #[command(subcommand)]
    Execution(execution::Execution),
    /// Say in words what happened in an execution, an event or a run.
    Explain(explain::Explain),
    /// Proofs that anyone verifies offline.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// The chain itself.
    #[command(subcommand)]
    Chain(chain::Chain),
    /// Look for what is wrong with this machine, folder and node.
    Doctor(doctor::Doctor),
}

impl Command {
    /// Runs the command.
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<ExitCode> {
        let home = Home::of(global)?;
        match self {
            Self::Dev(command) => command.run(global, output)?,
            Self::Node(command) => command.run(&home, output)?,
            Self::Account(command) => command.run(&home, output)?,
            Self::Transfer(command) => command.run(&home, output)?,
            Self::Stake(command) => command.run(&home, output)?,
            Self::Service(command) => command.run(&home, output)?,
            Self::App(command) => return command.run(&home, output),
            Self::Run(command) => command.run(&home, output)?,
            Self::Event(command) => command.run(&home, output)?,
            Self::Test(command) => return command.run(&home, output),
            Self::Call(command) => return command.run(&home, output),
            Self::Execution(command) => command.run(&home, output)?,
            Self::Explain(command) => command.run(&home, output)?,
            Self::Receipt(command) => return command.run(&home, output),
            Self::Chain(command) => command.run(&home, output)?,
            Self::Doctor(command) => return command.run(&home, output),
        }
        Ok(ExitCode::SUCCESS)
    }
}
