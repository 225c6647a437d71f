//! Blobs between nodes: a request is a hash, the answer the bytes.

use std::sync::Arc;

use althing_network::{Inbound, Kind, Network, Reply};
use althing_types::{BlobRef, EndpointId, Hash};
use althing_work::port::{Blobs, BoxFuture, PortError};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::blobs::BlobStore;

/// How many blobs are read for others at the same time.
const READS_MAX: usize = 16;

/// This node's blobs, and the way to those of others.
pub(crate) struct Exchange {
    store: Arc<BlobStore>,
    network: Arc<dyn Network>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Answers other nodes.
struct Server {
    store: Arc<BlobStore>,
    reads: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

impl Inbound for Server {
    fn request(&self, _from: EndpointId, _kind: Kind, body: Bytes, reply: Reply) {
        let Ok(hash) = Hash::try_from(&body[..]) else { return };
        // Dropping the reply says "not here": the asker tries another node.
        let Ok(permit) = self.reads.clone().try_acquire_owned() else { return };
        let store = self.store.clone();
        self.runtime.spawn_blocking(move || {
            let _permit = permit;
            match store.get(&hash) {
                Ok(Some(bytes)) => reply.send(bytes.into()),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, %hash, "a blob could not be read"),
            }
        });
    }
}

impl Exchange {
    /// Begins to answer, and gives the way to ask.
    pub(crate) fn start(store: Arc<BlobStore>, network: Arc<dyn Network>) -> Self {
        let server = Server {
            store: store.clone(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            runtime: tokio::runtime::Handle::current(),
        };
        network.subscribe(&[], &[Kind::Blob], Arc::new(server));
        Self { store, network }
    }

    /// A blob from here, or from one of `holders`, or from any connected node; verified.
    pub(crate) async fn find(&self, hash: Hash, holders: &[EndpointId]) -> Option<Bytes> {
        let store = self.store.clone();
        let local = tokio::task::spawn_blocking(move || store.get(&hash)).await;
        if let Ok(Ok(Some(bytes))) = local {
            return Some(bytes.into());
        }
        let connected = self.network.connected();
        let others = connected.iter().filter(|peer| !holders.contains(peer));
        for peer in holders.iter().chain(others) {
            let answer = self.network.request(*peer, Kind::Blob, hash.0.to_vec().into()).await;
            if let Ok(bytes) = answer
                && althing_types::keccak(&[&bytes]) == hash
            {
                return Some(bytes);
            }
        }
        None
    }
}

fn failed(operation: &'static str) -> impl Fn(crate::blobs::BlobError) -> PortError {
    move |error| PortError { operation, source: Box::new(error) }
}

impl Blobs for Exchange {
    fn local(&self, blob: &BlobRef) -> Result<Option<Vec<u8>>, PortError> {
        self.store.get(&blob.hash).map_err(failed("reading a blob"))
    }

    fn keep(&self, bytes: &[u8]) -> Result<(), PortError> {
        self.store.put(bytes).map(drop).map_err(failed("keeping a blob"))
    }

    fn keep_all(&self, blobs: &[&[u8]]) -> Result<(), PortError> {
        self.store.put_all(blobs).map_err(failed("keeping blobs"))
    }

    fn at_hand(&self, blob: &BlobRef) -> bool {
        self.store.at_hand(&blob.hash)
    }

    fn fetch(&self, blob: BlobRef, from: EndpointId) -> BoxFuture<Option<Vec<u8>>> {
        let answer = self.network.request(from, Kind::Blob, blob.hash.0.to_vec().into());
        Box::pin(async move { answer.await.ok().map(|bytes| bytes.to_vec()) })
    }
}
