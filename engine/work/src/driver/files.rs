//! Gets files onto this node: inputs, outputs, manifests and components.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use althing_ledger::query;
use althing_state::Fault;
use althing_types::{BlobRef, EndpointId, Hash, ServiceTerms};

use crate::port::{Blobs, LedgerAccess, Native, PortError};
use crate::runtime::Runtime;
use crate::{Holder, Runs, Unusable, as_published, holders};

/// Largest file that is asked for: the largest component that the ledger admits.
const BLOB_BYTES_MAX: u32 = 16 << 20;
/// Pause before all holders are asked again; doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A blob that an execution reads.
pub(super) struct Wanted {
    pub(super) execution: Hash,
    pub(super) blob: BlobRef,
    /// The execution's applications.
    pub(super) of: Vec<Hash>,
    pub(super) service: Hash,
}

pub(super) struct Files<L> {
    ledger: Arc<L>,
    blobs: Arc<dyn Blobs>,
    /// Native services that were prepared.
    outside: Mutex<BTreeSet<Hash>>,
}

impl<L: LedgerAccess> Files<L> {
    pub(super) fn new(ledger: Arc<L>, blobs: Arc<dyn Blobs>) -> Self {
        Self { ledger, blobs, outside: Mutex::default() }
    }

    /// Whether a blob that an execution reads is on this node in the end.
    pub(super) async fn fetch(
        self: Arc<Self>,
        Wanted { execution, blob, of, service }: Wanted,
        from: Vec<Holder>,
        within: Duration,
    ) -> bool {
        if self.local(blob, of).await.is_some() {
            return true;
        }
        let files = Arc::clone(&self);
        let endpoints = blocking(move || files.endpoints(&service, &from)).await;
        self.fetched(blob, Some(execution), &endpoints.unwrap_or_default(), within).await.is_some()
    }

    /// Gets a service's files, holds them to the ledger and compiles them.
    pub(super) async fn prepare(
        self: Arc<Self>,
        service: Hash,
        homes: Vec<EndpointId>,
        within: Duration,
        (runtime, native): (Arc<dyn Runtime>, Arc<dyn Native>),
    ) -> Result<Runs, Unusable> {
        let files = Arc::clone(&self);
        let published = blocking(move || files.published(&service)).await;
        let Some(Ok(Some((terms, offering)))) = published else {
            return Err(Unusable::Unavailable);
        };
        let from: Vec<EndpointId> = homes.into_iter().chain(offering).collect();
        let manifest = self.obtain(terms.manifest, &from, within).await?;
        let manifest = as_published(&terms, &manifest).map_err(|error| {
            tracing::warn!(%service, %error, "the service is not run");
            Unusable::Refused
        })?;
        let Some(module) = terms.module else {
            native.prepare(&service, &manifest)?;
            self.outside().insert(service);
            return Ok(Runs::Outside);
        };
        let module = self.obtain(module, &from, within).await?;
        let prepared = blocking(move || runtime.prepare(&service, &module, &manifest)).await;
        match prepared {
            Some(Ok(())) => Ok(Runs::Inside),
            Some(Err(refusal)) => {
                tracing::warn!(%service, error = %refusal, code = refusal.code(), "the service is not run");
                Err(Unusable::Refused)
            }
            None => Err(Unusable::Unavailable),
        }
    }

    /// Whether a program outside of the node does the service's tasks.
    pub(super) fn is_outside(&self, service: &Hash) -> bool {
        self.outside().contains(service)
    }

    fn outside(&self) -> MutexGuard<'_, BTreeSet<Hash>> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn obtain(
        &self,
        blob: BlobRef,
        from: &[EndpointId],
        within: Duration,
    ) -> Result<Vec<u8>, Unusable> {
        if let Some(bytes) = self.local(blob, Vec::new()).await {
            return Ok(bytes);
        }
        self.fetched(blob, None, from, within).await.ok_or(Unusable::Unavailable)
    }

    async fn local(&self, blob: BlobRef, of: Vec<Hash>) -> Option<Vec<u8>> {
        let blobs = Arc::clone(&self.blobs);
        let bytes = blocking(move || blobs.local(&blob, &of)).await?;
        bytes
            .inspect_err(
                |error| tracing::warn!(%error, hash = %blob.hash, "a file is not readable"),
            )
            .ok()
            .flatten()
            .filter(|bytes| is(blob, bytes))
    }

    /// Asks the holders in turn, again and again until the time is up.
    async fn fetched(
        &self,
        blob: BlobRef,
        execution: Option<Hash>,
        from: &[EndpointId],
        within: Duration,
    ) -> Option<Vec<u8>> {
        if blob.bytes > BLOB_BYTES_MAX || from.is_empty() {
            return None;
        }
        let ask = async {
            let mut pause = PAUSE_MIN;
            loop {
                for endpoint in from {
                    let bytes = self.blobs.fetch(blob, *endpoint, execution).await;
                    if let Some(bytes) = bytes.filter(|bytes| is(blob, bytes)) {
                        return bytes;
                    }
                }
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
        };
        let bytes = tokio::time::timeout(within, ask).await.ok()?;
        let blobs = Arc::clone(&self.blobs);
        let keep = move || {
            let kept = match &execution {
                Some(execution) => blobs.keep_fetched(execution, &bytes),
                None => blobs.keep(&bytes),
            };
            kept.map(|()| bytes)
        };
        let kept = blocking(keep).await?;
        kept.inspect_err(|error| tracing::warn!(%error, hash = %blob.hash, "a file was not stored"))
            .ok()
    }

    fn endpoints(&self, service: &Hash, from: &[Holder]) -> Vec<EndpointId> {
        let state = self.ledger.newest().ok().map(|newest| newest.state);
        let endpoint = |holder: &Holder| match holder {
            Holder::Endpoint(endpoint) => Some(*endpoint),
            Holder::Node(node) => {
                let offer = query::offer(state.as_ref()?, service, node).ok()??;
                Some(offer.endpoint)
            }
        };
        from.iter().filter_map(endpoint).collect()
    }

    fn published(
        &self,
        service: &Hash,
    ) -> Result<Option<(ServiceTerms, Vec<EndpointId>)>, PortError> {
        let fault =
            |source: Fault| PortError { operation: "reading a service", source: Box::new(source) };
        let state = self.ledger.newest()?.state;
        let Some(record) = query::service(&state, service).map_err(fault)? else {
            return Ok(None);
        };
        Ok(Some((record.terms, holders(&state, service).map_err(fault)?)))
    }
}

/// Whether these are the bytes that `blob` names.
fn is(blob: BlobRef, bytes: &[u8]) -> bool {
    usize::try_from(blob.bytes).is_ok_and(|length| length == bytes.len())
        && BlobRef::of(bytes) == blob
}

/// Off the driver's thread; `None` if the work panicked or the runtime is shutting down.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
