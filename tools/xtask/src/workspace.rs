//! The repository, and the target folder that every clone of it on this machine shares.
//!
//! A fresh clone finds the dependencies already built, since cargo names them by version. It names
//! *our* crates by their path inside the workspace, the same in every clone, and takes a build for
//! fresh when it is newer than the sources: built in one clone, it would pass for the code of
//! another. So the folder belongs to one clone at a time (a lock), and the marks by which cargo
//! knows our crates are dropped whenever it changes hands (a stamp).
//!
//! ```text
//!   <target>/althing.lock     held while a command runs
//!   <target>/althing.clone    the root of the clone that built here last
//!   <target>/*/.fingerprint/althing-*     dropped when that is not this one
//! ```

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// This clone and the folder it builds in.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// Locked as long as the command runs.
    _lock: File,
}

impl Workspace {
    /// Finds the clone that this program was built from and takes its target folder.
    pub(crate) fn open() -> Result<Self> {
        let root = root()?;
        let target = target(&root)?;
        fs::create_dir_all(&target)
            .with_context(|| format!("creating the target folder {}", target.display()))?;
        let lock = lock(&target)?;
        adopt(&root, &target)?;
        Ok(Self { root, target, _lock: lock })
    }

    /// The repository's top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that everything is built in.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A program that was built by `profile` (`debug`, `release`).
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// The cargo that runs this program, in the repository, building in the shared folder.
    pub(crate) fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        // What cargo said of this program would be heard by build scripts: one that watches these
        // builds its crate anew in every clone, and again for whoever calls cargo by hand.
        let said = env::vars_os().map(|(name, _)| name);
        for name in said.filter(|name| name.to_string_lossy().starts_with("CARGO_PKG_")) {
            command.env_remove(name);
        }
        command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
        command.args(arguments);
        command
    }

    /// A program that is run in the repository, and for which cargo builds in the shared folder.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// Runs `command` to its end; the error names it.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", line(command)))?;
    ensure!(status.success(), "`{}` failed ({status})", line(command));
    Ok(())
}

/// Runs `command` to its end and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {}", line(command)))?;
    if !output.status.success() {
        let talk = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}): {}", line(command), output.status, talk.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading from {}", line(command)))
}

/// Whether `command` starts and succeeds; its output is dropped.
pub(crate) fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let mut line = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn root() -> Result<PathBuf> {
    // Cargo sets the variable at run time too: the clone that the command was typed in.
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .context("run this as `cargo xtask`: cargo says where the repository is")?;
    let root = Path::new(&manifest).ancestors().nth(2).context("xtask lives in tools/xtask")?;
    root.canonicalize().with_context(|| format!("finding the repository {}", root.display()))
}

fn target(root: &Path) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("ALTHING_TARGET_DIR").filter(|folder| !folder.is_empty()) {
        return Ok(root.join(folder));
    }
    let home = env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .context("neither ALTHING_TARGET_DIR nor HOME is set: where shall the build go?")?;
    Ok(Path::new(&home).join(".cache/althing/target"))
}

fn lock(target: &Path) -> Result<File> {
    let path = target.join("althing.lock");
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("another `cargo xtask` uses {}: waiting for its end", target.display());
            file.lock().with_context(|| format!("locking {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    Ok(file)
}

/// Makes `target` the folder of the clone at `root`.
fn adopt(root: &Path, target: &Path) -> Result<()> {
    let stamp = target.join("althing.clone");
    let mine = root.to_string_lossy();
    if fs::read_to_string(&stamp).is_ok_and(|last| last == mine) {
        return Ok(());
    }
    // Below the target folder: `debug`, `release`, and one level deeper for other targets.
    for folder in subfolders(target)? {
        forget(&folder)?;
        for inner in subfolders(&folder)? {
            forget(&inner)?;
        }
    }
    fs::write(&stamp, mine.as_bytes()).with_context(|| format!("writing {}", stamp.display()))
}

fn forget(folder: &Path) -> Result<()> {
    let fingerprints = folder.join(".fingerprint");
    if !fingerprints.is_dir() {
        return Ok(());
    }
    for mark in subfolders(&fingerprints)? {
        if mark.file_name().is_some_and(|name| name.to_string_lossy().starts_with("althing-")) {
            fs::remove_dir_all(&mark).with_context(|| format!("removing {}", mark.display()))?;
        }
    }
    Ok(())
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading the folder {}", folder.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_folder_that_changes_hands_forgets_our_crates_and_keeps_the_others() {
        let target = env::temp_dir().join(format!("althing-xtask-adopt-{}", std::process::id()));
        let ours = target.join("debug/.fingerprint/althing-types-0123");
        let cross = target.join("wasm32-unknown-unknown/debug/.fingerprint/althing-types-4567");
        let theirs = target.join("debug/.fingerprint/serde-89ab");
        for folder in [&ours, &cross, &theirs] {
            fs::create_dir_all(folder).unwrap();
        }

        adopt(Path::new("/clone/a"), &target).unwrap();
        assert!(!ours.exists() && !cross.exists() && theirs.exists());

        fs::create_dir_all(&ours).unwrap();
        adopt(Path::new("/clone/a"), &target).unwrap();
        assert!(ours.exists(), "the same clone again finds its own build");

        adopt(Path::new("/clone/b"), &target).unwrap();
        assert!(!ours.exists() && theirs.exists());
        fs::remove_dir_all(&target).unwrap();
    }
}
