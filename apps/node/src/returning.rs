//! Asks for the node's offices back after it was away: [`Returning`] decides, here are its clock and what
//! it sees of the ledger.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use althing_ledger::{OfferStatus, query};
use althing_replica::Reader;
use althing_state::{Fault, View};
use althing_types::{Address, Hash, Height, Operation, Resume};
use althing_work::{Returning, Suspended};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::observations::Observatory;

/// How often the clock is read, and the offers are looked at while there is a reason to.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A clock that has gone on so long between two looks, in milliseconds, stood still with its process: the
/// machine slept, or the process was stopped. Less than any window that the node could have missed.
const STOOD_STILL_MS: u64 = 4_000;
/// Services that are read from the state at a time.
const PAGE: usize = 256;
/// Most services that are looked through.
const SERVICES_MAX: usize = 16_384;

/// Resumes suspended offers of `node` for as long as the worker takes requests.
pub(crate) async fn come_back(
    reader: Reader,
    node: Address,
    observatory: Arc<Observatory>,
    ask: mpsc::Sender<Operation>,
) {
    let mut returning = Returning::default();
    let started_ms = clock::wall().0;
    let mut last_ms = started_ms;
    if reader.head().tip.height > Height(0) {
        returning.back(0);
    }
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let wall_ms = clock::wall().0;
        let now_ms = wall_ms.saturating_sub(started_ms);
        if wall_ms.saturating_sub(last_ms) > STOOD_STILL_MS {
            tracing::info!(for_ms = wall_ms.saturating_sub(last_ms), "the node stood still");
            returning.back(now_ms);
        }
        last_ms = wall_ms;
        let observed = observatory.out_of_office();
        if !returning.looks(now_ms, !observed.is_empty()) {
            continue;
        }
        let view = reader.view();
        let found = tokio::task::spawn_blocking(move || suspended(&view, &node, &observed)).await;
        let suspended = match found {
            Ok(Ok(suspended)) => suspended,
            Ok(Err(fault)) => {
                tracing::error!(%fault, "the node's offers cannot be read");
                return; // the replica meets it too, and stops the node
            }
            Err(_) => return,
        };
        for service in returning.due(now_ms, &suspended) {
            tracing::info!(%service, "a suspended offer is resumed");
            if ask.send(Operation::Resume(Resume { service })).await.is_err() {
                return; // the worker has ended
            }
        }
    }
}

/// The node's suspended offers whose stake suffices.
fn suspended(
    view: &impl View,
    node: &Address,
    observed: &BTreeSet<Hash>,
) -> Result<Vec<Suspended>, Fault> {
    let (mut found, mut after, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = query::services(view, after.as_ref(), PAGE)?;
        for (service, record) in &page {
            let Some(offer) = query::offer(view, service, node)? else { continue };
            if offer.status == OfferStatus::Suspended && offer.stake >= record.terms.stake_min {
                let has_observed = observed.contains(service);
                found.push(Suspended { service: *service, has_observed });
            }
        }
        seen += page.len();
        match page.last() {
            Some((last, _)) if page.len() == PAGE && seen < SERVICES_MAX => after = Some(*last),
            Some(_) | None => return Ok(found),
        }
    }
}
