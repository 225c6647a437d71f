//! The project's own commands: `cargo xtask <command>`.
//!
//! Everything that a person or a machine does with the whole repository is one command here, the
//! same at home and in CI.
//!
//! ```text
//!   test ──► fmt ► tidy ► layers ► guests ► peers ► clippy ► nextest ► doctests ► docs ► no-std
//!   demo ──► build in release ► guests ► althing-demo
//!   bench ─► build in release ► guests ► althing-bench
//!   soak ──► build in release ► guests ► althing-soak
//!   fuzz ──► build in release ► althing-fuzz
//! ```
//!
//! - State: the target folder ([`workspace::Workspace`]), shared by all clones on a machine and
//!   used by one at a time.
//! - Errors: `anyhow`, printed once, here; a check that fails lists its findings first.
//! - Invariant: depends on two small crates, so that the first `cargo xtask` answers in seconds.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

mod bench;
mod demo;
mod docs;
mod finding;
mod format;
mod fuzz;
mod guests;
mod layers;
mod lint;
mod nextest;
mod no_std;
mod packages;
mod peers;
mod purity;
mod rust;
mod sim;
mod soak;
mod test;
mod tidy;
mod tree;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
Usage: cargo xtask <command>

  test [--only STAGE] [--from STAGE]   every check, in order
  fmt                                  format the code
  lint                                 clippy, warnings are errors
  layers                               dependencies point inwards; the core stays pure
  tidy                                 headers, error pages, links, file sizes
  errors                               write the index of docs/errors
  guests                               build the services that are crates to wasm
  peers                                install the technologies that tests talk to
  demo [ARGUMENTS]                     seven nodes on this machine, told step by step
  bench [ARGUMENTS]                    the benchmark
  sim [ARGUMENTS]                      networks in one thread, from seeds (--seeds N, --hours H)
  soak [ARGUMENTS]                     nodes under load, killed, cut off, full, twice
  fuzz [--executions N] [--target T]   changed inputs for every decoder

Builds go to $ALTHING_TARGET_DIR, or else to ~/.cache/althing/target.";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut arguments = env::args().skip(1);
    let Some(command) = arguments.next() else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    if matches!(command.as_str(), "help" | "-h" | "--help") {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let rest: Vec<String> = arguments.collect();
    if !rest.is_empty()
        && !matches!(command.as_str(), "test" | "demo" | "bench" | "sim" | "soak" | "fuzz")
    {
        bail!("`{command}` takes no arguments\n\n{USAGE}");
    }

    let workspace = Workspace::open()?;
    match command.as_str() {
        "test" => return test::run(&workspace, &rest),
        "demo" => return demo::run(&workspace, &rest),
        "bench" => return bench::run(&workspace, &rest),
        "sim" => return sim::run(&workspace, &rest),
        "soak" => return soak::run(&workspace, &rest),
        "fuzz" => return fuzz::run(&workspace, &rest),
        "fmt" => format::write(&workspace)?,
        "lint" => println!("lint {}", lint::check(&workspace)?),
        "layers" => println!("layers {}", layers::check(&workspace)?),
        "tidy" => println!("tidy {}", tidy::check(&workspace)?),
        "errors" => tidy::errors::write_index(&workspace)?,
        "guests" => println!("guests {}", guests::build(&workspace, guests::Profile::Dev)?),
        "peers" => println!("peers {}", peers::install(&workspace)?),
        other => bail!("there is no command `{other}`\n\n{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}
