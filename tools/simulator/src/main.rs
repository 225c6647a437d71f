//! Runs simulations, many or one.
#![expect(clippy::print_stdout, reason = "a command-line tool talks to its terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use althing_simulator::shrink::{run, shrink};
use althing_simulator::{Scenario, Statistics};
use anyhow::{Context as _, Result};
use clap::Parser;

/// Simulates networks, seed by seed, and reports what was covered.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stops after this many hours of wall time.
    #[arg(long)]
    hours: Option<f64>,
    /// Runs each seed twice and compares the traces.
    #[arg(long)]
    twice: bool,
    /// Leaves a failing scenario as it is.
    #[arg(long)]
    no_shrink: bool,
    /// Says what happens in each run.
    #[arg(long)]
    verbose: bool,
    /// Where the report goes, in Markdown.
    #[arg(long)]
    report: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let limit = arguments.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
    let mut all = Statistics::default();
    let mut failed: Vec<u64> = Vec::new();
    let mut seeds = 0;
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
        let scenario = Scenario::from_seed(seed);
        let report = run(&scenario);
        seeds += 1;
        if arguments.verbose {
            println!("{}", report.story());
        }
        if arguments.twice {
            let again = run(&scenario);
            anyhow::ensure!(again.trace == report.trace, "seed {seed} has two traces");
        }
        for part in scenario.parts.iter().filter(|part| !part.is_honest()) {
            *all.parts.entry(part.to_string()).or_default() += 1;
        }
        all.add(&report.statistics);
        if !report.is_well() {
            failed.push(seed);
            println!("seed {seed} FAILED\n{}", report.story());
            if !arguments.no_shrink {
                println!("smallest:\n{}", shrink(&report).story());
            }
        }
        if seeds % 100 == 0 {
            let hours = all.simulated_us as f64 / 3.6e9;
            println!("{seeds} seeds, {hours:.1} h simulated in {:.0?}", started.elapsed());
        }
    }
    let mut text = format!(
        "{seeds} seeds from {}, {} failed{}, in {:.0} s of wall time.\n\n",
        arguments.from,
        failed.len(),
        if failed.is_empty() { String::new() } else { format!(" ({failed:?})") },
        started.elapsed().as_secs_f64(),
    );
    text.push_str(&all.markdown());
    println!("{text}");
    if let Some(path) = &arguments.report {
        std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
