//! Shows what happens to a run until it is over.

use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_api::wire::{Event, Run};
use althing_types::Hash;
use anyhow::Result;
use clap::Args;

use super::changes::in_words;
use super::drawing::drawing;
use crate::duration::Span;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::patience::Patience;
use crate::services::ServiceNames;

/// How long one question waits.
const POLL: Duration = Duration::from_secs(5);

/// Show what happens to a run until it is over.
#[derive(Debug, Args)]
pub(crate) struct Follow {
    /// Its id.
    id: Hash,
    /// At most so long.
    #[arg(long, default_value = "1h", value_name = "TIME")]
    timeout: Span,
}

impl Follow {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let deadline = Instant::now() + Duration::from_millis(self.timeout.ms);
        // Subscribed before the run is looked at: nothing falls in between.
        let events = client.run_events(&self.id)?;
        let before = client.run(&self.id, Duration::ZERO)?;
        if !output.json {
            let (client, run) = (client.clone(), before);
            // It ends with this program: the stream itself has no end while the run waits.
            std::thread::spawn(move || narrate(&client, &run, events, output));
        }
        let run = wait(&client, &self.id, deadline)?;
        let services = ServiceNames::new(&client);
        output.print(&run, |run| drawing(run, &services.lookup()))
    }
}

/// Waits until a run is over.
pub(super) fn wait(client: &Client, id: &Hash, deadline: Instant) -> Result<Run> {
    loop {
        let run = Patience::following(deadline).ask(|| client.run(id, POLL))?;
        if run.status.is_over() {
            return Ok(run);
        }
        if Instant::now() >= deadline {
            let message = format!("the run {id} is {} and not over", run.status);
            let hint = "it goes on; `althing run show` tells how far it is";
            return Err(Failure::new("CLI-0036", message, hint).into());
        }
    }
}

fn narrate(client: &Client, run: &Run, events: althing_api::client::Events, output: Output) {
    let services = ServiceNames::new(client);
    for event in events {
        let Ok(Event::Run { height, step: change, .. }) = event else { continue };
        let words = in_words(&change, run, &services);
        output.say(&format!("block {height}: {words}"));
    }
}
