//! Four nodes over real endpoints on loopback.
#![expect(clippy::unwrap_used, reason = "the helpers of these tests may panic as they do")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use althing_consensus_malachite::{Config, ConsensusSigner as _, Handle, spawn};
use althing_net_iroh::{IrohNetwork, Limits, PeerAddress, endpoint_of};
use althing_types::{ChainId, Eip712, Hash, Height, ValidatorSet, keccak};
use common::{Disk, Key, Opaque, Secp, validator};
use tokio::sync::watch;
use tokio::time::timeout;

const CHAIN: ChainId = ChainId(7);
/// Generous: the machines that run this are busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn secret(node: usize) -> [u8; 32] {
    keccak(&[b"endpoint", &node.to_be_bytes()]).0
}

async fn network(node: usize, bootstrap: Vec<PeerAddress>) -> Arc<IrohNetwork> {
    let key = Key::of(node);
    let own = endpoint_of(&secret(node));
    let config = althing_net_iroh::Config {
        secret: secret(node),
        listen: "127.0.0.1:0".parse().unwrap(),
        chain: CHAIN,
        genesis: Hash::ZERO,
        account: key.address(),
        hello: key.sign_recoverable(&Eip712::new(CHAIN).hello(key.address(), &own.0)),
        bootstrap,
        signatures: Arc::new(Secp),
        limits: Limits::default(),
    };
    Arc::new(IrohNetwork::bind(config).await.unwrap())
}

struct Node {
    network: Arc<IrohNetwork>,
    handle: Handle,
    committed: watch::Receiver<Height>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_decide_fifty_equal_blocks_and_a_restarted_one_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let members = (0..4).map(|node| validator(node, endpoint_of(&secret(node)), 10)).collect();
    let set = ValidatorSet::new(members);
    let disks: Vec<Arc<Mutex<Disk>>> = (0..4).map(|_| Arc::default()).collect();
    let (_work, work) = watch::channel(true);
    let start = async |node: usize, bootstrap: Vec<PeerAddress>| {
        let (network, key, set) = (network(node, bootstrap).await, Key::of(node), set.clone());
        let disk = disks[node].clone();
        let application = Opaque::new(disk, key.address(), Arc::new(move |_| set.clone()));
        let committed = application.committed.subscribe();
        let config = Config::new(CHAIN, folder.path().join(format!("node-{node}.wal")));
        let (application, signer) = (Arc::new(Mutex::new(application)), Arc::new(key));
        let work = work.clone();
        let handle =
            spawn(config, application, network.clone(), signer, Arc::new(Secp), work).await;
        Node { network, handle: handle.unwrap(), committed }
    };
    let reaches = async |node: &mut Node, height: u64| {
        let reached = node.committed.wait_for(|committed| committed.0 >= height);
        timeout(PATIENCE, reached).await.expect("the chain halted").unwrap();
    };

    // All but the first know only the first.
    let mut nodes = vec![start(0, vec![]).await];
    let first = nodes[0].network.peer_address();
    for node in 1..4 {
        nodes.push(start(node, vec![first]).await);
    }
    for node in &mut nodes {
        reaches(node, 50).await;
    }

    let last = nodes.pop().unwrap();
    last.handle.shutdown().await;
    last.network.shutdown().await;
    drop(last.network);
    reaches(&mut nodes[0], 70).await;
    let mut back = start(3, vec![first]).await;
    let target = nodes[0].committed.borrow().0 + 20;
    reaches(&mut back, target).await;

    let chains: Vec<_> = disks.iter().map(|disk| disk.lock().unwrap().ids()).collect();
    let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
    for chain in &chains {
        assert!(chain.len() >= 50);
        assert_eq!(chain[..], longest[..chain.len()]);
    }
    nodes.push(back);
    for node in nodes {
        node.handle.shutdown().await;
        node.network.shutdown().await;
    }
}
