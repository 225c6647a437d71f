//! The engine's network actor, over the project's port.
//!
//! ```text
//!   peer ──► Hub: decode, bound, verify ──► subscribers (consensus, sync)
//!                 └─ parts ──► Assembly ──► bodies (queue) ──► host
//!   engine ──► actor ──► encode once ──► broadcast
//! ```
//!
//! - Invariants: what reaches the engine for the height that it decides next was signed by a validator of
//!   that height: its mailboxes are unbounded, so strangers must not fill them. Events go straight to the
//!   subscribers; the engine's own output port may lose them.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use althing_network::{Inbound, Kind, Lane, Network, Reply};
use althing_replica::context::{Chain, PART_BYTES};
use althing_types::{EndpointId, Height};
use async_trait::async_trait;
use bytes::Bytes;
use malachite_app::app::types::codec::Codec as _;
use malachite_app::app::types::{PeerId, SignedConsensusMsg};
use malachite_core::LivenessMsg;
use malachite_engine::network::{Msg, Multiaddr, NetworkEvent, Status, Subscriber};
use malachite_sync::{InboundRequestId, OutboundFailureReason, OutboundRequestId, Request};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::codec::{Borsh, Message, decode_part};
use crate::gate::{self, Open, Shut};
use crate::parts::{Assembly, Body, Expectation};
use crate::signing::Checker;

/// Sync requests of peers that may wait for an answer.
const UNANSWERED_MAX: usize = 256;

/// Bodies that may wait for the application, each at most a block long.
pub(crate) const BODIES_QUEUED_MAX: usize = 8;

/// A libp2p peer id is the multihash "identity" of a protobuf around the ed25519 key, and the
/// endpoint id is that key: the mapping is one to one and needs no table.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 36, 0x08, 0x01, 0x12, 32];

pub(crate) fn peer_id(endpoint: EndpointId) -> PeerId {
    let bytes = [&PEER_ID_PREFIX[..], &endpoint.0].concat();
    PeerId::from_bytes(&bytes).expect("a key of 32 bytes behind its prefix is a peer id")
}

fn endpoint_id(peer: PeerId) -> Option<EndpointId> {
    let bytes = peer.to_bytes();
    bytes.strip_prefix(&PEER_ID_PREFIX)?.try_into().map(EndpointId).ok()
}

/// What the consensus driver has seen of its peers.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Frames and requests that could not be decoded.
    pub malformed: AtomicU64,
    /// Votes, proposals and bodies that no validator of their height has signed.
    pub unsigned: AtomicU64,
    /// Messages of decided heights, or too far ahead.
    pub out_of_range: AtomicU64,
    /// Bodies dropped because the application was too slow, or all buffers were full.
    pub overflowed: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Shared by the actor, the host, and the tasks of the transport.
pub(crate) struct Hub {
    checker: Checker,
    expectation: Mutex<Arc<Expectation>>,
    assembly: Mutex<Assembly>,
    bodies: mpsc::Sender<Body>,
    subscribers: Mutex<Vec<Box<dyn Subscriber<NetworkEvent<Chain>>>>>,
    unanswered: Mutex<HashMap<InboundRequestId, Reply>>,
    next_request: AtomicU64,
    /// The highest height of which a validator has sent something signed.
    called: watch::Sender<Height>,
    /// The highest tip that a peer has claimed.
    claimed: watch::Sender<Height>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Hub {
    pub(crate) fn new(
        checker: Checker,
        expectation: Expectation,
        bodies: mpsc::Sender<Body>,
    ) -> Self {
        Self {
            assembly: Mutex::new(Assembly::new(checker.clone(), PART_BYTES)),
            checker,
            expectation: Mutex::new(Arc::new(expectation)),
            bodies,
            subscribers: Mutex::default(),
            unanswered: Mutex::default(),
            next_request: AtomicU64::new(0),
            called: watch::Sender::new(Height(0)),
            claimed: watch::Sender::new(Height(0)),
            metrics: Arc::default(),
        }
    }

    pub(crate) fn called(&self) -> watch::Receiver<Height> {
        self.called.subscribe()
    }

    pub(crate) fn claimed(&self) -> watch::Receiver<Height> {
        self.claimed.subscribe()
    }

    pub(crate) fn expectation(&self) -> Arc<Expectation> {
        self.expectation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The height before is decided.
    pub(crate) fn expect(&self, expectation: Expectation) {
        let next = expectation.next;
        *self.expectation.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(expectation);
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner).forget_below(next);
    }

    /// Lets go of the engine's actors.
    pub(crate) fn close(&self) {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn emit(&self, event: &NetworkEvent<Chain>) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        for subscriber in subscribers.iter() {
            subscriber.send(event.clone());
        }
    }

    fn call(&self, height: Height) {
        self.called.send_if_modified(|called| {
            let later = height > *called;
            *called = height.max(*called);
            later
        });
    }

    fn message(&self, from: EndpointId, message: Message) {
        let expectation = self.expectation();
        match gate::admits(&self.checker, &expectation, &message) {
            Ok(Open::Next) => self.call(expectation.next),
            Ok(Open::Later | Open::Status) => {}
            Err(Shut::OutOfRange) => return count(&self.metrics.out_of_range),
            Err(Shut::Unsigned) => return count(&self.metrics.unsigned),
        }
        let peer = peer_id(from);
        self.emit(&match message {
            Message::Consensus(SignedConsensusMsg::Vote(vote))
            | Message::Liveness(LivenessMsg::Vote(vote)) => NetworkEvent::Vote(peer, vote),
            Message::Consensus(SignedConsensusMsg::Proposal(proposal)) => {
                NetworkEvent::Proposal(peer, proposal)
            }
            Message::Liveness(LivenessMsg::PolkaCertificate(certificate)) => {
                NetworkEvent::PolkaCertificate(peer, certificate)
            }
            Message::Liveness(LivenessMsg::SkipRoundCertificate(certificate)) => {
                NetworkEvent::RoundCertificate(peer, certificate)
            }
            Message::Status { tip, history_min } => {
                self.claimed.send_if_modified(|claimed| {
                    let later = tip.0 > *claimed;
                    *claimed = tip.0.max(*claimed);
                    later
                });
                let status = Status { tip_height: tip, history_min_height: history_min };
                NetworkEvent::Status(peer, status)
            }
        });
    }

    fn part(&self, from: EndpointId, payload: &[u8]) -> io::Result<()> {
        let part = decode_part(payload)?;
        let expectation = self.expectation();
        let taken = {
            let mut assembly = self.assembly.lock().unwrap_or_else(PoisonError::into_inner);
            assembly.take(from, part, &expectation)
        };
        match taken {
            Ok(None) => {}
            Ok(Some(body)) => {
                let height = body.init.height.0;
                if self.bodies.try_send(body).is_err() {
                    count(&self.metrics.overflowed);
                }
                if height == expectation.next {
                    self.call(height);
                }
            }
            Err(refusal) => {
                tracing::trace!(peer = %from, ?refusal, "part dropped");
                use crate::parts::Refusal;
                match refusal {
                    Refusal::Height => count(&self.metrics.out_of_range),
                    Refusal::Proposer | Refusal::Seal => count(&self.metrics.unsigned),
                    Refusal::Full => count(&self.metrics.overflowed),
                    Refusal::Size | Refusal::Piece => count(&self.metrics.malformed),
                }
            }
        }
        Ok(())
    }
}

impl Inbound for Hub {
    fn peer_up(&self, peer: EndpointId) {
        self.emit(&NetworkEvent::PeerConnected(peer_id(peer)));
        // Makes the sync actor announce its height at once instead of at the next interval.
        let channel = malachite_network::Channel::Sync;
        self.emit(&NetworkEvent::PeerSubscribed(peer_id(peer), channel));
    }

    fn peer_down(&self, peer: EndpointId) {
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner).forget_peer(peer);
        self.emit(&NetworkEvent::PeerDisconnected(peer_id(peer)));
    }

    fn frame(&self, from: EndpointId, lane: Lane, payload: Bytes) {
        let decoded = match lane {
            Lane::Votes => Message::decode(&payload).map(|message| self.message(from, message)),
            Lane::Bodies => self.part(from, &payload),
            Lane::Transactions => Ok(()), // Not ours: not subscribed.
        };
        if let Err(error) = decoded {
            count(&self.metrics.malformed);
            tracing::debug!(peer = %from, ?lane, %error, "undecodable frame");
        }
    }

    fn request(&self, from: EndpointId, _: Kind, body: Bytes, reply: Reply) {
        let request: io::Result<Request<Chain>> = Borsh.decode(body);
        match request {
            Ok(request) => {
                let number = self.next_request.fetch_add(1, Ordering::Relaxed);
                let id = InboundRequestId::new(number);
                {
                    let mut unanswered =
                        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
                    if unanswered.len() >= UNANSWERED_MAX {
                        count(&self.metrics.overflowed);
                        return;
                    }
                    unanswered.insert(id.clone(), reply);
                }
                self.emit(&NetworkEvent::SyncRequest(id, peer_id(from), request));
            }
            Err(error) => {
                count(&self.metrics.malformed);
                tracing::debug!(peer = %from, %error, "undecodable request");
            }
        }
    }
}

/// The actor that the engine sends to.
pub(crate) struct NetworkActor {
    pub(crate) hub: Arc<Hub>,
    pub(crate) network: Arc<dyn Network>,
}

/// Requests under way, so that they can be cancelled.
type Pending = HashMap<OutboundRequestId, AbortHandle>;

impl NetworkActor {
    fn publish(&self, message: &Message) -> io::Result<()> {
        self.network.broadcast(Lane::Votes, message.encode()?);
        Ok(())
    }

    fn request(
        &self,
        peer: PeerId,
        id: OutboundRequestId,
        request: &Request<Chain>,
    ) -> io::Result<AbortHandle> {
        let body = Borsh.encode(request)?;
        let (hub, network) = (self.hub.clone(), self.network.clone());
        let task = tokio::spawn(async move {
            let Some(endpoint) = endpoint_id(peer) else { return };
            let answer = network.request(endpoint, Kind::Sync, body).await;
            hub.emit(&match answer {
                // An undecodable response is `None`: the sync actor lowers the peer's score.
                Ok(bytes) => NetworkEvent::SyncResponse(id, peer, Borsh.decode(bytes).ok()),
                Err(error) => {
                    tracing::debug!(peer = %endpoint, %error, "sync request failed");
                    NetworkEvent::SyncRequestFailed(id, peer, OutboundFailureReason::Io)
                }
            });
        });
        Ok(task.abort_handle())
    }
}

#[async_trait]
impl Actor for NetworkActor {
    type Msg = Msg<Chain>;
    type State = Pending;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<Pending, ActorProcessingErr> {
        Ok(Pending::new())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        pending: &mut Pending,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Subscribe(subscriber) => {
                // Locked, so that no peer comes or goes between the list and the subscription.
                let mut subscribers =
                    self.hub.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
                // Consensus leaves its initial phase on `Listening`, and then asks the host for the
                // first height; the host waits for its peers before it answers.
                subscriber.send(NetworkEvent::Listening(Multiaddr::empty()));
                for peer in self.network.connected().iter() {
                    let peer = peer_id(*peer);
                    subscriber.send(NetworkEvent::PeerConnected(peer));
                    let channel = malachite_network::Channel::Sync;
                    subscriber.send(NetworkEvent::PeerSubscribed(peer, channel));
                }
                subscribers.push(subscriber);
            }

            Msg::PublishConsensusMsg(message) => self.publish(&Message::Consensus(message))?,
            Msg::PublishLivenessMsg(message) => self.publish(&Message::Liveness(message))?,
            Msg::BroadcastStatus(status) => {
                let (tip, history_min) = (status.tip_height, status.history_min_height);
                self.publish(&Message::Status { tip, history_min })?;
            }

            Msg::OutgoingRequest(peer, request, reply) => {
                let number = self.hub.next_request.fetch_add(1, Ordering::Relaxed);
                let id = OutboundRequestId::new(number);
                reply.send(id.clone()).ok();
                pending.retain(|_, task| !task.is_finished());
                let task = self.request(peer, id.clone(), &request)?;
                pending.insert(id, task);
            }
            Msg::CancelRequest(id) => {
                if let Some(task) = pending.remove(&id) {
                    task.abort();
                }
            }

            Msg::OutgoingResponse(id, response) => {
                let mut unanswered =
                    self.hub.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(reply) = unanswered.remove(&id) {
                    reply.send(Borsh.encode(&response)?);
                }
            }
            // Dropping the reply tells the peer.
            Msg::CancelInboundRequest(id) => {
                let mut unanswered =
                    self.hub.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
                drop(unanswered.remove(&id));
            }

            // Every call must be answered, or its caller waits for ever.
            Msg::DumpState(reply) => {
                reply.send(None).ok();
            }
            Msg::UpdatePersistentPeers(_, reply) => {
                reply.send(Ok(())).ok();
            }

            // Whoever has proven its chain may connect: peers do not depend on the set. Parts are
            // streamed by the host itself. Validator proofs belong to libp2p.
            Msg::UpdateValidatorSet(_)
            | Msg::PublishProposalPart(_)
            | Msg::ValidatorProofVerified { .. }
            | Msg::NewEvent(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_ids_are_those_of_libp2p_and_map_back() {
        let endpoint = EndpointId([7; 32]);
        assert_eq!(endpoint_id(peer_id(endpoint)), Some(endpoint));
        // base58 of the multihash: ed25519 peer ids begin alike.
        assert!(peer_id(endpoint).to_string().starts_with("12D3KooW"));
    }
}
