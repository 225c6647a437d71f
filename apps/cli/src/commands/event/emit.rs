//! Posts an event to a node.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use althing_api::ServiceKey;
use althing_api::wire::{CloudEvent, EventState, Observed, Occurrence};
use althing_types::Name;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::commands::program;
use crate::duration::Span;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::patience::Patience;

/// Post an event to a node, as a service's program does.
#[derive(Debug, Args)]
pub(crate) struct Emit {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
    /// One of its events.
    event: Name,
    /// What the event carries: JSON, @FILE, or - for standard input.
    #[arg(default_value = "{}", value_name = "JSON|@FILE")]
    data: String,
    /// Names this occurrence for ever [default: a random one].
    #[arg(long, value_name = "TEXT")]
    id: Option<String>,
    /// The program's token [default: the one that `service connect` has kept here].
    #[arg(long, env = "ALTHING_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// File with the token.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// Wait so long for the event to be decided.
    #[arg(long, default_value = "0s", value_name = "TIME")]
    wait: Span,
}

#[derive(Serialize)]
struct Told {
    observed: Observed,
    /// How far it came, if that was waited for.
    occurrence: Option<Occurrence>,
}

impl Emit {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let data = data(&self.data)?;
        let client = home.client()?;
        let token = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("reading the token from {}", path.display()))?
                .trim()
                .to_owned(),
            (None, None) => program::token(home, &client, &self.service)?,
        };
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            id: self.id.clone().map_or_else(random_id, Ok)?,
            source: "althing event emit".to_owned(),
            kind: self.event.clone().into(),
            data,
        };
        let observed = Patience::short().ask(|| client.observe(&self.service, &token, &event))?;
        let deadline = Instant::now() + Duration::from_millis(self.wait.ms);
        let mut occurrence = None;
        while occurrence.is_none() && Instant::now() < deadline {
            let wait = deadline.saturating_duration_since(Instant::now());
            let wait = wait.min(Duration::from_secs(5));
            match client.occurrence(&observed.event, wait) {
                Ok(found) if found.state != EventState::Open => occurrence = Some(found),
                Ok(_) => {}
                // It is on its way into a block.
                Err(error) if error.is_not_found() => {
                    crate::patience::pause(Duration::from_millis(50));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let told = Told { observed, occurrence };
        output.print(&told, |told| {
            let known = if told.observed.duplicate { " (observed before)" } else { "" };
            let state = told.occurrence.as_ref().map(|found| format!("\n  {}", found.state));
            format!("event {}{known}{}", told.observed.event, state.unwrap_or_default())
        })
    }
}

fn data(text: &str) -> Result<Value> {
    let text = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let message = format!("the event's data {path} cannot be read: {error}");
            Failure::new("CLI-0032", message, "name a file with JSON after the @")
        })?,
        None if text == "-" => {
            std::io::read_to_string(std::io::stdin()).context("reading standard input")?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        let message = format!("the event's data is no JSON: {error}");
        let hint = "give it in quotes, such as '{\"cart\": \"c-17\"}', or as @FILE, or - for standard input";
        Failure::new("CLI-0032", message, hint).into()
    })
}

fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(hex::encode(bytes))
}
