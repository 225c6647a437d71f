//! Lets others see a private application, or not any more.

use althing_api::ApplicationKey;
use althing_types::{Grant as GrantOperation, Operation};
use anyhow::Result;
use clap::Args;

use crate::commands::account;
use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// Which application, and who.
#[derive(Debug, Args)]
pub(crate) struct Grant {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
    /// Who, by name or address.
    #[arg(value_name = "ACCOUNT")]
    who: String,
    #[command(flatten)]
    fee: Fee,
}

impl Grant {
    pub(super) fn run(self, granted: bool, home: &Home, output: Output) -> Result<()> {
        let account = account::address(home, Some(&self.who))?;
        let key = home.signer()?;
        let client = home.viewed_by(&key)?;
        let application = super::id(&client, &self.app)?;
        let signer = Signer::new(&client, key, self.fee)?;
        let operation = Operation::Grant(GrantOperation { application, account, granted });
        output.print(&signer.carry_out(operation)?, told)
    }
}
