//! Writes that are not applied yet, on top of a state that does not change.
//!
//! Every key written has a slot; what a slot held before is kept in a journal, by slot number, so
//! that undoing neither searches nor copies a key.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::ops::Bound;

use crate::{Entry, Fault, View};

/// Most entries asked of the base at once while merging a range.
const BATCH_MAX: usize = 1024;

/// `None`: no write stands (it was rolled back). `Some(None)`: deleted.
type Slot = Option<Option<Vec<u8>>>;

/// Writes on top of a base view, which can be undone back to a [`Savepoint`].
pub struct Overlay<V: View> {
    base: V,
    keys: BTreeMap<Vec<u8>, usize>,
    slots: Vec<Slot>,
    /// Slots before each write, oldest first.
    journal: Vec<(usize, Slot)>,
}

/// A moment to which an [`Overlay`] can be rolled back.
///
/// Savepoints nest: rolling back to one forgets those taken after it, and one that is not needed
/// any more is simply dropped.
#[derive(Debug)]
#[must_use = "a savepoint does nothing until it is rolled back to"]
pub struct Savepoint {
    journal: usize,
}

impl<V: View> Overlay<V> {
    /// Nothing written yet.
    pub const fn new(base: V) -> Self {
        Self { base, keys: BTreeMap::new(), slots: Vec::new(), journal: Vec::new() }
    }

    /// Sets the value of a key.
    pub fn write(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.put(key, Some(value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.put(key, None);
    }

    /// Marks the present moment.
    pub const fn savepoint(&mut self) -> Savepoint {
        Savepoint { journal: self.journal.len() }
    }

    /// Undoes every write since the savepoint was taken.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        let Savepoint { journal } = savepoint;
        while self.journal.len() > journal {
            let Some((number, before)) = self.journal.pop() else { return };
            if let Some(slot) = self.slots.get_mut(number) {
                *slot = before;
            }
        }
    }

    /// The writes that stand, by ascending key; `None` deletes.
    pub fn writes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.keys.iter().filter_map(|(key, number)| {
            let write = self.slots.get(*number)?.as_ref()?;
            Some((key.as_slice(), write.as_deref()))
        })
    }

    /// The writes that stand, `None` deletes. Those that were rolled back are not among them.
    #[must_use]
    pub fn into_writes(mut self) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let slots = &mut self.slots;
        let standing =
            |(key, number): (Vec<u8>, usize)| Some((key, slots.get_mut(number)?.take()?));
        self.keys.into_iter().filter_map(standing).collect()
    }

    /// The view under the writes.
    pub const fn base(&self) -> &V {
        &self.base
    }

    fn put(&mut self, key: Vec<u8>, write: Option<Vec<u8>>) {
        let number = *self.keys.entry(key).or_insert_with(|| {
            self.slots.push(None);
            self.slots.len().saturating_sub(1)
        });
        let slot = self.slots.get_mut(number).expect("every key's slot was pushed with the key");
        let before = slot.replace(write);
        self.journal.push((number, before));
    }

    fn standing(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.slots.get(*self.keys.get(key)?)?.as_ref()
    }
}

impl<V: View> View for Overlay<V> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.standing(key) {
            Some(write) => Ok(write.clone()),
            None => self.base.read(key),
        }
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let mut writes = self
            .keys
            .range::<[u8], _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(key, number)| Some((key, self.slots.get(*number)?.as_ref()?)))
            .peekable();
        if writes.peek().is_none() {
            return self.base.range(prefix, after, limit);
        }
        let mut base = Base {
            view: &self.base,
            prefix,
            after: after.map(<[u8]>::to_vec),
            batch: limit.clamp(1, BATCH_MAX),
            buffer: vec![].into_iter().peekable(),
            done: false,
        };
        let mut entries = Vec::new();
        while entries.len() < limit {
            let order = match (writes.peek(), base.peek()?) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((written, _)), Some((stored, _))) => written.as_slice().cmp(stored),
            };
            if order.is_gt() {
                entries.extend(base.buffer.next());
                continue;
            }
            if order.is_eq() {
                base.buffer.next();
            }
            if let Some((key, Some(value))) = writes.next() {
                entries.push((key.clone(), value.clone()));
            }
        }
        Ok(entries)
    }
}

/// Reads a range of the base in batches that double, so that a run of deleted keys costs few calls.
struct Base<'a, V: View> {
    view: &'a V,
    prefix: &'a [u8],
    after: Option<Vec<u8>>,
    batch: usize,
    buffer: core::iter::Peekable<vec::IntoIter<Entry>>,
    done: bool,
}

impl<V: View> Base<'_, V> {
    fn peek(&mut self) -> Result<Option<&Entry>, Fault> {
        if self.buffer.peek().is_none() && !self.done {
            let entries = self.view.range(self.prefix, self.after.as_deref(), self.batch)?;
            self.done = entries.len() < self.batch;
            self.after = entries.last().map(|(key, _)| key.clone());
            self.batch = self.batch.saturating_mul(2).min(BATCH_MAX);
            self.buffer = entries.into_iter().peekable();
        }
        Ok(self.buffer.peek())
    }
}

impl<V: View> fmt::Debug for Overlay<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
