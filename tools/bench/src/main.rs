//! The benchmark: the project's own figures, as ratios in one run.
//!
//! ```text
//!   main ─► benchmark ─► Stage: folders, networks ─► children: this program in a role (node, bare)
//!              └─► Figure: value, CPU time, peer, bar ─► table and JSON
//! ```
//!
//! - Units: in the figures themselves; CPU time as Linux counts it.
//! - Errors: a benchmark that cannot be carried out ends the program; a bar that does not hold is a
//!   result, and does not.
//! - Invariant: whatever is compared is compared in one run, on one machine, in the same arrangement.
//! - Source: `docs/bench.md`, which has the bars.

mod applications;
mod bare;
mod catch_up;
mod child;
mod cost;
mod executions;
mod figure;
mod finality;
mod idle;
mod load;
mod machine;
mod node;
mod open_tasks;
mod receipt;
mod restart;
mod restate;
mod runs;
mod seen;
mod solo;
mod stage;
mod transfers;
mod waiting;
mod wasm;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::figure::{Figure, table};
use crate::machine::Machine;
use crate::stage::Stage;

// As the node that users run has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Althing on this machine; `docs/bench.md` says how to read it.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    /// What to measure [default: everything].
    #[arg(value_enum)]
    benchmarks: Vec<Benchmark>,
    /// Where the results and the measured nodes' folders go.
    #[arg(long, env = "ALTHING_OUTPUT_DIR", default_value = "target/bench")]
    output: PathBuf,
    /// Where npm has installed Restate, for `runs` to be compared with it [default: no comparison].
    #[arg(long, value_name = "FOLDER")]
    restate: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Roles>,
}

#[derive(Debug, Subcommand)]
enum Roles {
    /// Takes part in a measurement that another process makes.
    #[command(hide = true)]
    Role {
        #[command(subcommand)]
        role: Role,
    },
}

#[derive(Debug, Subcommand)]
enum Role {
    /// A node, with somebody who hands it transactions.
    Node { folder: PathBuf },
    /// A node that tells of its commits through a socket.
    Followed { folder: PathBuf, socket: PathBuf },
    /// The bare engine.
    Bare { folder: PathBuf, transactions: usize, bytes: usize },
    /// Opens a chain, says how long it took, and waits.
    Open { folder: PathBuf },
}

/// One part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Benchmark {
    /// Signed transfers a second, against the bare engine.
    Transfers,
    /// From submission to commit, under load.
    Finality,
    /// Executions of a service a second.
    Executions,
    /// Events over HTTP, and the runs of three tasks that they start.
    Runs,
    /// A short task beside a thousand long ones.
    OpenTasks,
    /// Events beside many runs that wait or are open.
    Waiting,
    /// A call through the sandbox, against a direct one.
    Wasm,
    /// Verifying a receipt.
    Receipt,
    /// A node with a million keys after `kill -9`.
    Restart,
    /// A network that has nothing to do.
    Idle,
    /// A node that is a thousand heights behind.
    CatchUp,
}

/// What is written as JSON.
#[derive(Serialize)]
struct Results<'a> {
    machine: &'a Machine,
    figures: &'a BTreeMap<Benchmark, Vec<Figure>>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Roles::Role { role }) => take_part(role),
        None => measure(&arguments),
    }
}

fn take_part(role: Role) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match role {
        Role::Node { folder } => runtime.block_on(node::run(&folder)),
        Role::Followed { folder, socket } => {
            runtime.block_on(applications::followed::run(&folder, &socket))
        }
        Role::Bare { folder, transactions, bytes } => {
            runtime.block_on(bare::run(&folder, transactions, bytes))
        }
        Role::Open { folder } => restart::open(&folder),
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let stage = Stage::new(&std::path::absolute(arguments.output.join("stage"))?)?;
    let machine = Machine::look(&arguments.output)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}\n", machine.text())?;
    let all = Benchmark::value_variants();
    let asked = if arguments.benchmarks.is_empty() { all } else { &arguments.benchmarks };
    let mut figures = BTreeMap::new();
    for benchmark in asked {
        let measured = match benchmark {
            Benchmark::Transfers => transfers::run(&stage, &machine),
            Benchmark::Finality => finality::run(&stage),
            Benchmark::Executions => executions::run(&stage),
            Benchmark::Runs => runs::run(&stage, arguments.restate.as_deref()),
            Benchmark::OpenTasks => open_tasks::run(&stage),
            Benchmark::Waiting => waiting::run(&stage),
            Benchmark::Wasm => wasm::run(&stage),
            Benchmark::Receipt => receipt::run(),
            Benchmark::Restart => restart::run(&stage),
            Benchmark::Idle => idle::run(&stage),
            Benchmark::CatchUp => catch_up::run(&stage),
        };
        let measured = measured.with_context(|| format!("measuring {benchmark:?}"))?;
        writeln!(out, "{benchmark:?}\n\n{}", table(&measured))?;
        out.flush()?;
        figures.insert(*benchmark, measured);
    }
    let missed = figures.values().flatten().filter(|figure| !figure.holds()).count();
    let path = arguments.output.join("results.json");
    let json = serde_json::to_string_pretty(&Results { machine: &machine, figures: &figures })?;
    std::fs::write(&path, json + "\n").with_context(|| format!("writing {}", path.display()))?;
    writeln!(out, "{missed} bars missed. The figures are in {}.", path.display())?;
    Ok(())
}
