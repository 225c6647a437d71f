//! The core compiles for a machine without an operating system: a browser's.
//!
//! `#![no_std]` keeps our own code pure; building for `wasm32-unknown-unknown` shows that what the
//! core depends on goes there too. The compiler is the one that builds the guests, which a machine
//! either has or is given by the stage `guests`.

use anyhow::Result;

use crate::guests::{self, Profile};
use crate::packages;
use crate::test::Done;
use crate::workspace::{Workspace, output, succeed};

const TARGET: &str = "wasm32-unknown-unknown";

/// Checks every core crate for the target.
pub(crate) fn check(workspace: &Workspace) -> Result<Done> {
    guests::programs(workspace, Profile::Dev, &[guests::PROGRAM])?;
    let program = workspace.binary(Profile::Dev.folder(), guests::PROGRAM);
    let rustc = match output(workspace.command(program).arg("--rustc")) {
        Ok(rustc) => rustc,
        Err(error) => return Ok(Done::skipped(format!("{error:#}"))),
    };
    let mut command = workspace.cargo(["check", "--target", TARGET]);
    command.env("RUSTC", rustc.trim());
    let mut count: usize = 0;
    for package in packages::list(workspace)? {
        if package.layer() == Some("core") {
            command.args(["--package", &package.name]);
            count = count.saturating_add(1);
        }
    }
    succeed(&mut command)?;
    Ok(Done::passed(format!("{count} crates for {TARGET}")))
}
