//! Merkle trees over lists: a block's transactions, its receipts, the chain's headers.
//!
//! ```text
//!              root = keccak(0x02 ‖ count ‖ top)
//!                      │
//!                    inner                 shape of RFC 6962 §2.1: the left subtree is the
//!                   /     \                largest perfect one that leaves something over
//!              inner       inner
//!             /     \      /   \
//!          inner  inner   e     f          the perfect subtrees, left to right (abcd, ef), are
//!          /  \    /  \                    the peaks of a Merkle mountain range: a list that
//!         a    b  c    d                   grows keeps its peaks only, at most 64
//! ```
//!
//! - Shapes: `leaf = keccak(0x00 ‖ bytes)`, `inner = keccak(0x01 ‖ left ‖ right)`; the top of the
//!   empty list is zero. Deviation from RFC 6962: the root covers the count, so that a proof's
//!   index and count cannot be changed.
//! - Invariant: a [`Range`] has the root of [`list_root`] over the same leaves, and the same proofs.

use alloc::vec::Vec;

use althing_types::{Hash, keccak};
use borsh::io::{Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};

/// The root of a list.
#[must_use]
pub fn list_root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash {
    let mut range = Range::default();
    for leaf in leaves {
        range.push(leaf_hash(leaf.as_ref()));
    }
    range.root()
}

/// Proves the leaf at `index`; `None` beyond the list's end.
#[must_use]
pub fn list_proof<L: AsRef<[u8]>>(leaves: &[L], index: usize) -> Option<ListProof> {
    prove(leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect(), index)
}

/// Proves that a list with a certain root has a certain leaf at a certain place.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ListProof {
    /// The leaf's place, from zero.
    pub index: u64,
    /// How many leaves the list has.
    pub count: u64,
    /// From the leaf up; at most 64.
    pub siblings: Vec<Hash>,
}

impl ListProof {
    /// True if the list with this root has this leaf at [`index`](Self::index).
    #[must_use]
    pub fn verify(&self, root: &Hash, leaf: &[u8]) -> bool {
        self.root(leaf).as_ref() == Some(root)
    }

    /// The root of the list in which the proof would hold; `None` if there is no such list.
    #[must_use]
    pub fn root(&self, leaf: &[u8]) -> Option<Hash> {
        if self.index >= self.count {
            return None;
        }
        let mut siblings = self.siblings.iter();
        let mut hash = leaf_hash(leaf);
        // `place` is the node's number on its level, `last` that of the level's last node.
        let (mut place, mut last) = (self.index, self.count.saturating_sub(1));
        while last > 0 {
            if place % 2 == 1 {
                hash = inner_hash(siblings.next()?, &hash);
            } else if place < last {
                hash = inner_hash(&hash, siblings.next()?);
            }
            place /= 2;
            last /= 2;
        }
        siblings.next().is_none().then(|| root_hash(self.count, &hash))
    }
}

/// The Merkle mountain range of a growing list, of which only the peaks are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    count: u64,
    /// The roots of the perfect subtrees, largest first: one for each bit set of `count`.
    peaks: Vec<Hash>,
}

impl Range {
    /// Adds a leaf, such as the id of a header.
    ///
    /// # Panics
    ///
    /// After 2^64 − 1 leaves.
    pub fn append(&mut self, leaf: Hash) {
        self.push(leaf_hash(&leaf.0));
    }

    /// How many leaves were added.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The roots of the perfect subtrees, largest first; at most 64.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// The root of the list, which [`ListProof::verify`] takes.
    #[must_use]
    pub fn root(&self) -> Hash {
        let top = self.peaks.iter().rev().copied().reduce(|right, left| inner_hash(&left, &right));
        root_hash(self.count, &top.unwrap_or_default())
    }

    /// Proves the leaf at `index` from all the leaves in order; `None` if there are fewer.
    #[must_use]
    pub fn prove(leaves: impl IntoIterator<Item = Hash>, index: u64) -> Option<ListProof> {
        let nodes = leaves.into_iter().map(|leaf| leaf_hash(&leaf.0)).collect();
        prove(nodes, usize::try_from(index).ok()?)
    }

    fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.count.trailing_ones() {
            let left = self.peaks.pop().expect("one peak for each bit set of the count");
            hash = inner_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.count = self.count.checked_add(1).expect("fewer than 2^64 leaves");
    }
}

impl BorshSerialize for Range {
    /// The count, then the peaks, whose number follows from it.
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        self.count.serialize(writer)?;
        self.peaks.iter().try_for_each(|peak| peak.serialize(writer))
    }
}

impl BorshDeserialize for Range {
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let count = u64::deserialize_reader(reader)?;
        let peaks = (0..count.count_ones()).map(|_| Hash::deserialize_reader(reader));
        Ok(Self { count, peaks: peaks.collect::<IoResult<_>>()? })
    }
}

/// Climbs from the leaf at `index`. Pairing neighbours level by level, the odd one moving up as it is,
/// gives the shape of RFC 6962.
fn prove(mut nodes: Vec<Hash>, index: usize) -> Option<ListProof> {
    let (count, mut place) = (nodes.len(), index);
    nodes.get(index)?;
    let mut siblings = Vec::new();
    while nodes.len() > 1 {
        siblings.extend(nodes.get(place ^ 1));
        nodes = nodes.chunks(2).map(pair).collect();
        place /= 2;
    }
    Some(ListProof { index: wide(index), count: wide(count), siblings })
}

fn leaf_hash(bytes: &[u8]) -> Hash {
    keccak(&[&[0], bytes])
}

fn inner_hash(left: &Hash, right: &Hash) -> Hash {
    keccak(&[&[1], &left.0, &right.0])
}

fn root_hash(count: u64, top: &Hash) -> Hash {
    keccak(&[&[2], &count.to_be_bytes(), &top.0])
}

fn pair(nodes: &[Hash]) -> Hash {
    match nodes {
        [left, right] => inner_hash(left, right),
        [odd] => *odd,
        _ => Hash::ZERO,
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).expect("no machine counts above 2^64")
}
