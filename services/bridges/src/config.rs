//! What a bridge is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Where the bridge is, and whom it serves.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the node finds the bridge.
    pub listen: SocketAddr,
    /// The service, as `namespace/name@version` or its id.
    pub service: String,
    /// The nodes that the bridge works for; events go to the first one that takes them.
    pub nodes: Vec<Connection>,
    /// What the bridge must remember is in here.
    pub folder: PathBuf,
    /// Whether the technology is replaced by its offline twin.
    pub twin: bool,
    /// The bridge's own settings.
    pub config: Config,
}

/// What `althing service connect` gave for one node.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Base address of the node's API.
    pub node: String,
    /// The secret under which the node signs tasks.
    pub secret: String,
    /// The token that lets events in.
    pub token: String,
}

/// A bridge's own settings: JSON.
#[derive(Clone, Debug, Default)]
pub struct Config(pub Value);

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not JSON.
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        Ok(Self(value))
    }

    /// A text setting.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A list of texts; empty if it is absent.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A whole number, or what holds without it.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(default)
    }
}
