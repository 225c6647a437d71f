//! Folders, keys and a genesis for a whole network on one machine.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use althing_keys::NodeKeys;
use althing_types::{
    Address, Amount, ChainId, Endowment, EndpointId, Genesis, GenesisValidator, TimeMs,
};
use anyhow::{Context as _, Result, ensure};

use crate::folder::{Folder, Settings};
use crate::{genesis_file, parameters};

/// Most nodes of a network on one machine.
pub const NODES_MAX: usize = 32;

/// What each node owns beside its bond.
const NODE_BALANCE: Amount = Amount::from_tokens(10_000);
/// What each node bonds.
const NODE_BOND: Amount = Amount::from_tokens(1_000);
/// What the person who plays with the network owns.
const PERSON_BALANCE: Amount = Amount::from_tokens(1_000_000);

/// One node of the network, before it is started.
#[derive(Clone, Debug)]
pub struct DevNode {
    /// Its folder.
    pub folder: PathBuf,
    /// Its account.
    pub account: Address,
    /// Its name on the network.
    pub endpoint: EndpointId,
    /// Where its API will be.
    pub api: SocketAddr,
    /// Where other nodes reach it.
    pub listen: SocketAddr,
}

/// A network, before it is started.
#[derive(Clone, Debug)]
pub struct DevNetwork {
    /// What its nodes agree on.
    pub genesis: Genesis,
    /// Its nodes.
    pub nodes: Vec<DevNode>,
}

/// Creates `count` node folders `node-1`, `node-2`, … in `folder`, and endows `person`.
///
/// # Errors
///
/// If a folder cannot be written, or there is no free port.
pub fn create(folder: &Path, count: usize, person: Address, now: TimeMs) -> Result<DevNetwork> {
    ensure!((1..=NODES_MAX).contains(&count), "a network has 1 to {NODES_MAX} nodes");
    // All ports are held until all are chosen, so that no two nodes get the same one.
    let ports = (0..count).map(|_| free_ports()).collect::<Result<Vec<_>>>()?;
    let mut nodes = Vec::new();
    let mut validators = Vec::new();
    for (index, (udp, tcp)) in ports.iter().enumerate() {
        let path = folder.join(format!("node-{}", index + 1));
        let keys = NodeKeys::create(&path)?;
        let node = DevNode {
            folder: path,
            account: keys.account.address(),
            endpoint: althing_net_iroh::endpoint_of(&keys.endpoint),
            api: tcp.local_addr().context("asking for the port")?,
            listen: udp.local_addr().context("asking for the port")?,
        };
        validators.push(GenesisValidator {
            address: node.account,
            public_key: keys.account.public_key(),
            endpoint: node.endpoint,
            beacon_key: keys.beacon.key(),
            bonded: NODE_BOND,
        });
        nodes.push(node);
    }
    drop(ports);

    let mut accounts: Vec<Endowment> = nodes
        .iter()
        .map(|node| Endowment { address: node.account, balance: NODE_BALANCE })
        .chain([Endowment { address: person, balance: PERSON_BALANCE }])
        .collect();
    accounts.sort_by_key(|account| account.address);
    validators.sort_by_key(|validator| validator.address);
    let genesis = Genesis {
        // The time makes the chain id different from that of every earlier network, so that no
        // transaction of one is valid on the other.
        chain: ChainId(now.0),
        time: now,
        parameters: parameters::dev_network(),
        accounts,
        validators,
    };
    let peers: Vec<String> =
        nodes.iter().map(|node| format!("{}@{}", node.endpoint, node.listen)).collect();
    for node in &nodes {
        let place = Folder::new(&node.folder);
        place.write_settings(&Settings {
            listen: node.listen,
            api: node.api,
            peers: peers.clone(),
            propose_timeout_ms: 300,
            tasks_max: 1,
            ..Settings::default()
        })?;
        genesis_file::write(&place.genesis_file(), &genesis)?;
    }
    Ok(DevNetwork { genesis, nodes })
}

fn free_ports() -> Result<(UdpSocket, TcpListener)> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    Ok((
        UdpSocket::bind(any).context("looking for a free UDP port")?,
        TcpListener::bind(any).context("looking for a free TCP port")?,
    ))
}

/// Finds the network that [`create`] has made in `folder`.
///
/// # Errors
///
/// If a node's files are missing or damaged.
pub fn open(folder: &Path) -> Result<DevNetwork> {
    let mut nodes = Vec::new();
    let mut genesis = None;
    for index in 1..=NODES_MAX {
        let path = folder.join(format!("node-{index}"));
        if !path.exists() {
            break;
        }
        let place = Folder::new(&path);
        let (keys, settings) = (NodeKeys::load(&path)?, place.settings()?);
        genesis.get_or_insert(genesis_file::read(&place.genesis_file())?);
        nodes.push(DevNode {
            folder: path,
            account: keys.account.address(),
            endpoint: althing_net_iroh::endpoint_of(&keys.endpoint),
            api: settings.api,
            listen: settings.listen,
        });
    }
    let genesis = genesis.with_context(|| format!("{} holds no network", folder.display()))?;
    Ok(DevNetwork { genesis, nodes })
}
