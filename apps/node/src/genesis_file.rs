//! The genesis as a file that people can read.

use std::path::Path;

use althing_api::wire;
use althing_types::Genesis;
use anyhow::{Context as _, Result};

/// Writes a genesis.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write(path: &Path, genesis: &Genesis) -> Result<()> {
    let text = serde_json::to_string_pretty(&wire::Genesis::from(genesis.clone()))?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}

/// Reads a genesis.
///
/// # Errors
///
/// If the file is missing or is no genesis.
pub fn read(path: &Path) -> Result<Genesis> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let wire: wire::Genesis = serde_json::from_str(&text)
        .with_context(|| format!("understanding the genesis {}", path.display()))?;
    Ok(Genesis::from(wire))
}
