//! Where a story is played: a folder of its own, a network in it, the repository's services.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::bridges::{Bridge, Order, Technology};
use crate::cli::Cli;
use crate::network::Network;

/// What every story with bridges needs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The binary `althing`; `althing-bridge` lies beside it.
    pub binary: PathBuf,
    /// The repository: its `services` and `examples`.
    pub repository: PathBuf,
    /// Where everything is put; emptied first.
    pub folder: PathBuf,
}

/// A program that works for some nodes.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// As `althing-bridge` names it.
    pub name: &'a str,
    /// The folder with the `service.yml`, from the repository's top.
    pub folder: &'a str,
    /// `namespace/name@version`.
    pub service: &'a str,
    /// The numbers of the nodes that offer the service.
    pub nodes: &'a [usize],
}

impl Stage {
    /// Empties the folder and starts a network in it.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, or the network does not come up.
    pub fn open(&self, options: &[&str]) -> Result<(Cli, Network)> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).context("emptying the story's folder")?;
        }
        std::fs::create_dir_all(&self.folder).context("creating the story's folder")?;
        let home = self.folder.join("network");
        let cli = Cli::new(&self.binary, &home);
        let network = Network::start(&cli, &home, options)?;
        Ok((cli, network))
    }

    /// Publishes, offers and connects a service, and starts its program.
    ///
    /// # Errors
    ///
    /// As [`Bridge::start`].
    pub fn bridge(
        &self,
        (cli, network): (&Cli, &Network),
        role: Role<'_>,
        technology: Technology<'_>,
    ) -> Result<Bridge> {
        let folder = self.repository.join(role.folder);
        let Role { name, service, nodes, .. } = role;
        let order = Order { name, folder: &folder, service, nodes };
        let state = self.state(nodes.first().copied().unwrap_or_default());
        Bridge::start(cli, network, &self.binary, &state, order, technology)
            .with_context(|| format!("the bridge for {service}"))
    }

    /// Where the programs beside a node keep what they remember.
    #[must_use]
    pub fn state(&self, node: usize) -> PathBuf {
        self.folder.join(format!("bridges-{node}"))
    }
}
