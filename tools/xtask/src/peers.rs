//! The real technologies that tests talk to: an EVM chain, a `PostgreSQL` server.
//!
//! They are installed once a machine, by the ordinary package managers: `anvil` from the npm registry
//! into `~/.cache/althing/peers`, `PostgreSQL` from Debian. Tests find them there, or where
//! `ALTHING_ANVIL` and `ALTHING_POSTGRES` say.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

use crate::test::Done;
use crate::workspace::{Workspace, answers, succeed};

const ANVIL: &str = "@foundry-rs/anvil@1.7.1";

/// Installs what is missing.
pub(crate) fn install(workspace: &Workspace) -> Result<Done> {
    let folder = folder()?;
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    anvil(workspace, &folder)?;
    postgres(workspace)?;
    Ok(Done::passed("anvil, postgres"))
}

/// Where the peers are, below the home folder.
fn folder() -> Result<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).context("HOME is not set")?;
    Ok(Path::new(&home).join(".cache/althing/peers"))
}

fn anvil(workspace: &Workspace, folder: &Path) -> Result<()> {
    if env::var_os("ALTHING_ANVIL").is_some() || found(folder).is_some() {
        return Ok(());
    }
    if !answers(workspace.command("npm").arg("--version")) {
        debian(workspace, "npm", "to install the EVM chain `anvil`")?;
    }
    let mut npm = workspace.command("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(folder).arg(ANVIL);
    succeed(&mut npm)?;
    found(folder).map(drop).context("npm installed no `anvil` for this machine")
}

/// The program, in the package of this machine's kind.
fn found(folder: &Path) -> Option<PathBuf> {
    let packages = fs::read_dir(folder.join("node_modules/@foundry-rs")).ok()?;
    packages.flatten().map(|package| package.path().join("bin/anvil")).find(|path| path.is_file())
}

fn postgres(workspace: &Workspace) -> Result<()> {
    if env::var_os("ALTHING_POSTGRES").is_some() {
        return Ok(());
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    if installed.into_iter().any(|version| version.path().join("bin/initdb").is_file()) {
        return Ok(());
    }
    debian(workspace, "postgresql", "for the tests of the bridge to databases")
}

/// Installs a package of Debian's.
fn debian(workspace: &Workspace, package: &str, why: &str) -> Result<()> {
    if !answers(workspace.command("apt-get").arg("--version")) {
        bail!("`{package}` is needed {why}: install it");
    }
    let root = answers(workspace.command("test").args(["-w", "/usr/bin"]));
    if !root {
        bail!("`{package}` is needed {why}: as root, run `apt-get install {package}`");
    }
    succeed(workspace.command("apt-get").args(["update", "-q"]))?;
    succeed(
        workspace
            .command("apt-get")
            .args(["install", "--yes", "--no-install-recommends", package])
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
