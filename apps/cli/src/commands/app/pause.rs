//! Lets an application start no more runs, or start them again.

use althing_api::ApplicationKey;
use althing_types::{Operation, Pause as PauseOperation};
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// Let an application start no more runs, or start them again. Runs that were started go on.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// `namespace/name@version`, or the id.
    app: ApplicationKey,
    /// Start runs again.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    fee: Fee,
}

impl Pause {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let key = home.signer()?;
        let client = home.viewed_by(&key)?;
        let application = super::id(&client, &self.app)?;
        let signer = Signer::new(&client, key, self.fee)?;
        let operation = Operation::Pause(PauseOperation { application, paused: !self.resume });
        output.print(&signer.carry_out(operation)?, told)
    }
}
