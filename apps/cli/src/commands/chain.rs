//! The chain itself.

use althing_api::wire::{Block as DecidedBlock, Totals};
use althing_types::Height;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::commands::{execution, stake};
use crate::home::Home;
use crate::names::Names;
use crate::output::{Output, table};

/// The chain itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Chain {
    /// Show where the chain is, and where all tokens are.
    Status(Status),
    /// Show a block.
    Block(Block),
    /// List everybody who stakes on consensus.
    Validators(Validators),
}

impl Chain {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::Status(command) => command.run(home, output),
            Self::Block(command) => command.run(home, output),
            Self::Validators(command) => command.run(home, output),
        }
    }
}

#[derive(Serialize)]
struct Told {
    height: u64,
    block: String,
    time: u64,
    genesis: String,
    chain: u64,
    peers: u32,
    syncing: bool,
    pending: u32,
    open_executions: u64,
    totals: Totals,
}

/// Show where the chain is, and where all tokens are.
#[derive(Debug, Args)]
pub(crate) struct Status {}

impl Status {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let Self {} = self;
        let client = home.client()?;
        let status = client.status()?;
        let told = Told {
            height: status.height,
            block: status.block.to_string(),
            time: status.time,
            genesis: status.genesis.to_string(),
            chain: status.chain,
            peers: status.peers,
            syncing: status.syncing,
            pending: status.pending,
            open_executions: execution::count_open(&client)?,
            totals: client.totals()?,
        };
        output.print(&told, text)
    }
}

fn text(told: &Told) -> String {
    let totals = &told.totals;
    let rows: Vec<Vec<String>> = [
        ("height", told.height.to_string()),
        ("block", told.block.clone()),
        ("time (ms)", told.time.to_string()),
        ("genesis", told.genesis.clone()),
        ("peers", told.peers.to_string()),
        ("syncing", if told.syncing { "yes" } else { "no" }.to_owned()),
        ("pending transactions", told.pending.to_string()),
        ("open executions", told.open_executions.to_string()),
        ("tokens in accounts", totals.accounts.to_string()),
        ("  bonded", totals.bonded.to_string()),
        ("  staked in offers", totals.offers.to_string()),
        ("  in escrow", totals.escrow.to_string()),
        ("  in the treasury", totals.treasury.to_string()),
        ("  burned", totals.burned.to_string()),
        ("  in all", totals.supply.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value])
    .collect();
    table(&["", ""], &rows).trim_start().to_owned()
}

/// Show a block.
#[derive(Debug, Args)]
pub(crate) struct Block {
    /// Its height [default: the last].
    height: Option<u64>,
}

impl Block {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let block = home.client()?.block(self.height.map(Height))?;
        let names = Names::of(home);
        output.print(&block, |block| block_text(block, &names))
    }
}

fn block_text(block: &DecidedBlock, names: &Names) -> String {
    let header = &block.header;
    let mut text = format!(
        "block {}  {}\n  previous    {}\n  time (ms)   {}\n  proposer    {}, round {}\n  state root  {}\n  \
         beacon      {}\n  signed by   {} validators in round {}\n",
        header.height,
        block.id,
        header.previous,
        header.time,
        names.full(&header.proposer),
        header.round,
        header.state_root,
        header.beacon,
        block.certificate.signatures.len(),
        block.certificate.round,
    );
    for transaction in &block.transactions {
        let inner = althing_types::SignedTransaction::from(transaction.signed.clone()).transaction;
        text.push_str(&format!(
            "  transaction {} of {}\n",
            transaction.hash,
            names.full(&inner.account)
        ));
        for operation in &inner.operations {
            text.push_str(&format!("    {operation}\n"));
        }
    }
    text
}

/// List everybody who stakes on consensus.
#[derive(Debug, Args)]
pub(crate) struct Validators {}

impl Validators {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let Self {} = self;
        let (validators, names) = (home.client()?.validators()?, Names::of(home));
        output.print(&validators, |told| {
            let list = stake::validators(&told.validators, &names);
            format!("{list}\n{} votes in all, after block {}", told.total_power, told.height)
        })
    }
}
