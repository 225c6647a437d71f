//! `cargo xtask soak`: plays the scenarios for minutes and prints what was seen, as a document.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use althing_soak::scenario::{Scenario, Stage};
use anyhow::{Context as _, Result};
use clap::Parser as _;

/// Real nodes under load while their surroundings go wrong.
#[derive(Debug, clap::Parser)]
struct Arguments {
    /// Minutes of faults, all scenarios together.
    #[arg(long, default_value_t = 6)]
    minutes: u32,
    /// Decides the order of the faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Transfers a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Only these; all of them unless given.
    scenarios: Vec<Scenario>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let scenarios = if arguments.scenarios.is_empty() {
        Scenario::ALL.to_vec()
    } else {
        arguments.scenarios.clone()
    };
    let share = u32::try_from(scenarios.len()).unwrap_or(1).max(1);
    let stage = Stage {
        binary: std::env::var_os("ALTHING_BIN")
            .map(PathBuf::from)
            .context("ALTHING_BIN names the binary `althing`")?,
        service: Some(PathBuf::from("examples/invoice")),
        folder: std::env::var_os("ALTHING_OUTPUT_DIR")
            .map_or_else(|| PathBuf::from("target/soak"), PathBuf::from),
        seed: arguments.seed,
        length: Duration::from_secs(60) * arguments.minutes / share,
        transfers_per_second: arguments.rate,
    };
    let begun = Instant::now();
    let mut out = std::io::stdout();
    let mut holds = true;
    for scenario in scenarios {
        let report = scenario.play(&stage)?;
        holds &= report.holds();
        writeln!(out, "{}", report.markdown())?;
        out.flush()?;
    }
    let word = if holds { "Every claim holds" } else { "**Not every claim holds**" };
    writeln!(out, "{word}, after {:.0} s in all.", begun.elapsed().as_secs_f64())?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
