//! Clippy over the workspace, warnings are errors.

use anyhow::{Result, bail};

use crate::test::Done;
use crate::workspace::{Workspace, answers, succeed};

/// Fails on any warning.
pub(crate) fn check(workspace: &Workspace) -> Result<Done> {
    if !answers(&mut workspace.cargo(["clippy", "--version"])) {
        bail!("clippy is missing; install it with `rustup component add clippy`");
    }
    // Not --all-features: another set of features would build every dependency once more.
    succeed(&mut workspace.cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    Ok(Done::passed(""))
}
