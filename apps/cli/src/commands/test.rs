//! Golden branch statuses: posts events and compares the runs that they start with a file.
//!
//! ```yaml
//! - test: an order that is paid
//!   within: 30s                          # 30s unless given
//!   events:                              # the first one starts the run
//!     - { service: acme/shop@0.1.0, event: order_placed, data: { order: o-1 } }
//!   status: waiting                      # of the run; left out: any
//!   branches:                            # by their steps; those left out: any
//!     marked thanks: waiting
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_api::wire::{BranchStatus, CloudEvent, Run};
use althing_api::{Cut, PAGE_MAX, RunFilter, ServiceKey};
use althing_types::Hash;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::commands::program;
use crate::duration::Span;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::patience::{Patience, pause};

/// How long a run has to come to what is expected.
const WITHIN_MS: u64 = 30_000;
/// Between two looks at a run.
const AGAIN: Duration = Duration::from_millis(100);

/// Post events and compare the branches of the runs that they start with what a file expects.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The file with tests.
    #[arg(default_value = "test.yaml")]
    file: PathBuf,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    test: String,
    #[serde(default)]
    within: Option<String>,
    events: Vec<Posted>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    branches: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Posted {
    service: String,
    event: String,
    #[serde(default)]
    data: Value,
    /// Names the occurrence for ever; a new one each time unless given.
    #[serde(default)]
    id: Option<String>,
}

/// How a test came out.
#[derive(Serialize)]
struct Came {
    test: String,
    passed: bool,
    run: Option<String>,
    /// Empty if it passed.
    differences: Vec<String>,
}

impl Test {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<ExitCode> {
        let cases = read(&self.file)?;
        let client = home.viewer()?;
        let stamp = althing_node::now().0;
        let mut came = Vec::new();
        let wanted = |case: &&Case| self.only.as_ref().is_none_or(|text| case.test.contains(text));
        for (number, case) in cases.iter().enumerate().filter(|(_, case)| wanted(case)) {
            let one = play(home, &client, case, &format!("test-{stamp}-{number}"))?;
            output.say(&format!("{} {}", if one.passed { "passed" } else { "FAILED" }, one.test));
            came.push(one);
        }
        let failed = came.iter().filter(|one| !one.passed).count();
        output.print(&came, |came| text(came, failed))?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn read(path: &std::path::Path) -> Result<Vec<Case>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let message = format!("{} is no list of tests: {error}", path.display());
        let hint = "a test has `test`, `events` and what is expected: `status`, `branches`";
        Failure::new("CLI-0039", message, hint).into()
    })
}

fn play(home: &Home, client: &Client, case: &Case, stamp: &str) -> Result<Came> {
    let ms = match &case.within {
        None => WITHIN_MS,
        Some(text) => {
            let span: Result<Span, String> = text.parse();
            let wrong = |message| Failure::new("CLI-0039", message, "write `within: 30s`");
            span.map_err(wrong)?.ms
        }
    };
    let deadline = Instant::now() + Duration::from_millis(ms);
    let mut first = None;
    for (number, posted) in case.events.iter().enumerate() {
        let service: ServiceKey = posted
            .service
            .parse()
            .with_context(|| format!("`service: {}` names no service", posted.service))?;
        let token = program::token(home, client, &service)?;
        let id = posted.id.clone().unwrap_or_else(|| format!("{stamp}-{number}"));
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            id,
            source: "althing test".to_owned(),
            kind: posted
                .event
                .parse()
                .with_context(|| format!("`event: {}` names no event", posted.event))?,
            data: posted.data.clone(),
        };
        let observed = Patience::short().ask(|| client.observe(&service, &token, &event))?;
        first.get_or_insert(observed.event.0);
    }
    let mut last: Option<Run> = None;
    let mut left = vec!["no event is posted".to_owned()];
    while let Some(key) = first {
        if last.is_none() {
            last = started_by(client, &key)?;
        } else if let Some(known) = &last {
            last = Some(Patience::short().ask(|| client.run(&known.id, Duration::ZERO))?);
        }
        left = match &last {
            Some(run) => differences(case, run),
            None => vec!["no run was started".to_owned()],
        };
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        pause(AGAIN);
    }
    Ok(Came {
        test: case.test.clone(),
        passed: left.is_empty(),
        run: last.map(|run| run.id.to_string()),
        differences: left,
    })
}

/// The run that an event started.
fn started_by(client: &Client, key: &Hash) -> Result<Option<Run>> {
    let mut after = None;
    loop {
        let cut = Cut { after, limit: PAGE_MAX };
        let page = Patience::short().ask(|| client.runs(RunFilter::default(), cut))?;
        let found = page.items.into_iter().find(|run| run.event.is_some_and(|it| it.0 == *key));
        after = page.next.map(|next| next.0);
        if found.is_some() || after.is_none() {
            return Ok(found);
        }
    }
}

fn differences(case: &Case, run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(wanted) = &case.status
        && *wanted != run.status.to_string()
    {
        found.push(format!("the run is {}, and {wanted} was expected", run.status));
    }
    for (steps, wanted) in &case.branches {
        let branch = run.branches.iter().find(|branch| {
            branch.steps.iter().map(|step| step.as_str()).eq(steps.split_whitespace())
        });
        match branch.map(|branch| words(&branch.status)) {
            None => {
                let known = run.branches.iter().map(|branch| {
                    branch.steps.iter().map(|step| step.as_str()).collect::<Vec<_>>().join(" ")
                });
                let known: Vec<String> = known.collect();
                found.push(format!("there is no branch {steps}; there are: {}", known.join(", ")));
            }
            Some(status) if status == *wanted => {}
            Some(status) => {
                found.push(format!("branch {steps} is {status}, and {wanted} was expected"));
            }
        }
    }
    found
}

/// A branch's status, as it is written in a file of tests.
fn words(status: &BranchStatus) -> String {
    match status {
        BranchStatus::Running => "running".to_owned(),
        BranchStatus::Waiting { event, .. } => format!("waiting({})", event.event),
        BranchStatus::OutOfFunds { .. } => "out of funds".to_owned(),
        BranchStatus::Done { with } => format!("done({with})"),
        BranchStatus::Dead { with, .. } => format!("dead({with})"),
        BranchStatus::NotTaken => "not taken".to_owned(),
        BranchStatus::Stopped => "stopped".to_owned(),
    }
}

fn text(came: &[Came], failed: usize) -> String {
    let mut text = String::new();
    for one in came.iter().filter(|one| !one.passed) {
        text.push_str(&format!("{}:\n", one.test));
        for difference in &one.differences {
            text.push_str(&format!("  {difference}\n"));
        }
        if let Some(run) = &one.run {
            text.push_str(&format!("  see: althing run show {run}\n"));
        }
    }
    text + &format!("{} passed, {failed} failed", came.len() - failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Run {
        let zero = format!("0x{}", "00".repeat(32));
        serde_json::from_value(json!({
            "id": zero, "application": zero, "alias": "acme/cart@1.0.0",
            "owner": format!("0x{}", "07".repeat(20)), "event": zero, "parent": null,
            "started_at": 0, "ended_at": null, "spent": "0", "payer": zero, "status": "waiting",
            "returned": null, "truncated": false, "steps": [],
            "branches": [
                { "steps": ["a", "b"], "status": "waiting", "step": "b",
                  "event": { "service": zero, "event": "paid" } },
                { "steps": ["a", "c"], "status": "done", "with": { "returned": "ok" } },
            ],
        }))
        .unwrap()
    }

    fn case(text: &str) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path).unwrap().remove(0)
    }

    #[test]
    fn what_is_as_expected_differs_in_nothing_and_what_is_left_out_is_not_asked() {
        let case = case(
            "- test: one\n  events: []\n  status: waiting\n  branches: { a b: waiting(paid), a c: done(ok) }\n",
        );
        assert_eq!(differences(&case, &run()), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_told() {
        let case = case(
            "- test: one\n  events: []\n  status: done\n  branches: { a b: done(ok), a d: done(ok) }\n",
        );
        assert_eq!(
            differences(&case, &run()),
            [
                "the run is waiting, and done was expected",
                "branch a b is waiting(paid), and done(ok) was expected",
                "there is no branch a d; there are: a b, a c",
            ]
        );
    }

    #[test]
    fn a_file_with_an_unknown_key_is_refused_with_its_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.yaml");
        std::fs::write(&path, "- test: one\n  evnts: []\n").unwrap();
        let error = crate::failure::render(&read(&path).unwrap_err());
        assert!(error.starts_with("error[CLI-0039]"), "{error}");
    }
}
