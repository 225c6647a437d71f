//! Stake on honest consensus. A validator's key is its node's, so the node's folder is named.

use std::path::PathBuf;

use althing_api::wire::{Validator, ValidatorStatus};
use althing_keys::NodeKeys;
use althing_types::{
    Amount, Bond as BondOperation, Operation, Unbond as UnbondOperation, Unjail as UnjailOperation,
};
use anyhow::Result;
use clap::{Args, Subcommand};

use crate::commands::account;
use crate::failure::Failure;
use crate::home::Home;
use crate::names::Names;
use crate::output::{Output, table};
use crate::sign::{Fee, Signer, told};

/// Stake tokens on honest consensus.
#[derive(Debug, Subcommand)]
pub(crate) enum Stake {
    /// Add to a node's stake; the first time, this makes it a validator.
    Bond(Bond),
    /// Take stake back; it is paid out after the unbonding delay.
    Unbond(Unbond),
    /// Return to the consensus set after having been absent.
    Unjail(Unjail),
    /// Show who stakes how much.
    Status(Status),
}

impl Stake {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::Bond(command) => command.run(home, output),
            Self::Unbond(command) => command.run(home, output),
            Self::Unjail(command) => command.run(home, output),
            Self::Status(command) => command.run(home, output),
        }
    }
}

/// Whose stake it is.
#[derive(Debug, Args)]
struct OfNode {
    /// Folder of the node, whose own account stakes.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    fee: Fee,
}

/// Signs with the key of the node in a folder.
fn carry_out(
    home: &Home,
    node: &OfNode,
    operation: impl FnOnce(&NodeKeys) -> Operation,
    output: Output,
) -> Result<()> {
    let keys = NodeKeys::load(&node.dir)?;
    let operation = operation(&keys);
    let signer = Signer::new(&home.client()?, keys.account, node.fee)?;
    output.print(&signer.carry_out(operation)?, told)
}

/// Add to a node's stake; the first time, this makes it a validator.
#[derive(Debug, Args)]
pub(crate) struct Bond {
    /// How many tokens; whole tokens vote.
    amount: Amount,
    #[command(flatten)]
    node: OfNode,
}

impl Bond {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let bond = |keys: &NodeKeys| {
            Operation::Bond(BondOperation {
                amount: self.amount,
                public_key: keys.account.public_key(),
                endpoint: althing_net_iroh::endpoint_of(&keys.endpoint),
                beacon_key: keys.beacon.key(),
            })
        };
        carry_out(home, &self.node, bond, output)
    }
}

/// Take stake back; it is paid out after the unbonding delay.
#[derive(Debug, Args)]
pub(crate) struct Unbond {
    /// How many tokens.
    amount: Amount,
    #[command(flatten)]
    node: OfNode,
}

impl Unbond {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let unbond = |_: &NodeKeys| Operation::Unbond(UnbondOperation { amount: self.amount });
        carry_out(home, &self.node, unbond, output)
    }
}

/// Return to the consensus set after having been absent.
#[derive(Debug, Args)]
pub(crate) struct Unjail {
    #[command(flatten)]
    node: OfNode,
}

impl Unjail {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        carry_out(home, &self.node, |_| Operation::Unjail(UnjailOperation {}), output)
    }
}

/// Show who stakes how much.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this account, by name or address [default: all].
    account: Option<String>,
}

impl Status {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let (client, names) = (home.client()?, Names::of(home));
        let Some(named) = self.account else {
            return output.print(&client.validators()?.validators, |all| validators(all, &names));
        };
        let address = account::address(home, Some(&named))?;
        let validator = client.account(&address)?.validator.ok_or_else(|| {
            let hint = "`althing stake bond` makes its node a validator";
            Failure::new("CLI-0014", format!("{address} has no stake on consensus"), hint)
        })?;
        output.print(&validator, |validator| validators(std::slice::from_ref(validator), &names))
    }
}

/// A table of validators.
pub(crate) fn validators(validators: &[Validator], names: &Names) -> String {
    let row = |validator: &Validator| {
        let unbonding: Amount = validator.unbonding.iter().map(|entry| entry.amount.0).sum();
        vec![
            names.full(&validator.address),
            validator.bonded.to_string(),
            unbonding.to_string(),
            validator.seat.as_ref().map_or_else(|| "-".to_owned(), |seat| seat.power.to_string()),
            state(&validator.status),
        ]
    };
    let rows: Vec<Vec<String>> = validators.iter().map(row).collect();
    table(&["validator", "bonded", "unbonding", "votes", "state"], &rows)
}

fn state(status: &ValidatorStatus) -> String {
    match status {
        ValidatorStatus::Active => "active".to_owned(),
        ValidatorStatus::Jailed { until } => format!("jailed until {until}"),
        ValidatorStatus::Convicted => "convicted".to_owned(),
    }
}
