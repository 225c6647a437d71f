//! Lets go of blobs that the ledger does not ask for any more.
//!
//! - Rule: what a service, an application that starts runs, an open run, execution or event, a remembered
//!   event, or an observation of this node's in line names is kept. Everything else is kept for
//!   `blob_keep_hours` after somebody brought it last, and then goes.
//! - Invariant: nothing goes that [`in_use`] names.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use althing_replica::Reader;
use althing_types::Hash;
use althing_work::in_use;
use tokio::time::{Instant, MissedTickBehavior};

use crate::blobs::BlobStore;
use crate::observations::Observatory;

/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Whose blobs, and what they are held against.
pub(crate) struct Retention {
    pub(crate) store: Arc<BlobStore>,
    pub(crate) reader: Reader,
    pub(crate) observatory: Arc<Observatory>,
    pub(crate) keep: Duration,
}

impl Retention {
    /// Looks again and again until the node stops.
    pub(crate) async fn run(self) {
        let retention = Arc::new(self);
        // Often enough that nothing goes before it was seen to be old, and then kept again or not.
        let pause = (retention.keep / 4).min(PAUSE_MAX);
        let mut tick = tokio::time::interval_at(Instant::now() + pause, pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let retention = Arc::clone(&retention);
            match tokio::task::spawn_blocking(move || retention.sweep()).await {
                Ok(Ok(0)) => {}
                Ok(Ok(bytes)) => tracing::info!(bytes, "blobs that nobody needs have gone"),
                Ok(Err(error)) => {
                    tracing::warn!(error = error.as_ref(), "old blobs could not be removed");
                }
                Err(_) => return, // the node stops
            }
        }
    }

    fn sweep(&self) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let mut needed: BTreeSet<Hash> = in_use(&self.reader.view())?;
        needed.extend(self.observatory.data());
        Ok(self.store.sweep(self.keep, &|hash| needed.contains(hash))?)
    }
}
