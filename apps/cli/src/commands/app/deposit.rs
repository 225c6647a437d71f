//! Adds tokens to an application's deposit, or takes them out.

use althing_api::ApplicationKey;
use althing_types::{Amount, Collect, Operation, Transfer, purse};
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// Add tokens to an application's deposit, or take them out.
#[derive(Debug, Args)]
pub(crate) struct Deposit {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
    /// How many tokens, with up to six decimals.
    amount: Amount,
    /// Take them out instead; the owner alone can.
    #[arg(long)]
    take: bool,
    #[command(flatten)]
    fee: Fee,
}

impl Deposit {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let key = home.signer()?;
        let client = home.viewed_by(&key)?;
        let application = super::id(&client, &self.app)?;
        let operation = if self.take {
            Operation::Collect(Collect { application, amount: self.amount })
        } else {
            Operation::Transfer(Transfer { to: purse(&application), amount: self.amount })
        };
        let signer = Signer::new(&client, key, self.fee)?;
        output.print(&signer.carry_out(operation)?, told)
    }
}
