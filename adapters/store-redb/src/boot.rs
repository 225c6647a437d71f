//! The state tree out of the stored values, on all cores.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::{panic, thread};

use althing_replica::store::StoreError;
use althing_state::{Tree, key_hash, value_hash};
use althing_types::Hash;
use redb::ReadOnlyTable;

use crate::error::failed;
use crate::{RedbStore, record};

/// Entries that a thread takes at once: long enough that the threads seldom wait for each other.
const BATCH: usize = 256;
/// Most threads that read: one reads about four times as fast as one hashes.
const THREADS_MAX: usize = 4;

type StateTable = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Leaves = Vec<(Hash, Hash)>;

impl RedbStore {
    /// The tree of the committed state, computed from the values: its root is to be compared with the
    /// tip's. Faster than [`leaves`](althing_replica::store::Store::leaves), for its halves are built on two threads.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the node must stop.
    pub fn boot_tree(&self) -> Result<Tree, StoreError> {
        self.view("reading the whole state", |committed| {
            let [left, right] = sorted_halves(&committed.state, |half| Tree::from_leaves(&half))?;
            Ok(Tree::join(left, right).expect("the leaves were divided by their first bit"))
        })
    }
}

/// All leaves, ascending.
pub(crate) fn leaves(state: &StateTable) -> Result<Leaves, StoreError> {
    let [mut left, right] = sorted_halves(state, |half| half)?;
    left.extend(right);
    Ok(left)
}

/// Reads and hashes all entries, then sorts and finishes each half of the leaves on its own thread.
fn sorted_halves<T: Send>(
    state: &StateTable,
    finish: impl Fn(Leaves) -> T + Sync,
) -> Result<[T; 2], StoreError> {
    let range =
        state.range::<&[u8]>(..).map_err(|error| failed("reading the state", error.into()))?;
    let range = Mutex::new(range);
    let read = || -> Result<[Leaves; 2], StoreError> {
        let [mut left, mut right] = [Leaves::new(), Leaves::new()];
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.extend(range.lock().unwrap_or_else(PoisonError::into_inner).by_ref().take(BATCH));
            if batch.is_empty() {
                return Ok([left, right]);
            }
            for entry in batch.drain(..) {
                let (key, sealed) =
                    entry.map_err(|error| failed("reading the state", error.into()))?;
                let value = record::unseal(&[key.value()], sealed.value())?;
                let leaf = (key_hash(key.value()), value_hash(value));
                (if leaf.0.0[0] < 0x80 { &mut left } else { &mut right }).push(leaf);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let parts: Vec<[Leaves; 2]> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
        let mine = read();
        let others = others
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|p| panic::resume_unwind(p)));
        std::iter::once(mine).chain(others).collect::<Result<_, _>>()
    })?;
    let (mut left, mut right): (Vec<Leaves>, Vec<Leaves>) = (vec![], vec![]);
    for [zeros, ones] in parts {
        left.push(zeros);
        right.push(ones);
    }
    let sorted = |parts: Vec<Leaves>| {
        let mut half = parts.concat();
        half.sort_unstable_by_key(|leaf| leaf.0);
        finish(half)
    };
    Ok(thread::scope(|scope| {
        let left = scope.spawn(|| sorted(left));
        let right = sorted(right);
        [left.join().unwrap_or_else(|p| panic::resume_unwind(p)), right]
    }))
}
