//! Shows a run.

use std::time::Duration;

use althing_types::{Hash, Height};
use anyhow::Result;
use clap::Args;

use super::drawing::drawing;
use crate::home::Home;
use crate::output::Output;
use crate::services::ServiceNames;

/// Show a run: its branches, drawn, with their status.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id.
    id: Hash,
    /// As it was after this block; `run history` lists those in which something happened.
    #[arg(long, value_name = "HEIGHT")]
    at: Option<u64>,
}

impl Show {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let run = match self.at {
            Some(height) => client.run_at(&self.id, Height(height))?,
            None => client.run(&self.id, Duration::ZERO)?,
        };
        let services = ServiceNames::new(&client);
        output.print(&run, |run| drawing(run, &services.lookup()))
    }
}
