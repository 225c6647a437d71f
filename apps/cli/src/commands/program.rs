//! Programs of native services: who connects them, and what is remembered of them here.
//!
//! - Shapes: `programs/SERVICE.json` in the home folder, readable by its owner alone.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_api::wire::Connection;
use althing_keys::NodeKeys;
use althing_node::folder::Folder;
use althing_types::{Hash, Label};
use anyhow::{Context as _, Result};
use clap::Args;

use crate::failure::Failure;
use crate::home::{Home, as_viewer};

/// The node that a program works for.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
pub(crate) struct Operator {
    /// Folder of the node, whose own account signs.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Node I of the development network [default: the one that commands talk to].
    #[arg(long, value_name = "I")]
    dev_node: Option<usize>,
}

/// A node, with the right to act for it.
pub(crate) struct Operated {
    pub(crate) client: Client,
    pub(crate) keys: NodeKeys,
    /// What the node says of itself.
    pub(crate) labels: Vec<Label>,
}

impl Operator {
    /// The node's keys, and a way to it that asks as the node itself.
    pub(crate) fn open(&self, home: &Home) -> Result<Operated> {
        let folder = self.folder(home)?;
        let keys = NodeKeys::load(&folder)?;
        let settings = Folder::new(&folder).settings()?;
        let api = settings.api;
        let client = as_viewer(&Client::new(&format!("http://{api}")), &keys.account)?;
        Ok(Operated { client, keys, labels: settings.labels()? })
    }

    fn folder(&self, home: &Home) -> Result<PathBuf> {
        if let Some(folder) = &self.dir {
            return Ok(folder.clone());
        }
        let folders = home.preferences()?.dev_nodes;
        let found = match self.dev_node {
            Some(number) => number.checked_sub(1).and_then(|index| folders.get(index)).cloned(),
            None => {
                let node = home.node()?;
                let is_asked = |folder: &&PathBuf| {
                    let settings = Folder::new(folder).settings();
                    settings.is_ok_and(|settings| node.ends_with(&settings.api.to_string()))
                };
                folders.iter().find(is_asked).cloned()
            }
        };
        found.ok_or_else(|| {
            let message = "it is not known which node the program works for";
            let hint = "name the node's folder with --dir, or a node of the development network \
                        with --dev-node";
            Failure::new("CLI-0022", message, hint).into()
        })
    }
}

fn file(home: &Home, service: &Hash) -> PathBuf {
    home.folder().join("programs").join(format!("{service}.json"))
}

/// Remembers a connection, so that `event emit` can post as the program.
pub(crate) fn remember(home: &Home, connection: &Connection) -> Result<PathBuf> {
    let path = file(home, &connection.service);
    write_private(&path, &serde_json::to_string_pretty(connection)?)?;
    Ok(path)
}

/// Forgets a connection.
pub(crate) fn forget(home: &Home, service: &Hash) -> Result<()> {
    let path = file(home, service);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    let wrote = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // A new file: one that is there may be readable by others.
        let beside = path.with_extension("new");
        std::fs::remove_file(&beside).or_else(|error| {
            if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
        })?;
        let mut file =
            std::fs::File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&beside, path)
    };
    wrote().with_context(|| format!("writing {}", path.display()))
}

/// The token of a program that was connected from here.
pub(crate) fn token(home: &Home, client: &Client, service: &ServiceKey) -> Result<String> {
    let id = match service {
        ServiceKey::Id(id) => *id,
        ServiceKey::Alias(_) => client.service(service)?.id.0,
    };
    let path = file(home, &id);
    let text = std::fs::read_to_string(&path).map_err(|_| {
        let message = format!("no token for {service} is kept here");
        let hint = "give it with --token or --token-file; `althing service connect` prints it";
        Failure::new("CLI-0033", message, hint)
    })?;
    let connection: Connection =
        serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))?;
    Ok(connection.token)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_is_for_its_owner_alone_even_if_it_was_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("programs/one.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
