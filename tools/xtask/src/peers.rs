//! The real technologies that tests talk to: an EVM chain, a `PostgreSQL` server; and what stands
//! between a node and its clock, so that a test can set the clock wrong.
//!
//! They are installed once a machine, by the ordinary package managers: `anvil` from the npm registry
//! into `~/.cache/althing/peers`, `PostgreSQL` and `libfaketime` from Debian. Tests find them there,
//! or where `ALTHING_ANVIL`, `ALTHING_POSTGRES` and `ALTHING_FAKETIME` say.

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
    faketime(workspace)?;
    Ok(Done::passed("anvil, postgres, libfaketime"))
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

/// Where Debian puts the library: in a folder named after the machine's kind.
fn faketime(workspace: &Workspace) -> Result<()> {
    let of_kind = |kind: fs::DirEntry| kind.path().join("faketime/libfaketimeMT.so.1").is_file();
    let mut kinds = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    if env::var_os("ALTHING_FAKETIME").is_some() || kinds.any(of_kind) {
        return Ok(());
    }
    debian(workspace, "libfaketime", "for nodes whose clock is wrong")
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
