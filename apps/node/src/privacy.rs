//! Who is given what belongs to private applications.
//!
//! ```text
//!   a node     names the execution for which it asks ─► it is drawn for it, and the execution reads the blob
//!   a person   names application or execution, signs ─► owner or grantee of every private one that it tells of
//! ```
//!
//! Everything that is needed to decide is on the ledger; which blobs are private is told by the shelf on
//! which they are ([`Shelf`](crate::blobs::Shelf)).
//!
//! - Invariant: who is not sure is told "not here", as of a blob that does not exist.
//! - Source: `docs/threat-model.md`.

use althing_ledger::{ApplicationRecord, Execution, query};
use althing_replica::{CommittedView, ReadError, Reader};
use althing_types::{Address, EndpointId, Hash, Visibility};
use althing_work::{applications, reads};

use crate::view_work::is_visible;

/// Whether any of these applications is private; one that nobody deployed counts as such.
pub(crate) fn is_any_private(
    view: &CommittedView,
    applications: &[Hash],
) -> Result<bool, althing_state::Fault> {
    for id in applications {
        let record = query::application(view, id)?;
        if record.is_none_or(|record| record.terms.visibility != Visibility::Public) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The private applications whose payloads an execution reads; `None` if one of them is not known.
fn private_ones(
    view: &CommittedView,
    execution: &Execution,
) -> Result<Option<Vec<ApplicationRecord>>, althing_state::Fault> {
    let mut found = Vec::new();
    for id in applications(execution) {
        let Some(record) = query::application(view, &id)? else { return Ok(None) };
        if record.terms.visibility != Visibility::Public {
            found.push(record);
        }
    }
    Ok(Some(found))
}

/// Whether the node at `endpoint` may have a blob for an execution: it is drawn for it now; or the
/// owners of all private applications that it tells of have chosen it as their home.
pub(crate) fn node_may_have(
    reader: &Reader,
    endpoint: &EndpointId,
    hash: &Hash,
    execution: &Hash,
) -> Result<bool, ReadError> {
    let Some(found) = reader.execution(execution)? else { return Ok(false) };
    if !reads(&found, hash) {
        return Ok(false);
    }
    let view = reader.view();
    if found.conclusion.is_none() {
        for member in found.committee() {
            let offer = query::offer(&view, &found.service, &member.node)?;
            if offer.is_some_and(|offer| offer.endpoint == *endpoint) {
                return Ok(true);
            }
        }
    }
    let private = private_ones(&view, &found)?;
    Ok(private.is_some_and(|all| all.iter().all(|record| record.terms.home == *endpoint)))
}

/// Whether a person may have a blob of an application, which is its document, or of an execution.
pub(crate) fn person_may_have(
    reader: &Reader,
    viewer: Option<Address>,
    hash: &Hash,
    of: &Hash,
) -> Result<bool, ReadError> {
    let view = reader.view();
    if let Some(record) = query::application(&view, of)? {
        return Ok(record.terms.document.hash == *hash && is_visible(&record, viewer));
    }
    let Some(execution) = reader.execution(of)? else { return Ok(false) };
    if !reads(&execution, hash) {
        return Ok(false);
    }
    let private = private_ones(&view, &execution)?;
    Ok(private.is_some_and(|all| all.iter().all(|record| is_visible(record, viewer))))
}
