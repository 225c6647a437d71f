//! Lists against the definition of RFC 6962, and their proofs against every change of a bit.

use althing_state::merkle::{ListProof, Range, list_proof, list_root};
use althing_types::{Hash, canonical, keccak};

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| keccak(&[&n.to_be_bytes()])).collect()
}

/// RFC 6962 §2.1, word for word: split at the largest power of two smaller than n.
fn top_by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::ZERO,
        [leaf] => keccak(&[&[0], &leaf.0]),
        several => {
            let k = 1_usize << (several.len() - 1).ilog2();
            let (left, right) = several.split_at(k);
            keccak(&[&[1], &top_by_definition(left).0, &top_by_definition(right).0])
        }
    }
}

#[test]
fn a_list_has_the_shape_of_rfc_6962_and_its_root_covers_the_count() {
    for count in 0..70 {
        let leaves = leaves(count);
        let top = top_by_definition(&leaves);
        assert_eq!(list_root(&leaves), keccak(&[&[2], &count.to_be_bytes(), &top.0]), "{count}");
    }
}

#[test]
fn a_range_grows_to_the_root_and_proofs_of_the_list() {
    let all = leaves(70);
    let mut range = Range::default();
    for (count, leaf) in all.iter().enumerate() {
        let leaves = &all[..count];
        assert_eq!(range.root(), list_root(leaves));
        assert_eq!(range.count(), count as u64);
        assert_eq!(range.peaks().len(), count.count_ones() as usize);
        let bytes = canonical::encode(&range);
        assert_eq!(canonical::decode::<Range>(&bytes, 4096, "range").unwrap(), range);
        for index in 0..=count {
            let proof = Range::prove(leaves.iter().copied(), index as u64);
            assert_eq!(proof, list_proof(leaves, index));
            assert_eq!(proof.is_none(), index == count);
        }
        range.append(*leaf);
    }
}

#[test]
fn every_place_of_a_list_is_proven_and_no_other_leaf_or_place_passes() {
    for count in 1..34 {
        let leaves = leaves(count);
        let root = list_root(&leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = list_proof(&leaves, index).unwrap();
            assert!(proof.verify(&root, &leaf.0));
            assert!(!proof.verify(&root, b"another leaf"));
            assert!(!proof.verify(&Hash::ZERO, &leaf.0));
            for other in 0..count + 40 {
                let moved = ListProof { index: other, ..proof.clone() };
                assert_eq!(moved.verify(&root, &leaf.0), other == index as u64);
                let resized = ListProof { count: other, ..proof.clone() };
                assert_eq!(resized.verify(&root, &leaf.0), other == count);
            }
        }
    }
}

#[test]
fn a_list_proof_fails_after_any_one_bit_flip() {
    for count in [1_u64, 2, 7, 13] {
        let leaves = leaves(count);
        let root = list_root(&leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let bytes = canonical::encode(&list_proof(&leaves, index).unwrap());
            let mut decoded = 0;
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                if let Ok(proof) = canonical::decode::<ListProof>(&changed, 10_000, "list proof") {
                    decoded += 1;
                    assert!(!proof.verify(&root, &leaf.0), "{count} {index} bit {bit}");
                }
            }
            assert!(decoded >= 128, "index and count can be changed and decoded");
        }
    }
}

#[test]
fn an_inner_node_does_not_pass_for_a_leaf() {
    let leaves = leaves(4);
    let hash = |leaf: &Hash| keccak(&[&[0], &leaf.0]);
    let inner = [hash(&leaves[0]).0, hash(&leaves[1]).0].concat();
    let right = keccak(&[&[1], &hash(&leaves[2]).0, &hash(&leaves[3]).0]);
    let forged = ListProof { index: 0, count: 2, siblings: vec![right] };
    assert!(!forged.verify(&list_root(&leaves), &inner));
    let forged = ListProof { index: 0, count: 4, siblings: vec![right] };
    assert!(!forged.verify(&list_root(&leaves), &inner));
}

#[test]
fn a_range_whose_peaks_are_missing_is_not_decoded() {
    let mut bytes = canonical::encode(&7_u64);
    bytes.extend([1; 64]);
    assert!(canonical::decode::<Range>(&bytes, 4096, "range").is_err());
    bytes.extend([1; 32]);
    assert_eq!(canonical::decode::<Range>(&bytes, 4096, "range").unwrap().count(), 7);
}
