//! Runs the targets for as long as one likes: `cargo xtask fuzz --executions 1000000`.
//!
//! An input on which a target breaks its promise is written to the target's corpus, where the tests
//! find it from then on.
#![expect(clippy::print_stdout, reason = "a command-line tool talks to its terminal")]

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use althing_fuzz::memory::Counting;
use althing_fuzz::{TARGETS, corpus, run, target};
use althing_types::keccak;
use anyhow::{Context as _, Result, bail};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Feeds changed inputs to every decoder that strangers reach.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask fuzz")]
struct Arguments {
    /// How many inputs each target gets, beside its corpus.
    #[arg(long, default_value_t = 100_000)]
    executions: u64,
    /// One target only.
    #[arg(long)]
    target: Option<String>,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More inputs to begin with, such as a real component, which is too large for the corpora.
    #[arg(long)]
    with: Vec<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = match &arguments.target {
        Some(name) => vec![target(name).with_context(|| format!("there is no target `{name}`"))?],
        None => TARGETS.iter().collect(),
    };
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let more: Vec<Vec<u8>> = arguments.with.iter().map(read).collect::<Result<_>>()?;
    let mut broken = 0_u32;
    println!("target | executions | bytes | peak memory in bytes | executions a second");
    for target in chosen {
        let kept = corpus::read(target.name)?.into_iter().map(|(_, input)| input);
        let inputs: Vec<Vec<u8>> = kept.chain(more.iter().cloned()).collect();
        // What takes long gets its share of the time, not of the executions.
        let executions = arguments.executions.div_ceil(target.cost);
        let started = Instant::now();
        let report = run::corpus(target, &inputs).and_then(|report| {
            let mutated = run::mutated(target, &inputs, arguments.seed, executions)?;
            Ok(report.with(mutated))
        });
        match report {
            Ok(report) => {
                let seconds = started.elapsed().as_secs_f64().max(0.001);
                #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
                let rate = report.executions as f64 / seconds;
                let (executions, bytes) = (report.executions, report.bytes);
                println!(
                    "{} | {executions} | {bytes} | {} | {rate:.0}",
                    target.name, report.memory_peak
                );
            }
            Err(found) => {
                broken += 1;
                let hash = keccak(&[&found.input]).to_string();
                let name = format!("broken-{}", hash.chars().skip(2).take(12).collect::<String>());
                let path = corpus::write(target.name, &name, &found.input)?;
                println!("{found}\n  kept as {}", path.display());
            }
        }
    }
    if broken > 0 {
        bail!("{broken} targets broke their promises");
    }
    Ok(())
}
