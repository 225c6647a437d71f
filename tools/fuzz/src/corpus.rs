//! The corpora: a folder a target, a file an input.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// An input with the name of its file.
pub type Named = (String, Vec<u8>);

/// Where all corpora are, in the repository.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora")
}

/// The inputs of a target, by name.
///
/// # Errors
///
/// If the folder cannot be read.
pub fn read(target: &str) -> Result<Vec<Named>> {
    let folder = folder().join(target);
    let files = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut inputs = Vec::new();
    for file in files {
        let path = file?.path();
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        inputs.push((name(&path), bytes));
    }
    inputs.sort();
    Ok(inputs)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Adds an input to a target's corpus.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(target: &str, name: &str, input: &[u8]) -> Result<PathBuf> {
    let folder = folder().join(target);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(name);
    fs::write(&path, input).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
