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
    /// Where the report goes, in Markdown; it is brought up to date as the run goes on.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// After how many seeds the report is brought up to date.
const REPORT_EVERY: u64 = 20;

/// What the seeds so far came to.
struct Run {
    from: u64,
    started: Instant,
    all: Statistics,
    failed: Vec<u64>,
    seeds: u64,
}

impl Run {
    fn text(&self) -> String {
        let failed = &self.failed;
        let numbers = if failed.is_empty() { String::new() } else { format!(" ({failed:?})") };
        let seconds = self.started.elapsed().as_secs_f64();
        format!(
            "{} seeds from {}, {} failed{numbers}, in {seconds:.0} s of wall time.\n\n{}",
            self.seeds,
            self.from,
            failed.len(),
            self.all.markdown(),
        )
    }

    fn write(&self, path: Option<&PathBuf>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        std::fs::write(path, self.text()).with_context(|| format!("writing {}", path.display()))
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let limit = arguments.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
    let mut total = Run {
        from: arguments.from,
        started,
        all: Statistics::default(),
        failed: Vec::new(),
        seeds: 0,
    };
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        if limit.is_some_and(|limit| started.elapsed() >= limit) {
            break;
        }
        let scenario = Scenario::from_seed(seed);
        let report = run(&scenario);
        total.seeds += 1;
        if arguments.verbose {
            println!("{}", report.story());
        }
        if arguments.twice {
            let again = run(&scenario);
            anyhow::ensure!(again.trace == report.trace, "seed {seed} has two traces");
        }
        for part in scenario.parts.iter().filter(|part| !part.is_honest()) {
            *total.all.parts.entry(part.to_string()).or_default() += 1;
        }
        total.all.add(&report.statistics);
        if !report.is_well() {
            total.failed.push(seed);
            println!("seed {seed} FAILED\n{}", report.story());
            if !arguments.no_shrink {
                println!("smallest:\n{}", shrink(&report).story());
            }
        }
        if total.seeds.is_multiple_of(REPORT_EVERY) {
            total.write(arguments.report.as_ref())?;
            let hours = total.all.simulated_us as f64 / 3.6e9;
            println!("{} seeds, {hours:.1} h simulated in {:.0?}", total.seeds, started.elapsed());
        }
    }
    println!("{}", total.text());
    total.write(arguments.report.as_ref())?;
    Ok(if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
