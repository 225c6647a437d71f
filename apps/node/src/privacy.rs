//! Who is given what belongs to private applications.
//!
//! ```text
//!   a node     names the execution for which it asks ─► it is drawn for it, and the execution reads the blob
//!   a person   names application or execution, signs ─► owner or grantee of every private one that it tells of
//! ```
//!
//! Whoever may have a blob is told *as a part of which applications*: it is kept under the one that it belongs
//! to, so that naming its hash in an application of one's own is of no use.
//!
//! A blob belongs to the outermost private application of its run: everything that reads it later is
//! evaluated in that application's context too.
//!
//! - Invariant: who is not sure is told "not here", as of a blob that does not exist.
//! - Source: `docs/threat-model.md`.

use althing_ledger::{ApplicationRecord, Execution, query};
use althing_replica::{CommittedView, ReadError, Reader};
use althing_state::Fault;
use althing_types::{Address, EndpointId, Hash, Visibility};
use althing_work::{applications, reads};

use crate::blobs::Shelf;
use crate::view_work::is_visible;

/// Where belongs what tells of these applications, the outermost first. One that nobody deployed
/// counts as private.
pub(crate) fn shelf(view: &CommittedView, applications: &[Hash]) -> Result<Shelf, Fault> {
    for id in applications {
        let record = query::application(view, id)?;
        if record.is_none_or(|record| record.terms.visibility != Visibility::Public) {
            return Ok(Shelf::Closed(*id));
        }
    }
    Ok(Shelf::Open)
}

/// The private applications whose payloads an execution reads; none if one of them is not known.
fn private_ones(
    view: &CommittedView,
    execution: &Execution,
) -> Result<Vec<ApplicationRecord>, Fault> {
    let mut found = Vec::new();
    for id in applications(execution) {
        let Some(record) = query::application(view, &id)? else { return Ok(Vec::new()) };
        if record.terms.visibility != Visibility::Public {
            found.push(record);
        }
    }
    Ok(found)
}

fn ids(records: &[ApplicationRecord]) -> Vec<Hash> {
    records.iter().map(|record| record.id).collect()
}

/// As a part of which applications the node at `endpoint` may have a blob for an execution: it is
/// drawn for it now; or the owners of all private applications that it tells of have chosen it as their
/// home.
pub(crate) fn node_may_have(
    reader: &Reader,
    endpoint: &EndpointId,
    hash: &Hash,
    execution: &Hash,
) -> Result<Vec<Hash>, ReadError> {
    let Some(found) = reader.execution(execution)? else { return Ok(Vec::new()) };
    if !reads(&found, hash) {
        return Ok(Vec::new());
    }
    let view = reader.view();
    let private = private_ones(&view, &found)?;
    if found.conclusion.is_none() {
        for member in found.committee() {
            let offer = query::offer(&view, &found.service, &member.node)?;
            if offer.is_some_and(|offer| offer.endpoint == *endpoint) {
                return Ok(ids(&private));
            }
        }
    }
    let is_home = private.iter().all(|record| record.terms.home == *endpoint);
    Ok(if is_home { ids(&private) } else { Vec::new() })
}

/// As a part of which applications a person may have a blob: of an application, whose document it is, or
/// of an execution.
pub(crate) fn person_may_have(
    reader: &Reader,
    viewer: Option<Address>,
    hash: &Hash,
    of: &Hash,
) -> Result<Vec<Hash>, ReadError> {
    let view = reader.view();
    if let Some(record) = query::application(&view, of)? {
        let may = record.terms.document.hash == *hash && is_visible(&record, viewer);
        return Ok(if may { vec![record.id] } else { Vec::new() });
    }
    let Some(execution) = reader.execution(of)? else { return Ok(Vec::new()) };
    if !reads(&execution, hash) {
        return Ok(Vec::new());
    }
    let private = private_ones(&view, &execution)?;
    let may = private.iter().all(|record| is_visible(record, viewer));
    Ok(if may { ids(&private) } else { Vec::new() })
}
