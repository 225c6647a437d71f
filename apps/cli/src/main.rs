//! `althing`: a node, and everything that a person does with one.
//!
//! ```text
//!   althing NOUN VERB …     stdout: data (--json)    stderr: talk, errors with a code and a hint
//! ```
//!
//! One file per noun in [`commands`]; each command is a type whose fields are its options.

mod commands;
mod cost;
mod duration;
mod failure;
mod home;
mod moment;
mod names;
mod output;
mod patience;
mod services;
mod sign;
mod words;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::output::Output;

// A node allocates much and briefly, on several threads: a sixth of its CPU went into the system's malloc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A decentralized network of services: run a node, call tasks, verify receipts.
#[derive(Debug, Parser)]
#[command(name = "althing", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Print data as JSON.
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) json: bool,
    /// Folder with your accounts [default: ./.althing if it is there, else ~/.althing].
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "ALTHING_HOME",
        value_name = "DIR"
    )]
    pub(crate) home: Option<PathBuf>,
    /// Node to talk to [default: the one remembered, else port 4901 of this machine].
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "ALTHING_NODE",
        value_name = "URL"
    )]
    pub(crate) node: Option<String>,
    /// Account that signs, by name or address [default: the one remembered, or the only one].
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        env = "ALTHING_ACCOUNT",
        value_name = "ACCOUNT"
    )]
    pub(crate) account: Option<String>,
    /// File with the account's password [default: `ALTHING_PASSWORD`, else ask].
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misread(&error),
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,althing=info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let output = Output { json: arguments.global.json };
    match arguments.command.run(&arguments.global, output) {
        Ok(code) => code,
        Err(error) => {
            let text =
                if output.json { failure::render_json(&error) } else { failure::render(&error) };
            writeln!(std::io::stderr(), "{}", text.trim_end()).ok();
            ExitCode::FAILURE
        }
    }
}

/// Help and version are data that was asked for; everything else is a mistake with a code.
fn misread(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.print().ok();
        return ExitCode::SUCCESS;
    }
    let json = std::env::args_os().any(|argument| argument == "--json");
    write!(std::io::stderr(), "{}", failure::render_usage(error, json)).ok();
    ExitCode::from(2)
}
