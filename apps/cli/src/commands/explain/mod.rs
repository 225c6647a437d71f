//! Says in words what happened in an execution, an event or a run; draws are repeated.

mod divergence;
mod event;
mod run;
mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use althing_api::ServiceKey;
use althing_api::client::{Client, ClientError};
use althing_api::wire::{Claim, Conclusion, Explanation, MemberState, Outcome};
use althing_types::Hash;
use anyhow::Result;
use clap::Args;
use divergence::{Kept, Outputs};
use serde::Serialize;
use story::{Parting, partings};

use crate::commands::execution;
use crate::home::Home;
use crate::names::Names;
use crate::output::Output;
use crate::services::ServiceNames;
use crate::words;

/// Most outputs that are fetched to be shown.
const OUTPUTS_MAX: usize = 64;

/// Say in words what happened in an execution, an event or a run; draws are replayed.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The execution, event or run.
    id: Hash,
}

#[derive(Serialize)]
struct Told {
    text: String,
    /// Where answers part from the one that was accepted, or else from the first.
    divergences: Vec<Parting>,
    explanation: Explanation,
}

impl Explain {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let explanation = match client.explain(&self.id) {
            Err(error) if error.is_not_found() => return self.other(home, &client, output, error),
            answer => answer?,
        };
        let service = client.service(&ServiceKey::Id(explanation.execution.service.0)).ok();
        let alias = service.map(|service| service.terms.alias.to_string());
        let outputs = outputs(&client, &explanation);
        let text = story::tell(&story::Sources {
            explanation: &explanation,
            alias: alias.as_deref(),
            names: &Names::of(home),
            outputs: &outputs,
            parameters: Some(&client.genesis()?.parameters),
        });
        let divergences = partings(&explanation.execution, &outputs);
        output.print(&Told { text, divergences, explanation }, |told| told.text.clone())
    }

    /// An event or a run, if it is one; else what was said of the execution.
    fn other(
        &self,
        home: &Home,
        client: &Client,
        output: Output,
        missing: ClientError,
    ) -> Result<()> {
        let services = ServiceNames::new(client);
        match client.occurrence(&self.id, Duration::ZERO) {
            Ok(event) => {
                let name = services.event(&event.name);
                let text = event::tell(&event, &name, &Names::of(home));
                let told = serde_json::json!({ "text": text, "event": event });
                return output.print(&told, |_| text.clone());
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        match client.run(&self.id, Duration::ZERO) {
            Ok(run) => {
                let reasons = |id: &Hash| {
                    let execution = client.execution(id, Duration::ZERO).ok()?;
                    execution.conclusion.as_ref().map(why)
                };
                let text = run::tell(&run, &services.lookup(), &reasons);
                let told = serde_json::json!({ "text": text, "run": run });
                output.print(&told, |_| text.clone())
            }
            Err(error) if error.is_not_found() => Err(missing.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why an execution brought nothing.
fn why(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Accepted { outcome: Outcome::Failed { failure } } => {
            words::failure(*failure).to_owned()
        }
        Conclusion::Failed { reason } => words::reason(*reason).to_owned(),
        other @ Conclusion::Accepted { .. } => execution::conclusion(other),
    }
}

/// The outputs that were answered, as far as the node can find them.
fn outputs(client: &Client, explanation: &Explanation) -> Outputs {
    let execution = &explanation.execution;
    let concluded = match &execution.conclusion {
        Some(Conclusion::Accepted { outcome }) => Some(outcome),
        Some(Conclusion::Failed { .. }) | None => None,
    };
    let claimed = execution.members.iter().filter_map(|member| match &member.state {
        MemberState::Opened { claim: Claim::Outcome(outcome) } => Some(outcome),
        _ => None,
    });
    let mut found = BTreeMap::new();
    for outcome in claimed.chain(concluded) {
        let Outcome::Returned { output, .. } = outcome else { continue };
        if found.len() >= OUTPUTS_MAX || found.contains_key(&output.hash.0) {
            continue;
        }
        // An output that nobody has any more is told by its hash.
        let bytes = client.blob_of(&execution.id, &output.hash);
        if let Ok(bytes) = bytes {
            found.insert(output.hash.0, Kept::from(bytes));
        }
    }
    found
}
