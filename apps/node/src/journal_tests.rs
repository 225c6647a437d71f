//! What the journal keeps whatever happens to it.

use althing_types::{Claim, Opinion};

use super::*;

fn record(number: u8, round: u32) -> Record {
    Record { execution: Hash([number; 32]), round, claim: Claim::Opinion(Opinion::Valid) }
}

/// Another claim of the same job: what must never take the place of the first.
fn other(number: u8, round: u32) -> Record {
    Record { claim: Claim::Opinion(Opinion::Invalid), ..record(number, round) }
}

#[test]
fn what_was_remembered_survives_and_what_was_forgotten_goes_with_the_next_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.remember(&[record(1, 0), record(1, 1), record(2, 0)]).unwrap();
    journal.forget(&[Hash([1; 32]), Hash([9; 32])]).unwrap();
    assert_eq!(journal.recall().unwrap(), [record(2, 0)]);
    journal.remember(&[record(3, 0)]).unwrap();
    drop(journal);
    let again = FileJournal::open(&path).unwrap().recall().unwrap();
    assert_eq!(again, [record(2, 0), record(3, 0)]);
}

#[test]
fn a_record_of_an_execution_that_was_forgotten_stays_if_it_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.remember(&[record(1, 0)]).unwrap();
    journal.forget(&[Hash([1; 32])]).unwrap();
    journal.remember(&[record(1, 1)]).unwrap();
    drop(journal);
    assert_eq!(FileJournal::open(&path).unwrap().recall().unwrap(), [record(1, 1)]);
}

#[test]
fn damage_before_a_whole_entry_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.remember(&[record(1, 0)]).unwrap();
    journal.remember(&[record(2, 0)]).unwrap();
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() / 2 {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        fs::write(&path, &damaged).unwrap();
        assert!(FileJournal::open(&path).is_err(), "byte {at}");
    }
}

#[test]
fn the_file_stays_small_when_everything_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    let records: Vec<Record> = (0..200).map(|round| record(1, round)).collect();
    for _ in 0..60 {
        journal.remember(&records).unwrap();
    }
    let entry = encode(&Entry::Remember(record(1, 0))).unwrap().len() as u64;
    assert!(fs::metadata(&path).unwrap().len() < entry * (GARBAGE_MAX as u64 + 1_000));
    journal.remember(&[record(7, 7)]).unwrap();
    assert_eq!(FileJournal::open(&path).unwrap().recall().unwrap().len(), 201);
}

/// What a power loss leaves of a write at the end of a file: any of its sectors, with the file at its
/// old length, at the new one or in between; what was not written reads as zeros.
fn images(before: &[u8], after: &[u8]) -> Vec<Vec<u8>> {
    const SECTOR: usize = 512;
    let mut images: Vec<Vec<u8>> =
        (before.len()..=after.len()).map(|length| after[..length].to_vec()).collect();
    let first = before.len() / SECTOR;
    let sectors = after.len().div_ceil(SECTOR) - first;
    assert!(sectors <= 8, "too many to enumerate");
    for set in 0..1_u32 << sectors {
        let mut image = after.to_vec();
        for (at, byte) in image.iter_mut().enumerate().skip(before.len()) {
            if set >> (at / SECTOR - first) & 1 == 0 {
                *byte = 0;
            }
        }
        images.push(image);
    }
    images
}

/// The power fails at every write: what was acknowledged is there, what was not is there as a whole
/// or not at all, nothing keeps the node from starting, and a second claim never replaces a first.
#[test]
fn a_power_loss_at_any_write_loses_nothing_and_bricks_nothing() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (path, crashed) = (folder.path().join("journal"), folder.path().join("crashed"));
    let journal = FileJournal::open(&path).unwrap();
    let batches: [Vec<Record>; 6] = [
        vec![record(1, 0)],
        (0..24).map(|round| record(2, round)).collect(),
        vec![record(1, 1), record(3, 0)],
        vec![],
        (0..9).map(|number| record(10 + number, 0)).collect(),
        vec![record(4, 0)],
    ];
    let mut crashes = 0;
    for (number, batch) in (0_u8..).zip(&batches) {
        let old = FileJournal::open(&path).unwrap().recall().unwrap();
        let before = fs::read(&path).unwrap();
        journal.remember(batch).unwrap();
        let after = fs::read(&path).unwrap();
        let new = FileJournal::open(&path).unwrap().recall().unwrap();
        assert_eq!(new, journal.recall().unwrap());
        for image in images(&before, &after) {
            fs::write(&crashed, &image).unwrap();
            let restarted = FileJournal::open(&crashed).expect("a crash damages nothing");
            let found = restarted.recall().unwrap();
            assert!(found == old || found == new, "after batch {number}: {found:?}");
            // It goes on from there, and the torn entry is not in its way.
            restarted.remember(&[other(99, 0)]).unwrap();
            drop(restarted);
            let again = FileJournal::open(&crashed).unwrap().recall().unwrap();
            assert_eq!(again.split_last().unwrap(), (&other(99, 0), found.as_slice()));
            crashes += 1;
        }
        // Ends wait for the next entry, so that they cannot be torn by themselves.
        journal.forget(&[Hash([number; 32])]).unwrap();
    }
    assert!(crashes > 1_500, "{crashes} crashes");
    println!("{crashes} crashes");
}

/// A disk that is full takes a part of an entry; once there is room, the journal goes on.
#[test]
fn a_write_that_failed_half_way_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.remember(&[record(1, 0)]).unwrap();
    let entries = vec![Entry::Remember(other(1, 0)), Entry::Remember(record(5, 0))];
    let torn = encode(&Entry::Batch(entries)).unwrap();
    {
        let state = journal.lock();
        state.file.write_all_at(&torn[..torn.len() - 3], state.end).unwrap();
    }
    journal.remember(&[record(2, 0)]).unwrap();
    journal.remember(&[record(3, 0)]).unwrap();
    drop(journal);
    let records = FileJournal::open(&path).unwrap().recall().unwrap();
    assert_eq!(records, [record(1, 0), record(2, 0), record(3, 0)]);
}

#[test]
fn an_entry_that_does_not_fit_is_refused_and_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.remember(&[record(1, 0)]).unwrap();
    journal.forget(&[Hash([1; 32])]).unwrap();
    let too_many: Vec<Record> = (0..200_000).map(|round| record(2, round)).collect();
    assert!(journal.remember(&too_many).is_err());
    journal.remember(&[record(3, 0)]).unwrap();
    drop(journal);
    assert_eq!(FileJournal::open(&path).unwrap().recall().unwrap(), [record(3, 0)]);
}
