use althing_types::BlobRef;
use althing_work::observing::{Place as InLine, REFUSED_MAX};

use super::*;

fn observe(number: u8) -> (Observe, Vec<u8>) {
    let data = format!("{{\"n\":{number}}}").into_bytes();
    let observe = Observe {
        service: Hash([1; 32]),
        event: "cart_item_added".parse().unwrap(),
        id: Hash([number; 32]),
        keys: Vec::new(),
        data: BlobRef::of(&data),
        measured: Vec::new(),
    };
    (observe, data)
}

struct Place {
    folder: tempfile::TempDir,
    blobs: Arc<BlobStore>,
}

impl Place {
    fn new(blob_bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobStore::open(&folder.path().join("blobs"), blob_bytes_max).unwrap();
        Self { folder, blobs: Arc::new(blobs) }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("observations.log")
    }

    fn start(&self) -> (Arc<Observatory>, mpsc::Receiver<Operation>) {
        let observatory = Observatory::start(&self.journal(), self.blobs.clone()).unwrap();
        let observatory = Arc::new(observatory);
        let (requests, submitted) = mpsc::channel(PENDING_MAX);
        tokio::spawn(observatory.clone().submit(requests));
        (observatory, submitted)
    }
}

async fn next(submitted: &mut mpsc::Receiver<Operation>) -> Observe {
    match submitted.recv().await {
        Some(Operation::Observe(observe)) => observe,
        other => panic!("not an observation: {other:?}"),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_submitted_after_a_crash_and_once_decided_never_again() {
    let place = Place::new(1_000);
    let (first, data) = observe(1);
    let (observatory, mut submitted) = place.start();
    let accepted = observatory.accept(first.clone(), data.clone()).await.unwrap();
    assert!(!accepted.duplicate);
    assert_eq!(next(&mut submitted).await, first);
    assert_eq!(place.blobs.get_of(&[], &first.data.hash).unwrap(), Some(data.clone()));

    // A second life, from the journal as it is on the disk at this moment.
    let (again, mut resubmitted) = place.start();
    assert_eq!(next(&mut resubmitted).await, first);
    assert!(again.accept(first.clone(), data.clone()).await.unwrap().duplicate);
    let duplicate = Rejection::DuplicateObservation { event: accepted.event };
    again.fates(vec![(first.clone(), Fate::Rejected(duplicate))]);
    let (second, more) = observe(2);
    again.accept(second.clone(), more).await.unwrap();

    let (third, _) = place.start();
    assert!(!third.has(&occurrence(&first)));
    assert!(third.has(&occurrence(&second)));
}

#[tokio::test]
async fn data_that_the_power_took_from_the_blobs_comes_from_the_journal() {
    let place = Place::new(1 << 20);
    let (observatory, mut submitted) = place.start();
    let (first, data) = observe(1);
    let (second, ended) = observe(2);
    let mut long = observe(3);
    long.1 = vec![b'3'; WITH_DATA_BYTES_MAX + 1];
    long.0.data = BlobRef::of(&long.1);
    observatory.accept(first.clone(), data.clone()).await.unwrap();
    observatory.accept(second.clone(), ended.clone()).await.unwrap();
    observatory.accept(long.0.clone(), long.1.clone()).await.unwrap();
    next(&mut submitted).await;
    observatory.fates(vec![(second.clone(), Fate::Done)]);
    let bytes = fs::read(place.journal()).unwrap();
    let holds = |data: &[u8]| bytes.windows(data.len()).any(|window| window == data);
    assert!(holds(&data) && holds(&ended) && !holds(&long.1), "long data lasts where it is");

    // Another life, on a disk without the blobs.
    let bare = Place::new(1 << 20);
    fs::write(bare.journal(), bytes).unwrap();
    let (_again, _resubmitted) = bare.start();
    for (observe, data) in [(first, data), (second, ended)] {
        assert_eq!(bare.blobs.get_of(&[], &observe.data.hash).unwrap(), Some(data));
    }
}

#[tokio::test]
async fn a_lost_observation_is_submitted_again_until_it_is_committed() {
    let place = Place::new(1_000);
    let (observatory, mut submitted) = place.start();
    let (first, data) = observe(1);
    observatory.accept(first.clone(), data).await.unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut submitted).await, first);
        observatory.fates(vec![(first.clone(), Fate::Lost)]);
    }
    assert_eq!(next(&mut submitted).await, first);
    observatory.fates(vec![(first.clone(), Fate::Done)]);
    assert!(!observatory.has(&occurrence(&first)));
}

#[tokio::test]
async fn one_occurrence_posted_by_many_at_once_is_in_line_once() {
    let place = Place::new(1_000);
    let (observatory, mut submitted) = place.start();
    let posts: Vec<_> = (0..32)
        .map(|_| {
            let observatory = observatory.clone();
            tokio::spawn(async move {
                let (observe, data) = observe(1);
                observatory.accept(observe, data).await.unwrap().duplicate
            })
        })
        .collect();
    let mut fresh = 0;
    for post in posts {
        fresh += usize::from(!post.await.unwrap());
    }
    assert_eq!(fresh, 1);
    next(&mut submitted).await;
    assert!(submitted.try_recv().is_err());
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_acknowledged_and_not_in_line() {
    let place = Place::new(3);
    let (observatory, mut submitted) = place.start();
    let (first, data) = observe(1);
    let refused = observatory.accept(first.clone(), data).await;
    assert!(matches!(refused, Err(NotAccepted::NotStored(_))), "{refused:?}");
    assert!(!observatory.has(&occurrence(&first)));
    assert!(submitted.try_recv().is_err());
}

#[tokio::test]
async fn a_full_line_says_so() {
    let place = Place::new(1 << 20);
    let observatory = Observatory::start(&place.journal(), place.blobs.clone()).unwrap();
    {
        let mut line = lock(&observatory.line);
        for number in 0..PENDING_MAX {
            let mut key = Hash::ZERO;
            key.0[..8].copy_from_slice(&number.to_be_bytes());
            assert!(matches!(line.accept(key, oneshot::channel().0), InLine::Write));
        }
    }
    let (first, data) = observe(1);
    assert!(matches!(observatory.accept(first, data).await, Err(NotAccepted::Full)));
}

#[tokio::test]
async fn the_journal_is_rewritten_when_most_of_it_has_ended() {
    let place = Place::new(1 << 20);
    let (mut journal, _) = Journal::open(&place.journal()).unwrap();
    let ended: Vec<Entry> = (0..=GARBAGE_MAX).map(|_| Entry::Ended(Hash::ZERO)).collect();
    journal.append(&ended, true).unwrap();
    let large = fs::metadata(place.journal()).unwrap().len();
    let (observatory, mut submitted) = place.start();
    let (first, data) = observe(1);
    observatory.accept(first.clone(), data).await.unwrap();
    next(&mut submitted).await;
    drop(observatory);
    while fs::metadata(place.journal()).unwrap().len() >= large {
        tokio::task::yield_now().await;
    }
    let (_, found) = Journal::open(&place.journal()).unwrap();
    assert_eq!(found.pending.into_values().collect::<Vec<_>>(), [first]);
}

#[tokio::test]
async fn what_the_ledger_refuses_is_told_for_a_while_and_counted() {
    let place = Place::new(1_000);
    let (observatory, mut submitted) = place.start();
    let (first, data) = observe(1);
    let event = observatory.accept(first.clone(), data).await.unwrap().event;
    next(&mut submitted).await;
    assert_eq!((observatory.refused(&event), observatory.refusals()), (None, 0));
    let late = Rejection::LateObservation { event };
    observatory.fates(vec![(first.clone(), Fate::Rejected(late))]);
    assert_eq!((observatory.refused(&event), observatory.refusals()), (Some(late), 1));
    assert!(!observatory.has(&event));
    // A repetition is no news.
    let duplicate = Rejection::DuplicateObservation { event };
    observatory.fates(vec![(first.clone(), Fate::Rejected(duplicate))]);
    assert_eq!(observatory.refusals(), 1);
    // After a start it is told as well: the next acknowledgement has brought it to the disk.
    let (second, more) = observe(2);
    observatory.accept(second, more).await.unwrap();
    let (again, _) = place.start();
    assert_eq!((again.refused(&event), again.has(&event)), (Some(late), false));
    for number in 0..REFUSED_MAX {
        let mut other = first.clone();
        other.id.0[..8].copy_from_slice(&number.to_be_bytes());
        observatory.fates(vec![(other, Fate::Rejected(Rejection::NotAnEmitter))]);
    }
    assert_eq!(observatory.refused(&event), None, "the oldest is forgotten first");
}
