//! The examples in doc comments run, and the docs build without a warning.

use anyhow::Result;

use crate::packages;
use crate::test::Done;
use crate::workspace::{Workspace, succeed};

/// Runs the examples in doc comments.
pub(crate) fn examples(workspace: &Workspace) -> Result<Done> {
    succeed(&mut workspace.cargo(["test", "--doc", "--workspace", "--quiet"]))?;
    Ok(Done::passed(""))
}

/// Builds the docs as we read them, private items included.
pub(crate) fn pages(workspace: &Workspace) -> Result<Done> {
    // `--examples` selects nothing here, but makes cargo choose the features of a build with
    // dev-dependencies, the ones that clippy has already checked every dependency with.
    let flags =
        ["doc", "--workspace", "--no-deps", "--document-private-items", "--lib", "--examples"];
    let mut command = workspace.cargo(flags);
    for program in packages::list(workspace)?.iter().flat_map(|package| &package.programs) {
        command.args(["--bin", program]);
    }
    succeed(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Done::passed(""))
}
