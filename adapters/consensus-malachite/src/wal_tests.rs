//! What the log keeps, loses and refuses; and every crash that a flush can meet.

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    /// Where a sync costs nothing, if the system has such a place.
    fn in_memory() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }
    fn path(&self) -> PathBuf {
        self.0.path().join("consensus.wal")
    }
    fn open(&self) -> Log {
        Log::open(&self.path()).unwrap()
    }
    /// A log of three flushes at height 7, and where each frame begins.
    fn with_three_flushes(&self) -> [u64; 3] {
        let mut log = self.open();
        assert!(log.start(Height(7)).unwrap().is_empty());
        [b"one", b"two", b"six"].map(|entry| {
            let position = log.position;
            log.append(Height(7), entry, Said::Here);
            log.flush(true).unwrap();
            position
        })
    }
    fn spoil(&self, offset: u64) {
        let file = OpenOptions::new().read(true).write(true).open(self.path()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[!byte[0]], offset).unwrap();
    }
}

#[test]
fn what_was_flushed_is_read_back_once() {
    let folder = Folder::new();
    folder.with_three_flushes();
    let mut log = folder.open();
    let entries = log.start(Height(7)).unwrap();
    assert_eq!(entries, [b"one".to_vec(), b"two".to_vec(), b"six".to_vec()]);
    log.append(Height(7), b"ten", Said::Here);
    log.flush(true).unwrap();
    assert!(log.start(Height(8)).unwrap().is_empty());
    assert_eq!(folder.open().start(Height(7)).unwrap().len(), 4);
}

#[test]
fn what_was_not_flushed_is_gone() {
    let folder = Folder::new();
    let mut log = folder.open();
    log.start(Height(1)).unwrap();
    log.append(Height(1), b"unsaid", Said::Here);
    drop(log);
    assert!(folder.open().start(Height(1)).unwrap().is_empty());
}

#[test]
fn only_what_this_node_says_waits_for_the_disk() {
    let folder = Folder::new();
    let mut log = folder.open();
    log.start(Height(7)).unwrap();
    log.append(Height(7), b"a vote of another", Said::Elsewhere);
    log.flush(true).unwrap();
    assert_eq!((log.number, log.durable), (1, 0));
    log.append(Height(7), b"an own vote, alone", Said::Here);
    log.flush(false).unwrap();
    assert_eq!((log.number, log.durable), (2, 0));
    log.flush(true).unwrap();
    assert_eq!((log.number, log.durable), (2, 2), "seen from now on");
    log.append(Height(7), b"a vote of another", Said::Elsewhere);
    log.append(Height(7), b"an own vote", Said::Here);
    log.flush(true).unwrap();
    assert_eq!((log.number, log.durable), (3, 3), "with what led to it");
}

#[test]
fn a_torn_tail_is_cut_wherever_it_tears() {
    let folder = Folder::new();
    let [.., last] = folder.with_three_flushes();
    for byte in 0..FRAME_HEADER_BYTES as u64 + 7 {
        folder.spoil(last + byte);
        let entries = folder.open().start(Height(7)).unwrap();
        assert_eq!(entries, [b"one".to_vec(), b"two".to_vec()], "byte {byte}");
        folder.spoil(last + byte);
    }
    assert_eq!(folder.open().start(Height(7)).unwrap().len(), 3);
}

#[test]
fn a_broken_frame_before_a_whole_one_is_a_coded_error() {
    let folder = Folder::new();
    let [first, second, _] = folder.with_three_flushes();
    for offset in [first, first + 5, first + 21, second + 13, second + 30] {
        folder.spoil(offset);
        let error = folder.open().start(Height(7)).unwrap_err();
        assert_eq!(error.code(), "WAL-0002", "{error}");
        folder.spoil(offset);
    }
}

#[test]
fn stale_frames_of_earlier_heights_are_not_mistaken() {
    let folder = Folder::new();
    folder.with_three_flushes();
    let mut log = folder.open();
    assert!(log.start(Height(8)).unwrap().is_empty());
    log.append(Height(8), b"a longer entry than those before it", Said::Here);
    log.flush(true).unwrap();
    drop(log);
    assert_eq!(folder.open().start(Height(8)).unwrap().len(), 1);
    folder.spoil(HEADER_BYTES + 20);
    assert!(folder.open().start(Height(8)).unwrap().is_empty());
}

#[test]
fn a_log_ahead_of_the_state_is_a_coded_error() {
    let folder = Folder::new();
    folder.with_three_flushes();
    assert_eq!(folder.open().start(Height(6)).unwrap_err().code(), "WAL-0004");
}

#[test]
fn a_file_that_is_no_log_is_left_alone() {
    let folder = Folder::new();
    std::fs::write(folder.path(), b"dear diary").unwrap();
    assert_eq!(Log::open(&folder.path()).unwrap_err().code(), "WAL-0003");
    assert_eq!(std::fs::read(folder.path()).unwrap(), b"dear diary");
}

#[test]
fn a_reset_forgets_the_height_but_not_the_format() {
    let folder = Folder::new();
    folder.with_three_flushes();
    let mut log = folder.open();
    log.reset(Height(7)).unwrap();
    drop(log);
    assert!(folder.open().start(Height(7)).unwrap().is_empty());
}

#[test]
fn a_crash_while_the_file_is_made_is_told_from_a_foreign_file() {
    let whole = header();
    for length in 0..whole.len() {
        for zeros in [0, 1, 16 - length, 5_000] {
            let folder = Folder::new();
            let mut bytes = whole[..length].to_vec();
            bytes.resize(length + zeros, 0);
            std::fs::write(folder.path(), &bytes).unwrap();
            assert!(folder.open().start(Height(1)).unwrap().is_empty(), "{bytes:?}");
        }
    }
    let folder = Folder::new();
    let mut other = whole;
    other[9] = 7;
    std::fs::write(folder.path(), other).unwrap();
    assert_eq!(Log::open(&folder.path()).unwrap_err().code(), "WAL-0003");
}

#[test]
fn what_was_replayed_counts_as_durable_and_its_loss_as_rot() {
    let folder = Folder::new();
    let mut log = folder.open();
    log.start(Height(7)).unwrap();
    let first = log.position;
    log.append(Height(7), b"said by a process that was killed", Said::Here);
    log.flush(false).unwrap();
    drop(log);
    let mut log = folder.open();
    assert_eq!(log.start(Height(7)).unwrap().len(), 1);
    log.append(Height(7), b"said after the replay", Said::Here);
    log.flush(false).unwrap();
    drop(log);
    folder.spoil(first + 40);
    assert_eq!(folder.open().start(Height(7)).unwrap_err().code(), "WAL-0002");
}

/// Sectors are written whole or not at all; what a power loss leaves of several is any of them.
const SECTOR: usize = 512;

/// A log whose file is watched, so that what a crash can leave of it is known.
struct Watched {
    folder: Folder,
    log: Log,
    /// The file at the last sync, and what was written since: where, and which bytes.
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
    /// All entries of the height, and how many of them survive.
    said: Vec<Vec<u8>>,
    acknowledged: usize,
}

impl Watched {
    /// With room for a few frames: images of it are written again and again.
    fn new() -> Self {
        let folder = Folder::in_memory();
        let mut durable = header().to_vec();
        durable.resize(8 * SECTOR, 0);
        std::fs::write(folder.path(), &durable).unwrap();
        let log = folder.open();
        Self { folder, log, durable, pending: vec![], said: vec![], acknowledged: 0 }
    }

    fn start(&mut self, height: u64) {
        assert!(self.log.start(Height(height)).unwrap().is_empty());
        (self.said, self.acknowledged) = (vec![], 0);
    }

    /// Says something, and lets the power fail before it is acknowledged in every way there is.
    fn say(&mut self, entry: &[u8], sync: bool) -> u32 {
        let height = self.log.height;
        let at = usize::try_from(self.log.position).unwrap();
        self.log.append(height, entry, Said::Here);
        self.said.push(entry.to_vec());
        self.log.flush(sync).unwrap();
        let end = usize::try_from(self.log.position).unwrap();
        let now = std::fs::read(self.folder.path()).unwrap();
        self.pending.push((at, now[at..end].to_vec()));
        let mut crashes = 0;
        for image in images(&self.durable, &self.pending, true) {
            self.assert_recovers(height, &image);
            crashes += 1;
        }
        if sync {
            self.durable = now;
            self.pending.clear();
            self.acknowledged = self.said.len();
        }
        crashes
    }

    /// A restart finds a part of what was said, all that was acknowledged in any case, and goes on;
    /// also if the power fails once more while it does.
    fn assert_recovers(&self, height: Height, image: &[u8]) {
        let (mut log, found) = reopened(&self.folder, image, height);
        assert!(found.len() >= self.acknowledged, "{} of {}", found.len(), self.acknowledged);
        assert_eq!(found, self.said[..found.len()], "what was said is not what is read");
        let base = std::fs::read(self.folder.0.path().join("image")).unwrap();
        let at = usize::try_from(log.position).unwrap();
        log.append(height, b"said after the crash", Said::Here);
        log.flush(true).unwrap();
        let end = usize::try_from(log.position).unwrap();
        let now = std::fs::read(self.folder.0.path().join("image")).unwrap();
        drop(log);
        let mut all = found.clone();
        all.push(b"said after the crash".to_vec());
        for image in images(&base, &[(at, now[at..end].to_vec())], false) {
            let (_, again) = reopened(&self.folder, &image, height);
            // Nobody has seen what was torn, nor what was to take its place: either may be there.
            let torn = again.len() >= found.len() && self.said.starts_with(&again);
            assert!(torn || again == all, "{} of {}", again.len(), found.len());
        }
        assert_eq!(reopened(&self.folder, &now, height).1, all);
    }
}

/// The log of a process that starts on this file.
fn reopened(folder: &Folder, image: &[u8], height: Height) -> (Log, Vec<Vec<u8>>) {
    let path = folder.0.path().join("image");
    std::fs::write(&path, image).unwrap();
    let mut log = Log::open(&path).expect("a crash leaves a log");
    let entries = log.start(height).expect("a crash leaves nothing corrupt");
    (log, entries)
}

/// Everything that a power loss can leave of writes that were not synced: any set of their sectors;
/// and, if it is asked for, the last one torn at every eighth byte, with all before it and without.
fn images(durable: &[u8], pending: &[(usize, Vec<u8>)], torn: bool) -> Vec<Vec<u8>> {
    let mut pieces: Vec<(usize, &[u8])> = vec![];
    for (at, bytes) in pending {
        let (mut at, mut left) = (*at, bytes.as_slice());
        while !left.is_empty() {
            let (now, later) = left.split_at((SECTOR - at % SECTOR).min(left.len()));
            pieces.push((at, now));
            (at, left) = (at + now.len(), later);
        }
    }
    assert!(pieces.len() <= 12, "too many to enumerate");
    let image = |pieces: &[(usize, &[u8])]| {
        let mut image = durable.to_vec();
        for (at, bytes) in pieces {
            image[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        image
    };
    let mut images: Vec<Vec<u8>> = (0..1_u32 << pieces.len())
        .map(|set| {
            let kept = (0_u32..).zip(&pieces).filter(|(n, _)| set >> n & 1 == 1);
            image(&kept.map(|(_, piece)| *piece).collect::<Vec<_>>())
        })
        .collect();
    if let Some(((at, last), before)) = pending.split_last().filter(|_| torn) {
        let earlier: Vec<(usize, &[u8])> = before.iter().map(|(at, b)| (*at, &b[..])).collect();
        for cut in (1..last.len()).step_by(8) {
            images.push(image(&[earlier.as_slice(), &[(*at, &last[..cut])]].concat()));
            images.push(image(&[(*at, &last[..cut])]));
        }
    }
    images
}

/// Two heights, with and without a sync at each of their flushes, and the power failing at every
/// one of them: nothing that was acknowledged is lost, and nothing keeps the node from starting.
#[test]
fn a_power_loss_at_any_flush_loses_nothing_acknowledged_and_bricks_nothing() {
    let lengths = [30, 300, 500, 40, 20];
    let mut crashes = 0;
    for syncs in 0..1_u32 << lengths.len() {
        let mut watched = Watched::new();
        for (n, length) in (0_u32..).zip(lengths) {
            if n % 3 == 0 {
                watched.start(7 + u64::from(n) / 3);
            }
            let entry: Vec<u8> = (0..length).map(|byte| (byte + n).to_le_bytes()[0]).collect();
            crashes += watched.say(&entry, syncs >> n & 1 == 1);
        }
    }
    assert!(crashes > 3_000, "{crashes} crashes");
    println!("{crashes} crashes, each with others while it recovers");
}

#[test]
fn a_disk_that_takes_nothing_more_is_a_coded_error() {
    // It opens, reads as empty, and is full.
    let error = Log::open(Path::new("/dev/full")).unwrap_err();
    assert_eq!(error.code(), "WAL-0001");
    let WalError::Io { operation, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*operation, source.kind()), ("writing", io::ErrorKind::StorageFull));
}

#[test]
fn a_height_that_fills_the_log_is_a_coded_error_and_what_was_flushed_stays() {
    let folder = Folder::in_memory();
    let mut log = folder.open();
    log.start(Height(7)).unwrap();
    let entry = vec![7; 4 << 20];
    let mut flushed = 0;
    let error = loop {
        log.append(Height(7), &entry, Said::Here);
        match log.flush(false) {
            Ok(()) => flushed += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "WAL-0005");
    assert!(flushed >= 10, "{flushed}");
    drop(log);
    assert_eq!(folder.open().start(Height(7)).unwrap().len(), flushed);
}
