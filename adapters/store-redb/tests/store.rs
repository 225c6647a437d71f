//! The port's contract, crashes, and rot.

mod chain {
    pub(crate) mod disk;
    mod made_up;
    pub(crate) use made_up::*;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use althing_replica::store::{Commit, Store, StoreError, StoredProposal};
use althing_store_redb::RedbStore;
use althing_types::{Hash, Height};
use chain::disk::{Files, Power, next};
use chain::{assert_holds, commit, proposal, state, tip};

/// So that the same height is a checkpoint in one life and in the log in the next.
const HEIGHTS_MAX: u32 = 3;

fn open(disk: &Power) -> Result<RedbStore, StoreError> {
    disk.open(HEIGHTS_MAX)
}

#[test]
fn a_new_store_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("made/on/the/way")).unwrap();
    assert_eq!(store.tip().unwrap(), None);
    assert_eq!(store.read(b"key").unwrap(), None);
    assert_eq!(store.leaves().unwrap(), []);
    assert_eq!(store.proposals().unwrap(), []);
    assert_eq!(store.decided(Height(0)).unwrap(), None);
    assert_eq!(store.boot_tree().unwrap().root(), Hash::ZERO);
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    for height in 0..20 {
        let store = RedbStore::open(folder.path()).unwrap();
        if height > 0 {
            assert_holds(&store, height - 1).unwrap();
        }
        commit(&store, height).unwrap();
        assert_holds(&store, height).unwrap();
        let tree = store.boot_tree().unwrap();
        assert_eq!(tree.root(), tip(height).state_root);
        assert_eq!(althing_state::Tree::from_leaves(&store.leaves().unwrap()), tree);
    }
}

#[test]
fn a_range_takes_prefix_place_and_limit_into_account() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let keys = ["a", "a/1", "a/2", "a/3", "b", "b/1"];
    let writes: BTreeMap<_, _> = keys.map(|key| (key.into(), Some(key.into()))).into();
    let empty: &[u8] = &[];
    store
        .commit(Commit {
            tip: tip(0),
            block: empty,
            certificate: empty,
            writes: &writes,
            archive: &[],
        })
        .unwrap();
    let range = |prefix: &str, after: Option<&str>, limit| {
        let entries = store.range(prefix.as_bytes(), after.map(str::as_bytes), limit).unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(range("a/", None, 9), ["a/1", "a/2", "a/3"]);
    assert_eq!(range("a/", None, 2), ["a/1", "a/2"]);
    assert_eq!(range("a/", Some("a/1"), 9), ["a/2", "a/3"]);
    assert_eq!(range("a/", Some("a"), 1), ["a/1"]);
    assert_eq!(range("a/", Some("b"), 9), [""; 0]);
    assert_eq!(range("", Some("a/3"), 9), ["b", "b/1"]);
    assert_eq!(range("", None, 0), [""; 0]);
}

#[test]
fn a_crash_while_the_store_was_made_leaves_nothing_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chain.redb.new"), [0; 5000]).unwrap();
    std::fs::write(folder.path().join("lock"), []).unwrap();
    commit(&RedbStore::open(folder.path()).unwrap(), 0).unwrap();
    assert_holds(&RedbStore::open(folder.path()).unwrap(), 0).unwrap();
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    commit(&store, 0).unwrap();
    assert!(matches!(RedbStore::open(folder.path()), Err(StoreError::Busy)));
    commit(&store, 1).unwrap();
    drop(store);
    assert_holds(&RedbStore::open(folder.path()).unwrap(), 1).unwrap();
}

#[test]
fn a_height_that_does_not_follow_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    commit(&store, 0).unwrap();
    commit(&store, 1).unwrap();
    for height in [0, 1, 3] {
        assert!(matches!(commit(&store, height), Err(StoreError::Io { .. })));
    }
    assert_holds(&store, 1).unwrap();
}

#[test]
fn proposals_are_kept_until_their_height_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let early = proposal(0);
    store.keep_proposal(&early).unwrap();
    assert_eq!(store.proposals().unwrap(), [early]);
    commit(&store, 0).unwrap();
    assert_eq!(store.proposals().unwrap(), []);
    let other = StoredProposal { id: Hash([9; 32]), ..proposal(1) };
    for kept in [proposal(1), proposal(2), other.clone(), proposal(1), proposal(0)] {
        store.keep_proposal(&kept).unwrap();
    }
    assert_eq!(store.proposals().unwrap(), [proposal(1), proposal(2), other.clone()]);
    drop(store);
    let store = RedbStore::open(folder.path()).unwrap();
    assert_eq!(store.proposals().unwrap(), [proposal(1), proposal(2), other]);
    commit(&store, 1).unwrap();
    store.keep_proposal(&proposal(3)).unwrap();
    drop(store);
    let store = RedbStore::open(folder.path()).unwrap();
    assert_eq!(store.proposals().unwrap(), [proposal(2), proposal(3)]);
}

#[test]
fn a_later_body_of_the_same_block_replaces_the_earlier_one_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    commit(&store, 0).unwrap();
    let other = StoredProposal { block: b"another proof, the same id".to_vec(), ..proposal(1) };
    for kept in [&proposal(1), &proposal(2), &other, &other] {
        store.keep_proposal(kept).unwrap();
    }
    assert_eq!(store.proposals().unwrap(), [proposal(2), other.clone()]);
    drop(store);
    let store = RedbStore::open(folder.path()).unwrap();
    assert_eq!(store.proposals().unwrap(), [proposal(2), other]);
}

#[test]
fn a_log_that_never_runs_empty_stays_bounded() {
    let disk = Power::default();
    let store = open(&disk).unwrap();
    let large = |height: u64| StoredProposal {
        block: vec![height.to_le_bytes()[0]; 4 << 20],
        ..proposal(height)
    };
    store.keep_proposal(&large(0)).unwrap();
    for height in 0..60 {
        store.keep_proposal(&large(height + 1)).unwrap();
        commit(&store, height).unwrap();
        assert_eq!(store.proposals().unwrap(), [large(height + 1)]);
    }
    let files = disk.view();
    assert!(files[2].len().max(files[3].len()) < 80 << 20, "60 proposals are 240 MiB");
    drop(store);
    let store = open(&Power::with_files(files, None)).unwrap();
    assert_eq!(store.proposals().unwrap(), [large(60)]);
}

#[test]
fn a_proposal_beyond_all_bounds_is_refused() {
    let store = open(&Power::default()).unwrap();
    let huge = StoredProposal { block: vec![0; (64 << 20) + 1], ..proposal(1) };
    assert!(matches!(store.keep_proposal(&huge), Err(StoreError::Io { .. })));
    store.keep_proposal(&proposal(1)).unwrap();
    assert_eq!(store.proposals().unwrap(), [proposal(1)]);
}

#[test]
fn readers_see_whole_heights_while_others_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(RedbStore::open(folder.path()).unwrap());
    commit(&*store, 0).unwrap();
    let states: Vec<_> = (0..30).map(|height| state(height).entries().clone()).collect();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while seen < 29 {
                let before = store.tip().unwrap().unwrap().height.0;
                let entries: BTreeMap<_, _> =
                    store.range(b"", None, usize::MAX).unwrap().into_iter().collect();
                let after = store.tip().unwrap().unwrap().height.0;
                let heights = usize::try_from(before).unwrap()..=usize::try_from(after).unwrap();
                assert!(heights.into_iter().any(|height| states[height] == entries));
                seen = after;
            }
        });
        (1..30).for_each(|height| commit(&*store, height).unwrap());
        reader.join().unwrap();
    });
}

/// What was acknowledged: the last height committed, and whether the next one's proposal is kept.
type Promised = (Option<u64>, bool);

/// Keeps each height's proposal and commits it until something fails.
fn run(disk: &Power, promised: &mut Promised) -> Result<(), StoreError> {
    let store = open(disk)?;
    let known = *promised;
    let committed = store.tip()?.map(|tip| tip.height.0);
    // A commit that was not acknowledged may have become durable all the same.
    let unacknowledged = known.0.map_or(0, |height| height + 1);
    assert!(committed == known.0 || committed == Some(unacknowledged), "{committed:?} {known:?}");
    if let Some(height) = committed {
        assert_holds(&store, height)?;
        assert_eq!(store.boot_tree()?.root(), tip(height).state_root);
    }
    let proposals = store.proposals()?;
    let wanted = committed.map_or(0, |height| height + 1);
    assert!(proposals.iter().all(|kept| *kept == proposal(wanted)));
    assert!(committed != known.0 || !known.1 || !proposals.is_empty(), "a proposal was lost");
    *promised = (committed, !proposals.is_empty());
    for height in wanted.. {
        store.keep_proposal(&proposal(height))?;
        promised.1 = true;
        commit(&store, height)?;
        *promised = (Some(height), false);
        if height.is_multiple_of(5) {
            // Beside the heights; where it fails, the next height says so.
            store.checkpoint();
        }
    }
    Ok(())
}

/// Crashes `crashes` times on one disk, each time after `until(seed)` operations.
fn crash(mut seed: u64, crashes: u32, until: impl Fn(&mut u64) -> u64) -> u64 {
    let fresh = Power::default();
    drop(open(&fresh).expect("the power is on"));
    let mut files = fresh.view();
    let mut promised = (None, false);
    for _ in 0..crashes {
        let disk = Power::with_files(files, Some(until(&mut seed)));
        let error = run(&disk, &mut promised).expect_err("it runs until the power fails");
        assert!(matches!(error, StoreError::Io { .. }), "seed {seed}: {error:?}");
        files = disk.after_power_loss(&mut seed);
    }
    promised.0.unwrap_or(0)
}

#[test]
fn nothing_acknowledged_is_lost_when_the_power_fails_after_any_operation() {
    for operation in 1..120 {
        crash(operation, 3, |_| operation);
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_power_losses_at_random() {
    let committed: u64 = (0..40).map(|seed| crash(seed, 6, |seed| 5 + next(seed) % 150)).sum();
    assert!(committed > 400, "only {committed} heights were reached");
}

/// Reads everything that a node reads at boot and after; false if the damage was found.
fn reads_the_truth(files: Files) -> bool {
    let disk = Power::with_files(files, None);
    let read = || -> Result<(), StoreError> {
        let store = open(&disk)?;
        let tree = store.boot_tree()?;
        // The last line of defence: damage that makes redb skip entries shows in the root.
        if store.tip()?.map(|tip| tip.state_root) != Some(tree.root()) {
            return Err(StoreError::Corrupt { what: "the root differs".to_owned() });
        }
        chain::assert_holds_except(&store, 15, true)?;
        let proposals = store.proposals()?;
        assert!(proposals.is_empty() || proposals == [proposal(16)]);
        Ok(())
    };
    match read() {
        Ok(()) => true,
        Err(StoreError::Corrupt { .. }) => false,
        Err(error) => panic!("damage must be called damage: {error:?}"),
    }
}

#[test]
fn a_flipped_byte_is_found_or_harmless_and_never_a_wrong_value() {
    let disk = Power::default();
    let store = open(&disk).unwrap();
    (0..=15).for_each(|height| commit(&store, height).unwrap());
    store.keep_proposal(&proposal(16)).unwrap();
    drop(store);
    let files = disk.view();
    assert!(reads_the_truth(files.clone()));
    let mut found = 0;
    let mut seed = 7;
    // Everywhere that something is stored, and some more.
    let used: Vec<(usize, usize)> = (0..3)
        .flat_map(|file| files[file].iter().enumerate().map(move |(at, byte)| (file, at, *byte)))
        .filter(|(_, _, byte)| *byte != 0)
        .map(|(file, at, _)| (file, at))
        .collect();
    for _ in 0..400 {
        let pick = usize::try_from(next(&mut seed) % used.len() as u64).unwrap();
        let (file, at) = used[pick];
        let mut damaged = files.clone();
        damaged[file][at] ^= 1 << (next(&mut seed) % 8);
        found += u32::from(!reads_the_truth(damaged));
    }
    assert!(found > 50, "only {found} of 400 were found");
}

#[test]
fn a_process_that_is_killed_loses_no_height_wherever_the_checkpoint_is() {
    for heights_max in [1, 2, 3, 64] {
        let disk = Power::default();
        let store = disk.open(heights_max).unwrap();
        for height in 0..=70 {
            commit(&store, height).unwrap();
            // What the disk has is all that a kill leaves: the store is not closed.
            let left = Power::with_files(disk.view(), None);
            let again = left.open(heights_max).unwrap();
            assert_holds(&again, height).unwrap();
            assert_eq!(again.boot_tree().unwrap().root(), tip(height).state_root);
            commit(&again, height + 1).unwrap();
            assert_holds(&again, height + 1).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_beside_the_heights_begins_the_log_anew_and_loses_nothing() {
    let disk = Power::default();
    let store = disk.open(8).unwrap();
    for height in 0..=40 {
        commit(&store, height).unwrap();
        let [before, ..] = disk.synced();
        store.checkpoint();
        let [after, ..] = disk.synced();
        // Of seven heights that the log would take, it has more than half now and then.
        assert_eq!(before != after, height % 5 == 4, "height {height}");
        let left = Power::with_files(disk.synced(), None);
        let again = left.open(8).unwrap();
        assert_holds(&again, height).unwrap();
        assert_eq!(again.boot_tree().unwrap().root(), tip(height).state_root);
    }
}

#[test]
fn a_store_in_a_folder_makes_its_checkpoints_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let chain = folder.path().join("chain.redb");
    let before = std::fs::read(&chain).unwrap();
    // More than half, and less than all of what its log takes.
    for height in 0..80 {
        commit(&store, height).unwrap();
    }
    while std::fs::read(&chain).unwrap() == before {
        thread::yield_now();
    }
    commit(&store, 80).unwrap();
    assert_holds(&store, 80).unwrap();
    drop(store);
    assert_holds(&RedbStore::open(folder.path()).unwrap(), 80).unwrap();
}

#[test]
fn what_a_checkpoint_meets_is_the_next_heights_error() {
    let fresh = Power::default();
    drop(fresh.open(8).unwrap());
    let operations = {
        let disk = Power::with_files(fresh.view(), None);
        let store = disk.open(8).unwrap();
        (0..4).for_each(|height| commit(&store, height).unwrap());
        let operations = disk.operations();
        store.checkpoint();
        assert!(disk.operations() == operations, "it is not worth it yet");
        operations
    };
    // The power fails in the middle of the checkpoint that is worth it.
    let disk = Power::with_files(fresh.view(), Some(operations + 6));
    let store = disk.open(8).unwrap();
    for height in 0..5 {
        commit(&store, height).unwrap();
    }
    store.checkpoint();
    assert!(matches!(commit(&store, 5), Err(StoreError::Io { .. })));
}

#[test]
fn a_flipped_byte_of_a_kept_height_is_found_and_in_the_last_one_costs_no_more_than_that() {
    let disk = Power::default();
    let store = disk.open(64).unwrap();
    (0..=15).for_each(|height| commit(&store, height).unwrap());
    let files = disk.view();
    let used: Vec<usize> = (0..files[1].len()).filter(|at| files[1][*at] != 0).collect();
    let (mut found, mut behind, mut seed) = (0, 0, 11);
    for _ in 0..400 {
        let at = used[usize::try_from(next(&mut seed) % used.len() as u64).unwrap()];
        let mut damaged = files.clone();
        damaged[1][at] ^= 1 << (next(&mut seed) % 8);
        match Power::with_files(damaged, None).open(64) {
            Err(StoreError::Corrupt { .. }) => found += 1,
            Err(error) => panic!("damage must be called damage: {error:?}"),
            Ok(store) => {
                // Nothing came after the last one that could tell rot from a write that was torn.
                assert_holds(&store, 14).unwrap();
                behind += 1;
            }
        }
    }
    assert!(found > 300 && behind < 60, "{found} found, {behind} times one height behind");
}

#[test]
fn a_height_too_large_for_the_log_is_a_checkpoint_with_all_before_it() {
    let disk = Power::default();
    let store = disk.open(64).unwrap();
    (0..=3).for_each(|height| commit(&store, height).unwrap());
    let large: BTreeMap<_, _> = [(b"large".to_vec(), Some(vec![7; 9 << 20]))].into();
    let (block, empty): (&[u8], &[u8]) = (b"block", &[]);
    let next = Commit { tip: tip(4), block, certificate: empty, writes: &large, archive: &[] };
    store.commit(next).unwrap();
    assert!(disk.view()[1].len() <= 8 << 20, "the log is bounded");
    let again = Power::with_files(disk.view(), None).open(64).unwrap();
    assert_eq!(again.tip().unwrap(), Some(tip(4)));
    assert_eq!(again.read(b"large").unwrap().map(|value| value.len()), Some(9 << 20));
    assert_eq!(again.decided(Height(4)).unwrap().unwrap().block, block);
    assert!(again.decided(Height(3)).unwrap().is_some());
}

#[test]
fn every_flipped_byte_of_a_value_is_found_by_the_read_itself() {
    let disk = Power::default();
    let store = open(&disk).unwrap();
    commit(&store, 0).unwrap();
    drop(store);
    let files = disk.view();
    let (key, value) = state(0).entries().clone().pop_first().unwrap();
    let places: Vec<usize> = (0..files[0].len() - value.len())
        .filter(|at| files[0][*at..].starts_with(&value))
        .collect();
    assert!(!places.is_empty());
    for offset in 0..value.len() {
        let mut damaged = files.clone();
        places.iter().for_each(|place| damaged[0][place + offset] ^= 0x10);
        let result = open(&Power::with_files(damaged, None)).and_then(|store| store.read(&key));
        assert!(matches!(result, Err(StoreError::Corrupt { .. })), "{offset}: {result:?}");
    }
}

#[test]
fn a_file_that_is_no_store_is_corrupt() {
    for bytes in [vec![1; 10], vec![0xee; 100_000]] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("chain.redb"), bytes).unwrap();
        let error = RedbStore::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
}

#[test]
fn a_file_cut_short_is_corrupt() {
    let disk = Power::default();
    let store = open(&disk).unwrap();
    (0..=15).for_each(|height| commit(&store, height).unwrap());
    drop(store);
    let files = disk.view();
    for part in 1..8 {
        let mut damaged = files.clone();
        let length = damaged[0].len() * part / 8;
        damaged[0].truncate(length);
        reads_the_truth(damaged);
    }
}
