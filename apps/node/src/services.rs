//! Published services as the node's own parts use them, read once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use althing_ledger::query;
use althing_manifest::{Manifest, Schemas};
use althing_replica::Reader;
use althing_types::Hash;
use althing_work::{as_published, holders};

use crate::exchange::Exchange;

/// Most services that are remembered; what is published never changes.
const SERVICES_MAX: usize = 256;

/// A service and its compiled schemas.
pub(crate) struct Published {
    pub(crate) manifest: Manifest,
    pub(crate) schemas: Schemas,
}

/// Why a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// Nobody published it.
    #[error("nobody has published the service {0}")]
    Unknown(Hash),
    /// The manifest is not to be had, or is not what was published.
    #[error("the manifest of {service} is not to be had: {reason}")]
    Manifest {
        /// The service.
        service: Hash,
        /// Why.
        reason: String,
    },
    /// The state cannot be read.
    #[error("the ledger cannot be read")]
    Ledger(#[source] althing_state::Fault),
}

/// The services that were asked for lately.
pub(crate) struct Services {
    reader: Reader,
    exchange: Arc<Exchange>,
    known: Mutex<BTreeMap<Hash, Arc<Published>>>,
}

impl Services {
    pub(crate) fn new(reader: Reader, exchange: Arc<Exchange>) -> Self {
        Self { reader, exchange, known: Mutex::default() }
    }

    /// A service by its id.
    pub(crate) async fn find(&self, service: &Hash) -> Result<Arc<Published>, Unusable> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(service).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let published = Arc::new(self.read(*service).await?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= SERVICES_MAX {
            known.clear();
        }
        known.insert(*service, Arc::clone(&published));
        Ok(published)
    }

    async fn read(&self, service: Hash) -> Result<Published, Unusable> {
        let (terms, from) = {
            let view = self.reader.view();
            let record = query::service(&view, &service).map_err(Unusable::Ledger)?;
            let terms = record.ok_or(Unusable::Unknown(service))?.terms;
            (terms, holders(&view, &service).map_err(Unusable::Ledger)?)
        };
        let unusable = |reason: String| Unusable::Manifest { service, reason };
        let bytes = self.exchange.find(terms.manifest.hash, &from).await;
        let bytes = bytes.ok_or_else(|| unusable("no connected node has it".into()))?;
        let manifest = as_published(&terms, &bytes).map_err(|error| unusable(error.to_string()))?;
        let schemas = Schemas::compile(&manifest).map_err(|error| unusable(error.to_string()))?;
        Ok(Published { manifest, schemas })
    }
}
