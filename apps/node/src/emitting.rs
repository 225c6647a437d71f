//! Events of native services: from the program that posts them to the node that observes them.
//!
//! ```text
//!   program ──POST──► this node: connected here ─► schema, token ─► Observatory ─► ledger
//!                        └ not connected here ─► a node that offers the service: the same
//! ```
//!
//! A client may ask any node. A token is never passed on: what another node gets proves, to the one
//! node that knows the token, that whoever asks knows it too.
//!
//! - Invariant: nothing is observed for a program that does not know its token.

use std::sync::{Arc, Weak};

use althing_api::{NodeError, wire};
use althing_ledger::{OfferStatus, query};
use althing_manifest::Violation;
use althing_network::{Inbound, Kind, Network, Reply};
use althing_replica::Reader;
use althing_runtime_http::Connections;
use althing_types::{Address, EndpointId, Hash, Name, event_key, keccak, tagged};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::observations::{NotAccepted, Observatory};
use crate::services::{Services, Unusable};

/// How many events are taken for other nodes at the same time.
const RELAYED_MAX: usize = 256;
/// How many nodes are asked whether the program is theirs.
const ASKED_MAX: usize = 8;

/// Takes events.
pub(crate) struct Emitting {
    pub(crate) reader: Reader,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) services: Arc<Services>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) observatory: Arc<Observatory>,
    pub(crate) address: Address,
}

/// Where an event has been taken.
#[derive(Clone, Copy, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Taken {
    /// Names the occurrence.
    pub(crate) event: Hash,
    /// It was observed before.
    pub(crate) duplicate: bool,
}

/// Why an event is not taken; the codes are told to programs as they are.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) enum NotTaken {
    /// Nobody knows the service or the event.
    Unknown(String),
    /// The token is wrong, or no program is connected.
    NotAllowed,
    /// The data is not what the manifest says.
    NotAnEvent { code: String, detail: String },
    /// The node has too much to do.
    Full,
    /// The node failed.
    Failed(String),
}

/// One event for another node.
#[derive(BorshSerialize, BorshDeserialize)]
struct Relayed {
    service: Hash,
    proof: Hash,
    event: Vec<u8>,
}

/// Shows to the node at `endpoint` that the sender knows the token, for this event alone.
fn proof(token: &str, endpoint: &EndpointId, service: &Hash, event: &[u8]) -> Hash {
    let digest = keccak(&[event]);
    tagged(
        "althing relayed event",
        &[&keccak(&[token.as_bytes()]).0, &endpoint.0, &service.0, &digest.0],
    )
}

/// Compares secrets without telling by its time where they differ.
fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |or, (a, b)| or | (a ^ b)) == 0
}

impl From<Unusable> for NotTaken {
    fn from(error: Unusable) -> Self {
        match error {
            Unusable::Unknown(service) => Self::Unknown(format!("service {service}")),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<NotAccepted> for NotTaken {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Full => Self::Full,
            NotAccepted::NotStored(reason) => Self::Failed(reason.to_string()),
        }
    }
}

impl From<Violation> for NotTaken {
    fn from(violation: Violation) -> Self {
        Self::NotAnEvent { code: violation.code().to_owned(), detail: violation.to_string() }
    }
}

impl From<NotTaken> for NodeError {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Unknown(what) => Self::NotFound { what },
            NotTaken::NotAllowed => {
                Self::NotAllowed { what: "the token is not that of a connected program" }
            }
            NotTaken::NotAnEvent { code, detail } => {
                Self::NotAnEvent { code: known_code(&code), detail }
            }
            NotTaken::Full => {
                Self::Busy { what: "the node has as many observations in line as fit" }
            }
            NotTaken::Failed(reason) => Self::Failed { source: reason.into() },
        }
    }
}

/// A code that came over the network, if it is one of ours.
fn known_code(code: &str) -> Option<&'static str> {
    const CODES: [&str; 10] = [
        "MAN-0030", "MAN-0031", "MAN-0032", "MAN-0033", "MAN-0034", "MAN-0035", "MAN-0036",
        "MAN-0037", "MAN-0038", "MAN-0039",
    ];
    CODES.into_iter().find(|known| *known == code)
}

impl Emitting {
    /// Takes an event here, or has it taken by the node that the program is connected to. Also tells
    /// which other node took it.
    pub(crate) async fn observe(
        &self,
        service: Hash,
        token: &str,
        event: &wire::CloudEvent,
    ) -> Result<(Taken, Option<EndpointId>), NotTaken> {
        if let Some(connection) = self.connections.find(&service) {
            if !same(connection.token.as_bytes(), token.as_bytes()) {
                return Err(NotTaken::NotAllowed);
            }
            return Ok((self.take(service, event).await?, None));
        }
        let event =
            serde_json::to_vec(event).map_err(|error| NotTaken::Failed(error.to_string()))?;
        for endpoint in self.others(&service)? {
            let proof = proof(token, &endpoint, &service, &event);
            let relayed = Relayed { service, proof, event: event.clone() };
            let body = borsh::to_vec(&relayed).expect("writing to memory cannot fail");
            let Ok(answer) = self.network.request(endpoint, Kind::Observe, body.into()).await
            else {
                continue;
            };
            match borsh::from_slice::<Result<Taken, NotTaken>>(&answer) {
                Ok(Ok(taken)) => return Ok((taken, Some(endpoint))),
                Ok(Err(NotTaken::NotAllowed)) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
        Err(NotTaken::NotAllowed)
    }

    /// Connected nodes that offer the service.
    fn others(&self, service: &Hash) -> Result<Vec<EndpointId>, NotTaken> {
        let holders = althing_work::holders(&self.reader.view(), service)
            .map_err(|fault| NotTaken::Failed(fault.to_string()))?;
        let (connected, own) = (self.network.connected(), self.network.id());
        let reachable =
            |endpoint: &EndpointId| *endpoint != own && connected.binary_search(endpoint).is_ok();
        Ok(holders.into_iter().filter(reachable).take(ASKED_MAX).collect())
    }

    /// Observes an event of a program that is connected here.
    async fn take(&self, service: Hash, event: &wire::CloudEvent) -> Result<Taken, NotTaken> {
        let published = self.services.find(&service).await?;
        let name: &Name = &event.kind.0;
        let terms = published.manifest.event(name);
        let terms = terms.ok_or_else(|| NotTaken::Unknown(format!("event {name} of {service}")))?;
        if event.specversion != "1.0" {
            let detail = "'specversion' is not 1.0".to_owned();
            return Err(NotTaken::NotAnEvent { code: String::new(), detail });
        }
        let (observe, data) = terms.split(&published.schemas, service, &event.id, &event.data)?;
        let key = event_key(&service, name, &observe.id);
        if !self.observatory.has(&key) {
            self.check_office(&service)?;
            if self.has_counted(&key)? {
                return Ok(Taken { event: key, duplicate: true });
            }
        }
        let accepted = self.observatory.accept(observe, data).await?;
        Ok(Taken { event: accepted.event, duplicate: accepted.duplicate })
    }

    /// What the ledger would refuse is not acknowledged.
    fn check_office(&self, service: &Hash) -> Result<(), NotTaken> {
        let offer = query::offer(&self.reader.view(), service, &self.address)
            .map_err(|fault| NotTaken::Failed(fault.to_string()))?;
        match offer {
            Some(offer) if offer.status == OfferStatus::Active => Ok(()),
            _ => Err(NotTaken::Unknown(format!("active offer of {service} on this node"))),
        }
    }

    /// Whether the ledger has this node's observation already, or needs none any more.
    fn has_counted(&self, key: &Hash) -> Result<bool, NotTaken> {
        let failed = |fault: althing_state::Fault| NotTaken::Failed(fault.to_string());
        let view = self.reader.view();
        if query::happened(&view, key).map_err(failed)?.is_some() {
            return Ok(true);
        }
        let event = query::event(&view, key).map_err(failed)?;
        Ok(event.is_some_and(|event| event.observation(&self.address).is_some()))
    }

    /// Takes an event that another node passes on.
    async fn take_relayed(&self, body: &[u8]) -> Result<Taken, NotTaken> {
        let malformed = |_| NotTaken::NotAllowed;
        let Relayed { service, proof: shown, event } =
            borsh::from_slice(body).map_err(malformed)?;
        let connection = self.connections.find(&service).ok_or(NotTaken::NotAllowed)?;
        let expected = proof(&connection.token, &self.network.id(), &service, &event);
        if !same(&expected.0, &shown.0) {
            return Err(NotTaken::NotAllowed);
        }
        let event: wire::CloudEvent = serde_json::from_slice(&event).map_err(|error| {
            NotTaken::NotAnEvent { code: String::new(), detail: error.to_string() }
        })?;
        self.take(service, &event).await
    }
}

/// Answers other nodes.
struct Server {
    /// The network keeps its handlers, and this has the network: a circle would outlive the node.
    emitting: Weak<Emitting>,
    places: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

impl Inbound for Server {
    fn request(&self, _from: EndpointId, _kind: Kind, body: Bytes, reply: Reply) {
        let Some(emitting) = self.emitting.upgrade() else { return };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let full: Result<Taken, NotTaken> = Err(NotTaken::Full);
            reply.send(borsh::to_vec(&full).expect("writing to memory cannot fail").into());
            return;
        };
        self.runtime.spawn(async move {
            let taken = emitting.take_relayed(&body).await;
            drop(place);
            reply.send(borsh::to_vec(&taken).expect("writing to memory cannot fail").into());
        });
    }
}

/// Begins to take events that other nodes pass on.
pub(crate) fn serve(emitting: &Arc<Emitting>) {
    let network = emitting.network.clone();
    let server = Server {
        emitting: Arc::downgrade(emitting),
        places: Arc::new(Semaphore::new(RELAYED_MAX)),
        runtime: tokio::runtime::Handle::current(),
    };
    network.subscribe(&[], &[Kind::Observe], Arc::new(server));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_node_one_service_and_one_event() {
        let (here, there) = (EndpointId([1; 32]), EndpointId([2; 32]));
        let (shop, mail) = (Hash([3; 32]), Hash([4; 32]));
        let good = proof("token", &here, &shop, b"{}");
        for other in [
            proof("tokem", &here, &shop, b"{}"),
            proof("token", &there, &shop, b"{}"),
            proof("token", &here, &mail, b"{}"),
            proof("token", &here, &shop, b"[]"),
        ] {
            assert!(!same(&good.0, &other.0));
        }
        assert!(same(&good.0, &proof("token", &here, &shop, b"{}").0));
        assert!(!same(b"abc", b"ab"));
    }
}
