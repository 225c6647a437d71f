//! Proofs: whoever verifies one trusts nothing in it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::LazyLock;

use althing_keys::Secp256k1;
use althing_light::{Receipt, StateProof, verify, verify_state};
use althing_replica::receipt_file::{render, verify_file};
use althing_state::merkle::{ListProof, Range, list_proof as prove_place, list_root};
use althing_state::{MemoryState, Proof, View as _};
use althing_types::{Hash, canonical, keccak};

/// Largest proof that is tried, in bytes.
const PROOF_BYTES_MAX: usize = 1 << 20;

/// Sixty keys whose proofs are known.
static STATE: LazyLock<MemoryState> = LazyLock::new(|| {
    let entry = |n: u32| (n.to_be_bytes().to_vec(), Some(n.to_le_bytes().to_vec()));
    let writes: BTreeMap<_, _> = (0..60).map(entry).collect();
    let mut state = MemoryState::default();
    state.apply(&writes);
    state
});

/// Thirteen leaves whose places are known.
static LEAVES: LazyLock<Vec<Hash>> =
    LazyLock::new(|| (0..13_u64).map(|n| keccak(&[&n.to_be_bytes()])).collect());

/// A proof that a key has a value or none: under a root there is one of each key, and no other.
pub(super) fn merkle_proof(bytes: &[u8]) {
    let Ok(proof) = canonical::decode::<Proof>(bytes, PROOF_BYTES_MAX, "proof") else { return };
    assert_eq!(canonical::encode(&proof), bytes);
    let root = STATE.root();
    for key in (0..64_u32).step_by(7).map(u32::to_be_bytes) {
        let value = STATE.read(&key).expect("memory can be read");
        if proof.verify(&root, &key, value.as_deref()) {
            assert_eq!(proof, STATE.tree().prove(&key), "a second proof of one key");
        }
        assert!(!proof.verify(&root, &key, Some(b"another value")), "a false value was proven");
        assert!(value.is_none() || !proof.verify(&root, &key, None), "a key was denied");
    }
}

/// A proof of a place in a list.
pub(super) fn list_proof(bytes: &[u8]) {
    let decoded = canonical::decode::<ListProof>(bytes, PROOF_BYTES_MAX, "list proof");
    let Ok(proof) = decoded else { return };
    assert_eq!(canonical::encode(&proof), bytes);
    let root = list_root(&LEAVES);
    for (index, leaf) in LEAVES.iter().enumerate() {
        if proof.verify(&root, &leaf.0) {
            assert_eq!(Some(&proof), prove_place(&LEAVES, index).as_ref(), "a second proof");
        }
    }
    assert!(!proof.verify(&root, b"no leaf"), "a false leaf was proven");
}

/// The peaks of a growing list.
pub(super) fn header_range(bytes: &[u8]) {
    let Ok(mut range) = canonical::decode::<Range>(bytes, PROOF_BYTES_MAX, "range") else { return };
    assert_eq!(canonical::encode(&range), bytes);
    black_box(range.root());
    if range.count() < u64::MAX {
        range.append(Hash::ZERO);
        black_box(range.root());
    }
}

/// A receipt that proves itself, under the genesis that it brings along: so that everything in it is
/// looked at.
pub(super) fn receipt(bytes: &[u8]) {
    let Ok(receipt) = Receipt::decode(bytes) else { return };
    assert_eq!(receipt.encode(), bytes);
    let trusted = receipt.trail.genesis.hash();
    if verify(&receipt, &trusted, &Secp256k1).is_ok() {
        let text = render(&receipt).expect("what verifies can be shown");
        let again = verify_file(&text, &trusted, &Secp256k1);
        again.expect("a file of a receipt that verifies does too");
    }
    assert!(verify(&receipt, &Hash::ZERO, &Secp256k1).is_err());
}

/// A receipt as a file, for people.
pub(super) fn receipt_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(verify_file(text, &Hash::ZERO, &Secp256k1).is_err(), "nobody trusts this genesis");
}

/// A proof of what a key held after a block.
pub(super) fn state_proof(bytes: &[u8]) {
    let Ok(proof) = StateProof::decode(bytes) else { return };
    assert_eq!(proof.encode(), bytes);
    drop(black_box(verify_state(&proof, &proof.trail.genesis.hash(), &Secp256k1)));
    assert!(verify_state(&proof, &Hash::ZERO, &Secp256k1).is_err());
}
