//! The command line as its users have it: a process, JSON on its output.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The binary, and the folder that stands for the user's home.
#[derive(Clone, Debug)]
pub struct Cli {
    binary: PathBuf,
    home: PathBuf,
}

impl Cli {
    /// Commands of `binary` for the user whose folder is `home`.
    #[must_use]
    pub fn new(binary: &Path, home: &Path) -> Self {
        Self { binary: binary.to_owned(), home: home.to_owned() }
    }

    /// A command that is not started yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--home").arg(&self.home).arg("--json").args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command and returns what it printed.
    ///
    /// # Errors
    ///
    /// If it fails, with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.try_run(arguments)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`althing {}` failed: {}", arguments.join(" "), said.trim());
        }
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("understanding what `althing {}` printed", arguments.join(" "))
        })
    }

    /// Runs a command and returns how it ended, well or not.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn try_run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)
            .output()
            .with_context(|| format!("starting {}", self.binary.display()))
    }
}
