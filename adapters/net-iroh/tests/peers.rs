//! Real endpoints on loopback.
#![expect(clippy::unwrap_used, reason = "the helpers of these tests may panic as they do")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use althing_net_iroh::{
    Config, Error, Event, IrohNetwork, Limits, PeerAddress, Reason, endpoint_of,
};
use althing_network::{Inbound, Kind, Lane, Network as _, NetworkError, Reply};
use althing_types::{
    Address, BeaconKey, BeaconProof, ChainId, Eip712, EndpointId, Hash, PublicKey,
    RecoverableSignature, Signatures, VoteSignature, canonical, keccak,
};
use bytes::Bytes;
use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey, TransportAddr};
use secp256k1::{Message, SECP256K1, SecretKey as AccountKey, ecdsa};
use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;

const CHAIN: ChainId = ChainId(7);
const GENESIS: Hash = Hash([5; 32]);
/// Generous: the machines that run this are busy.
const PATIENCE: Duration = Duration::from_secs(30);

struct Secp;

fn address_of(key: &secp256k1::PublicKey) -> Address {
    let hash = keccak(&[&key.serialize_uncompressed()[1..]]);
    Address(hash.0[12..].try_into().unwrap())
}

impl Signatures for Secp {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        let id = ecdsa::RecoveryId::try_from(i32::from(signature.v.checked_sub(27)?)).ok()?;
        let signature = ecdsa::RecoverableSignature::from_compact(&signature.r_and_s, id).ok()?;
        let message = Message::from_digest(digest.0);
        SECP256K1.recover_ecdsa(message, &signature).ok().map(|key| address_of(&key))
    }
    fn verifies(&self, _: &Hash, _: &VoteSignature, _: &PublicKey) -> bool {
        false
    }
    fn address_of(&self, _: &PublicKey) -> Option<Address> {
        None
    }
    fn beacon(&self, _: &BeaconKey, _: &Hash, _: &BeaconProof) -> Option<Hash> {
        None
    }
}

fn secret(node: u8) -> [u8; 32] {
    keccak(&[b"endpoint", &[node]]).0
}

fn account(node: u8) -> AccountKey {
    AccountKey::from_byte_array(keccak(&[b"account", &[node]]).0).unwrap()
}

fn signed_hello(chain: ChainId, node: u8) -> (Address, RecoverableSignature) {
    let key = account(node);
    let address = address_of(&key.public_key(SECP256K1));
    let digest = Eip712::new(chain).hello(address, &endpoint_of(&secret(node)).0);
    let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &key);
    let (id, r_and_s) = signature.serialize_compact();
    let v = 27 + u8::try_from(i32::from(id)).unwrap();
    (address, RecoverableSignature { r_and_s, v })
}

fn config(node: u8, bootstrap: &[PeerAddress]) -> Config {
    let (account, hello) = signed_hello(CHAIN, node);
    Config {
        secret: secret(node),
        listen: "127.0.0.1:0".parse().unwrap(),
        chain: CHAIN,
        genesis: GENESIS,
        account,
        hello,
        bootstrap: bootstrap.to_vec(),
        signatures: Arc::new(Secp),
        limits: Limits::default(),
    }
}

async fn node(number: u8, bootstrap: &[PeerAddress]) -> IrohNetwork {
    IrohNetwork::bind(config(number, bootstrap)).await.unwrap()
}

async fn has_peers(network: &IrohNetwork, count: usize) {
    let mut peers = network.watch_peers();
    let there = timeout(PATIENCE, peers.wait_for(|peers| peers.len() == count)).await;
    there.unwrap_or_else(|_| panic!("{count} peers expected")).unwrap();
}

async fn event(events: &mut broadcast::Receiver<Event>, wanted: impl Fn(&Event) -> bool) -> Event {
    let search = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    timeout(PATIENCE, search).await.expect("an event")
}

/// Notes frames, answers requests of kind sync by echo and no others.
struct Ear(mpsc::UnboundedSender<(EndpointId, Lane, Bytes)>);

impl Inbound for Ear {
    fn frame(&self, from: EndpointId, lane: Lane, payload: Bytes) {
        self.0.send((from, lane, payload)).ok();
    }
    fn request(&self, _: EndpointId, kind: Kind, body: Bytes, reply: Reply) {
        if kind == Kind::Sync {
            reply.send(body);
        }
    }
}

fn listen(network: &IrohNetwork) -> mpsc::UnboundedReceiver<(EndpointId, Lane, Bytes)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    network.subscribe(&Lane::ALL, &[Kind::Sync, Kind::Blob], Arc::new(Ear(sender)));
    receiver
}

/// Somebody who speaks QUIC but not our manners.
async fn stranger(number: u8, to: &IrohNetwork) -> (Endpoint, Connection) {
    let endpoint = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&secret(number)))
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0".parse::<SocketAddr>().unwrap())
        .unwrap()
        .bind()
        .await
        .unwrap();
    let id = iroh::EndpointId::from_bytes(&to.id().0).unwrap();
    let target = EndpointAddr::from_parts(id, [TransportAddr::Ip(to.address())]);
    let connection = endpoint.connect(target, b"althing/1").await.unwrap();
    (endpoint, connection)
}

/// A hello as bytes, with everything open to falsification.
fn hello(chain: ChainId, genesis: Hash, endpoint: EndpointId, signer: u8) -> Vec<u8> {
    let (account, signature) = signed_hello(chain, signer);
    let wire_address = ([0_u8; 16], 9_u16);
    canonical::encode(&(1_u16, chain, genesis, endpoint, account, wire_address, signature))
}

async fn say(connection: &Connection, hello: &[u8]) {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(hello).await.unwrap();
    send.finish().unwrap();
    // Who is refused reads no answer.
    receive.read_to_end(512).await.ok();
}

async fn closed_with(connection: &Connection, reason: Reason) {
    let closed = timeout(PATIENCE, connection.closed()).await.expect("closed");
    let iroh::endpoint::ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed by {closed}");
    };
    assert_eq!(close.error_code.into_inner(), u64::from(reason as u32), "{reason:?}");
    assert_eq!(close.reason, reason.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_and_requests_travel_both_ways() {
    let a = node(1, &[]).await;
    let b = node(2, &[a.peer_address()]).await;
    let (mut at_a, mut at_b) = (listen(&a), listen(&b));
    has_peers(&a, 1).await;
    has_peers(&b, 1).await;

    let body = Bytes::from(vec![3; 200 << 10]);
    a.broadcast(Lane::Votes, Bytes::from_static(b"vote"));
    b.send(a.id(), Lane::Bodies, body.clone());
    let heard = timeout(PATIENCE, at_b.recv()).await.unwrap().unwrap();
    assert_eq!(heard, (a.id(), Lane::Votes, Bytes::from_static(b"vote")));
    let heard = timeout(PATIENCE, at_a.recv()).await.unwrap().unwrap();
    assert_eq!(heard, (b.id(), Lane::Bodies, body));

    let echo = b.request(a.id(), Kind::Sync, Bytes::from_static(b"echo")).await;
    assert_eq!(echo.unwrap(), "echo");
    let refused = a.request(b.id(), Kind::Blob, Bytes::from_static(b"what")).await;
    assert!(matches!(refused, Err(NetworkError::Refused { .. })), "{refused:?}");
    let nobody = a.request(EndpointId([9; 32]), Kind::Sync, Bytes::new()).await;
    assert!(matches!(nobody, Err(NetworkError::NotConnected { .. })));
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_say_hello_is_not_heard() {
    let network = node(1, &[]).await;
    let mut heard = listen(&network);
    let (_endpoint, connection) = stranger(2, &network).await;
    // The way of a vote, without a hello: no stream for it is even allowed.
    let lane = async {
        let mut stream = connection.open_uni().await?;
        stream.write_all(&[0, 0, 0, 0, 4, 1, 2, 3, 4]).await?;
        stream.finish().ok();
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let _refused = timeout(Duration::from_secs(1), lane).await;
    say(&connection, b"\x00\x00\x00\x04vote").await;
    closed_with(&connection, Reason::NoHello).await;
    assert!(heard.try_recv().is_err());
    assert!(network.connected().is_empty());
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn false_hellos_are_refused_with_their_reason() {
    let network = node(1, &[]).await;
    let mut events = network.events();
    let two = endpoint_of(&secret(2));
    let version = {
        let mut bytes = hello(CHAIN, GENESIS, two, 2);
        bytes[0] = 9;
        bytes
    };
    let unsigned = {
        let mut bytes = hello(CHAIN, GENESIS, two, 2);
        let length = bytes.len();
        bytes[length - 2] ^= 1;
        bytes
    };
    for (bytes, reason) in [
        (hello(ChainId(8), GENESIS, two, 2), Reason::WrongChain),
        (hello(CHAIN, Hash([6; 32]), two, 2), Reason::WrongGenesis),
        (version, Reason::WrongProtocol),
        (unsigned, Reason::BadSignature),
        // The hello of node 3, overheard and said from the endpoint of node 2.
        (hello(CHAIN, GENESIS, endpoint_of(&secret(3)), 3), Reason::BadSignature),
        // The endpoint of node 2, claimed by an account that has signed another one.
        (hello(CHAIN, GENESIS, two, 3), Reason::BadSignature),
        (vec![0; 4096], Reason::NoHello),
    ] {
        let (_endpoint, connection) = stranger(2, &network).await;
        say(&connection, &bytes).await;
        closed_with(&connection, reason).await;
        event(&mut events, |event| *event == Event::Refused { peer: two, reason, by_peer: false })
            .await;
    }
    assert!(network.connected().is_empty());
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_genesis_learns_why_it_is_alone() {
    let a = node(1, &[]).await;
    let mut other = config(2, &[a.peer_address()]);
    other.genesis = Hash([6; 32]);
    let b = IrohNetwork::bind(other).await.unwrap();
    let refused = event(&mut b.events(), |event| matches!(event, Event::Refused { .. })).await;
    let reason = Reason::WrongGenesis;
    assert_eq!(refused, Event::Refused { peer: a.id(), reason, by_peer: true });
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame_ends_the_connection() {
    let network = node(1, &[]).await;
    let mut heard = listen(&network);
    let (_endpoint, connection) = stranger(2, &network).await;
    say(&connection, &hello(CHAIN, GENESIS, endpoint_of(&secret(2)), 2)).await;
    let mut stream = timeout(PATIENCE, connection.open_uni()).await.unwrap().unwrap();
    let length = u32::try_from(Lane::Votes.frame_bytes_max() + 1).unwrap();
    stream.write_all(&[&[0][..], &length.to_be_bytes()].concat()).await.unwrap();
    closed_with(&connection, Reason::BadFrame).await;
    assert!(heard.try_recv().is_err());
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_much_loses_frames_and_then_its_connection() {
    let mut limited = config(1, &[]);
    limited.limits.frames_per_second = 50;
    let a = IrohNetwork::bind(limited).await.unwrap();
    let b = node(2, &[a.peer_address()]).await;
    let mut heard = listen(&a);
    has_peers(&b, 1).await;
    let mut events = a.events();
    for number in 0..3000_u32 {
        b.broadcast(Lane::Votes, Bytes::copy_from_slice(&number.to_be_bytes()));
    }
    let refused = event(&mut events, |event| matches!(event, Event::Refused { .. })).await;
    let reason = Reason::RateExceeded;
    assert_eq!(refused, Event::Refused { peer: b.id(), reason, by_peer: false });
    let mut taken = 0;
    while heard.try_recv().is_ok() {
        taken += 1;
    }
    assert!((1..2000).contains(&taken), "{taken}");
    let dropped = a.metrics().dropped_incoming.load(std::sync::atomic::Ordering::Relaxed);
    assert!(dropped >= 1000, "{dropped}");
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_restarts_is_connected_again() {
    let a = node(1, &[]).await;
    let b = node(2, &[a.peer_address()]).await;
    has_peers(&a, 1).await;
    b.shutdown().await;
    has_peers(&a, 0).await;
    let b = node(2, &[a.peer_address()]).await;
    let mut heard = listen(&b);
    has_peers(&a, 1).await;
    has_peers(&b, 1).await;
    a.broadcast(Lane::Votes, Bytes::from_static(b"again"));
    assert!(timeout(PATIENCE, heard.recv()).await.unwrap().is_some());
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_port_is_named() {
    let a = node(1, &[]).await;
    let mut second = config(2, &[]);
    second.listen = a.address();
    let error = IrohNetwork::bind(second).await.unwrap_err();
    assert_eq!(error.code(), "NET-0001");
    assert!(matches!(error, Error::AddressInUse { address, .. } if address == a.address()));
    a.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_hello_that_nobody_would_believe_is_an_error() {
    let mut wrong = config(1, &[]);
    wrong.account = Address([1; 20]);
    assert_eq!(IrohNetwork::bind(wrong).await.unwrap_err().code(), "NET-0003");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_one_peer_find_each_other() {
    let a = node(1, &[]).await;
    let b = node(2, &[a.peer_address()]).await;
    has_peers(&b, 1).await;
    let c = node(3, &[a.peer_address()]).await;
    for network in [&a, &b, &c] {
        has_peers(network, 2).await;
    }
    for network in [a, b, c] {
        network.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_peers_are_taken_than_allowed() {
    let mut limited = config(1, &[]);
    limited.limits.peers_max = 1;
    let a = IrohNetwork::bind(limited).await.unwrap();
    let b = node(2, &[a.peer_address()]).await;
    has_peers(&a, 1).await;
    let (_endpoint, connection) = stranger(3, &a).await;
    say(&connection, &hello(CHAIN, GENESIS, endpoint_of(&secret(3)), 3)).await;
    closed_with(&connection, Reason::Full).await;
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_who_take_all_places_keep_no_preferred_peer_out() {
    let mut limited = config(1, &[]);
    limited.limits.peers_max = 2;
    let a = IrohNetwork::bind(limited).await.unwrap();
    a.prefer([3, 4, 5].map(|number| endpoint_of(&secret(number))).into());
    let (_first, older) = stranger(2, &a).await;
    say(&older, &hello(CHAIN, GENESIS, endpoint_of(&secret(2)), 2)).await;
    has_peers(&a, 1).await;
    let (_second, younger) = stranger(6, &a).await;
    say(&younger, &hello(CHAIN, GENESIS, endpoint_of(&secret(6)), 6)).await;
    has_peers(&a, 2).await;

    // The youngest stranger goes first.
    let three = node(3, &[a.peer_address()]).await;
    closed_with(&younger, Reason::Full).await;
    has_peers(&three, 1).await;
    let four = node(4, &[a.peer_address()]).await;
    closed_with(&older, Reason::Full).await;
    has_peers(&four, 2).await; // the node, and the one that it told of
    // Those that are preferred do not displace each other, and nobody else displaces them.
    for number in [5, 7] {
        let (_endpoint, late) = stranger(number, &a).await;
        say(&late, &hello(CHAIN, GENESIS, endpoint_of(&secret(number)), number)).await;
        closed_with(&late, Reason::Full).await;
    }
    let mut connected = vec![three.id(), four.id()];
    connected.sort_unstable();
    assert_eq!(*a.connected(), *connected);
    for network in [a, three, four] {
        network.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_this_machines_is_a_coded_error() {
    let mut elsewhere = config(1, &[]);
    elsewhere.listen = "192.0.2.1:0".parse().unwrap(); // reserved for documentation
    let error = IrohNetwork::bind(elsewhere).await.unwrap_err();
    assert_eq!(error.code(), "NET-0002");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_one_key_notice() {
    let a = node(1, &[]).await;
    let b = node(2, &[]).await;
    let bootstrap = [a.peer_address(), b.peer_address()];
    let one = node(3, &bootstrap).await;
    has_peers(&one, 2).await;
    let (mut at_one, other) = (one.events(), node(3, &bootstrap).await);
    let mut at_other = other.events();
    let duplicate = |event: &Event| matches!(event, Event::DuplicateIdentity { .. });
    tokio::select! {
        _ = event(&mut at_one, duplicate) => {}
        _ = event(&mut at_other, duplicate) => {}
    }
    for network in [a, b, one, other] {
        network.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_costs_a_bounded_amount_of_memory() {
    let network = node(1, &[]).await;
    let (_endpoint, connection) = stranger(2, &network).await;
    say(&connection, &hello(CHAIN, GENESIS, endpoint_of(&secret(2)), 2)).await;
    has_peers(&network, 1).await;
    // The stranger never reads its lanes: what it cannot take is dropped, oldest first.
    let frame = Bytes::from(vec![1; 100 << 10]);
    for _ in 0..1000 {
        network.broadcast(Lane::Votes, frame.clone());
    }
    let metrics = network.metrics();
    assert!(metrics.dropped_outgoing.load(std::sync::atomic::Ordering::Relaxed) > 900);
    network.shutdown().await;
}
