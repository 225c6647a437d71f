//! The tree against a map: whatever the order and the batches, and whatever came and went meanwhile.

use std::collections::BTreeMap;

use althing_state::{MemoryState, Proof, View as _};
use althing_types::{canonical, keccak};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// One write on the way to a map: a key that stays, or one that will be gone.
#[derive(Clone, Debug)]
enum Step {
    Keep(Vec<u8>, Vec<u8>),
    /// Written, to be deleted or overwritten later.
    Passing(Vec<u8>, Vec<u8>),
}

fn map() -> impl Strategy<Value = Map> {
    btree_map(vec(any::<u8>(), 0..6), vec(any::<u8>(), 0..40), 0..120)
}

/// The writes of a map and of what passes, in an order that follows from a seed.
fn steps(map: &Map, passing: &Map, seed: u64) -> Vec<Step> {
    let keep = map.iter().map(|(key, value)| Step::Keep(key.clone(), value.clone()));
    let pass = passing.iter().map(|(key, value)| Step::Passing(key.clone(), value.clone()));
    let mut steps: Vec<Step> = pass.chain(keep).collect();
    steps.sort_by_key(|step| {
        let (key, first) = match step {
            Step::Keep(key, _) => (key, 1),
            Step::Passing(key, _) => (key, 0),
        };
        // What passes through a key of the map comes before what stays there.
        let place = keccak(&[&seed.to_be_bytes(), key]);
        (place, first)
    });
    steps
}

/// Applies the steps in batches of these sizes, and at the end deletes what only passed.
fn apply(steps: &[Step], map: &Map, sizes: &[usize]) -> MemoryState {
    let mut state = MemoryState::default();
    let (mut left, mut sizes) = (steps, sizes.iter().cycle());
    while !left.is_empty() {
        let size = sizes.next().copied().unwrap_or(1).clamp(1, left.len());
        let (now, later) = left.split_at(size);
        let write = |step: &Step| match step {
            Step::Keep(key, value) | Step::Passing(key, value) => {
                (key.clone(), Some(value.clone()))
            }
        };
        state.apply(&now.iter().map(write).collect());
        left = later;
    }
    let gone = |step: &Step| match step {
        Step::Passing(key, _) if !map.contains_key(key) => Some((key.clone(), None)),
        Step::Passing(..) | Step::Keep(..) => None,
    };
    state.apply(&steps.iter().filter_map(gone).collect());
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_map_has_one_root_and_one_proof_of_each_key_however_it_came_about(
        map in map(),
        passing in map(),
        seeds in any::<[u64; 2]>(),
        sizes in [vec(1_usize..20, 1..5), vec(1_usize..300, 1..3)],
    ) {
        let [one, other] = [0, 1].map(|n| apply(&steps(&map, &passing, seeds[n]), &map, &sizes[n]));
        prop_assert_eq!(one.entries(), &map);
        prop_assert_eq!(other.entries(), &map);
        prop_assert_eq!(one.root(), other.root());
        prop_assert_eq!(one.tree().len(), map.len());
        for key in map.keys().chain(passing.keys()) {
            let proof = one.tree().prove(key);
            prop_assert_eq!(&proof, &other.tree().prove(key));
            let value = map.get(key).map(Vec::as_slice);
            prop_assert!(proof.verify(&one.root(), key, value));
            prop_assert!(value.is_none() || !proof.verify(&one.root(), key, None));
        }
    }

    #[test]
    fn a_proof_with_any_bytes_changed_proves_nothing(
        map in map(),
        key in vec(any::<u8>(), 0..6),
        changes in vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
    ) {
        let mut state = MemoryState::default();
        state.apply(&map.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect());
        for key in map.keys().take(20).chain([&key]) {
            let value = state.read(key).unwrap();
            let genuine = state.tree().prove(key);
            let mut bytes = canonical::encode(&genuine);
            for (place, change) in &changes {
                let place = place.index(bytes.len());
                bytes[place] ^= change;
            }
            if let Ok(proof) = canonical::decode::<Proof>(&bytes, 10_000, "proof") {
                // Two changes of one place may undo each other.
                let same = proof == genuine;
                prop_assert_eq!(proof.verify(&state.root(), key, value.as_deref()), same);
                prop_assert!(!proof.verify(&state.root(), key, Some(b"something else entirely, and long!!!!!!!!!!!!")));
            }
        }
    }
}
