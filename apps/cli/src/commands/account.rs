//! Accounts and their encrypted keys.

use althing_api::client::Client;
use althing_keys::Work;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, table};

/// Accounts and their encrypted keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Make an account; its key is kept encrypted in your folder.
    New(New),
    /// List your accounts.
    List(List),
    /// Show what an account owns.
    Balance(Balance),
}

impl Account {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::New(command) => command.run(home, output),
            Self::List(command) => command.run(home, output),
            Self::Balance(command) => command.run(home, output),
        }
    }
}

#[derive(Serialize)]
struct Entry {
    name: String,
    address: String,
}

/// Make an account.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// Its name in your folder.
    name: String,
    /// Encrypt with little work: for networks whose tokens are worth nothing.
    #[arg(long)]
    light: bool,
}

impl New {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let name = self.name.parse().map_err(|error| {
            Failure::new(
                "CLI-0006",
                format!("{:?} cannot name an account: {error}", self.name),
                "try lower case letters and digits",
            )
        })?;
        let password = home.password("password for the new account: ", &home.preferences()?)?;
        let work = if self.light { Work::DEVELOPMENT } else { Work::STANDARD };
        let key = home.keystore()?.create(&name, &password, work)?;
        let entry = Entry { name: self.name, address: key.address().to_string() };
        output.print(&entry, |entry| format!("{} {}", entry.name, entry.address))
    }
}

/// List your accounts.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let Self {} = self;
        let accounts = home.keystore()?.list()?;
        let entries: Vec<Entry> = accounts
            .into_iter()
            .map(|(name, address)| Entry { name: name.to_string(), address: address.to_string() })
            .collect();
        output.print(&entries, |entries| {
            let rows: Vec<Vec<String>> = entries
                .iter()
                .map(|entry| vec![entry.name.clone(), entry.address.clone()])
                .collect();
            table(&["name", "address"], &rows)
        })
    }
}

/// Show what an account owns.
#[derive(Debug, Args)]
pub(crate) struct Balance {
    /// Name or address [default: your only account].
    account: Option<String>,
}

impl Balance {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let address = address(home, self.account.as_deref())?;
        let account = client(home)?.account(&address)?;
        output.print(&account, |account| {
            format!(
                "{}  {} tokens, {} transactions",
                account.address, account.balance, account.nonce
            )
        })
    }
}

fn client(home: &Home) -> Result<Client> {
    home.client()
}

/// The address of an account that a person names: by name in the keystore, or as such.
pub(crate) fn address(home: &Home, named: Option<&str>) -> Result<althing_types::Address> {
    let preferences = home.preferences()?;
    let accounts = home.keystore()?.list()?;
    let named = named.map(str::to_owned).or(preferences.account);
    if let Some(named) = named {
        if let Some((_, address)) = accounts.iter().find(|(name, _)| name.as_str() == named) {
            return Ok(*address);
        }
        return named.parse().map_err(|_| {
            let hint = "`althing account list` shows your accounts; an address is 0x and 40 digits";
            Failure::new(
                "CLI-0007",
                format!("{named} is neither one of your accounts nor an address"),
                hint,
            )
            .into()
        });
    }
    match accounts.as_slice() {
        [(_, address)] => Ok(*address),
        _ => Err(Failure::new(
            "CLI-0004",
            "which account?",
            "name one; `althing account list` shows them",
        )
        .into()),
    }
}
