//! Removes an application.

use althing_api::ApplicationKey;
use althing_types::{Operation, Remove as RemoveOperation};
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// Remove an application; its deposit returns when its runs have ended.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
    #[command(flatten)]
    fee: Fee,
}

impl Remove {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let key = home.signer()?;
        let client = home.viewed_by(&key)?;
        let application = super::id(&client, &self.app)?;
        let signer = Signer::new(&client, key, self.fee)?;
        let operation = Operation::Remove(RemoveOperation { application });
        output.print(&signer.carry_out(operation)?, told)
    }
}
