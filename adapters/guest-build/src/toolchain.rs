//! Finds or makes a Rust toolchain that compiles for wasm.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

/// Without WASI: a service has no clock, files or entropy to ask for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Chooses which way is tried first: `rustup` (the default) or `debian`.
const CHOICE: &str = "ALTHING_GUEST_TOOLCHAIN";

const DEBIAN_SCRIPT: &str = include_str!("../debian-toolchain.sh");

/// A Rust toolchain with the target [`TARGET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// The Rust that is installed here has the target.
    Installed,
    /// Debian's packages, unpacked in this folder.
    Debian(PathBuf),
}

impl Toolchain {
    /// Takes what is there, else installs it: rustup's target, or Debian's packages in `cache`.
    ///
    /// # Errors
    ///
    /// What each of the ways said, if none leads to a toolchain.
    pub fn find(cache: &Path) -> Result<Self> {
        let debian = Self::Debian(cache.join("wasm-guest"));
        let debian_first = match std::env::var(CHOICE).as_deref() {
            Ok("debian") => true,
            Ok("rustup" | "") | Err(_) => false,
            Ok(other) => bail!("{CHOICE} is '{other}'; it may be 'rustup' or 'debian'"),
        };
        let mut ways = [Self::Installed, debian];
        if debian_first {
            ways.reverse();
        }
        // Held while a toolchain is made, which takes minutes and must happen once.
        let _lock = super::lock(&cache.join("toolchain.lock"))?;
        if debian_first && ways[0].install().is_ok() {
            return Ok(ways.into_iter().next().expect("there are two ways"));
        }
        if let Some(there) = ways.iter().find(|way| way.is_there()) {
            return Ok(there.clone());
        }
        let mut failures = Vec::new();
        for way in ways {
            match way.install() {
                Ok(()) => return Ok(way),
                Err(failure) => failures.push(format!("- {}: {failure:#}", way.name())),
            }
        }
        bail!("no Rust toolchain for {TARGET} can be had here:\n{}", failures.join("\n"))
    }

    /// Whether [`find`](Self::find) would have nothing to install.
    pub(crate) fn is_any_there(cache: &Path) -> bool {
        [Self::Installed, Self::Debian(cache.join("wasm-guest"))].iter().any(Self::is_there)
    }

    /// Names the folder of builds: artifacts of two toolchains do not mix.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Installed => "rustup",
            Self::Debian(_) => "debian",
        }
    }

    /// The compiler's program.
    ///
    /// # Errors
    ///
    /// If the installed Rust does not say where it is.
    pub fn rustc(&self) -> Result<PathBuf> {
        let bin = match self {
            Self::Installed => sysroot()?.join("bin"),
            Self::Debian(folder) => folder.join("bin"),
        };
        Ok(bin.join("rustc"))
    }

    /// Cargo, set up for this toolchain and nothing else.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = clean(Command::new(cargo()));
        if let Self::Debian(folder) = self {
            command.env("RUSTC", folder.join("bin").join("rustc"));
        }
        command
    }

    fn is_there(&self) -> bool {
        match self {
            Self::Debian(folder) => folder.join("ready").exists(),
            Self::Installed => sysroot()
                .is_ok_and(|sysroot| sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()),
        }
    }

    fn install(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let done = match self {
            Self::Installed => Command::new("rustup")
                .args(["target", "add", TARGET])
                .output()
                .context("cannot run rustup")?,
            Self::Debian(folder) => clean(Command::new("bash"))
                .args(["-c", DEBIAN_SCRIPT, "debian-toolchain.sh"])
                .arg(folder)
                .output()
                .context("cannot run bash")?,
        };
        if done.status.success() && self.is_there() {
            return Ok(());
        }
        bail!("{}", last_words(&done))
    }
}

/// Where the installed Rust keeps its libraries.
fn sysroot() -> Result<PathBuf> {
    let asked = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("cannot run rustc: install Rust from https://rustup.rs")?;
    if !asked.status.success() {
        bail!("{}", last_words(&asked));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim()))
}

/// The cargo that runs us, or the one on the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Takes away what a surrounding build would change in the guest's.
pub(crate) fn clean(mut command: Command) -> Command {
    for variable in [
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(variable);
    }
    command
}

/// The end of what a program wrote: enough to see why it failed.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join("\n  ")
}
