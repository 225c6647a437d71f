//! A service's files: where they are, and whether they are what the ledger says.

use althing_ledger::{OfferStatus, query};
use althing_manifest::{Manifest, NotAManifest};
use althing_state::{Fault, View};
use althing_types::{BlobRef, EndpointId, Hash, ServiceTerms};

/// Most nodes that are asked for a service's files.
const HOLDERS_MAX: usize = 16;

/// A manifest that is not what the ledger says of the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsPublished {
    /// The bytes are other ones.
    #[error("the manifest's bytes are not those that were published")]
    OtherBytes,
    /// The bytes are no manifest: whoever published them made the terms up.
    #[error("what was published is not a manifest")]
    NotAManifest(#[source] NotAManifest),
    /// The manifest promises something else than its terms on the ledger.
    #[error("the manifest's terms are not those on the ledger")]
    OtherTerms,
}

/// Reads a manifest and holds it to the terms on the ledger, which nobody has checked before.
///
/// # Errors
///
/// [`NotAsPublished`] if they differ.
pub fn as_published(terms: &ServiceTerms, manifest: &[u8]) -> Result<Manifest, NotAsPublished> {
    let named = usize::try_from(terms.manifest.bytes).is_ok_and(|bytes| bytes == manifest.len());
    if !named || BlobRef::of(manifest) != terms.manifest {
        return Err(NotAsPublished::OtherBytes);
    }
    let manifest = Manifest::from_canonical(manifest).map_err(NotAsPublished::NotAManifest)?;
    if manifest.terms() == *terms { Ok(manifest) } else { Err(NotAsPublished::OtherTerms) }
}

/// Nodes that offer a service, and so have its files.
///
/// # Errors
///
/// [`Fault`] if the state cannot be read.
pub fn holders(view: &impl View, service: &Hash) -> Result<Vec<EndpointId>, Fault> {
    let offers = query::offers(view, service, HOLDERS_MAX)?;
    let runs = |status: &OfferStatus| *status != OfferStatus::Gone;
    Ok(offers.iter().filter(|(_, o)| runs(&o.status)).map(|(_, o)| o.endpoint).collect())
}
