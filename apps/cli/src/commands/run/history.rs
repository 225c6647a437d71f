//! Shows what happened to a run, block by block.

use std::time::Duration;

use althing_api::wire::{Run, RunHistory};
use althing_types::Hash;
use anyhow::Result;
use clap::Args;

use super::changes::in_words;
use crate::home::Home;
use crate::moment::moment;
use crate::output::Output;
use crate::services::ServiceNames;

/// Show what happened to a run, block by block: played again from what the ledger has kept of it.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Its id.
    id: Hash,
}

impl History {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let history = client.run_history(&self.id)?;
        let run = client.run(&self.id, Duration::ZERO)?;
        let services = ServiceNames::new(&client);
        output.print(&history, |history| text(history, &run, &services))
    }
}

fn text(history: &RunHistory, run: &Run, services: &ServiceNames<'_>) -> String {
    let mut text = format!("run {} of {}\n", run.id, run.alias);
    for happened in &history.moments {
        let time = moment(happened.time);
        text.push_str(&format!("block {}, {time}\n", happened.height));
        for change in &happened.changes {
            text.push_str(&format!("  {}\n", in_words(change, run, services)));
        }
    }
    text.push_str(if history.agrees {
        "Played again, the records come to the run as the ledger has it.\n"
    } else {
        "PLAYED DIFFERENTLY: the records that this node has do not come to the run as the ledger has it.\n"
    });
    text.push_str(
        "`althing run show ID --at HEIGHT` draws it as it was; each execution has a receipt.\n",
    );
    text
}
