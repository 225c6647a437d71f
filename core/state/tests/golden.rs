//! Roots that are part of the protocol: a difference here is a fork.

use std::collections::BTreeMap;

use althing_state::merkle::{Range, list_root};
use althing_state::{MemoryState, Tree};
use althing_types::{canonical, keccak};

fn state(count: u32) -> MemoryState {
    let entry = |n: u32| (n.to_be_bytes().to_vec(), Some(format!("value {n}").into_bytes()));
    let mut state = MemoryState::default();
    state.apply(&(0..count).map(entry).collect());
    state
}

#[test]
fn state_roots_are_these() {
    assert_eq!(Tree::default().root().to_string(), format!("0x{}", "0".repeat(64)));
    assert_eq!(
        state(1).root().to_string(),
        "0x952066b9d68bb743a1a87535e6a8d412e5d9be7e9e88fbcb8c9874594510f1d4"
    );
    assert_eq!(
        state(2).root().to_string(),
        "0xd9be277294d5dca3c04f8418c50a342daea3f6db98076b670d4daf216792245e"
    );
    let mut thousand = state(1000);
    assert_eq!(
        thousand.root().to_string(),
        "0x13b4efc5d101e85639b9bece834d0be729add152ce02be01531db40f5d4912fb"
    );
    let deletions: BTreeMap<_, _> =
        (0..500_u32).map(|n| (n.to_be_bytes().to_vec(), None)).collect();
    thousand.apply(&deletions);
    assert_eq!(
        thousand.root().to_string(),
        "0x9d9ce208404df6af3805943bea1a42f3a3ccf5fb79346f49603148657fe98942"
    );
}

#[test]
fn proofs_are_these_bytes() {
    let digest = |key: u32| {
        let proof = state(100).tree().prove(&key.to_be_bytes());
        keccak(&[&canonical::encode(&proof)]).to_string()
    };
    assert_eq!(digest(42), "0xdbdd6adbd6e8b414c95fb7f3463c7e09153b9a91faadf9647b12ca5f321abee4");
    assert_eq!(digest(420), "0x52c2f6a9c3ee4b269c3a3ac522f77289180ffacf9c880eaa19362c01b99326a3");
}

#[test]
fn list_roots_are_these() {
    let leaves = |count: u8| (0..count).map(|n| vec![n; usize::from(n)]).collect::<Vec<_>>();
    assert_eq!(
        list_root::<&[u8]>(&[]).to_string(),
        "0xf28d766e14bfa9767b97ce2a50d9b632eb10ef9c4aa085943ece3a4fcd5ef287"
    );
    assert_eq!(
        list_root(&leaves(1)).to_string(),
        "0x726ec751ca3a67e821e3fbc0ae5c44719c3d03d44ead8c67aba398cea2e1c0be"
    );
    assert_eq!(
        list_root(&leaves(7)).to_string(),
        "0xdea339549b9de5943db6c0edb0f06cbc0eda4c854d4e6bb91c890bc1973121aa"
    );
    let mut range = Range::default();
    (0..11_u64).for_each(|n| range.append(keccak(&[&n.to_be_bytes()])));
    assert_eq!(
        range.root().to_string(),
        "0x04e117a7bd07c457e4da1ce4e49e6c8e7c98448e9d3ec824b72d9182503f939b"
    );
}
