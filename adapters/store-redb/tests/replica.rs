//! The replica on this store, with the power failing at every operation of three heights: whatever
//! the disk kept of what was not synced, a restart goes on to the roots of the undisturbed run.
//! Enumerated, not sampled; only which sectors survive a torn write is drawn from a seed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../engine/replica/tests/common/mod.rs"]
mod common;
#[path = "chain/disk.rs"]
mod disk;

use std::sync::Arc;

use althing_replica::OpenError;
use althing_replica::store::{Store, StoreError};
use althing_store_redb::RedbStore;
use common::script::{Promises, Script, Stopped};
use disk::Power;

fn open(disk: &Power) -> Result<RedbStore, StoreError> {
    RedbStore::with_backends(disk.file(0), [Box::new(disk.file(1)), Box::new(disk.file(2))])
}

fn live(script: &Script, disk: &Power, promises: &mut Promises) -> Result<(), Stopped> {
    let store: Arc<dyn Store> = Arc::new(open(disk).map_err(|error| Stopped::Open(error.into()))?);
    script.live(store, promises)
}

/// An empty store: making one is not safe from power losses on media that have no names.
fn empty() -> [Vec<u8>; 3] {
    let disk = Power::default();
    drop(open(&disk).expect("the power is on"));
    disk.view()
}

/// Runs until the power fails; what is left of the disk in each of the ways that are tried.
fn crash(
    script: &Script,
    files: [Vec<u8>; 3],
    operation: u64,
    promises: &mut Promises,
) -> Vec<[Vec<u8>; 3]> {
    let disk = Power::with_files(files, Some(operation));
    match live(script, &disk, promises) {
        // Closing the store has operations of its own.
        Ok(()) | Err(Stopped::Fault(_)) => {}
        Err(Stopped::Open(error)) => assert!(matches!(error, OpenError::Store(_)), "{error}"),
    }
    let mut seeds = [operation, operation + 1_000];
    let torn = seeds.iter_mut().map(|seed| disk.after_power_loss(seed));
    [disk.synced(), disk.view()].into_iter().chain(torn).collect()
}

fn operations(script: &Script, files: [Vec<u8>; 3]) -> u64 {
    let disk = Power::with_files(files, None);
    live(script, &disk, &mut Promises::default()).unwrap();
    disk.operations()
}

#[test]
fn a_power_loss_at_every_operation_of_three_heights_changes_no_root() {
    let script = Script::record();
    let files = empty();
    let operations = operations(&script, files.clone());
    assert!(operations > 60, "{operations} operations");
    let mut restarts = 0;
    for operation in 0..=operations {
        let mut promises = Promises::default();
        for left in crash(&script, files.clone(), operation, &mut promises) {
            let disk = Power::with_files(left, None);
            live(&script, &disk, &mut promises.clone())
                .unwrap_or_else(|stopped| panic!("operation {operation}: {stopped:?}"));
            restarts += 1;
        }
    }
    println!("{operations} operations, {restarts} restarts");
}

#[test]
fn a_second_power_loss_while_a_store_recovers_changes_no_root() {
    let script = Script::record();
    let files = empty();
    let operations = operations(&script, files.clone());
    let mut restarts = 0;
    // Every ninth first loss, and every operation of the recovery: opening, and the next commit.
    for first in (0..operations).step_by(9) {
        let mut after = Promises::default();
        let left = crash(&script, files.clone(), first, &mut after).swap_remove(2);
        for second in 0..14 {
            let mut promises = after.clone();
            for left in crash(&script, left.clone(), second, &mut promises) {
                let disk = Power::with_files(left, None);
                live(&script, &disk, &mut promises.clone())
                    .unwrap_or_else(|stopped| panic!("{first}, then {second}: {stopped:?}"));
                restarts += 1;
            }
        }
    }
    println!("{restarts} restarts");
}
