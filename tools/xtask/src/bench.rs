//! The benchmark: the project's own figures, as ratios in one run.

use std::process::ExitCode;

use anyhow::Result;

use crate::demo;
use crate::workspace::Workspace;

/// Builds in release and measures; see `docs/bench.md`.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    demo::launch(workspace, "althing-bench", "target/bench", arguments)
}
