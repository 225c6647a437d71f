//! Ledger transfers a second on four nodes, against the bare engine with opaque transactions.

use std::time::{Duration, Instant};

use althing_node::dev_network::DevNetwork;
use anyhow::{Result, ensure};

use crate::child::{Ask, Child, ask_all, cpu_of_all};
use crate::cost::quantile;
use crate::figure::{Bar, Figure, number};
use crate::load::{self, Plan};
use crate::machine::Machine;
use crate::node::until;
use crate::seen::Seen;
use crate::stage::{self, Stage};

pub(crate) const NODES: usize = 4;
/// Accounts that send through each node.
const ACCOUNTS: u64 = 500;
/// What is not counted: connections, caches and queues fill.
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
/// Transactions in a block of the bare engine, beside as many as the ledger had.
const OPAQUE_TRANSACTIONS: usize = 1_000;

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    /// CPU time of all nodes, for one transaction.
    pub(crate) cpu_us: f64,
    /// CPU time of all nodes, in cores.
    pub(crate) cores: f64,
    pub(crate) per_block: f64,
    /// p50 and p99 from one height to the next.
    pub(crate) height_ms: (f64, f64),
    /// p50 and p99 from submission to commit.
    pub(crate) latency_ms: (f64, f64),
    /// Encoded size of a transaction.
    pub(crate) bytes: usize,
}

/// Lets time pass: what is measured goes on in other processes.
pub(crate) fn pass(time: Duration) {
    until(Instant::now() + time);
}

/// How much is handed to each node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// At most so many of its own transactions are on the way.
    pub(crate) on_the_way_max: usize,
    pub(crate) per_second: u32,
}

impl Load {
    /// As fast as they are committed.
    pub(crate) const fn full(on_the_way_max: usize) -> Self {
        Self { on_the_way_max, per_second: u32::MAX }
    }
}

/// Lets `children` work for a while, and looks at them.
pub(crate) fn observe(children: &mut [Child], load: Load, bytes: usize) -> Result<Run> {
    let Load { on_the_way_max, per_second } = load;
    ask_all::<()>(children, &Ask::Send { on_the_way_max, per_second })?;
    pass(WARM_UP);
    ask_all::<Seen>(children, &Ask::Report)?;
    let (start, before) = (Instant::now(), cpu_of_all(children)?);
    pass(MEASURED);
    let cpu = (cpu_of_all(children)? - before).as_secs_f64();
    let wall = start.elapsed().as_secs_f64();
    let seen: Vec<Seen> = ask_all(children, &Ask::Report)?;
    ask_all::<()>(children, &Ask::Pause)?;
    let (mut heights, mut latencies) = (Vec::new(), Seen::default());
    let (mut transactions, mut seconds, mut blocks) = (0, 0.0, 0);
    for one in &seen {
        let (count, time) = one.throughput();
        transactions += count;
        seconds += time;
        blocks += one.heights.len().saturating_sub(1);
        heights.extend(one.height_ms());
        latencies.latencies_us.extend(&one.latencies_us);
    }
    ensure!(transactions > 0, "nothing was decided; {:?}", seen.first().map(|one| &one.refusal));
    heights.sort_by(f64::total_cmp);
    let per_second = transactions as f64 / seconds;
    Ok(Run {
        per_second,
        cpu_us: cpu * 1e6 / (per_second * wall),
        cores: cpu / wall,
        per_block: transactions as f64 / blocks.max(1) as f64,
        height_ms: (quantile(&heights, 0.5), quantile(&heights, 0.99)),
        latency_ms: latencies.latency_ms(),
        bytes,
    })
}

/// Four nodes with something to send: `each` transactions of every account.
pub(crate) fn loaded(
    stage: &Stage,
    name: &str,
    transfers: u64,
    each: u64,
) -> Result<(DevNetwork, Vec<Child>, usize)> {
    let all = load::endowments(NODES as u64 * ACCOUNTS);
    let network = stage.network(name, NODES, &all)?;
    let mut bytes = 0;
    let mut files = Vec::new();
    for (node, place) in network.nodes.iter().zip(0_u64..) {
        let accounts = place * ACCOUNTS..(place + 1) * ACCOUNTS;
        let plan = Plan { chain: network.genesis.chain, accounts, all: &all, each, transfers };
        let file = node.folder.join("transactions");
        bytes = plan.write(&file)?;
        files.push(file);
    }
    let mut children = stage::start(&network, &["node"])?;
    stage::all_reach(&mut children, 2)?;
    for (child, file) in children.iter_mut().zip(files) {
        child.ask::<usize>(&Ask::Load(file))?;
    }
    Ok((network, children, bytes))
}

fn ledger(stage: &Stage, transfers: u64, each: u64, on_the_way_max: usize) -> Result<Run> {
    let (_network, mut children, bytes) = loaded(stage, "ledger", transfers, each)?;
    let run = observe(&mut children, Load::full(on_the_way_max), bytes)?;
    stage::stop(children)?;
    Ok(run)
}

/// The bare engine with blocks of so many opaque transactions of so many bytes.
pub(crate) fn bare(stage: &Stage, transactions: usize, bytes: usize) -> Result<Run> {
    let network = stage.network("bare", NODES, &[])?;
    let (count, size) = (transactions.to_string(), bytes.to_string());
    let mut children = stage::start(&network, &["bare", &count, &size])?;
    let run = observe(&mut children, Load::full(1), bytes)?;
    stage::stop(children)?;
    Ok(run)
}

/// One row of the ledger, with its peer.
fn compared(
    stage: &Stage,
    machine: &Machine,
    what: &str,
    transfers: u64,
    each: u64,
    on_the_way_max: usize,
) -> Result<Vec<Figure>> {
    let run = ledger(stage, transfers, each, on_the_way_max)?;
    let many = bare(stage, OPAQUE_TRANSACTIONS, run.bytes)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of transactions"
    )]
    let same = bare(stage, (run.per_block as usize).max(1), run.bytes)?;
    let best = if many.per_second > same.per_second { &many } else { &same };
    let scale = transfers as f64;
    let limit = machine.cores as f64 * 1e6 / (NODES as f64 * machine.recover_us) * scale;
    let figure = Figure::new(what, run.per_second * scale, "/s")
        .cpu(run.cpu_us / scale, "µs each, all nodes")
        .against(format!("bare engine, opaque, {} B each", run.bytes), best.per_second * scale)
        .bar(Bar::RatioAtLeast(0.6))
        .note(format!(
            "{:.0} transactions a block, {:.1} ms a height, {:.2} cores busy; bare: {:.0}/s with {OPAQUE_TRANSACTIONS} a block, {:.0}/s with as many as here, {:.1} µs each",
            run.per_block, run.height_ms.0, run.cores, many.per_second, same.per_second, best.cpu_us
        ));
    let alone =
        Figure::new(format!("{what}: against signatures alone"), run.per_second * scale, "/s")
            .against("recovering every signer once on every node, nothing else", limit)
            .note(format!(
                "{} recoveries of {} µs for each transaction on {} cores",
                NODES,
                number(machine.recover_us),
                machine.cores
            ));
    Ok(vec![figure, alone])
}

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage, machine: &Machine) -> Result<Vec<Figure>> {
    let mut figures = compared(stage, machine, "transfers, one a transaction", 1, 60, 4_000)?;
    figures.extend(compared(stage, machine, "transfers, 32 a transaction", 32, 12, 1_000)?);
    Ok(figures)
}
