//! What the in-memory network promises to the tests that stand on it.

use std::sync::Arc;
use std::time::Duration;

use althing_network::{
    Channel, Fate, Inbound, Kind, Lane, MemoryHub, MemoryNetwork, Network, NetworkError, Reply,
};
use althing_types::EndpointId;
use bytes::Bytes;
use tokio::sync::mpsc;

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Up(EndpointId),
    Down(EndpointId),
    Frame(EndpointId, Lane, Bytes),
}

/// Notes what it hears, and answers requests by echo unless they are empty.
struct Ear(mpsc::UnboundedSender<Heard>);

impl Inbound for Ear {
    fn peer_up(&self, peer: EndpointId) {
        self.0.send(Heard::Up(peer)).ok();
    }
    fn peer_down(&self, peer: EndpointId) {
        self.0.send(Heard::Down(peer)).ok();
    }
    fn frame(&self, from: EndpointId, lane: Lane, payload: Bytes) {
        self.0.send(Heard::Frame(from, lane, payload)).ok();
    }
    fn request(&self, _: EndpointId, _: Kind, body: Bytes, reply: Reply) {
        if !body.is_empty() {
            reply.send(body);
        }
    }
}

fn node(number: u8) -> EndpointId {
    EndpointId([number; 32])
}

fn listen(network: &MemoryNetwork, lanes: &[Lane]) -> mpsc::UnboundedReceiver<Heard> {
    let (sender, receiver) = mpsc::unbounded_channel();
    network.subscribe(lanes, &[Kind::Sync], Arc::new(Ear(sender)));
    receiver
}

#[tokio::test]
async fn a_frame_reaches_the_handlers_of_its_lane_and_no_others() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(node(1)), hub.join(node(2)));
    let mut votes = listen(&b, &[Lane::Votes]);
    let mut bodies = listen(&b, &[Lane::Bodies]);

    a.broadcast(Lane::Votes, Bytes::from_static(b"vote"));
    a.send(node(2), Lane::Bodies, Bytes::from_static(b"body"));

    assert_eq!(votes.recv().await, Some(Heard::Up(node(1))));
    let expected = Heard::Frame(node(1), Lane::Votes, Bytes::from_static(b"vote"));
    assert_eq!(votes.recv().await, Some(expected));
    assert_eq!(bodies.recv().await, Some(Heard::Up(node(1))));
    let expected = Heard::Frame(node(1), Lane::Bodies, Bytes::from_static(b"body"));
    assert_eq!(bodies.recv().await, Some(expected));
    assert!(votes.try_recv().is_err() && bodies.try_recv().is_err());
}

#[tokio::test]
async fn a_request_is_answered_refused_or_has_nobody_to_answer_it() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(node(1)), hub.join(node(2)));
    let _ear = listen(&b, &[]);

    let answer = a.request(node(2), Kind::Sync, Bytes::from_static(b"echo")).await;
    assert_eq!(answer.unwrap(), "echo");
    let refused = a.request(node(2), Kind::Sync, Bytes::new()).await;
    assert!(matches!(refused, Err(NetworkError::Refused { .. })));
    let unheard = a.request(node(2), Kind::Blob, Bytes::from_static(b"echo")).await;
    assert!(matches!(unheard, Err(NetworkError::Refused { .. })));
    let nobody = a.request(node(9), Kind::Sync, Bytes::new()).await;
    assert!(matches!(nobody, Err(NetworkError::NotConnected { .. })));
    let large = a.request(node(2), Kind::Sync, vec![0; 1 << 20].into()).await;
    assert!(matches!(large, Err(NetworkError::TooLarge { .. })));
}

#[tokio::test]
async fn who_leaves_is_missed_and_who_comes_back_is_heard() {
    let hub = MemoryHub::new();
    let a = hub.join(node(1));
    let mut heard = listen(&a, &[Lane::Votes]);
    let mut peers = a.watch_peers();

    let b = hub.join(node(2));
    assert_eq!(heard.recv().await, Some(Heard::Up(node(2))));
    peers.wait_for(|peers| peers.len() == 1).await.unwrap();
    drop(b);
    assert_eq!(heard.recv().await, Some(Heard::Down(node(2))));
    assert!(a.connected().is_empty());

    let b = hub.join(node(2));
    assert_eq!(heard.recv().await, Some(Heard::Up(node(2))));
    b.broadcast(Lane::Votes, Bytes::from_static(b"again"));
    assert!(matches!(heard.recv().await, Some(Heard::Frame(..))));
}

#[tokio::test]
async fn a_partition_keeps_everything_apart_until_it_heals() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(node(1)), hub.join(node(2)));
    let mut heard = listen(&b, &[Lane::Votes]);
    assert_eq!(heard.recv().await, Some(Heard::Up(node(1))));

    hub.partition(&[node(1)], &[node(2)]);
    assert_eq!(heard.recv().await, Some(Heard::Down(node(1))));
    a.broadcast(Lane::Votes, Bytes::from_static(b"lost"));
    hub.heal();
    a.broadcast(Lane::Votes, Bytes::from_static(b"heard"));

    assert_eq!(heard.recv().await, Some(Heard::Up(node(1))));
    let expected = Heard::Frame(node(1), Lane::Votes, Bytes::from_static(b"heard"));
    assert_eq!(heard.recv().await, Some(expected));
}

#[tokio::test(start_paused = true)]
async fn a_rule_drops_and_delays() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(node(1)), hub.join(node(2)));
    let mut heard = listen(&b, &[Lane::Votes, Lane::Bodies]);
    assert_eq!(heard.recv().await, Some(Heard::Up(node(1))));
    hub.set_rule(|passage| match passage.channel {
        Channel::Frames(Lane::Votes) => Fate::Drop,
        Channel::Frames(_) => Fate::Delay(Duration::from_secs(5)),
        Channel::Requests(_) => Fate::Drop,
    });

    let start = tokio::time::Instant::now();
    a.broadcast(Lane::Votes, Bytes::from_static(b"vote"));
    a.broadcast(Lane::Bodies, Bytes::from_static(b"body"));

    assert!(matches!(heard.recv().await, Some(Heard::Frame(_, Lane::Bodies, _))));
    assert!(start.elapsed() >= Duration::from_secs(5));
    let lost = a.request(node(2), Kind::Sync, Bytes::from_static(b"echo")).await;
    assert!(matches!(lost, Err(NetworkError::TimedOut { .. })));
}

#[tokio::test]
async fn an_oversized_frame_is_not_delivered() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(node(1)), hub.join(node(2)));
    let mut heard = listen(&b, &[Lane::Votes]);

    a.broadcast(Lane::Votes, vec![0; Lane::Votes.frame_bytes_max() + 1].into());
    a.broadcast(Lane::Votes, Bytes::from_static(b"small"));

    assert_eq!(heard.recv().await, Some(Heard::Up(node(1))));
    let expected = Heard::Frame(node(1), Lane::Votes, Bytes::from_static(b"small"));
    assert_eq!(heard.recv().await, Some(expected));
}
