//! The overlay against a plain map.

use std::cell::Cell;
use std::collections::BTreeMap;

use althing_state::{Entry, Fault, MemoryState, Overlay, View};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Savepoint,
    Rollback,
    Keep,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(0_u8..3, 0..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (key(), vec(any::<u8>(), 0..3)).prop_map(|(key, value)| Step::Write(key, value)),
        3 => key().prop_map(Step::Delete),
        2 => Just(Step::Savepoint),
        2 => Just(Step::Rollback),
        1 => Just(Step::Keep),
    ]
}

fn model_range(
    model: &BTreeMap<Vec<u8>, Vec<u8>>,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Vec<Entry> {
    let matching = model.iter().filter(|(key, _)| {
        key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after)
    });
    matching.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #[test]
    fn an_overlay_reads_like_a_map_and_a_rollback_is_as_if_never_written(
        base in proptest::collection::btree_map(key(), vec(any::<u8>(), 0..3), 0..30),
        steps in vec(step(), 0..60),
        prefix in key(),
        after in proptest::option::of(key()),
        limit in 0_usize..12,
    ) {
        let mut state = MemoryState::default();
        state.apply(&base.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect());
        let mut overlay = Overlay::new(&state);
        let mut model = base;
        let mut savepoints = vec![];
        for step in steps {
            match step {
                Step::Write(key, value) => {
                    overlay.write(key.clone(), value.clone());
                    model.insert(key, value);
                }
                Step::Delete(key) => {
                    overlay.delete(key.clone());
                    model.remove(&key);
                }
                Step::Savepoint => savepoints.push((overlay.savepoint(), model.clone())),
                Step::Rollback => {
                    if let Some((savepoint, before)) = savepoints.pop() {
                        overlay.rollback(savepoint);
                        model = before;
                    }
                }
                Step::Keep => drop(savepoints.pop()),
            }
            let after = after.as_deref();
            let expected = model_range(&model, &prefix, after, limit);
            prop_assert_eq!(overlay.range(&prefix, after, limit).unwrap(), expected.clone());
            prop_assert_eq!(state_after(&state, &overlay).range(&prefix, after, limit).unwrap(), expected);
            prop_assert_eq!(overlay.read(&prefix).unwrap(), model.get(&prefix).cloned());
        }
        let expected: BTreeMap<_, _> =
            overlay.writes().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
        let writes = overlay.into_writes();
        prop_assert_eq!(&writes, &expected);
        state.apply(&writes);
        prop_assert_eq!(state.entries(), &model);
    }
}

fn state_after(state: &MemoryState, overlay: &Overlay<&MemoryState>) -> MemoryState {
    let writes = overlay.writes().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
    let mut state = state.clone();
    state.apply(&writes.collect());
    state
}

#[test]
fn what_was_rolled_back_is_not_among_the_writes() {
    let mut overlay = Overlay::new(MemoryState::default());
    overlay.write(b"a".to_vec(), b"1".to_vec());
    let savepoint = overlay.savepoint();
    overlay.write(b"a".to_vec(), b"2".to_vec());
    overlay.write(b"b".to_vec(), b"3".to_vec());
    overlay.delete(b"c".to_vec());
    overlay.rollback(savepoint);
    assert_eq!(overlay.into_writes(), BTreeMap::from([(b"a".to_vec(), Some(b"1".to_vec()))]));
}

#[test]
fn overlays_stack() {
    let mut lower = Overlay::new(MemoryState::default());
    lower.write(b"a".to_vec(), b"1".to_vec());
    lower.write(b"b".to_vec(), b"2".to_vec());
    let mut upper = Overlay::new(&lower);
    upper.delete(b"a".to_vec());
    assert_eq!(upper.range(b"", None, 9).unwrap(), [(b"b".to_vec(), b"2".to_vec())]);
    assert_eq!(lower.read(b"a").unwrap().unwrap(), b"1");
}

/// Counts the calls that reach it.
struct Counting<'a>(&'a MemoryState, Cell<usize>);

impl View for Counting<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.read(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        self.1.set(self.1.get() + 1);
        self.0.range(prefix, after, limit)
    }
}

#[test]
fn a_long_run_of_deleted_keys_costs_few_reads_of_the_base() {
    let keys = || (0_u32..5000).map(|n| n.to_be_bytes().to_vec());
    let mut state = MemoryState::default();
    state.apply(&keys().map(|key| (key, Some(vec![1]))).collect());
    let mut overlay = Overlay::new(Counting(&state, Cell::new(0)));
    keys().take(4999).for_each(|key| overlay.delete(key));
    assert_eq!(overlay.range(b"", None, 1).unwrap().len(), 1);
    assert!(overlay.base().1.get() < 20, "{} reads", overlay.base().1.get());
}

#[test]
fn a_fault_of_the_base_comes_through() {
    struct Broken;
    impl View for Broken {
        fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
            Err(Fault { what: "broken", key: key.to_vec() })
        }
        fn range(&self, prefix: &[u8], _: Option<&[u8]>, _: usize) -> Result<Vec<Entry>, Fault> {
            Err(Fault { what: "broken", key: prefix.to_vec() })
        }
    }
    let mut overlay = Overlay::new(Broken);
    overlay.write(b"a".to_vec(), vec![]);
    assert!(overlay.read(b"a").unwrap().is_some());
    assert_eq!(overlay.read(b"b").unwrap_err().key, b"b");
    assert!(overlay.range(b"", None, 2).is_err());
}
