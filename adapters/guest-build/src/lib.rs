//! Builds services from Rust source to WebAssembly components.
//!
//! ```text
//!   crate folder ──cargo──► core module (wasm32-unknown-unknown) ──encode──► component
//!                    └ toolchain: rustup's target, or Debian's packages in a cache folder
//! ```
//!
//! - Shapes: everything is kept in `$ALTHING_CACHE`, else `$XDG_CACHE_HOME/althing`, else
//!   `~/.cache/althing`; a lock file there lets several processes build at once.
//! - Errors: what cargo, rustup or apt said, with what to do about it.
//! - Invariant: with one toolchain the bytes depend on the sources alone, not on the folder that
//!   holds them: paths are remapped, packages are named by name and version, and the guest's lock
//!   file is obeyed.
//! - Source: `docs/adr/0004-wasm-profile.md`.

mod toolchain;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
pub use toolchain::{TARGET, Toolchain};
use wit_component::{ComponentEncoder, DecodedWasm};

/// What every service exports, whatever its version.
const HANDLER: &str = "althing:service/handler@";

const WRAPPER: &str = include_str!("../rustc-without-folders.sh");

/// Tells the wrapper which packages do not lie in folders of the developer's.
const REGISTRIES: &str = "ALTHING_GUEST_REGISTRIES";

/// Builds the crate in `folder` and makes a component of it.
///
/// # Errors
///
/// If there is no toolchain for wasm, the crate does not build, or it is no service.
pub fn build(folder: &Path) -> Result<Vec<u8>> {
    componentize(&build_core(folder, &[])?)
}

/// [`build`] with features of the crate switched on.
///
/// # Errors
///
/// As [`build`].
pub fn build_with(folder: &Path, features: &[&str]) -> Result<Vec<u8>> {
    componentize(&build_core(folder, features)?)
}

/// The compiler that builds guests; installs it first where there is none.
///
/// # Errors
///
/// If there is no way to a toolchain for wasm on this machine.
pub fn rustc() -> Result<PathBuf> {
    Toolchain::find(&cache_folder()?)?.rustc()
}

/// Whether services can be built here without installing anything first.
///
/// # Errors
///
/// If there is no folder to keep anything in.
pub fn toolchain_is_there() -> Result<bool> {
    Ok(Toolchain::is_any_there(&cache_folder()?))
}

/// Builds the crate in `folder` to a core module, which is not yet a component.
///
/// # Errors
///
/// If there is no toolchain for wasm, or the crate does not build.
pub fn build_core(folder: &Path, features: &[&str]) -> Result<Vec<u8>> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("there is no folder {}", folder.display()))?;
    let cache = cache_folder()?;
    let toolchain = Toolchain::find(&cache)?;
    // Held until the artifact is read: another build may put its own in the same place.
    let lock = lock(&cache.join("guests.lock"))?;
    let registries = cargo_home()?.join("registry").join("src");
    let registries = registries.display();
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(&folder)
        .args(["build", "--locked", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(cache.join("guests").join(toolchain.name()))
        .env("CARGO_ENCODED_RUSTFLAGS", format!("--remap-path-prefix={registries}=/cargo"))
        .env("RUSTC_WRAPPER", wrapper(&cache)?)
        .env(REGISTRIES, cargo_home()?)
        .stderr(Stdio::piped());
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    let built = cargo.output().context("cannot run cargo")?;
    ensure!(
        built.status.success(),
        "{} does not build:\n{}",
        folder.display(),
        String::from_utf8_lossy(&built.stderr)
    );
    let artifact = artifact(&folder.join("Cargo.toml"), &built.stdout)?;
    let core =
        fs::read(&artifact).with_context(|| format!("cannot read {}", artifact.display()))?;
    drop(lock);
    Ok(core)
}

/// Makes a component of a core module that was built with the SDK.
///
/// # Errors
///
/// If the module is none, or does not export what every service exports.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .validate(true)
        .module(core)
        .and_then(|mut encoder| encoder.encode())
        .context("the module cannot be made a component")?;
    ensure!(
        exports_handler(&component)?,
        "the module is no service: write `althing_sdk::service!(YourType)` at the crate's root"
    );
    Ok(component)
}

fn exports_handler(component: &[u8]) -> Result<bool> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        return Ok(false);
    };
    let exports = &resolve.worlds[world].exports;
    Ok(exports.keys().any(|key| resolve.name_world_key(key).starts_with(HANDLER)))
}

/// The module among the messages of a build.
fn artifact(manifest: &Path, messages: &[u8]) -> Result<PathBuf> {
    for line in messages.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
        let is_ours = message["manifest_path"].as_str().map(Path::new) == Some(manifest);
        if message["reason"] != "compiler-artifact" || !is_ours {
            continue;
        }
        let files = message["filenames"].as_array().into_iter().flatten();
        for file in files.filter_map(Value::as_str) {
            if file.ends_with(".wasm") {
                return Ok(file.into());
            }
        }
    }
    bail!("{} makes no wasm module: add `[lib] crate-type = [\"cdylib\"]`", manifest.display())
}

fn cache_folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = if let Some(folder) = set("ALTHING_CACHE") {
        PathBuf::from(folder)
    } else if let Some(folder) = set("XDG_CACHE_HOME") {
        Path::new(&folder).join("althing")
    } else {
        let home = set("HOME").context("neither ALTHING_CACHE nor HOME is set")?;
        Path::new(&home).join(".cache").join("althing")
    };
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    Ok(cache)
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CARGO_HOME") {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// A script between cargo and rustc that takes the packages' folders out of what they are compiled to.
fn wrapper(cache: &Path) -> Result<PathBuf> {
    let path = cache.join("rustc-without-folders.sh");
    if fs::read_to_string(&path).ok().as_deref() != Some(WRAPPER) {
        // Complete before it gets its name: another build may be about to run it.
        let partial = cache.join(format!("rustc-without-folders.{}", std::process::id()));
        let written = fs::write(&partial, WRAPPER)
            .and_then(|()| fs::set_permissions(&partial, fs::Permissions::from_mode(0o755)))
            .and_then(|()| fs::rename(&partial, &path));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

/// Waits until no other process holds the lock.
fn lock(path: &Path) -> Result<fs::File> {
    let file = fs::File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}
