//! Ends a run.

use althing_types::{Cancel as CancelOperation, Hash, Operation};
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// End a run; what is under way is not waited for.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run.
    id: Hash,
    #[command(flatten)]
    fee: Fee,
}

impl Cancel {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let signer = Signer::new(&home.client()?, home.signer()?, self.fee)?;
        let operation = Operation::Cancel(CancelOperation { run: self.id });
        output.print(&signer.carry_out(operation)?, told)
    }
}
