//! Layout, imports included.

use std::process::Command;

use anyhow::{Result, bail};

use crate::guests;
use crate::test::Done;
use crate::workspace::{Workspace, answers, succeed};

/// Import layout is refused in `rustfmt.toml` on stable, yet accepted on the command line.
const IMPORTS: &str =
    "unstable_features=true,imports_granularity=Module,group_imports=StdExternalCrate";

/// Formats the workspace, the SDK and the services.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    each(workspace, &[])
}

/// Fails where [`write()`] would change something.
pub(crate) fn check(workspace: &Workspace) -> Result<Done> {
    each(workspace, &["--check"])?;
    Ok(Done::passed(""))
}

fn each(workspace: &Workspace, flags: &[&str]) -> Result<()> {
    installed(workspace)?;
    let mut failures = Vec::new();
    let mut format = |mut command: Command| {
        command.arg("--").args(flags).args(["--config", IMPORTS]);
        failures.extend(succeed(&mut command).err());
    };
    format(workspace.cargo(["fmt", "--all"]));
    // Each of these is a workspace of its own.
    for manifest in guests::manifests(workspace)? {
        let mut command = workspace.cargo(["fmt", "--manifest-path"]);
        command.arg(manifest);
        format(command);
    }
    match failures.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(first.context("run `cargo xtask fmt`")),
    }
}

fn installed(workspace: &Workspace) -> Result<()> {
    if !answers(&mut workspace.cargo(["fmt", "--version"])) {
        bail!("rustfmt is missing; install it with `rustup component add rustfmt`");
    }
    Ok(())
}
