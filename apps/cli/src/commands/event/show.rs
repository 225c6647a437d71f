//! Shows an event.

use std::time::Duration;

use althing_api::wire::{Occurrence, Standing};
use althing_types::Hash;
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::moment::moment;
use crate::names::Names;
use crate::output::{Output, table};
use crate::services::ServiceNames;
use crate::words;

/// Show an event: who observed what, and whether it counts.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its key.
    key: Hash,
}

impl Show {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.client()?;
        let event = client.occurrence(&self.key, Duration::ZERO)?;
        let (names, services) = (Names::of(home), ServiceNames::new(&client));
        output.print(&event, |event| text(event, &services.event(&event.name), &names))
    }
}

fn text(event: &Occurrence, name: &str, names: &Names) -> String {
    let values: Vec<String> = event.measured.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "event {}\n  is        {name}\n  state     {}\n  first     {}, late from {}\n  data      {} of {} bytes\n",
        event.key,
        event.state,
        moment(event.opened_at),
        moment(event.until),
        event.base.hash,
        event.base.bytes,
    );
    if let Some(refused) = &event.refused {
        let (code, why) = (&refused.code, &refused.detail);
        text.push_str(&format!("  refused   what this node saw: {why} ({code})\n"));
    }
    if !values.is_empty() {
        text.push_str(&format!("  measured  {}\n", values.join(", ")));
    }
    let said = event.observations.iter().map(|said| {
        let values: Vec<String> = said.measured.iter().map(ToString::to_string).collect();
        vec![
            names.full(&said.node),
            match said.standing {
                Standing::Open => "open",
                Standing::Agrees => "agrees",
                Standing::Contradicts => "contradicts",
            }
            .to_owned(),
            if values.is_empty() { "-".to_owned() } else { values.join(", ") },
            said.offence.map_or("-", words::offence).to_owned(),
            said.fine.to_string(),
            said.earned.to_string(),
        ]
    });
    let silent = event.absent.iter().map(|absent| {
        let nothing = || "-".to_owned();
        vec![
            names.full(&absent.node),
            "silent".to_owned(),
            nothing(),
            "absence".to_owned(),
            absent.fine.to_string(),
            nothing(),
        ]
    });
    let rows: Vec<Vec<String>> = said.chain(silent).collect();
    text.push('\n');
    text + &table(&["emitter", "said", "measured", "offence", "fine", "earned"], &rows)
}
