//! Blobs between nodes: a request is a hash, the answer the bytes.
//!
//! ```text
//!   request:  hash (32)                       what is open
//!             hash (32) · execution (32)      besides, what an execution reads for which the asker is drawn
//! ```
//!
//! - Invariant: what is closed is given to nobody to whom [`privacy`](crate::privacy) does not.

use std::sync::Arc;

use althing_ledger::query;
use althing_network::{Inbound, Kind, Network, Reply};
use althing_replica::Reader;
use althing_types::{Address, BlobRef, EndpointId, Hash};
use althing_work::applications;
use althing_work::port::{Blobs, BoxFuture, PortError, Produced};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::blob_log::Lasts;
use crate::blobs::{BlobStore, Shelf};
use crate::privacy::{node_may_have, person_may_have, shelf};

/// How many blobs are read for others at the same time.
const READS_MAX: usize = 16;

/// This node's blobs, and the way to those of others.
pub(crate) struct Exchange {
    store: Arc<BlobStore>,
    network: Arc<dyn Network>,
    reader: Reader,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a node asks of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    hash: Hash,
    /// For which it is asked.
    execution: Option<Hash>,
}

impl Request {
    fn encode(self) -> Bytes {
        let execution = self.execution.iter().flat_map(|id| id.0);
        self.hash.0.into_iter().chain(execution).collect()
    }

    fn decode(body: &[u8]) -> Option<Self> {
        let (hash, rest) = body.split_first_chunk::<32>()?;
        let execution = if rest.is_empty() { None } else { Some(Hash(rest.try_into().ok()?)) };
        Some(Self { hash: Hash(*hash), execution })
    }
}

/// Answers other nodes.
struct Server {
    store: Arc<BlobStore>,
    reader: Reader,
    reads: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

impl Inbound for Server {
    fn request(&self, from: EndpointId, _kind: Kind, body: Bytes, reply: Reply) {
        let Some(request) = Request::decode(&body) else { return };
        // Dropping the reply says "not here": the asker tries another node.
        let Ok(permit) = self.reads.clone().try_acquire_owned() else { return };
        let (store, reader) = (self.store.clone(), self.reader.clone());
        self.runtime.spawn_blocking(move || {
            let _permit = permit;
            match given(&store, &reader, &from, request) {
                Ok(Some(bytes)) => reply.send(bytes.into()),
                Ok(None) => {}
                Err(error) => {
                    let hash = request.hash;
                    tracing::warn!(error = error.as_ref(), %hash, "a blob could not be read");
                }
            }
        });
    }
}

/// The bytes, if they are here and the node at `from` may have them.
fn given(
    store: &BlobStore,
    reader: &Reader,
    from: &EndpointId,
    Request { hash, execution }: Request,
) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
    if let Some(bytes) = store.get_of(&[], &hash)? {
        return Ok(Some(bytes));
    }
    let Some(execution) = execution else { return Ok(None) };
    Ok(store.get_of(&node_may_have(reader, from, &hash, &execution)?, &hash)?)
}

impl Exchange {
    /// Begins to answer, and gives the way to ask.
    pub(crate) fn start(store: Arc<BlobStore>, network: Arc<dyn Network>, reader: Reader) -> Self {
        let server = Server {
            store: store.clone(),
            reader: reader.clone(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            runtime: tokio::runtime::Handle::current(),
        };
        network.subscribe(&[], &[Kind::Blob], Arc::new(server));
        Self { store, network, reader }
    }

    /// Keeps outputs, those of the same applications together.
    fn keep_produced(&self, outputs: &[Produced<'_>], lasts: Lasts) -> Result<(), PortError> {
        let mut together: Vec<(&[Hash], Vec<&[u8]>)> = Vec::new();
        for output in outputs {
            match together.iter_mut().find(|(known, _)| *known == output.applications) {
                Some((_, blobs)) => blobs.push(output.bytes),
                None => together.push((output.applications, vec![output.bytes])),
            }
        }
        for (applications, blobs) in together {
            let shelf = self.shelf(applications);
            self.store.shelve(shelf, &blobs, lasts).map_err(failed("keeping outputs"))?;
        }
        Ok(())
    }

    /// An open blob from here, or from one of `holders`, or from any connected node; verified.
    pub(crate) async fn find(&self, hash: Hash, holders: &[EndpointId]) -> Option<Bytes> {
        let store = self.store.clone();
        let local = tokio::task::spawn_blocking(move || store.get_of(&[], &hash)).await;
        match local {
            Ok(Ok(Some(bytes))) => Some(bytes.into()),
            _ => self.ask(Request { hash, execution: None }, holders).await,
        }
    }

    /// As [`find`](Self::find), for a person, who may have it as a part of an application or of
    /// an execution.
    pub(crate) async fn find_for(
        &self,
        viewer: Option<Address>,
        hash: Hash,
        of: Option<Hash>,
    ) -> Option<Bytes> {
        let (store, reader) = (self.store.clone(), self.reader.clone());
        let look = move || {
            let may = of.and_then(|of| person_may_have(&reader, viewer, &hash, &of).ok());
            let may = may.unwrap_or_default();
            let local = store.get_of(&may, &hash).ok().flatten();
            (!may.is_empty(), local)
        };
        let (may, local) = tokio::task::spawn_blocking(look).await.ok()?;
        match local {
            Some(bytes) => Some(bytes.into()),
            // Others ask the ledger whether this node may have it.
            None => self.ask(Request { hash, execution: of.filter(|_| may) }, &[]).await,
        }
    }

    async fn ask(&self, request: Request, holders: &[EndpointId]) -> Option<Bytes> {
        let connected = self.network.connected();
        let others = connected.iter().filter(|peer| !holders.contains(peer));
        for peer in holders.iter().chain(others) {
            let answer = self.network.request(*peer, Kind::Blob, request.encode()).await;
            if let Ok(bytes) = answer
                && althing_types::keccak(&[&bytes]) == request.hash
            {
                return Some(bytes);
            }
        }
        None
    }

    /// Where something of these applications belongs.
    fn shelf(&self, applications: &[Hash]) -> Shelf {
        // As what nobody is given, if it cannot be told.
        let unknown = |_| Shelf::Closed(Hash::ZERO);
        match applications {
            [] => Shelf::Open,
            _ => shelf(&self.reader.view(), applications).unwrap_or_else(unknown),
        }
    }
}

fn failed(operation: &'static str) -> impl Fn(crate::blobs::BlobError) -> PortError {
    move |error| PortError { operation, source: Box::new(error) }
}

impl Blobs for Exchange {
    fn local(&self, blob: &BlobRef, of: &[Hash]) -> Result<Option<Vec<u8>>, PortError> {
        self.store.get_of(of, &blob.hash).map_err(failed("reading a blob"))
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), PortError> {
        self.store.put(bytes).map(drop).map_err(failed("keeping a blob"))
    }

    fn keep_outputs(&self, outputs: &[Produced<'_>]) -> Result<(), PortError> {
        self.keep_produced(outputs, Lasts::AtOnce)
    }

    fn keep_outputs_unflushed(&self, outputs: &[Produced<'_>]) -> Result<(), PortError> {
        self.keep_produced(outputs, Lasts::OnceFlushed)
    }

    fn flush(&self) -> Result<(), PortError> {
        self.store.flush().map_err(failed("flushing outputs"))
    }

    fn keep_fetched(&self, execution: &Hash, bytes: &[u8]) -> Result<(), PortError> {
        // What it was fetched for may have ended meanwhile: then it is nobody's.
        let found = query::execution(&self.reader.view(), execution).ok().flatten();
        let nobodys = Shelf::Closed(Hash::ZERO);
        let shelf = found.map_or(nobodys, |found| self.shelf(&applications(&found)));
        self.store.shelve(shelf, &[bytes], Lasts::AtOnce).map_err(failed("keeping a blob"))
    }

    fn at_hand(&self, blob: &BlobRef, of: &[Hash]) -> bool {
        self.store.at_hand(of, &blob.hash)
    }

    fn fetch(
        &self,
        blob: BlobRef,
        from: EndpointId,
        execution: Option<Hash>,
    ) -> BoxFuture<Option<Vec<u8>>> {
        let request = Request { hash: blob.hash, execution };
        let answer = self.network.request(from, Kind::Blob, request.encode());
        Box::pin(async move { answer.await.ok().map(|bytes| bytes.to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_and_others_are_none() {
        let (hash, execution) = (Hash([1; 32]), Hash([2; 32]));
        for request in
            [Request { hash, execution: None }, Request { hash, execution: Some(execution) }]
        {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for length in (0..100).filter(|length| ![32, 64].contains(length)) {
            assert_eq!(Request::decode(&vec![7; length]), None, "{length}");
        }
    }
}
