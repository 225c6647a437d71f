//! The demo: seven nodes on this machine, told step by step.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::guests::{self, Profile};
use crate::workspace::Workspace;

/// Builds what the demo shows, and runs it; what it leaves is in `target/demo` of the repository.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    launch(workspace, "althing-demo", "target/demo", arguments)
}

/// Builds `program`, the product and the services in release, and runs `program`.
///
/// Runs it as a child, not in place of this process: the lock on the target folder holds until it
/// ends, so no other clone replaces the binary that its nodes are started from.
pub(crate) fn launch(
    workspace: &Workspace,
    program: &str,
    folder: &str,
    arguments: &[String],
) -> Result<ExitCode> {
    guests::programs(
        workspace,
        Profile::Release,
        &["althing", "althing-bridge", program, guests::PROGRAM],
    )?;
    guests::build(workspace, Profile::Release)?;
    let output = workspace.root().join(folder);
    std::fs::create_dir_all(&output).with_context(|| format!("creating {}", output.display()))?;
    let release = Profile::Release.folder();
    let status = workspace
        .command(workspace.binary(release, program))
        .args(arguments)
        .env("ALTHING_BIN", workspace.binary(release, "althing"))
        .env("ALTHING_OUTPUT_DIR", &output)
        .status()
        .with_context(|| format!("starting {program}"))?;
    // A signal has no code; it is a failure all the same.
    let code = status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1));
    Ok(ExitCode::from(code))
}
