//! The tree against a map, and its proofs against every change of a bit.

use std::collections::BTreeMap;

use althing_state::{MemoryState, Proof, Snapshot, Tree, View as _, key_hash, value_hash};
use althing_types::{Hash, Height, canonical, keccak};
use proptest::collection::vec;
use proptest::prelude::*;

type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Few keys, so that histories overwrite and delete what they wrote.
fn key() -> impl Strategy<Value = Vec<u8>> {
    (0_u8..40).prop_map(|n| vec![b'k', n])
}

fn writes() -> impl Strategy<Value = Writes> {
    proptest::collection::btree_map(key(), proptest::option::of(vec(any::<u8>(), 0..4)), 0..20)
}

fn leaves(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<(Hash, Hash)> {
    let mut leaves: Vec<_> = entries.iter().map(|(k, v)| (key_hash(k), value_hash(v))).collect();
    leaves.sort();
    leaves
}

/// The definition, without the tree's code.
fn root_by_definition(depth: usize, leaves: &[(Hash, Hash)]) -> Hash {
    match leaves {
        [] => Hash::ZERO,
        [(key, value)] => keccak(&[&[0], &key.0, &value.0]),
        several => {
            let ones = |leaf: &&(Hash, Hash)| leaf.0.0[depth / 8] >> (7 - depth % 8) & 1 == 1;
            let right: Vec<_> = several.iter().filter(ones).copied().collect();
            let left: Vec<_> = several.iter().filter(|leaf| !ones(leaf)).copied().collect();
            let [left, right] = [left, right].map(|half| root_by_definition(depth + 1, &half));
            keccak(&[&[1], &left.0, &right.0])
        }
    }
}

fn numbered(count: u32) -> MemoryState {
    let entry = |n: u32| (n.to_be_bytes().to_vec(), Some(n.to_le_bytes().to_vec()));
    let mut state = MemoryState::default();
    state.apply(&(0..count).map(entry).collect());
    state
}

proptest! {
    #[test]
    fn equal_contents_have_equal_roots_however_they_were_reached(history in vec(writes(), 0..12)) {
        let mut state = MemoryState::default();
        let mut model = BTreeMap::new();
        for writes in &history {
            state.apply(writes);
            for (key, value) in writes {
                match value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(key),
                };
            }
            prop_assert_eq!(state.entries(), &model);
            prop_assert_eq!(state.tree().len(), model.len());
            prop_assert_eq!(state.root(), Tree::from_leaves(&leaves(&model)).root());
            prop_assert_eq!(state.root(), root_by_definition(0, &leaves(&model)));
        }
        let mut one_by_one = Tree::default();
        for (key, value) in leaves(&model).into_iter().rev() {
            one_by_one.update(&[(key, Some(value))]);
        }
        prop_assert_eq!(one_by_one.root(), state.root());
        for key in model.keys() {
            one_by_one.update(&[(key_hash(key), None)]);
        }
        prop_assert_eq!(one_by_one.root(), Hash::ZERO);
        prop_assert!(one_by_one.is_empty());
    }

    #[test]
    fn a_clone_is_a_snapshot(history in vec(writes(), 1..8)) {
        let mut state = MemoryState::default();
        let mut clones = vec![];
        for writes in &history {
            clones.push((state.tree().clone(), state.root(), leaves(state.entries())));
            state.apply(writes);
        }
        for (tree, root, leaves) in clones {
            prop_assert_eq!(tree.root(), root);
            prop_assert_eq!(Tree::from_leaves(&leaves).root(), root);
        }
    }

    #[test]
    fn halves_join_to_the_tree_that_was_split(history in vec(writes(), 0..4), changes in writes()) {
        let mut state = MemoryState::default();
        history.iter().for_each(|writes| state.apply(writes));
        let (mut left, mut right) = state.tree().clone().split();
        prop_assert_eq!(left.len() + right.len(), state.tree().len());
        state.apply(&changes);
        for (key, value) in &changes {
            let hash = key_hash(key);
            let half = if hash.0[0] < 0x80 { &mut left } else { &mut right };
            half.update(&[(hash, value.as_deref().map(value_hash))]);
        }
        let misfit = !left.is_empty() && !right.is_empty();
        prop_assert_eq!(Tree::join(right.clone(), left.clone()).is_none(), misfit || !state.tree().is_empty());
        prop_assert_eq!(Tree::join(left, right).unwrap().root(), state.root());
    }

    #[test]
    fn every_key_has_a_proof_of_what_it_is_and_of_nothing_else(history in vec(writes(), 0..4), absent in key()) {
        let mut state = MemoryState::default();
        history.iter().for_each(|writes| state.apply(writes));
        let root = state.root();
        let keys = state.entries().keys().cloned().chain([absent, b"never written".to_vec()]);
        for key in keys {
            let value = state.read(&key).unwrap();
            let proof = state.tree().prove(&key);
            prop_assert!(proof.verify(&root, &key, value.as_deref()));
            prop_assert!(!proof.verify(&root, &key, Some(b"something else")));
            prop_assert!(!proof.verify(&value_hash(b"another root"), &key, value.as_deref()));
            if value.is_some() {
                prop_assert!(!proof.verify(&root, &key, None));
            }
            prop_assert_eq!(state.tree().value_hash(&key), value.as_deref().map(value_hash));
            let bytes = canonical::encode(&proof);
            prop_assert_eq!(canonical::decode::<Proof>(&bytes, bytes.len(), "proof").unwrap(), proof);
        }
    }

    #[test]
    fn bytes_from_outside_never_panic_and_decode_to_what_they_encode(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(proof) = canonical::decode::<Proof>(&bytes, 10_000, "proof") {
            prop_assert_eq!(canonical::encode(&proof), bytes);
            prop_assert!(!proof.verify(&Hash::ZERO, b"key", Some(b"value")));
        }
    }
}

/// Returns how many changed proofs could still be decoded.
fn assert_fails_after_any_bit_flip(state: &MemoryState, key: &[u8]) -> usize {
    let (root, value) = (state.root(), state.read(key).expect("memory does not fail"));
    let bytes = canonical::encode(&state.tree().prove(key));
    let mut decoded = 0;
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(proof) = canonical::decode::<Proof>(&changed, 10_000, "proof") {
            decoded += 1;
            assert!(!proof.verify(&root, key, value.as_deref()), "bit {bit}");
        }
    }
    decoded
}

#[test]
fn a_proof_fails_after_any_one_bit_flip() {
    let state = numbered(60);
    for n in 0_u32..120 {
        assert!(assert_fails_after_any_bit_flip(&state, &n.to_be_bytes()) > 32, "few were decoded");
    }
}

#[test]
fn a_value_a_key_and_a_root_are_bound_to_every_bit() {
    let state = numbered(60);
    let (key, value) = (7_u32.to_be_bytes(), 7_u32.to_le_bytes());
    let proof = state.tree().prove(&key);
    assert!(proof.verify(&state.root(), &key, Some(&value)));
    for bit in 0..32 {
        let (mut key, mut value) = (key, value);
        value[bit / 8] ^= 1 << (bit % 8);
        assert!(!proof.verify(&state.root(), &key, Some(&value)));
        key[bit / 8] ^= 1 << (bit % 8);
        assert!(!proof.verify(&state.root(), &key, Some(&7_u32.to_le_bytes())));
    }
    for bit in 0..256 {
        let mut root = state.root();
        root.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!proof.verify(&root, &key, Some(&value)));
    }
}

#[test]
fn the_empty_tree_proves_absence_and_a_single_leaf_both() {
    let empty = Tree::default();
    assert!(empty.prove(b"a").verify(&Hash::ZERO, b"a", None));
    let mut one = Tree::default();
    one.update(&[(key_hash(b"a"), Some(value_hash(b"1")))]);
    assert!(one.prove(b"a").verify(&one.root(), b"a", Some(b"1")));
    assert!(one.prove(b"b").verify(&one.root(), b"b", None));
    assert!(!one.prove(b"b").verify(&one.root(), b"a", None), "the leaf is the key's own");
    assert!(!empty.prove(b"a").verify(&one.root(), b"a", None));
}

#[test]
fn keys_whose_hashes_part_at_the_last_bit_are_told_apart_and_proven() {
    let mut hashes = [Hash([0xab; 32]), Hash([0xab; 32])];
    hashes[0].0[31] = 0xaa;
    let value = value_hash(b"v");
    let both = Tree::from_leaves(&[(hashes[0], value), (hashes[1], value)]);
    assert_eq!(both.len(), 2);
    let mut built = Tree::default();
    built.update(&[(hashes[1], Some(value))]);
    let single = built.root();
    built.update(&[(hashes[0], Some(value))]);
    assert_eq!(built.root(), both.root());
    built.update(&[(hashes[0], None)]);
    assert_eq!(built.root(), single, "the other leaf moves up all 256 levels");
    assert!(both.prove(b"absent").verify(&both.root(), b"absent", None));
}

#[test]
#[should_panic(expected = "ascend")]
fn unsorted_changes_are_a_bug_of_the_caller() {
    Tree::default().update(&[(Hash([2; 32]), None), (Hash([1; 32]), None)]);
}

#[test]
fn deleting_what_was_never_there_changes_nothing() {
    let mut state = numbered(10);
    let root = state.root();
    state.apply(&BTreeMap::from([(b"absent".to_vec(), None), (b"also absent".to_vec(), None)]));
    assert_eq!(state.root(), root);
}

#[test]
fn a_snapshot_is_imported_under_its_own_root_only() {
    let mut state = numbered(3000);
    let snapshot = Snapshot::export(&state, state.tree(), Height(5)).unwrap();
    assert_eq!(snapshot.entries().len(), 3000);
    state.apply(&BTreeMap::from([(7_u32.to_be_bytes().to_vec(), None)]));
    let (root, entries) = (snapshot.root(), snapshot.entries().to_vec());
    assert_ne!(root, state.root(), "the snapshot outlives a later commit");
    assert_eq!(snapshot.read(&7_u32.to_be_bytes()).unwrap().unwrap(), 7_u32.to_le_bytes());

    let imported = Snapshot::import(Height(5), &root, entries.clone()).unwrap();
    assert_eq!(imported, snapshot);
    let [from, last] = [5_u32, 8].map(u32::to_be_bytes);
    assert_eq!(imported.range(&[0, 0, 0], Some(&from), 3).unwrap().last().unwrap().0, last);

    assert!(Snapshot::import(Height(5), &state.root(), entries.clone()).is_err());
    let mut changed = entries.clone();
    changed[1234].1[0] ^= 1;
    assert!(Snapshot::import(Height(5), &root, changed).is_err());
    let mut swapped = entries;
    swapped.swap(3, 4);
    assert!(Snapshot::import(Height(5), &root, swapped).is_err());
}

#[test]
fn a_view_that_differs_from_its_tree_is_a_fault() {
    let (smaller, larger) = (numbered(9), numbered(10));
    assert!(Snapshot::export(&smaller, larger.tree(), Height(1)).is_err());
    assert!(Snapshot::export(&larger, smaller.tree(), Height(1)).is_err());
}
