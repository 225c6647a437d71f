//! Transactions between nodes.
//!
//! A frame is a list of encoded transactions. The node to which a transaction was first handed sends
//! it to everybody, and again every two seconds until it is in a block. Others pass it on only where
//! that helps: if it came from a node that is not a validator, or not all validators are connected.

use std::sync::Arc;
use std::time::Duration;

use althing_network::{Inbound, Lane, Network};
use althing_types::EndpointId;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::chain::{Chain, Encoded, is_known};
use crate::frames::{FRAME_TRANSACTIONS_MAX, Garbled, join, split};

/// Frames from peers that wait to be verified; beyond it they are dropped, and come again.
const FRAMES_BUFFERED: usize = 256;
/// Largest frame that is sent, below the lane's limit.
const FRAME_BYTES: usize = 384 << 10;
const AGAIN: Duration = Duration::from_secs(2);

/// Puts what arrives into a bounded queue.
struct Receiver(mpsc::Sender<(EndpointId, Bytes)>);

impl Inbound for Receiver {
    fn frame(&self, from: EndpointId, _lane: Lane, payload: Bytes) {
        self.0.try_send((from, payload)).ok();
    }
}

/// Sends what `outgoing` brings, in frames.
pub(crate) async fn send(network: Arc<dyn Network>, mut outgoing: mpsc::Receiver<Encoded>) {
    let mut batch: Vec<Encoded> = Vec::new();
    while outgoing.recv_many(&mut batch, FRAME_TRANSACTIONS_MAX).await > 0 {
        let (mut frame, mut bytes) = (Vec::new(), 0);
        for encoded in batch.drain(..) {
            if bytes + encoded.len() > FRAME_BYTES {
                broadcast(&*network, &std::mem::take(&mut frame));
                bytes = 0;
            }
            bytes += encoded.len() + 4;
            frame.push(encoded);
        }
        broadcast(&*network, &frame);
    }
}

fn broadcast(network: &dyn Network, frame: &[Encoded]) {
    if frame.is_empty() {
        return;
    }
    network.broadcast(Lane::Transactions, join(frame).into());
}

/// Verifies and takes what peers send.
pub(crate) async fn receive(network: Arc<dyn Network>, chain: Arc<Chain>) {
    let (sender, mut frames) = mpsc::channel(FRAMES_BUFFERED);
    network.subscribe(&[Lane::Transactions], &[], Arc::new(Receiver(sender)));
    let mut batch = Vec::new();
    // All that has come meanwhile goes to the other thread at once.
    while frames.recv_many(&mut batch, FRAMES_BUFFERED).await > 0 {
        let relayed = batch.drain(..).map(|(from, payload)| {
            let relays = relays(&*network, &chain, from);
            (from, payload, relays)
        });
        let (chain, relayed) = (chain.clone(), relayed.collect::<Vec<_>>());
        let all = move || {
            for (from, payload, relays) in relayed {
                if let Err(Garbled) = take(&chain, &payload, relays) {
                    tracing::debug!(%from, "a frame of transactions was garbled");
                }
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(all).await {
            tracing::debug!(%error, "frames of transactions were not taken");
        }
    }
}

fn take(chain: &Chain, payload: &[u8], relays: bool) -> Result<(), Garbled> {
    for transaction in split(payload) {
        match chain.admit(transaction?) {
            Ok((_, encoded)) if relays => chain.pass_on(encoded),
            Ok(_) => {}
            Err(error) if is_known(&error) => {}
            Err(error) => tracing::debug!(%error, "a peer's transaction was not taken"),
        }
    }
    Ok(())
}

fn relays(network: &dyn Network, chain: &Chain, from: EndpointId) -> bool {
    let head = chain.reader.head();
    let (connected, own) = (network.connected(), network.id());
    let validators = head.validators.members();
    let from_validator = validators.iter().any(|validator| validator.endpoint == from);
    let all_connected = validators
        .iter()
        .all(|v| v.endpoint == own || connected.binary_search(&v.endpoint).is_ok());
    !from_validator || !all_connected
}

/// Repeats what is not in a block yet.
pub(crate) async fn repeat(chain: Arc<Chain>) {
    let mut tick = tokio::time::interval(AGAIN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let chain = chain.clone();
        tokio::task::spawn_blocking(move || chain.pass_on_again()).await.ok();
    }
}
