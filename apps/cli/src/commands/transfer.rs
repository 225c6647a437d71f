//! Sends tokens to another account.

use althing_types::{Amount, Operation, Transfer as Move};
use anyhow::Result;
use clap::Args;

use crate::commands::account;
use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// Send tokens to another account.
#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// The receiver: an address, or the name of one of your accounts.
    to: String,
    /// How many tokens, with up to six decimals.
    amount: Amount,
    #[command(flatten)]
    fee: Fee,
}

impl Transfer {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        let to = account::address(home, Some(&self.to))?;
        // Keys before the network: a wrong password is told even if no node answers.
        let key = home.signer()?;
        let signer = Signer::new(&home.client()?, key, self.fee)?;
        let operation = Operation::Transfer(Move { to, amount: self.amount });
        output.print(&signer.carry_out(operation)?, told)
    }
}
