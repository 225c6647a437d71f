//! Proofs that a key has a value, or has none, under a root.
//!
//! - Shape: `n: u8 ‖ bitmap: n bytes ‖ siblings: 32 bytes each ‖ end`. Bit `d` of the bitmap, first
//!   bit first, is set if the sibling at depth `d + 1` is not empty; only such siblings are listed,
//!   from the root down. The last bit set is at the end's depth: the sibling of a leaf or of an
//!   empty subtree is never empty. `end` is `0` for the key's own leaf, `1` for an empty subtree,
//!   `2 ‖ key hash ‖ value hash` for the leaf of another key.
//! - Size: about 32 bytes for each doubling of the number of keys; at most 8.3 kB.
//! - Invariant: a proof has one encoding, and there is one proof of a key under a root.

use alloc::vec::Vec;

use althing_types::Hash;
use borsh::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::tree::{Node, bit, inner_hash, leaf_hash};
use crate::{key_hash, value_hash};

/// Bytes of the longest bitmap: a key's hash has 256 bits.
const BITMAP_BYTES_MAX: usize = 32;

/// Proves that a key has a certain value under a root, or that it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The last byte is not zero.
    bitmap: Vec<u8>,
    /// One for each bit set, none of them empty.
    siblings: Vec<Hash>,
    end: End,
}

/// What is found at the end of a key's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum End {
    /// The key's own leaf.
    Own,
    /// Nothing.
    Empty,
    /// The leaf of another key, whose hash begins with the same bits.
    Other { key: Hash, value: Hash },
}

impl Proof {
    /// True if `key` has this value (`None`: has no value) under `root`.
    #[must_use]
    pub fn verify(&self, root: &Hash, key: &[u8], value: Option<&[u8]>) -> bool {
        let key = key_hash(key);
        let end = match (self.end, value) {
            (End::Own, Some(value)) => leaf_hash(&key, &value_hash(value)),
            (End::Empty, None) => Hash::ZERO,
            (End::Other { key: other, value }, None) => {
                let same_path =
                    (0..self.depth()).all(|depth| bit(&other, depth) == bit(&key, depth));
                if other == key || !same_path {
                    return false;
                }
                leaf_hash(&other, &value)
            }
            (End::Own, None) | (End::Empty | End::Other { .. }, Some(_)) => return false,
        };
        self.climb(&key, end) == Some(*root)
    }

    /// The root that follows from what is at the end of the path.
    fn climb(&self, key: &Hash, end: Hash) -> Option<Hash> {
        let mut siblings = self.siblings.iter().rev();
        let mut hash = end;
        for depth in (0..self.depth()).rev() {
            let present = bitmap_bit(&self.bitmap, depth);
            let sibling = if present { *siblings.next()? } else { Hash::ZERO };
            hash = if bit(key, depth) {
                inner_hash(&sibling, &hash)
            } else {
                inner_hash(&hash, &sibling)
            };
        }
        siblings.next().is_none().then_some(hash)
    }

    /// How many inner nodes are above the end.
    fn depth(&self) -> usize {
        let Some(last) = self.bitmap.last() else { return 0 };
        let unused = last.trailing_zeros() as usize;
        self.bitmap.len().saturating_mul(8).saturating_sub(unused)
    }

    pub(crate) fn collect(top: &Node, key: &Hash) -> Self {
        let mut proof = Self { bitmap: Vec::new(), siblings: Vec::new(), end: End::Empty };
        let mut bits = [0_u8; BITMAP_BYTES_MAX];
        let mut node = top;
        for depth in 0.. {
            match node {
                Node::Empty => break,
                Node::Leaf(leaf) if leaf.key == *key => {
                    proof.end = End::Own;
                    break;
                }
                Node::Leaf(leaf) => {
                    proof.end = End::Other { key: leaf.key, value: leaf.value };
                    break;
                }
                Node::Inner(inner) => {
                    let one = bit(key, depth);
                    let sibling = inner.child(!one);
                    if !matches!(sibling, Node::Empty) {
                        proof.siblings.push(sibling.hash());
                        let byte = bits.get_mut(depth / 8).expect("a tree is at most 256 deep");
                        *byte |= 0x80_u8.rotate_right(u32::try_from(depth % 8).unwrap_or(0));
                    }
                    node = inner.child(one);
                }
            }
        }
        let used =
            bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        proof.bitmap.extend(bits.iter().take(used));
        proof
    }
}

fn bitmap_bit(bitmap: &[u8], depth: usize) -> bool {
    let mask = 0x80_u8.rotate_right(u32::try_from(depth % 8).unwrap_or(0));
    bitmap.get(depth / 8).is_some_and(|byte| byte & mask != 0)
}

impl BorshSerialize for Proof {
    fn serialize<W: Write>(&self, writer: &mut W) -> IoResult<()> {
        u8::try_from(self.bitmap.len())
            .map_err(|_| Error::new(ErrorKind::InvalidData, "a bitmap above 32 bytes"))?
            .serialize(writer)?;
        writer.write_all(&self.bitmap)?;
        self.siblings.iter().try_for_each(|sibling| sibling.serialize(writer))?;
        self.end.serialize(writer)
    }
}

impl BorshDeserialize for Proof {
    /// Refuses what [`Tree::prove`](crate::Tree::prove) never makes: empty bytes at the bitmap's end,
    /// empty siblings, more than 256 levels.
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let invalid = |what| Error::new(ErrorKind::InvalidData, what);
        let length = usize::from(u8::deserialize_reader(reader)?);
        let mut bits = [0; BITMAP_BYTES_MAX];
        let bits = bits.get_mut(..length).ok_or_else(|| invalid("a bitmap above 32 bytes"))?;
        reader.read_exact(bits)?;
        if bits.last() == Some(&0) {
            return Err(invalid("a bitmap that ends with zeros"));
        }
        let count = bits.iter().map(|byte| byte.count_ones()).fold(0, u32::saturating_add);
        let mut siblings = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let sibling = Hash::deserialize_reader(reader)?;
            if sibling == Hash::ZERO {
                return Err(invalid("an empty sibling"));
            }
            siblings.push(sibling);
        }
        Ok(Self { bitmap: bits.to_vec(), siblings, end: End::deserialize_reader(reader)? })
    }
}
