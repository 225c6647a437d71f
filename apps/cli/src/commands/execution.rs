//! What became of calls.

use std::time::Duration;

use althing_api::client::Client;
use althing_api::wire::{Conclusion, Execution as Record, Outcome, Phase};
use althing_api::{Cut, ExecutionFilter, PAGE_MAX, ServiceKey};
use althing_types::Hash;
use anyhow::Result;
use clap::{Args, Subcommand};

use crate::commands::account;
use crate::home::Home;
use crate::names::Names;
use crate::output::{Output, table};
use crate::words;

/// What became of calls.
#[derive(Debug, Subcommand)]
pub(crate) enum Execution {
    /// List executions, open and settled.
    List(List),
    /// Show an execution.
    Show(Show),
}

impl Execution {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::List(command) => command.run(home, output),
            Self::Show(command) => command.run(home, output),
        }
    }
}

/// List executions, open and settled.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that you pay.
    #[arg(long)]
    mine: bool,
    /// Only those that this node works on, by address or name.
    #[arg(long = "by-node", visible_alias = "member", value_name = "NODE")]
    by_node: Option<String>,
    /// Only those of this service.
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceKey>,
    /// Only those that are not settled.
    #[arg(long)]
    open: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

impl List {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.client()?;
        let address = |named: &str| account::address(home, Some(named));
        let filter = ExecutionFilter {
            payer: if self.mine { Some(account::address(home, None)?) } else { None },
            node: self.by_node.as_deref().map(address).transpose()?,
            service: match &self.service {
                Some(service) => Some(client.service(service)?.id.0),
                None => None,
            },
            phase: None,
        };
        let found = if self.open {
            let mut all = Vec::new();
            for phase in OPEN {
                let filter = ExecutionFilter { phase: Some(phase), ..filter };
                all.extend(pages(&client, filter, self.limit - all.len().min(self.limit))?);
            }
            all
        } else {
            pages(&client, filter, self.limit)?
        };
        output.print(&found, |found| list(found))
    }
}

/// The phases of an execution that is not settled.
const OPEN: [Phase; 4] = [Phase::Created, Phase::Working, Phase::Checking, Phase::Revealing];

fn pages(client: &Client, filter: ExecutionFilter, limit: usize) -> Result<Vec<Record>> {
    let (mut found, mut after) = (Vec::new(), None);
    while found.len() < limit {
        let cut = Cut { after, limit: (limit - found.len()).min(PAGE_MAX) };
        let page = client.executions(filter, cut)?;
        found.extend(page.items);
        after = page.next.map(|next| next.0);
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}

/// Most open executions that are counted.
const COUNTED_MAX: usize = 100_000;

/// How many executions are not settled.
pub(crate) fn count_open(client: &Client) -> Result<u64> {
    let mut count = 0;
    for phase in OPEN {
        let filter = ExecutionFilter { phase: Some(phase), ..ExecutionFilter::default() };
        count += pages(client, filter, COUNTED_MAX)?.len();
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

fn list(executions: &[Record]) -> String {
    let row = |execution: &Record| {
        vec![
            execution.id.to_string(),
            execution.task.to_string(),
            execution.checkers.to_string(),
            execution.phase.to_string(),
            execution.conclusion.as_ref().map_or_else(|| "-".to_owned(), conclusion),
        ]
    };
    let rows: Vec<Vec<String>> = executions.iter().map(row).collect();
    table(&["execution", "task", "checkers", "phase", "conclusion"], &rows)
}

/// How it ended, in a few words.
pub(crate) fn conclusion(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Accepted { outcome: Outcome::Returned { status, .. } } => {
            format!("accepted: {status}")
        }
        Conclusion::Accepted { outcome: Outcome::Declined } => {
            format!("accepted: {}", words::DECLINED)
        }
        Conclusion::Accepted { outcome: Outcome::Failed { failure } } => {
            format!("accepted: {}", words::failure(*failure))
        }
        Conclusion::Accepted { outcome: Outcome::Inconclusive { doubt } } => {
            format!("accepted: {}", words::doubt(*doubt))
        }
        Conclusion::Failed { reason } => format!("failed: {}", words::reason(*reason)),
    }
}

/// Show an execution.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id.
    id: Hash,
}

impl Show {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let execution = home.client()?.execution(&self.id, Duration::ZERO)?;
        let names = Names::of(home);
        output.print(&execution, |execution| shown(execution, &names))
    }
}

fn shown(execution: &Record, names: &Names) -> String {
    let mut text = format!(
        "execution {}\n  task      {} of {}\n  payer     {}\n  checkers  {}, quorum {}\n  called    in block {}\n  \
         phase     {}, round {}\n  paid      {} in, {} back\n",
        execution.id,
        execution.task,
        execution.service,
        names.full(&execution.payer),
        execution.checkers,
        execution.quorum,
        execution.created,
        execution.phase,
        execution.round,
        execution.paid_in,
        execution.refunded,
    );
    if let Some(ended) = &execution.conclusion {
        text.push_str(&format!("  ended     {}\n", conclusion(ended)));
    }
    if !execution.members.is_empty() {
        let rows: Vec<Vec<String>> = execution
            .members
            .iter()
            .map(|member| {
                vec![
                    names.full(&member.node),
                    words::role(member.role).to_owned(),
                    member.round.to_string(),
                    words::state(&member.state).to_owned(),
                    member.offence.map_or("-", words::offence).to_owned(),
                    member.fine.to_string(),
                    member.earned.to_string(),
                ]
            })
            .collect();
        text.push('\n');
        text.push_str(&table(
            &["member", "role", "round", "state", "offence", "fine", "earned"],
            &rows,
        ));
    }
    text
}
