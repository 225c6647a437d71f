//! Nodes in one process over the in-memory network.
#![expect(clippy::unwrap_used, reason = "the helpers of these tests may panic as they do")]

mod common;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use althing_consensus_malachite::{Config, ConsensusSigner, Handle, spawn};
use althing_network::{Lane, MemoryHub, MemoryNetwork, Network as _};
use althing_replica::context::{BlockHeight, Chain, Vote, Voter, vote_digest};
use althing_types::{
    Address, BlockId, ChainId, Eip712, EndpointId, Hash, Height, PublicKey, Signatures as _,
    ValidatorSet, VoteSignature,
};
use common::{Disk, Key, Opaque, Secp, validator};
use malachite_app::app::types::SignedConsensusMsg;
use malachite_types::{NilOrVal, Round, SignedMessage, VoteType};
use tokio::sync::watch;
use tokio::time::timeout;

const CHAIN: ChainId = ChainId(7);
/// Generous: the machines that run this are busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn endpoint(node: usize) -> EndpointId {
    EndpointId([u8::try_from(node).unwrap() + 1; 32])
}

fn equal_powers(nodes: usize) -> ValidatorSet {
    ValidatorSet::new((0..nodes).map(|node| validator(node, endpoint(node), 10)).collect())
}

struct Cluster {
    hub: MemoryHub,
    folder: tempfile::TempDir,
    set_of: Arc<dyn Fn(Height) -> ValidatorSet + Send + Sync>,
    disks: Vec<Arc<Mutex<Disk>>>,
    work: watch::Sender<bool>,
    idle_block: Duration,
}

struct Node {
    handle: Handle,
    committed: watch::Receiver<Height>,
    _network: Arc<MemoryNetwork>,
}

impl Cluster {
    fn new(nodes: usize, set_of: impl Fn(Height) -> ValidatorSet + Send + Sync + 'static) -> Self {
        // RUST_LOG shows what the engine does.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().ok();
        Self {
            hub: MemoryHub::new(),
            folder: tempfile::tempdir().unwrap(),
            set_of: Arc::new(set_of),
            disks: (0..nodes).map(|_| Arc::default()).collect(),
            work: watch::Sender::new(true),
            idle_block: Duration::from_secs(1),
        }
    }

    fn wal(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node-{node}.wal"))
    }

    async fn start(&self, node: usize) -> Node {
        self.start_with(node, |_| {}).await
    }

    async fn start_with(&self, node: usize, adjust: impl FnOnce(&mut Opaque)) -> Node {
        let (key, network) = (Key::of(node), self.hub.join(endpoint(node)));
        let disk = self.disks[node].clone();
        let mut application = Opaque::new(disk, key.address(), self.set_of.clone());
        adjust(&mut application);
        let committed = application.committed.subscribe();
        let mut config = Config::new(CHAIN, self.wal(node));
        config.idle_block = self.idle_block;
        let handle = spawn(
            config,
            Arc::new(Mutex::new(application)),
            network.clone(),
            Arc::new(key),
            Arc::new(Secp),
            self.work.subscribe(),
        );
        Node { handle: handle.await.unwrap(), committed, _network: network }
    }

    async fn start_all(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for node in 0..self.disks.len() {
            nodes.push(self.start(node).await);
        }
        nodes
    }

    /// One chain, of which each node has a part; the longest has this many heights.
    fn assert_one_chain(&self, heights: u64) {
        let chains: Vec<_> = self.disks.iter().map(|disk| disk.lock().unwrap().ids()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).unwrap();
        assert!(longest.len() as u64 >= heights);
        for chain in &chains {
            assert_eq!(chain[..], longest[..chain.len()]);
        }
    }
}

impl Node {
    async fn reaches(&mut self, height: u64) {
        let reached = self.committed.wait_for(|committed| committed.0 >= height);
        timeout(PATIENCE, reached).await.expect("the chain halted").unwrap();
    }
}

async fn all_reach(nodes: &mut [Node], height: u64) {
    for node in nodes {
        node.reaches(height).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_decide_fifty_equal_blocks_with_certificates_that_verify() {
    let cluster = Cluster::new(4, |_| equal_powers(4));
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 50).await;
    cluster.assert_one_chain(50);

    let (set, eip712) = (equal_powers(4), Eip712::new(CHAIN));
    for (id, _, certificate) in &cluster.disks[2].lock().unwrap().chain[..50] {
        let digest = eip712.vote(
            althing_types::VoteKind::Precommit,
            certificate.height,
            certificate.round,
            Some(*id),
        );
        let power: u64 = certificate
            .signatures
            .iter()
            .map(|commit| {
                let member = set.get(&commit.validator).expect("a member");
                assert!(Secp.verifies(&digest, &commit.signature, &member.public_key));
                member.power
            })
            .sum();
        assert!(power * 3 > set.total_power() * 2);
        assert!(certificate.signatures.is_sorted_by_key(|commit| commit.validator));
    }
    for node in nodes {
        node.handle.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_stopped_catches_up() {
    let cluster = Cluster::new(4, |_| equal_powers(4));
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 5).await;
    let stopped = nodes.pop().unwrap();
    stopped.handle.shutdown().await;
    cluster.hub.leave(endpoint(3));

    let behind = cluster.disks[3].lock().unwrap().chain.len() as u64;
    all_reach(&mut nodes, behind + 20).await;
    let mut back = cluster.start(3).await;
    back.reaches(behind + 25).await;
    cluster.assert_one_chain(behind + 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_stop_at_any_moment_and_go_on() {
    let cluster = Cluster::new(4, |_| equal_powers(4));
    for round in 1..4 {
        let mut nodes = cluster.start_all().await;
        nodes[0].reaches(round * 10).await;
        for node in nodes {
            node.handle.shutdown().await;
        }
    }
    cluster.assert_one_chain(30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_validator_set_is_followed() {
    // Node 4 joins at height 10, and node 0 leaves: then the new one is needed for a quorum.
    let cluster = Cluster::new(5, |height| {
        let members = if height.0 < 10 { 0..4 } else { 1..5 };
        ValidatorSet::new(members.map(|node| validator(node, endpoint(node), 10)).collect())
    });
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 9).await;
    let leaver = nodes.remove(1);
    leaver.handle.shutdown().await;
    cluster.hub.leave(endpoint(1));
    // Two, three and four are all that is left with power: 30 of 40. The leaver may have signed
    // what was under way when it left, on a slow machine far above the height of the change.
    let left_at = cluster.disks[2].lock().unwrap().chain.len().max(10) + 2;
    all_reach(&mut nodes, left_at as u64 + 10).await;

    let newcomer = Key::of(4).address();
    let disk = cluster.disks[2].lock().unwrap();
    let late = &disk.chain[left_at..left_at + 10];
    let signed = |(_, _, certificate): &(BlockId, Vec<u8>, althing_types::Certificate)| {
        certificate.signatures.iter().any(|commit| commit.validator == newcomer)
    };
    assert!(late.iter().all(signed));
    drop(disk);
    assert_eq!(
        cluster.disks[0].lock().unwrap().ids()[..20],
        cluster.disks[4].lock().unwrap().ids()[..20]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_power_follows() {
    let cluster = Cluster::new(5, |_| equal_powers(4));
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 20).await;
    cluster.assert_one_chain(20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_is_alone_decides() {
    let cluster = Cluster::new(1, |_| equal_powers(1));
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_network_paces_itself_and_work_ends_the_wait() {
    let mut cluster = Cluster::new(4, |_| equal_powers(4));
    // So long that reaching the heights below without work would exceed the patience.
    cluster.idle_block = Duration::from_secs(40);
    cluster.work.send_replace(false);
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 1).await;
    cluster.work.send_replace(true);
    all_reach(&mut nodes, 20).await;
    cluster.work.send_replace(false);
    // What had begun ends; then nothing more is begun.
    let mut settled = nodes[0].handle.progress();
    while timeout(Duration::from_secs(3), settled.changed()).await.is_ok() {}
    let deciding = settled.borrow().deciding;
    assert!(timeout(Duration::from_secs(3), settled.changed()).await.is_err());
    assert_eq!(settled.borrow().deciding, deciding);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_network_advances_at_its_idle_pace() {
    let mut cluster = Cluster::new(4, |_| equal_powers(4));
    cluster.idle_block = Duration::from_millis(300);
    cluster.work.send_replace(false);
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 2).await;
    let start = tokio::time::Instant::now();
    let begun = nodes.iter().map(|node| node.handle.progress().borrow().deciding.0).max().unwrap();
    all_reach(&mut nodes, begun + 5).await;
    // The first of these may have begun at once; each of the other four a whole pause after the one before it.
    assert!(start.elapsed() >= Duration::from_millis(4 * 300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_the_application_stops_the_node_and_comes_out_of_the_handle() {
    let cluster = Cluster::new(1, |_| equal_powers(1));
    let adjust = |application: &mut Opaque| application.fails_at = Some(Height(4));
    let mut node = cluster.start_with(0, adjust).await;
    let fault = timeout(PATIENCE, node.handle.stopped()).await.unwrap();
    assert_eq!((fault.operation, fault.code), ("committing a block", Some("TEST-0001")));
    assert_eq!(cluster.disks[0].lock().unwrap().chain.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_ahead_of_its_state_stops_the_node_with_a_code() {
    let cluster = Cluster::new(2, |_| equal_powers(2));
    let mut nodes = cluster.start_all().await;
    all_reach(&mut nodes, 5).await;
    for node in nodes {
        node.handle.shutdown().await;
    }
    // The state is lost, the log is not.
    for disk in &cluster.disks {
        *disk.lock().unwrap() = Disk::default();
    }
    let mut nodes = cluster.start_all().await;
    let fault = timeout(PATIENCE, nodes[0].handle.stopped()).await.unwrap();
    assert_eq!(fault.code, Some("WAL-0004"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn double_votes_become_evidence() {
    let mut cluster = Cluster::new(4, |_| equal_powers(4));
    cluster.work.send_replace(false);
    cluster.idle_block = Duration::from_secs(2);
    let mut nodes = Vec::new();
    for node in 0..3 {
        nodes.push(cluster.start(node).await);
    }
    all_reach(&mut nodes, 1).await;

    // Node 3 says two things about every height that may come next.
    let liar = cluster.hub.join(endpoint(3));
    let key = Key::of(3);
    let eip712 = Eip712::new(CHAIN);
    for height in 2..8 {
        for value in [NilOrVal::Val(BlockId::from([1; 32])), NilOrVal::Nil] {
            let vote = Vote {
                kind: VoteType::Prevote,
                height: BlockHeight(Height(height)),
                round: Round::ZERO,
                value,
                validator: Voter(key.address()),
            };
            let signature = key.sign(&vote_digest(&eip712, &vote).unwrap());
            let message = SignedConsensusMsg::<Chain>::Vote(SignedMessage::new(vote, signature));
            let frame = [vec![0], borsh::to_vec(&message).unwrap()].concat();
            liar.broadcast(Lane::Votes, frame.into());
        }
    }
    all_reach(&mut nodes, 9).await;

    let disk = cluster.disks[0].lock().unwrap();
    let evidence = disk.evidence.first().expect("the double vote was seen");
    assert_eq!(evidence.validator, key.address());
    assert_eq!((evidence.first.block, evidence.second.block), (None, Some(BlockId::from([1; 32]))));
    for vote in [&evidence.first, &evidence.second] {
        let digest = eip712.vote(vote.kind, vote.height, vote.round, vote.block);
        assert!(Secp.verifies(&digest, &vote.signature, &key.public_key()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_heights_are_caught_up_by_sync() {
    let cluster = Cluster::new(2, |_| equal_powers(1));
    let mut first = cluster.start(0).await;
    first.reaches(1000).await;
    cluster.work.send_replace(false);
    let start = tokio::time::Instant::now();
    let mut second = cluster.start(1).await;
    second.reaches(1000).await;
    println!("1,000 heights in {:?}", start.elapsed());
    assert!(second.handle.progress().borrow().synced >= 900);
    assert_eq!(
        cluster.disks[0].lock().unwrap().ids()[..1000],
        cluster.disks[1].lock().unwrap().ids()[..1000],
    );
}

/// A part of the node that fails while the engine is put together.
struct Faulty(Key);

impl ConsensusSigner for Faulty {
    fn address(&self) -> Address {
        panic!("a fault in the program");
    }
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }
    fn sign(&self, digest: &Hash) -> VoteSignature {
        self.0.sign(digest)
    }
}

#[tokio::test]
async fn an_engine_that_ends_while_it_starts_is_a_coded_error() {
    let cluster = Cluster::new(1, |_| equal_powers(1));
    let (key, network) = (Key::of(0), cluster.hub.join(endpoint(0)));
    let disk = cluster.disks[0].clone();
    let application = Opaque::new(disk, key.address(), cluster.set_of.clone());
    let start = spawn(
        Config::new(CHAIN, cluster.wal(0)),
        Arc::new(Mutex::new(application)),
        network,
        Arc::new(Faulty(key)),
        Arc::new(Secp),
        cluster.work.subscribe(),
    );
    let started = timeout(Duration::from_secs(120), start).await;
    assert_eq!(started.expect("it does not wait for ever").unwrap_err().code(), "CON-0003");
}
