//! Applications: a file for each verb.

mod check;
mod deploy;
mod deposit;
mod grant;
mod guarantee;
mod import;
mod list;
mod new;
mod pause;
mod registry;
mod remove;
mod secret;
mod show;

use std::process::ExitCode;

use althing_api::ApplicationKey;
use althing_api::client::Client;
use althing_types::Hash;
use anyhow::Result;
pub(crate) use check::{Configured, checked};
use clap::Subcommand;
pub(crate) use deploy::{Order, deploy, own_namespace};
pub(crate) use registry::{Registry, manifests_in, read};

use crate::home::Home;
use crate::output::Output;

/// Applications: when this event occurs, then these tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum App {
    /// Write an application file to begin with.
    New(new::New),
    /// Check an application file against the services that it uses.
    Check(check::Check),
    /// Check and deploy an application file.
    Deploy(deploy::Deploy),
    /// List applications: all public ones, and your own.
    List(list::List),
    /// Show an application: its steps, its deposit and its runs.
    Show(show::Show),
    /// Let an application start no more runs, or start them again.
    Pause(pause::Pause),
    /// Remove an application; its deposit returns when its runs have ended.
    Remove(remove::Remove),
    /// Let an account see a private application and its runs.
    Grant(grant::Grant),
    /// Let an account see a private application no more; what it has seen it has seen.
    Revoke(grant::Grant),
    /// Add tokens to an application's deposit, or take them out.
    Deposit(deposit::Deposit),
    /// Give secrets to the steps of an application, which name them as `{ secret: name }`.
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Turn a MESG process or service file into an application or a service.
    Import(import::Import),
}

impl App {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<ExitCode> {
        match self {
            Self::New(command) => command.run(output)?,
            Self::Check(command) => command.run(home, output)?,
            Self::Deploy(command) => command.run(home, output)?,
            Self::List(command) => command.run(home, output)?,
            Self::Show(command) => command.run(home, output)?,
            Self::Pause(command) => command.run(home, output)?,
            Self::Remove(command) => command.run(home, output)?,
            Self::Grant(command) => command.run(true, home, output)?,
            Self::Revoke(command) => command.run(false, home, output)?,
            Self::Deposit(command) => command.run(home, output)?,
            Self::Secret(command) => command.run(home, output)?,
            Self::Import(command) => command.run(output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The application's id, which operations name it by.
fn id(client: &Client, key: &ApplicationKey) -> Result<Hash> {
    Ok(match key {
        ApplicationKey::Id(id) => *id,
        ApplicationKey::Alias(_) => client.application(key)?.id.0,
    })
}
