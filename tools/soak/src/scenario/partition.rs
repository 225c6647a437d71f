//! A node in a network namespace of its own is cut off, and comes back.
//!
//! ```text
//!   this namespace                                node 7's
//!   nodes 1–6 at 10.x.y.1 ──── veth pair ──────── 10.x.y.2
//!                               └─ down, up
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use althing_node::folder::Folder;
use anyhow::{Context as _, Result, ensure};

use super::{Scenario, Stage};
use crate::audit::Expected;
use crate::network::{Launch, Network, pause};
use crate::report::{Report, seconds};

/// The node that is cut off.
const VICTIM: usize = 6;
/// How long it is cut off: long enough to be noticed.
const CUT: Duration = Duration::from_secs(5);

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("running ip")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`ip {}`: {}", arguments.join(" "), said.trim());
    Ok(())
}

/// A network namespace and the only cable to it; both end with this value.
struct Island {
    namespace: String,
    cable: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
}

impl Island {
    fn make() -> Result<Self> {
        // Names and addresses of its own, so that several may run on one machine.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let namespace = format!("soak{}", std::process::id());
        let cable = format!("sk{}", std::process::id());
        let (here, there) = (Ipv4Addr::new(10, high, low, 1), Ipv4Addr::new(10, high, low, 2));
        let island = Self { namespace, cable, here, there };
        let Self { namespace, cable, .. } = &island;
        let far = format!("{cable}b");
        ip(&["netns", "add", namespace])?;
        ip(&["link", "add", cable, "type", "veth", "peer", "name", &far, "netns", namespace])?;
        ip(&["address", "add", &format!("{here}/30"), "dev", cable])?;
        ip(&["-n", namespace, "address", "add", &format!("{there}/30"), "dev", &far])?;
        ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        ip(&["-n", namespace, "link", "set", &far, "up"])?;
        ip(&["link", "set", cable, "up"])?;
        Ok(island)
    }

    fn cut(&self) -> Result<()> {
        ip(&["link", "set", &self.cable, "down"])
    }

    fn heal(&self) -> Result<()> {
        ip(&["link", "set", &self.cable, "up"])
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        // The cable goes with its namespace; what was never made needs no removal.
        ip(&["link", "delete", &self.cable]).ok();
        ip(&["netns", "delete", &self.namespace]).ok();
    }
}

pub(super) fn play(stage: &Stage) -> Result<Report> {
    let island = match Island::make() {
        Ok(island) => island,
        Err(error) => {
            let why = format!("a network namespace cannot be made here: {error:#}");
            return Ok(Report::skipped(Scenario::Partition.title(), why));
        }
    };
    let mut network = Network::create(&stage.binary, &stage.place("partition"))?;
    move_onto(&island, &mut network)?;
    network.start_all()?;
    let report = Report::new(
        Scenario::Partition.title(),
        format!(
            "Node {} runs in a network namespace of its own; its only cable is pulled for {} s and \
             put back.",
            VICTIM + 1,
            CUT.as_secs()
        ),
    );
    let mut scene = stage.scene(network, report)?;
    let begun = Instant::now();
    let (mut cuts, mut slowest) = (0, Duration::ZERO);
    while cuts == 0 || begun.elapsed() < stage.length {
        let before = scene.network.height();
        island.cut()?;
        pause(CUT);
        // Six of seven are more than two thirds.
        scene.network.until_height(0, before + 3)?;
        let goal = scene.network.height();
        island.heal()?;
        let healed = Instant::now();
        scene.network.until_height(VICTIM, goal)?;
        slowest = slowest.max(healed.elapsed());
        cuts += 1;
        pause(Duration::from_secs(1));
    }
    scene.report.figure("cuts", cuts);
    scene.report.figure("slowest, from the cable to level", seconds(slowest));
    let report = scene.end(&Expected { seals_may_stay_shut: true, ..Expected::default() });
    drop(island);
    report
}

/// Gives the victim its place on the island, and tells everybody.
fn move_onto(island: &Island, network: &mut Network) -> Result<()> {
    let address = |place: usize, address: SocketAddr| {
        let ip = if place == VICTIM { island.there } else { island.here };
        SocketAddr::from((ip, address.port()))
    };
    let mut all = Vec::new();
    for member in &network.members {
        all.push(Folder::new(&member.folder).settings()?);
    }
    let mut peers = Vec::new();
    let known = all.first().context("a node")?.peers.clone();
    for (place, peer) in known.iter().enumerate() {
        let (endpoint, at) = peer.split_once('@').context("a peer is endpoint@address")?;
        peers.push(format!("{endpoint}@{}", address(place, at.parse()?)));
    }
    for (place, (member, mut settings)) in network.members.iter_mut().zip(all).enumerate() {
        settings.listen = address(place, settings.listen);
        settings.peers.clone_from(&peers);
        if place == VICTIM {
            settings.api = address(place, settings.api);
            member.api = format!("http://{}", settings.api);
            let through = ["ip", "netns", "exec", &island.namespace].map(str::to_owned).to_vec();
            member.launch = Launch { through, ..Launch::default() };
        }
        Folder::new(&member.folder).write_settings(&settings)?;
    }
    Ok(())
}
