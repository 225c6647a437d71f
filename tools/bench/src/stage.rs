//! Where a measurement takes place: an empty folder, and the networks made in it.

use std::fs;
use std::path::{Path, PathBuf};

use althing_keys::AccountKey;
use althing_node::dev_network::{self, DevNetwork};
use althing_node::folder::Folder;
use althing_node::genesis_file;
use althing_types::Endowment;
use anyhow::{Context as _, Result};

use crate::child::{Ask, Child, ask_all};

/// The folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
}

impl Stage {
    /// Uses `folder`, which is made if it is missing.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// An empty folder of this name.
    pub(crate) fn empty(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("emptying {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// A network of `count` nodes that are not started, whose genesis endows `accounts` too.
    pub(crate) fn network(
        &self,
        name: &str,
        count: usize,
        accounts: &[Endowment],
    ) -> Result<DevNetwork> {
        let folder = self.empty(name)?;
        let mut network =
            dev_network::create(&folder, count, person().address(), althing_node::now())?;
        let genesis = &mut network.genesis;
        genesis.accounts.extend_from_slice(accounts);
        genesis.accounts.sort_by_key(|account| account.address);
        for node in &network.nodes {
            let file = Folder::new(&node.folder).genesis_file();
            fs::remove_file(&file).context("replacing the genesis")?;
            genesis_file::write(&file, genesis)?;
        }
        Ok(network)
    }
}

/// Who plays with the networks here.
pub(crate) fn person() -> AccountKey {
    AccountKey::from_bytes(&[3; 32]).expect("a small scalar is a key")
}

/// Starts every node of a network as a process, in this role, and waits until all are up.
pub(crate) fn start(network: &DevNetwork, role: &[&str]) -> Result<Vec<Child>> {
    let mut children = Vec::new();
    for node in &network.nodes {
        children.push(start_one(&node.folder, role)?);
    }
    for child in &mut children {
        child.answer::<String>().context("a node did not come up; its log is beside its data")?;
    }
    Ok(children)
}

/// Starts one node; its first answer says that it is up.
pub(crate) fn start_one(folder: &Path, role: &[&str]) -> Result<Child> {
    let path = folder.to_str().context("the folder's path is not text")?;
    let mut arguments = vec![role.first().copied().unwrap_or("node"), path];
    arguments.extend(role.iter().skip(1));
    Child::begin(&arguments, &folder.join("node.log"))
}

/// Waits until all have this height.
pub(crate) fn all_reach(children: &mut [Child], height: u64) -> Result<()> {
    ask_all::<u64>(children, &Ask::Height(height)).map(drop)
}

/// Ends all of them.
pub(crate) fn stop(children: Vec<Child>) -> Result<()> {
    children.into_iter().try_for_each(Child::stop)
}
