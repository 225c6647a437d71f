//! What happens in a simulation, in the order of virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use althing_network::Lane;
use althing_types::EndpointId;
use bytes::Bytes;

use crate::scenario::Kind;

/// A question of one node to another.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// For decided blocks.
    Blocks(Bytes),
    /// For a file.
    File(althing_types::BlobRef),
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A frame arrives.
    Frame { to: usize, from: EndpointId, lane: Lane, payload: Bytes },
    /// A block is built, and this goes out.
    Send { node: usize, life: u32, lane: Lane, payload: Bytes },
    /// A question arrives; `number` is the asker's.
    Question { to: usize, from: usize, life: u32, number: u64, question: Question },
    /// An answer arrives, or the asker has waited long enough.
    Answer { to: usize, life: u32, number: u64, body: Option<Bytes> },
    /// The consensus engine is woken.
    Alarm { node: usize, life: u32, alarm: u64 },
    /// The worker hears of something that it asked for.
    Work { node: usize, life: u32, input: Box<althing_work::Input> },
    /// The worker's batch is written.
    Keep { node: usize, life: u32 },
    /// The worker's observations are written.
    Note { node: usize, life: u32 },
    /// Something happens outside.
    Outside,
    /// This occurrence is seen.
    Happens(usize),
    /// A program tells its node of an occurrence.
    Told { node: usize, occurrence: usize },
    /// The words of a committee have waited long enough for the others'.
    Look { node: usize, life: u32 },
    /// A file is asked for again.
    Fetch { node: usize, life: u32, number: u64 },
    /// Time passes for a node.
    Tick { node: usize, life: u32 },
    /// A user looks at its transaction, or does something new.
    User(usize),
    /// Something goes wrong.
    Fault(Kind),
    /// A node starts.
    Start(usize),
    /// All faults end.
    Heal,
}

#[derive(Debug)]
struct Entry {
    at_us: u64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.sequence).cmp(&(self.at_us, self.sequence))
    }
}

/// What is to happen.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at_us: u64, event: Event) {
        self.sequence += 1;
        self.heap.push(Entry { at_us, sequence: self.sequence, event });
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|entry| (entry.at_us, entry.event))
    }
}
