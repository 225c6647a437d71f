//! What happens after a commit: events for those who watch, the index of what has ended,
//! and the question whether the next block is worth making.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use althing_api::wire;
use althing_ledger::query;
use althing_replica::Committed;
use althing_types::{Address, Hash};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::chain::Chain;
use crate::clock;
use crate::settled::Settled;
use crate::view_work::readers;

/// How long to sleep when nothing is due.
const NOTHING_DUE: Duration = Duration::from_secs(60);

/// Follows the commits until the chain ends.
pub(crate) async fn follow(
    chain: Arc<Chain>,
    settled: Arc<Settled>,
    events: broadcast::Sender<wire::Event>,
) {
    let mut commits = chain.commits();
    let mut next_due = chain.due();
    look(&chain).await;
    loop {
        let due = *next_due.borrow_and_update();
        let sleep = due.map_or(NOTHING_DUE, |due| {
            Duration::from_millis(clock::now().until(due).max(1)).min(NOTHING_DUE)
        });
        tokio::select! {
            commit = commits.recv() => match commit {
                Ok(committed) => {
                    tell(&committed, &chain, &settled, &events);
                }
                Err(RecvError::Lagged(missed)) => {
                    look(&chain).await;
                    events.send(wire::Event::Lagged { missed }).ok(); // nobody may be listening
                }
                Err(RecvError::Closed) => return,
            },
            // Its end is the chain's, which the other branch hears of.
            Ok(()) = next_due.changed() => {}
            () = tokio::time::sleep(sleep) => look(&chain).await,
        }
    }
}

/// A deadline may have passed: asks anew for work.
async fn look(chain: &Arc<Chain>) {
    let chain = chain.clone();
    // It fails only while the node ends.
    tokio::task::spawn_blocking(move || chain.look_for_work()).await.ok();
}

fn tell(
    committed: &Committed,
    chain: &Chain,
    settled: &Settled,
    events: &broadcast::Sender<wire::Event>,
) {
    settled.add(committed.receipts.iter());
    if events.receiver_count() == 0 {
        return;
    }
    let header = &committed.header;
    let transactions = committed
        .receipts
        .iter()
        .filter(|subject| matches!(subject, althing_replica::Subject::Transaction(_)))
        .count();
    let block = wire::Event::Block {
        height: header.height.0,
        id: committed.block.into(),
        time: header.time.0,
        transactions: u32::try_from(transactions).unwrap_or(u32::MAX),
    };
    let changes = committed.executed.changes.iter().cloned();
    let steps = changes.map(|change| wire::Event::of_change(header.height, change));
    let event_changes = committed.executed.event_changes.iter().cloned();
    let observed = event_changes.map(|change| wire::Event::of_event(header.height, change));
    let mut known = BTreeMap::new();
    let run_changes = committed.executed.run_changes.iter().cloned();
    let passed = run_changes.map(|change| {
        let readers =
            known.entry(change.application).or_insert_with(|| who(chain, &change.application));
        wire::Event::of_run(header.height, change, readers.clone())
    });
    for event in std::iter::once(block).chain(steps).chain(observed).chain(passed) {
        events.send(event).ok(); // the last listener may have gone meanwhile
    }
}

/// Who may know of an application's runs; nobody, if it cannot be looked up.
fn who(chain: &Chain, application: &Hash) -> Option<Vec<Address>> {
    match query::application(&chain.reader.view(), application) {
        Ok(Some(record)) => readers(&record),
        Ok(None) | Err(_) => Some(Vec::new()),
    }
}
