//! A node's folder: what is where, and the node's own settings.
//!
//! ```text
//!   node.json      settings (this file's `Settings`)
//!   genesis.json   what everybody agrees on
//!   node.key       the node's secrets (althing-keys)
//!   connections.json   programs of native services, with their secrets
//!   secrets.json   what owners of applications give to the nodes that work for them
//!   data/          state.redb · consensus.wal · blobs/ · journal/ · wasm/
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use althing_types::{LABEL_BYTES_MAX, LABELS_MAX, Label, Name, are_labels};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// What the operator of a node decides. Every field has a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// UDP address for other nodes. Default: any address, port 4900. Since 0.1.0.
    pub listen: SocketAddr,
    /// TCP address of the HTTP API. Default: loopback, port 4901. Since 0.1.0.
    pub api: SocketAddr,
    /// Names under which the API is reached, beside IP addresses and `localhost`; requests to other
    /// names are refused. Default: none. Since 0.1.0.
    pub api_hosts: Vec<String>,
    /// Nodes to connect to first, as `endpoint@address`; the ledger and peers tell the others.
    /// Default: none. Since 0.1.0.
    pub peers: Vec<String>,
    /// A new block after this many milliseconds even if there is nothing to put in it.
    /// Default: 1000. Since 0.1.0.
    pub idle_block_ms: u64,
    /// Milliseconds between two blocks at least. Default: 0. Since 0.1.0.
    pub min_block_ms: u64,
    /// How long to wait for an absent proposer, in milliseconds; ten times the network's delay is
    /// a good value. Default: 500. Since 0.1.0.
    pub propose_timeout_ms: u64,
    /// Space for blobs, in bytes. Default: 10 GiB. Since 0.1.0.
    pub blob_bytes_max: u64,
    /// How long blobs are kept that no service, application, open run or execution needs, in hours;
    /// a blob that is brought again is as if new. At least 1. Default: 168, a week. Since 0.1.0.
    pub blob_keep_hours: u32,
    /// How many tasks run at the same time. Default: 2. Since 0.1.0.
    pub tasks_max: usize,
    /// What the node says of itself, such as `{"region": "eu"}`: every offer states it, and steps of
    /// applications choose nodes by it. After a change, offer again. Default: nothing. Since 0.1.0.
    pub labels: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 4900)),
            api: SocketAddr::from(([127, 0, 0, 1], 4901)),
            api_hosts: Vec::new(),
            peers: Vec::new(),
            idle_block_ms: 1000,
            min_block_ms: 0,
            propose_timeout_ms: 500,
            blob_bytes_max: 10 << 30,
            blob_keep_hours: 168,
            tasks_max: 2,
            labels: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// The labels as offers state them.
    ///
    /// # Errors
    ///
    /// If one is no label, or if they are too many or too long.
    pub fn labels(&self) -> Result<Vec<Label>> {
        let label = |(name, value): (&String, &String)| {
            let parsed = |text: &String| text.parse::<Name>().with_context(|| format!("{text:?}"));
            Ok(Label { name: parsed(name)?, value: parsed(value)? })
        };
        // In the order of their names: that of the map.
        let labels = self.labels.iter().map(label).collect::<Result<Vec<_>>>()?;
        ensure!(
            are_labels(&labels),
            "at most {LABELS_MAX} labels with {LABEL_BYTES_MAX} bytes altogether are allowed"
        );
        Ok(labels)
    }
}

/// A node's folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the settings are.
    #[must_use]
    pub fn settings_file(&self) -> PathBuf {
        self.0.join("node.json")
    }

    /// Where the genesis is.
    #[must_use]
    pub fn genesis_file(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// Where the programs of native services are, with the secrets that they share with the node.
    #[must_use]
    pub fn connections_file(&self) -> PathBuf {
        self.0.join("connections.json")
    }

    /// Where the secrets are that owners of applications keep with this node, their home.
    #[must_use]
    pub fn secrets_file(&self) -> PathBuf {
        self.0.join("secrets.json")
    }

    /// A file or folder of the node's data.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.0.join("data").join(name)
    }

    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// If the file is missing, unreadable or has an unknown field.
    pub fn settings(&self) -> Result<Settings> {
        let path = self.settings_file();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading the node's settings {}", path.display()))?;
        let settings: Settings = serde_json::from_str(&text)
            .with_context(|| format!("understanding the node's settings {}", path.display()))?;
        settings.labels().with_context(|| format!("reading the labels in {}", path.display()))?;
        Ok(settings)
    }

    /// Writes the settings.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub fn write_settings(&self, settings: &Settings) -> Result<()> {
        std::fs::create_dir_all(&self.0)
            .with_context(|| format!("creating {}", self.0.display()))?;
        let text = serde_json::to_string_pretty(settings).context("settings are JSON")?;
        let path = self.settings_file();
        std::fs::write(&path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_what_was_written_and_refuse_unknown_fields() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(&folder.path().join("node"));
        let settings = Settings { min_block_ms: 5, ..Settings::default() };
        folder.write_settings(&settings).unwrap();
        assert_eq!(folder.settings().unwrap(), settings);
        std::fs::write(folder.settings_file(), r#"{"lisen": "x"}"#).unwrap();
        assert!(format!("{:#}", folder.settings().unwrap_err()).contains("unknown field `lisen`"));
    }

    #[test]
    fn labels_are_read_in_their_order_and_refused_where_no_offer_could_state_them() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(folder.path());
        let labels = |text: &str| {
            std::fs::write(folder.settings_file(), format!("{{\"labels\": {text}}}")).unwrap();
            folder.settings().map(|settings| settings.labels().unwrap())
        };
        let told: Vec<String> = labels(r#"{"region": "eu", "gpu": "yes"}"#)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, ["gpu=yes", "region=eu"]);
        assert!(labels("{}").unwrap().is_empty());
        assert!(labels(r#"{"Region": "eu"}"#).is_err());
        assert!(labels(r#"{"region": "a b"}"#).is_err());
        let nine: Vec<String> = (0..9).map(|n| format!("\"l{n}\": \"x\"")).collect();
        assert!(labels(&format!("{{{}}}", nine.join(", "))).is_err());
    }
}
