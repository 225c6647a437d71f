//! A made-up chain: what each height writes follows from its number alone, so that a store can be
//! compared with what it should hold.

use std::collections::BTreeMap;

use althing_replica::store::{Archive, Commit, Decided, Store, StoreError, StoredProposal, Tip};
use althing_state::MemoryState;
use althing_types::{Hash, Height, keccak};

type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(crate) fn block(height: u64) -> Vec<u8> {
    let length = 100 + usize::try_from(height * 977 % 3000).unwrap_or(0);
    keccak(&[b"block", &height.to_be_bytes()]).0.iter().copied().cycle().take(length).collect()
}

pub(crate) fn certificate(height: u64) -> Vec<u8> {
    keccak(&[b"certificate", &height.to_be_bytes()]).0.to_vec()
}

pub(crate) fn proposal(height: u64) -> StoredProposal {
    StoredProposal { height: Height(height), id: keccak(&[&block(height)]), block: block(height) }
}

/// Ten keys a height out of a hundred; every seventh write deletes.
pub(crate) fn writes(height: u64) -> Writes {
    let key = |n: u64| [&b"key/"[..], &keccak(&[&(n % 100).to_be_bytes()]).0[..8]].concat();
    let write = |n: u64| (!n.is_multiple_of(7)).then(|| keccak(&[&n.to_be_bytes()]).0.repeat(3));
    (height * 10..height * 10 + 10).map(|n| (key(n * 37), write(n))).collect()
}

pub(crate) fn archive(height: u64) -> Vec<(Archive, Hash, Vec<u8>)> {
    let id = keccak(&[b"id", &height.to_be_bytes()]);
    vec![(Archive::Transaction, id, vec![1; 30]), (Archive::Execution, id, vec![2; 40])]
}

pub(crate) fn state(height: u64) -> MemoryState {
    let mut state = MemoryState::default();
    (0..=height).for_each(|height| state.apply(&writes(height)));
    state
}

pub(crate) fn tip(height: u64) -> Tip {
    let block = keccak(&[&block(height)]);
    Tip { height: Height(height), block, state_root: state(height).root() }
}

pub(crate) fn commit(store: &impl Store, height: u64) -> Result<(), StoreError> {
    let (block, certificate) = (block(height), certificate(height));
    let (writes, archive) = (writes(height), archive(height));
    let (tip, block, certificate) = (tip(height), block.as_slice(), certificate.as_slice());
    store.commit(Commit { tip, block, certificate, writes: &writes, archive: &archive })
}

/// Reads all of a store, and asserts that it holds exactly the chain up to a height.
pub(crate) fn assert_holds(store: &impl Store, height: u64) -> Result<(), StoreError> {
    assert_holds_except(store, height, false)
}

/// With `hidden`, records of the archive may be missing, as rot can hide them.
pub(crate) fn assert_holds_except(
    store: &impl Store,
    height: u64,
    hidden: bool,
) -> Result<(), StoreError> {
    assert_eq!(store.tip()?, Some(tip(height)));
    let state = state(height);
    let expected: Vec<_> = state.entries().clone().into_iter().collect();
    assert_eq!(store.range(b"", None, usize::MAX)?, expected);
    for (key, value) in &expected {
        assert_eq!(store.read(key)?.as_ref(), Some(value));
    }
    assert_eq!(store.read(b"never written")?, None);
    for h in 1..=height {
        let expected = Decided { block: block(h), certificate: certificate(h) };
        assert_eq!(store.decided(Height(h))?, Some(expected));
        for (kind, id, record) in archive(h) {
            let found = store.archived(kind, &id)?;
            assert!(found == Some(record) || (hidden && found.is_none()));
        }
    }
    assert_eq!(store.decided(Height(0))?, None);
    assert_eq!(store.decided(Height(height + 1))?, None);
    assert_eq!(store.archived(Archive::Transaction, &Hash([7; 32]))?, None);
    Ok(())
}
