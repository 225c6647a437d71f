//! What goes wrong, one file each.

mod clock;
mod disk;
mod kills;
mod partition;
mod restarts;
mod twins;

use std::path::PathBuf;
use std::time::Duration;

use althing_api::ServiceKey;
use althing_types::Hash;
use anyhow::{Context as _, Result};

use crate::audit::{Expected, audit};
use crate::load::{Load, Pace};
use crate::network::Network;
use crate::report::Report;
use crate::watch::Watch;

/// The service that is called.
const SERVICE: &str = "acme/invoice@1.0.0";

/// What a scenario needs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The binary `althing`.
    pub binary: PathBuf,
    /// The folder of the service `invoice`; without it nothing is called.
    pub service: Option<PathBuf>,
    /// Where everything is put; each scenario empties its own folder.
    pub folder: PathBuf,
    /// Decides the order of the faults.
    pub seed: u64,
    /// For how long the faults go on.
    pub length: Duration,
    /// Transfers a second, all senders together.
    pub transfers_per_second: u32,
}

/// All scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// One node after another is stopped and started again.
    Restarts,
    /// Nodes are killed without warning, at times more than a third, at times all.
    Kills,
    /// A node's disk is full.
    Disk,
    /// A node's clock steps an hour ahead, then an hour back.
    Clock,
    /// A node is cut off in its own network namespace, then back.
    Partition,
    /// Two nodes run with one key.
    Twins,
}

impl Scenario {
    /// In the order in which they are played.
    pub const ALL: [Self; 6] =
        [Self::Restarts, Self::Kills, Self::Disk, Self::Clock, Self::Partition, Self::Twins];

    /// The title of its report.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Restarts => "Rolling restart",
            Self::Kills => "Killed at random",
            Self::Disk => "Disk full",
            Self::Clock => "Clock stepped by an hour",
            Self::Partition => "Cut off and healed",
            Self::Twins => "Two nodes with one key",
        }
    }

    /// Plays it.
    ///
    /// # Errors
    ///
    /// If it cannot be played to its end.
    pub fn play(self, stage: &Stage) -> Result<Report> {
        match self {
            Self::Restarts => restarts::play(stage),
            Self::Kills => kills::play(stage),
            Self::Disk => disk::play(stage),
            Self::Clock => clock::play(stage),
            Self::Partition => partition::play(stage),
            Self::Twins => twins::play(stage),
        }
        .with_context(|| format!("playing {:?}", self.title()))
    }
}

/// A network under load, being watched.
struct Scene {
    network: Network,
    load: Load,
    watch: Watch,
    report: Report,
}

impl Stage {
    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts a running network under load.
    fn scene(&self, network: Network, report: Report) -> Result<Scene> {
        let service =
            self.service.as_deref().map(|folder| publish(&network, folder)).transpose()?;
        let pace = Pace { transfers_per_second: self.transfers_per_second, service };
        let watch = Watch::begin(network.clients());
        let load = Load::begin(&network, pace);
        Ok(Scene { network, load, watch, report })
    }
}

/// Publishes the service, and lets every node offer it.
fn publish(network: &Network, folder: &std::path::Path) -> Result<Hash> {
    let cli = network.cli();
    let folder = folder.to_str().context("the service's path is not text")?;
    cli.run(&["service", "publish", folder])?;
    cli.run(&["service", "offer", SERVICE, "--stake", "1000", "--term", "30d", "--dev-nodes"])?;
    let client = network.clients().into_iter().next().context("a node")?;
    let alias: ServiceKey = SERVICE.parse().context("naming the service")?;
    Ok(client.service(&alias)?.id.0)
}

impl Scene {
    /// Starts what is down, ends the load, and looks at everything.
    fn end(mut self, expected: &Expected) -> Result<Report> {
        self.network.start_all()?;
        let (tally, sent_for) = self.load.end();
        let seen = self.watch.end();
        audit(&mut self.network, (&tally, sent_for), seen, expected, &mut self.report)?;
        for place in 0..self.network.members.len() {
            self.network.stop(place)?;
        }
        Ok(self.report)
    }
}
