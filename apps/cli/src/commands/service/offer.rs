//! A node's commitment to a service: made, withdrawn, taken up again. The node itself signs.

use std::path::{Path, PathBuf};

use althing_api::ServiceKey;
use althing_api::wire::TransactionReceipt;
use althing_keys::NodeKeys;
use althing_node::folder::Folder;
use althing_types::{
    Amount, Hash, Label, Offer as OfferOperation, Operation, Resume as ResumeOperation,
    Withdraw as WithdrawOperation,
};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::commands::account;
use crate::duration::Span;
use crate::failure::Failure;
use crate::home::Home;
use crate::names::Names;
use crate::output::Output;
use crate::sign::{Fee, Signer, accepted, told};

/// Which nodes sign.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Nodes {
    /// Folder of the node, whose own account signs.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Node I of the development network.
    #[arg(long, value_name = "I")]
    dev_node: Option<usize>,
    /// All nodes of the development network.
    #[arg(long)]
    dev_nodes: bool,
}

impl Nodes {
    fn chosen(&self, home: &Home) -> Result<Vec<Chosen>> {
        if let Some(folder) = &self.dir {
            return Ok(vec![Chosen::of(folder)?]);
        }
        let folders = home.preferences()?.dev_nodes;
        let chosen: Vec<PathBuf> = match self.dev_node {
            Some(number) => number
                .checked_sub(1)
                .and_then(|index| folders.get(index))
                .cloned()
                .into_iter()
                .collect(),
            None => folders,
        };
        if chosen.is_empty() {
            let message =
                format!("{} knows no such node of a development network", home.folder().display());
            let hint =
                "run this in the folder in which `althing dev` was started, or name it with --home";
            return Err(Failure::new("CLI-0022", message, hint).into());
        }
        chosen.iter().map(|folder| Chosen::of(folder)).collect()
    }
}

/// A node that signs.
struct Chosen {
    keys: NodeKeys,
    labels: Vec<Label>,
}

impl Chosen {
    fn of(folder: &Path) -> Result<Self> {
        let keys = NodeKeys::load(folder)?;
        Ok(Self { keys, labels: Folder::new(folder).settings()?.labels()? })
    }
}

/// What became of one node's transaction.
#[derive(Serialize)]
struct Done {
    node: String,
    transaction: TransactionReceipt,
}

/// Lets each node sign its own operation; all are on their way before the first is waited for.
fn carry_out(
    home: &Home,
    nodes: &Nodes,
    fee: Fee,
    operation: impl Fn(&Chosen) -> Operation,
    output: Output,
) -> Result<()> {
    let client = home.client()?;
    let mut under_way = Vec::new();
    for node in nodes.chosen(home)? {
        let operation = operation(&node);
        let signer = Signer::new(&client, node.keys.account, fee)?;
        let submitted = signer.submit(vec![operation], true)?;
        under_way.push((signer, submitted));
    }
    let names = Names::of(home);
    let mut done = Vec::new();
    for (signer, submitted) in under_way {
        let transaction = signer.wait(&submitted)?;
        accepted(&transaction).map_err(|error| {
            // The code is that of the cause; the context says which node it was.
            error.context(format!("{} could not do it", names.full(&signer.address())))
        })?;
        done.push(Done { node: signer.address().to_string(), transaction });
    }
    output.print(&done, |done| {
        let line = |done: &Done| {
            let node = done.transaction.account.0;
            format!("{}: {}\n", names.full(&node), told(&done.transaction))
        };
        done.iter().map(line).collect()
    })
}

/// The service's id, which operations name it by.
fn id(home: &Home, service: &ServiceKey) -> Result<Hash> {
    Ok(match service {
        ServiceKey::Id(id) => *id,
        ServiceKey::Alias(_) => home.client()?.service(service)?.id.0,
    })
}

/// Offer a service: a node commits itself to execute and check it.
///
/// The offer states the labels in the node's node.json, such as `"labels": { "region": "eu" }`; after a change,
/// offer again with `--stake 0`.
#[derive(Debug, Args)]
pub(crate) struct Offer {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
    /// Tokens to stake, or to add to the stake; fines are taken from it.
    #[arg(long, value_name = "TOKENS")]
    stake: Amount,
    /// For how long, from now on: 30d, 12h.
    #[arg(long, value_name = "TIME")]
    term: Span,
    /// Who owns the node, by name or address: nodes of one owner never check each other
    /// [default: the node itself].
    #[arg(long, value_name = "ACCOUNT")]
    owner: Option<String>,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    fee: Fee,
}

impl Offer {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let service = id(home, &self.service)?;
        let owner =
            self.owner.as_deref().map(|named| account::address(home, Some(named))).transpose()?;
        let offer = |node: &Chosen| {
            let keys = &node.keys;
            Operation::Offer(OfferOperation {
                service,
                stake: self.stake,
                term_ms: self.term.ms,
                owner: owner.unwrap_or_else(|| keys.account.address()),
                endpoint: althing_net_iroh::endpoint_of(&keys.endpoint),
                labels: node.labels.clone(),
            })
        };
        carry_out(home, &self.nodes, self.fee, offer, output)
    }
}

/// Withdraw a node's offer; before its term this costs a part of the stake.
#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    fee: Fee,
}

impl Withdraw {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let service = id(home, &self.service)?;
        let withdraw = |_: &Chosen| Operation::Withdraw(WithdrawOperation { service });
        carry_out(home, &self.nodes, self.fee, withdraw, output)
    }
}

/// Return a node's suspended offer to office.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
    #[command(flatten)]
    nodes: Nodes,
    #[command(flatten)]
    fee: Fee,
}

impl Resume {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let service = id(home, &self.service)?;
        let resume = |_: &Chosen| Operation::Resume(ResumeOperation { service });
        carry_out(home, &self.nodes, self.fee, resume, output)
    }
}
