//! The fuzzer: changed inputs for every decoder that strangers reach.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::guests::{self, Profile};
use crate::workspace::Workspace;

const PROGRAM: &str = "althing-fuzz";

/// Builds in release and runs for as long as `arguments` say; see `tools/fuzz`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    guests::programs(workspace, Profile::Release, &[PROGRAM])?;
    let program = workspace.binary(Profile::Release.folder(), PROGRAM);
    let status = workspace.command(program).args(arguments).status();
    let status = status.with_context(|| format!("starting {PROGRAM}"))?;
    // A signal has no code; it is a failure all the same.
    let code = status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1));
    Ok(ExitCode::from(code))
}
