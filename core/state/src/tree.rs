//! A compact sparse Merkle tree: one root over all keys and values, in memory.
//!
//! ```text
//!          inner                 a key's hash is its path, first bit first: 0 left, 1 right
//!         /     \
//!      inner    leaf 1…          a leaf sits at the shallowest depth where it is alone
//!      /   \
//!  leaf 00…  leaf 01…
//! ```
//!
//! - Shapes: `leaf = keccak(0x00 ‖ key hash ‖ value hash)`, `inner = keccak(0x01 ‖ left ‖ right)`,
//!   an empty subtree is 32 zero bytes. About 270 bytes of memory a key.
//! - Invariants: no inner node has two empty children, or one empty child and a leaf: so equal
//!   contents have equal trees. Nodes are never changed while shared: a clone is a snapshot.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::{fmt, mem};

use althing_types::{Hash, keccak};

use crate::Proof;

/// The place of a key in the tree.
#[must_use]
pub fn key_hash(key: &[u8]) -> Hash {
    keccak(&[key])
}

/// What the tree holds of a value.
#[must_use]
pub fn value_hash(value: &[u8]) -> Hash {
    keccak(&[value])
}

/// An authenticated map from key hashes to value hashes.
///
/// `Clone` takes constant time and gives a snapshot: later updates of either leave the other as it is.
#[derive(Clone, Default)]
pub struct Tree {
    top: Node,
}

#[derive(Clone, Default)]
pub(crate) enum Node {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

pub(crate) struct Leaf {
    pub(crate) key: Hash,
    pub(crate) value: Hash,
    hash: Hash,
}

#[derive(Clone)]
pub(crate) struct Inner {
    hash: Hash,
    len: usize,
    pub(crate) left: Node,
    pub(crate) right: Node,
}

impl Tree {
    /// The root; zero for the empty tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.top.hash()
    }

    /// How many keys it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.top.len()
    }

    /// True without keys.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self.top, Node::Empty)
    }

    /// The hash of a key's value, with which a value read from a store is verified.
    #[must_use]
    pub fn value_hash(&self, key: &[u8]) -> Option<Hash> {
        let key = key_hash(key);
        let mut node = &self.top;
        for depth in 0.. {
            match node {
                Node::Empty => return None,
                Node::Leaf(leaf) => return (leaf.key == key).then_some(leaf.value),
                Node::Inner(inner) => node = inner.child(bit(&key, depth)),
            }
        }
        None
    }

    /// Sets and deletes (`None`) values by the hashes of their keys, in one pass.
    ///
    /// # Panics
    ///
    /// If the key hashes are not strictly ascending: the root would be wrong without a sign of it.
    pub fn update(&mut self, changes: &[(Hash, Option<Hash>)]) {
        assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "changes must ascend by key hash");
        self.top.update(0, changes);
    }

    /// Applies writes as an overlay collects them; hashes keys and values itself.
    pub fn update_writes(&mut self, writes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) {
        let hashed = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            (key_hash(key), value.as_deref().map(value_hash))
        };
        let mut changes: Vec<_> = writes.iter().map(hashed).collect();
        changes.sort_unstable_by_key(|change| change.0);
        self.update(&changes);
    }

    /// The tree of these (key hash, value hash).
    ///
    /// # Panics
    ///
    /// If the key hashes are not strictly ascending.
    #[must_use]
    pub fn from_leaves(sorted: &[(Hash, Hash)]) -> Self {
        assert!(sorted.is_sorted_by(|a, b| a.0 < b.0), "leaves must ascend by key hash");
        Self { top: Node::build(0, sorted) }
    }

    /// One tree out of two that were built apart: `left` of key hashes whose first bit is 0, `right`
    /// of those whose first bit is 1. `None` if they are not such halves.
    #[must_use]
    pub fn join(left: Self, right: Self) -> Option<Self> {
        let (left, right) = (left.top.into_half(false)?, right.top.into_half(true)?);
        Some(Self { top: Node::inner(left, right) })
    }

    /// The halves from which [`join`](Self::join) makes this tree again, to be updated in parallel.
    #[must_use]
    pub fn split(self) -> (Self, Self) {
        let (left, right) = match self.top {
            Node::Empty => (Node::Empty, Node::Empty),
            Node::Leaf(leaf) if bit(&leaf.key, 0) => (Node::Empty, Node::Leaf(leaf)),
            Node::Leaf(leaf) => (Node::Leaf(leaf), Node::Empty),
            Node::Inner(inner) => {
                let Inner { left, right, hash: _, len: _ } = Arc::unwrap_or_clone(inner);
                (left, right)
            }
        };
        let half = |left, right| Self { top: Node::inner(left, right) };
        (half(left, Node::Empty), half(Node::Empty, right))
    }

    /// Proves the presence or the absence of a key.
    #[must_use]
    pub fn prove(&self, key: &[u8]) -> Proof {
        Proof::collect(&self.top, &key_hash(key))
    }
}

impl Node {
    pub(crate) fn hash(&self) -> Hash {
        match self {
            Self::Empty => Hash::ZERO,
            Self::Leaf(leaf) => leaf.hash,
            Self::Inner(inner) => inner.hash,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Leaf(_) => 1,
            Self::Inner(inner) => inner.len,
        }
    }

    fn leaf(key: Hash, value: Hash) -> Self {
        Self::Leaf(Arc::new(Leaf { key, value, hash: leaf_hash(&key, &value) }))
    }

    /// The node over two subtrees: an empty subtree or a single leaf moves up.
    fn inner(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (Self::Empty, Self::Leaf(leaf)) | (Self::Leaf(leaf), Self::Empty) => Self::Leaf(leaf),
            (left, right) => {
                let len = left.len().saturating_add(right.len());
                let hash = inner_hash(&left.hash(), &right.hash());
                Self::Inner(Arc::new(Inner { hash, len, left, right }))
            }
        }
    }

    /// Terminates because distinct hashes part at some depth below 256.
    fn build(depth: usize, leaves: &[(Hash, Hash)]) -> Self {
        match leaves {
            [] => Self::Empty,
            [(key, value)] => Self::leaf(*key, *value),
            several => {
                let (zeros, ones) = split_at_bit(several, depth);
                let below = depth.saturating_add(1);
                Self::inner(Self::build(below, zeros), Self::build(below, ones))
            }
        }
    }

    /// Applies changes that all belong under this node; false if none of them changed anything.
    fn update(&mut self, depth: usize, changes: &[(Hash, Option<Hash>)]) -> bool {
        if changes.is_empty() {
            return false;
        }
        if let Self::Inner(shared) = self {
            let inner = Arc::make_mut(shared);
            if !inner.update(depth, changes) {
                return false;
            }
            if !inner.is_proper() {
                let (left, right) = (mem::take(&mut inner.left), mem::take(&mut inner.right));
                *self = Self::inner(left, right);
            } else {
                inner.rehash();
            }
            return true;
        }
        let before = self.hash();
        *self = mem::take(self).grow(depth, changes);
        self.hash() != before
    }

    /// [`update`](Self::update) of a node that is empty or a leaf.
    fn grow(self, depth: usize, changes: &[(Hash, Option<Hash>)]) -> Self {
        let (mut left, mut right) = (Self::Empty, Self::Empty);
        match self {
            Self::Leaf(leaf) => {
                if changes.binary_search_by(|change| change.0.cmp(&leaf.key)).is_err() {
                    let side = if bit(&leaf.key, depth) { &mut right } else { &mut left };
                    *side = Self::Leaf(leaf);
                } else if let [(_, Some(value))] = changes {
                    return Self::leaf(leaf.key, *value);
                }
            }
            Self::Empty => {
                if let [(key, value)] = changes {
                    return value.map_or(Self::Empty, |value| Self::leaf(*key, value));
                }
            }
            Self::Inner(inner) => {
                left = inner.left.clone();
                right = inner.right.clone();
            }
        }
        let (zeros, ones) = split_at_bit(changes, depth);
        let below = depth.saturating_add(1);
        left.update(below, zeros);
        right.update(below, ones);
        Self::inner(left, right)
    }

    /// The subtree at depth one of a tree all of whose keys begin with this bit.
    fn into_half(self, first: bool) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Leaf(leaf) => (bit(&leaf.key, 0) == first).then_some(Self::Leaf(leaf)),
            Self::Inner(inner) => {
                let (half, other) = (inner.child(first), inner.child(!first));
                matches!(other, Self::Empty).then(|| half.clone())
            }
        }
    }
}

impl Inner {
    pub(crate) const fn child(&self, one: bool) -> &Node {
        if one { &self.right } else { &self.left }
    }

    fn update(&mut self, depth: usize, changes: &[(Hash, Option<Hash>)]) -> bool {
        let (zeros, ones) = split_at_bit(changes, depth);
        let below = depth.saturating_add(1);
        let left = self.left.update(below, zeros);
        let right = self.right.update(below, ones);
        left || right
    }

    /// False if this node must give way to what is left of its children.
    const fn is_proper(&self) -> bool {
        match (&self.left, &self.right) {
            (Node::Empty, Node::Empty | Node::Leaf(_)) | (Node::Leaf(_), Node::Empty) => false,
            (Node::Empty | Node::Leaf(_) | Node::Inner(_), _) => true,
        }
    }

    fn rehash(&mut self) {
        self.len = self.left.len().saturating_add(self.right.len());
        self.hash = inner_hash(&self.left.hash(), &self.right.hash());
    }
}

pub(crate) fn leaf_hash(key: &Hash, value: &Hash) -> Hash {
    keccak(&[&[0], &key.0, &value.0])
}

pub(crate) fn inner_hash(left: &Hash, right: &Hash) -> Hash {
    keccak(&[&[1], &left.0, &right.0])
}

/// The bit of a hash that decides at a depth; false from depth 256 on.
pub(crate) fn bit(hash: &Hash, depth: usize) -> bool {
    const MASKS: [u8; 8] = [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01];
    match (hash.0.get(depth / 8), MASKS.get(depth % 8)) {
        (Some(byte), Some(mask)) => byte & mask != 0,
        (None | Some(_), _) => false,
    }
}

type Halves<'a, T> = (&'a [(Hash, T)], &'a [(Hash, T)]);

/// Sorted entries with a common prefix of `depth` bits: those that go on with 0, those with 1.
fn split_at_bit<T>(sorted: &[(Hash, T)], depth: usize) -> Halves<'_, T> {
    sorted.split_at(sorted.partition_point(|entry| !bit(&entry.0, depth)))
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("root", &self.root()).field("len", &self.len()).finish()
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Tree {}
