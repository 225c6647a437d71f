//! A queue that never waits for its reader.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// A queue limited in bytes that drops its oldest entries: a slow or dead reader costs a fixed
/// amount of memory, and catches up by sync.
#[derive(Debug)]
pub struct Outbox<T = Bytes> {
    bytes_max: usize,
    queue: Mutex<Queue<T>>,
    added: Notify,
}

#[derive(Debug)]
struct Queue<T> {
    entries: VecDeque<(usize, T)>,
    bytes: usize,
}

/// What each entry costs beside its payload, so that empty ones are bounded too.
const ENTRY_BYTES: usize = 64;

impl<T> Outbox<T> {
    /// An empty queue of at most `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let queue = Mutex::new(Queue { entries: VecDeque::new(), bytes: 0 });
        Self { bytes_max, queue, added: Notify::new() }
    }

    /// Adds an entry of this many bytes and returns how many old ones had to go for it.
    ///
    /// The newest entry stays, whatever its size.
    pub fn push(&self, bytes: usize, entry: T) -> usize {
        let mut dropped = 0;
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = bytes.saturating_add(ENTRY_BYTES);
            queue.bytes = queue.bytes.saturating_add(bytes);
            queue.entries.push_back((bytes, entry));
            while queue.bytes > self.bytes_max && queue.entries.len() > 1 {
                let oldest = queue.entries.pop_front().map_or(0, |(bytes, _)| bytes);
                queue.bytes = queue.bytes.saturating_sub(oldest);
                dropped += 1;
            }
        }
        self.added.notify_one();
        dropped
    }

    /// Takes everything, oldest first; empty if there is nothing.
    pub fn try_take_all(&self) -> Vec<T> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.bytes = 0;
        queue.entries.drain(..).map(|(_, entry)| entry).collect()
    }

    /// Takes everything, oldest first; waits until there is something. For one reader.
    ///
    /// Cancelling it loses nothing.
    pub async fn take_all(&self) -> Vec<T> {
        loop {
            let added = self.added.notified();
            let taken = self.try_take_all();
            if !taken.is_empty() {
                return taken;
            }
            added.await;
        }
    }

    /// Drops everything.
    pub fn clear(&self) {
        drop(self.try_take_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_outbox_drops_its_oldest_entries() {
        let outbox = Outbox::new(2 * (ENTRY_BYTES + 4));
        let dropped: usize = (0..4u8).map(|number| outbox.push(4, number)).sum();
        assert_eq!(dropped, 2);
        assert_eq!(outbox.take_all().await, [2, 3]);
    }

    #[tokio::test]
    async fn entries_without_bytes_are_bounded_too() {
        let outbox = Outbox::new(10 * ENTRY_BYTES);
        for number in 0..1000 {
            outbox.push(0, number);
        }
        assert_eq!(outbox.take_all().await.len(), 10);
    }

    #[tokio::test]
    async fn the_newest_entry_stays_even_if_it_is_larger_than_the_queue() {
        let outbox = Outbox::new(1);
        outbox.push(100, "old");
        outbox.push(100, "new");
        assert_eq!(outbox.take_all().await, ["new"]);
    }
}
