//! A committed state that can be read while later blocks are committed.
//!
//! The store keeps the latest values only. So every commit first notes, in memory, what the keys
//! that it writes held before; a view walks these notes forward from its own moment:
//!
//! ```text
//!   view of height 5 ──► moment 5 ──► moment 6 {k: old} ──► moment 7 {…}   (latest)
//!                                        read k: the store has 7's value, the note of 6 has 5's
//! ```
//!
//! - Errors: [`Fault`] if a value is not the one that was written (its hash is in the tree).
//! - Invariants: a note is linked before its values change in the store, and a reader looks at the
//!   store first and at the notes after: so a view never mixes two heights, and never waits.
//!   A moment lives as long as a view of it or of an earlier one: hold a view for one request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use althing_state::{Entry, Fault, Overlay, Proof, Tree, View, value_hash};
use althing_types::Hash;

use crate::store::Store;

/// What keys held before a commit; `None` for nothing.
pub(crate) type Undo = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// One committed height, as a link of the list of notes.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    /// What the keys that this height wrote held before.
    undo: Undo,
    next: OnceLock<Arc<Self>>,
}

impl Moment {
    /// What `key` held at this moment, if a later one has written it.
    fn overwritten(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        let mut moment = self.next.get();
        while let Some(later) = moment {
            if let Some(value) = later.undo.get(key) {
                return Some(value.clone());
            }
            moment = later.next.get();
        }
        None
    }

    /// As [`overwritten`](Self::overwritten) for all keys with a prefix; the number of notes seen.
    fn all_overwritten(&self, prefix: &[u8]) -> (Undo, usize) {
        let (mut values, mut seen) = (Undo::new(), 0);
        let mut moment = self.next.get();
        while let Some(later) = moment {
            let matching = later.undo.range(prefix.to_vec()..);
            for (key, value) in matching.take_while(|(key, _)| key.starts_with(prefix)) {
                values.entry(key.clone()).or_insert_with(|| value.clone());
            }
            seen += 1;
            moment = later.next.get();
        }
        (values, seen)
    }

    fn notes(&self) -> usize {
        std::iter::successors(self.next.get(), |moment| moment.next.get()).count()
    }
}

impl Drop for Moment {
    /// One after the other: a list that a view held for long would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(moment) = next {
            next = Arc::into_inner(moment).and_then(|mut moment| moment.next.take());
        }
    }
}

/// The state at one committed height. Cheap to clone; reads are verified against the state's tree.
#[derive(Clone)]
pub struct CommittedView {
    store: Arc<dyn Store>,
    tree: Tree,
    moment: Arc<Moment>,
}

impl CommittedView {
    pub(crate) fn new(store: Arc<dyn Store>, tree: Tree) -> Self {
        Self { store, tree, moment: Arc::default() }
    }

    /// The state's root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The authenticated tree over the state.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Proves the presence or the absence of a key under [`root`](Self::root).
    #[must_use]
    pub fn prove(&self, key: &[u8]) -> Proof {
        self.tree.prove(key)
    }

    /// The view of the height that is about to be written to the store. This view stays right from
    /// now on, whether the write succeeds or not. `None` if an earlier write was announced: it
    /// failed, and what the store holds is not known.
    pub(crate) fn succeed(&self, tree: Tree, undo: Undo) -> Option<Self> {
        let moment = Arc::new(Moment { undo, next: OnceLock::new() });
        self.moment.next.set(Arc::clone(&moment)).ok()?;
        Some(Self { store: Arc::clone(&self.store), tree, moment })
    }

    fn verify(&self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        if self.tree.value_hash(key) == Some(value_hash(value)) {
            return Ok(());
        }
        Err(Fault { what: "a stored value is not the one that was written", key: key.to_vec() })
    }
}

impl View for CommittedView {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if self.tree.value_hash(key).is_none() {
            return Ok(None);
        }
        let stored = stored(self.store.read(key), key)?;
        let value = self.moment.overwritten(key).unwrap_or(stored);
        let gone = || Fault { what: "a stored value has vanished", key: key.to_vec() };
        let value = value.ok_or_else(gone)?;
        self.verify(key, &value)?;
        Ok(Some(value))
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        loop {
            let (overwritten, notes) = self.moment.all_overwritten(prefix);
            let mut overlay = Overlay::new(Stored(&*self.store));
            for (key, value) in overwritten {
                match value {
                    Some(value) => overlay.write(key, value),
                    None => overlay.delete(key),
                }
            }
            let entries = overlay.range(prefix, after, limit)?;
            // No commit began while the store was read: what it gave is what the notes correct.
            if self.moment.notes() == notes {
                entries.iter().try_for_each(|(key, value)| self.verify(key, value))?;
                return Ok(entries);
            }
        }
    }
}

impl fmt::Debug for CommittedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommittedView").field("tree", &self.tree).finish_non_exhaustive()
    }
}

/// The latest values, unverified.
struct Stored<'a>(&'a dyn Store);

fn stored<T>(read: Result<T, crate::store::StoreError>, key: &[u8]) -> Result<T, Fault> {
    read.map_err(|_| Fault { what: "the store cannot be read", key: key.to_vec() })
}

impl View for Stored<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        stored(self.0.read(key), key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        stored(self.0.range(prefix, after, limit), prefix)
    }
}

/// A view that reads each key once: a block touches the same accounts again and again.
///
/// Bounded by the block: it dies with the block's execution.
pub(crate) struct ReadOnce<'a> {
    view: &'a CommittedView,
    values: RefCell<Undo>,
}

impl<'a> ReadOnce<'a> {
    pub(crate) const fn new(view: &'a CommittedView) -> Self {
        Self { view, values: RefCell::new(Undo::new()) }
    }

    /// What the keys of these writes hold before them.
    pub(crate) fn undo(&self, writes: &Undo) -> Result<Undo, Fault> {
        writes.keys().map(|key| Ok((key.clone(), View::read(self, key)?))).collect()
    }
}

impl View for ReadOnce<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(value) = self.values.borrow().get(key) {
            return Ok(value.clone());
        }
        let value = self.view.read(key)?;
        self.values.borrow_mut().insert(key.to_vec(), value.clone());
        Ok(value)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        self.view.range(prefix, after, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[test]
    fn a_view_that_outlived_many_heights_can_be_dropped() {
        let first = CommittedView::new(Arc::new(MemoryStore::new()), Tree::default());
        let mut last = first.clone();
        for _ in 0..200_000 {
            last = last.succeed(Tree::default(), Undo::new()).expect("each has one successor");
        }
        assert_eq!(first.moment.notes(), 200_000);
        drop(last);
        // One frame of the stack for each height would be more than a thread has.
        drop(first);
    }

    #[test]
    fn a_height_has_one_successor() {
        let view = CommittedView::new(Arc::new(MemoryStore::new()), Tree::default());
        assert!(view.succeed(Tree::default(), Undo::new()).is_some());
        assert!(view.succeed(Tree::default(), Undo::new()).is_none());
    }
}
