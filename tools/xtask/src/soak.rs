//! The soak: real nodes under load while their surroundings go wrong.

use std::process::ExitCode;

use anyhow::Result;

use crate::demo;
use crate::workspace::Workspace;

/// Builds in release and plays the scenarios; see `docs/soak.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    demo::launch(workspace, "althing-soak", "target/soak", arguments)
}
