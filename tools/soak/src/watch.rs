//! Somebody who looks at the chain all the time: how high it is, and when it stood still.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use althing_api::client::Client;

use crate::network::pause;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Blocks since the watch began.
    pub blocks: u64,
    /// The longest time without a block.
    pub longest_gap: Duration,
    /// How long was watched.
    pub time: Duration,
}

#[derive(Debug)]
struct Progress {
    begun: Instant,
    first: Option<u64>,
    last: u64,
    moved: Instant,
    longest_gap: Duration,
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch, each node in a thread of its own: one that hangs hides nothing.
    #[must_use]
    pub fn begin(clients: Vec<Client>) -> Self {
        let now = Instant::now();
        let (first, last, longest_gap) = (None, 0, Duration::ZERO);
        let progress = Progress { begun: now, first, last, moved: now, longest_gap };
        let progress = Arc::new(Mutex::new(progress));
        let stop = Arc::new(AtomicBool::new(false));
        let look = |client: Client| {
            let (stop, progress) = (stop.clone(), progress.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(status) = client.status() {
                        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
                        progress.saw(status.height, Instant::now());
                    }
                    pause(LOOK);
                }
            })
        };
        let threads = clients.into_iter().map(look).collect();
        Self { stop, progress, threads }
    }

    /// Ends the watch.
    #[must_use]
    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().ok(); // what it has seen is in `progress`
        }
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = progress.last;
        progress.saw(last, now);
        Seen {
            blocks: last.saturating_sub(progress.first.unwrap_or(last)),
            longest_gap: progress.longest_gap,
            time: now.duration_since(progress.begun),
        }
    }
}

impl Progress {
    fn saw(&mut self, height: u64, now: Instant) {
        self.first.get_or_insert(height);
        self.longest_gap = self.longest_gap.max(now.duration_since(self.moved));
        if height > self.last {
            (self.last, self.moved) = (height, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_between_two_heights_or_after_the_last() {
        let begun = Instant::now();
        let mut progress =
            Progress { begun, first: None, last: 0, moved: begun, longest_gap: Duration::ZERO };
        let at = |ms| begun + Duration::from_millis(ms);
        for (ms, height) in [(10, 5), (20, 6), (500, 6), (700, 7), (800, 3)] {
            progress.saw(height, at(ms));
        }
        assert_eq!(progress.longest_gap, Duration::from_millis(680));
        assert_eq!((progress.first, progress.last), (Some(5), 7));
        progress.saw(7, at(2_000));
        assert_eq!(progress.longest_gap, Duration::from_millis(1_300));
    }
}
