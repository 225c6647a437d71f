//! The simulator, in release: many seeds, one report.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::guests::{self, Profile};
use crate::workspace::Workspace;

const PROGRAM: &str = "althing-simulator";

/// Builds the simulator and runs it; `--help` says what it takes.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    guests::programs(workspace, Profile::Release, &[PROGRAM])?;
    let status = workspace
        .command(workspace.binary(Profile::Release.folder(), PROGRAM))
        .args(arguments)
        .status()
        .with_context(|| format!("starting {PROGRAM}"))?;
    let code = status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1));
    Ok(ExitCode::from(code))
}
