//! Services built from source to wasm, by the program in `adapters/guest-build`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::test::Done;
use crate::workspace::{Workspace, succeed};

/// Builds one service: `althing-guests FOLDER --out FILE`. `--rustc` names the compiler it uses.
pub(crate) const PROGRAM: &str = "althing-guests";

/// How the program that builds the guests is itself built; the guests are always optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Beside the tests.
    Dev,
    /// Beside the demo and the benchmark.
    Release,
}

impl Profile {
    /// The folder below the target folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds every service, and runs the tests that lie in their crates.
pub(crate) fn check(workspace: &Workspace) -> Result<Done> {
    let built = build(workspace, Profile::Dev)?;
    for manifest in manifests(workspace)? {
        let mut command = workspace.cargo(["test", "--locked", "--manifest-path"]);
        // Beside the workspace's: another lock file means other dependencies.
        command.arg(manifest).arg("--target-dir").arg(workspace.target().join("guests-here"));
        succeed(&mut command)?;
    }
    Ok(built)
}

/// Builds every service of `examples/` and `services/`.
pub(crate) fn build(workspace: &Workspace, profile: Profile) -> Result<Done> {
    let services = services(workspace)?;
    programs(workspace, profile, &[PROGRAM])?;
    let components = workspace.target().join("guests");
    fs::create_dir_all(&components)
        .with_context(|| format!("creating {}", components.display()))?;
    for service in &services {
        let name = service.file_name().context("a service lies in a folder of its own")?;
        let component = components.join(name).with_extension("wasm");
        let mut command = workspace.command(workspace.binary(profile.folder(), PROGRAM));
        succeed(command.arg(service).arg("--out").arg(component))?;
    }
    Ok(Done::passed(format!("{} services", services.len())))
}

/// Builds programs of the workspace.
///
/// Of the whole workspace, not of a package: cargo would choose other features for the
/// dependencies, and build them once more. `--examples` selects nothing, but turns on the features
/// of dev-dependencies, as in the build of the tests.
pub(crate) fn programs(workspace: &Workspace, profile: Profile, names: &[&str]) -> Result<()> {
    let mut command = workspace.cargo(["build", "--workspace"]);
    match profile {
        Profile::Dev => drop(command.arg("--examples")),
        Profile::Release => drop(command.arg("--release")),
    }
    for name in names {
        command.args(["--bin", name]);
    }
    succeed(&mut command)
}

/// The manifests of the SDK and of the services, which the workspace leaves out.
pub(crate) fn manifests(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut folders = folders(&workspace.root().join("sdk"))?;
    folders.extend(services(workspace)?);
    let manifests = folders.into_iter().map(|folder| folder.join("Cargo.toml"));
    Ok(manifests.filter(|manifest| manifest.is_file()).collect())
}

/// The folders that hold a `service.yml` and the crate that it is built from.
fn services(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut folders = [
        folders(&workspace.root().join("examples"))?,
        folders(&workspace.root().join("services"))?,
    ]
    .concat();
    let is_built = |folder: &PathBuf| {
        ["service.yml", "Cargo.toml"].iter().all(|file| folder.join(file).is_file())
    };
    folders.retain(is_built);
    Ok(folders)
}

/// What lies in a folder, in order; nothing, if there is no such folder.
fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    let reading = || format!("reading the folder {}", parent.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(parent).with_context(reading)? {
        found.push(entry.with_context(reading)?.path());
    }
    found.sort();
    Ok(found)
}
