//! A stop at every single write of three heights, and a restart after each: the roots are those of
//! the run that nothing disturbed. Enumerated, not sampled.
//!
//! The same script on the real store and a simulated disk is in `althing-store-redb`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::sync::Arc;

use althing_replica::store::Store;
use althing_replica::{FailedWrite, MemoryStore, OpenError};
use common::script::{Promises, Script, Stopped};

fn live(script: &Script, store: &Arc<MemoryStore>, promises: &mut Promises) -> Result<(), Stopped> {
    script.live(Arc::clone(store) as Arc<dyn Store>, promises)
}

/// Runs until the `n`-th write fails; what a restarted process finds.
fn crash(
    script: &Script,
    store: &Arc<MemoryStore>,
    n: u64,
    how: FailedWrite,
    promises: &mut Promises,
) -> Arc<MemoryStore> {
    store.fail_write(n, how);
    match live(script, store, promises).expect_err("a write fails on the way") {
        Stopped::Open(error) => assert!(matches!(error, OpenError::Store(_)), "{error}"),
        Stopped::Fault(fault) => assert!(fault.operation.ends_with("block"), "{fault}"),
    }
    Arc::new(store.lose_power())
}

/// All writes of a whole life.
fn writes(script: &Script) -> u64 {
    let store = Arc::new(MemoryStore::new());
    live(script, &store, &mut Promises::default()).unwrap();
    store.writes()
}

#[test]
fn a_stop_at_every_write_of_three_heights_changes_no_root() {
    let script = Script::record();
    let writes = writes(&script);
    assert_eq!(writes, 1 + 3 * 3, "the genesis; two proposals and a commit a height");
    for how in [FailedWrite::Lost, FailedWrite::Unacknowledged] {
        for n in 1..=writes {
            let mut promises = Promises::default();
            let store = crash(&script, &Arc::default(), n, how, &mut promises);
            live(&script, &store, &mut promises).unwrap();
        }
    }
}

#[test]
fn a_second_stop_at_every_write_after_the_first_changes_no_root() {
    let script = Script::record();
    let writes = writes(&script);
    for how in [FailedWrite::Lost, FailedWrite::Unacknowledged] {
        for first in 1..=writes {
            let mut after = Promises::default();
            let store = crash(&script, &Arc::default(), first, how, &mut after);
            let whole = Arc::new(store.lose_power());
            live(&script, &whole, &mut after.clone()).unwrap();
            for second in 1..=whole.writes() {
                let mut promises = after.clone();
                let store = Arc::new(store.lose_power());
                let store = crash(&script, &store, second, how, &mut promises);
                live(&script, &store, &mut promises).unwrap();
            }
        }
    }
}
