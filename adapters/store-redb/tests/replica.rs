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
use disk::{Files, Power};

/// So that of three heights some are in the log and one is a checkpoint.
fn open(disk: &Power) -> Result<RedbStore, StoreError> {
    disk.open(2)
}

fn live(script: &Script, disk: &Power, promises: &mut Promises) -> Result<(), Stopped> {
    let store: Arc<dyn Store> = Arc::new(open(disk).map_err(|error| Stopped::Open(error.into()))?);
    script.live(store, promises)
}

/// An empty store: making one is not safe from power losses on media that have no names.
fn empty() -> Files {
    let disk = Power::default();
    drop(open(&disk).expect("the power is on"));
    disk.view()
}

/// Runs until the power fails; what is left of the disk in each of the ways that are tried.
fn crash(script: &Script, files: Files, operation: u64, promises: &mut Promises) -> Vec<Files> {
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

fn operations(script: &Script, files: Files) -> u64 {
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

/// After a first loss, the power fails again at every operation of the life that begins with what `ways`
/// picks of what is left, or of its first operations; gives how often the chain was started a third time.
fn twice(
    script: &Script,
    files: &Files,
    first: u64,
    ways: std::ops::Range<usize>,
    seconds: Option<u64>,
) -> u64 {
    let mut after = Promises::default();
    let mut restarts = 0;
    for left in different(crash(script, files.clone(), first, &mut after).drain(ways).collect()) {
        let seconds = seconds.unwrap_or_else(|| operations(script, left.clone()));
        for second in 0..seconds {
            let mut promises = after.clone();
            for left in different(crash(script, left.clone(), second, &mut promises)) {
                let disk = Power::with_files(left, None);
                live(script, &disk, &mut promises.clone())
                    .unwrap_or_else(|stopped| panic!("{first}, then {second}: {stopped:?}"));
                restarts += 1;
            }
        }
    }
    restarts
}

/// Often nothing was on its way, and all that can be left is the same.
fn different(mut left: Vec<Files>) -> Vec<Files> {
    left.sort_unstable();
    left.dedup();
    left
}

#[test]
fn a_second_power_loss_while_a_store_recovers_changes_no_root() {
    let script = Script::record();
    let files = empty();
    let operations = operations(&script, files.clone());
    // Every ninth first loss, and every operation of the recovery: opening, and the next commit.
    let firsts = (0..operations).step_by(9);
    let restarts: u64 = firsts.map(|first| twice(&script, &files, first, 2..3, Some(14))).sum();
    println!("{restarts} restarts");
}

/// Too long for every check: `cargo nextest run --workspace --test replica --profile sim`.
mod slow {
    use super::*;

    /// How often the chain was started a third time.
    fn every_pair_of_losses(part: u64, of: u64) -> u64 {
        let script = Script::record();
        let files = empty();
        let operations = operations(&script, files.clone());
        let firsts = (0..=operations).filter(|first| first % of == part);
        firsts.map(|first| twice(&script, &files, first, 0..4, None)).sum()
    }

    #[test]
    fn a_second_power_loss_at_any_operation_after_a_first_at_any_operation_changes_no_root() {
        println!("{} restarts", every_pair_of_losses(0, 2));
    }

    #[test]
    fn a_second_power_loss_at_any_operation_after_a_first_at_any_other_changes_no_root() {
        println!("{} restarts", every_pair_of_losses(1, 2));
    }
}
