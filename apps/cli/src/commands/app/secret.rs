//! Secrets that the home of an application keeps for its steps.

use std::io::Read as _;
use std::net::IpAddr;

use althing_api::ApplicationKey;
use althing_api::wire::SecretName;
use althing_types::Name;
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, table};

/// Longest value that is read, in bytes; the node takes less.
const VALUE_BYTES_MAX: u64 = 64 << 10;

/// Give secrets to the steps of an application, which name them as `{ secret: name }`.
#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Keep a value with the application's home, for all of its versions; it is read from standard input.
    Set(Set),
    /// Forget a value.
    Remove(Remove),
    /// List what an application asks for and what is set; values are never shown.
    List(List),
}

impl Secret {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::Set(command) => command.run(home, output),
            Self::Remove(command) => command.run(home, output),
            Self::List(command) => command.run(home, output),
        }
    }
}

/// Keep a value with the application's home, for all of its versions; it is read from standard input.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
    /// The name in the application's file.
    name: Name,
}

impl Set {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let url = home.node()?;
        if !stays_private(&url) {
            let message = format!("a secret would cross the network in clear on its way to {url}");
            let hint = "run this on the machine of the application's home, or reach it by a tunnel";
            return Err(Failure::new("CLI-0043", message, hint).into());
        }
        let client = home.viewed_by(&home.signer()?)?;
        let mut value = Zeroizing::new(String::new());
        std::io::stdin()
            .take(VALUE_BYTES_MAX)
            .read_to_string(&mut value)
            .context("reading the secret from standard input")?;
        // What `echo` and an editor put at the end is no part of it.
        let value = value.strip_suffix('\n').unwrap_or(&value);
        client.set_secret(&self.app, &self.name, value)?;
        told(client.secrets(&self.app)?, output)
    }
}

/// Forget a value.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
    /// The name in the application's file.
    name: Name,
}

impl Remove {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewed_by(&home.signer()?)?;
        client.forget_secret(&self.app, &self.name)?;
        told(client.secrets(&self.app)?, output)
    }
}

/// List what an application asks for and what is set; values are never shown.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
}

impl List {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewed_by(&home.signer()?)?;
        told(client.secrets(&self.app)?, output)
    }
}

fn told(secrets: Vec<SecretName>, output: Output) -> Result<()> {
    output.print(&secrets, |secrets| {
        let row = |secret: &SecretName| {
            let state = match (secret.asked, secret.set) {
                (true, true) => "set",
                (true, false) => "missing: steps that ask for it end with `error`",
                (false, _) => "set; no step asks for it",
            };
            vec![secret.name.clone(), state.to_owned()]
        };
        table(&["secret", "state"], &secrets.iter().map(row).collect::<Vec<_>>())
    })
}

/// Whether what is sent to this address is read by nobody on the way.
fn stays_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_goes_to_this_machine_or_by_https() {
        for good in [
            "http://127.0.0.1:4901",
            "http://localhost:4901/",
            "http://[::1]:4901",
            "https://node.example.org",
        ] {
            assert!(stays_private(good), "{good}");
        }
        for bad in [
            "http://192.0.2.1:4901",
            "http://node.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost@192.0.2.1",
            "http://[2001:db8::1]:4901",
            "ftp://127.0.0.1",
            "",
        ] {
            assert!(!stays_private(bad), "{bad}");
        }
    }
}
