//! keccak-256, the only hash of the protocol: cheap on the EVM.

use sha3::{Digest as _, Keccak256};

use crate::Hash;

/// Hashes the concatenation of `parts`.
#[must_use]
pub fn keccak(parts: &[&[u8]]) -> Hash {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// Hashes `parts` under a purpose, so that no hash made for one purpose is valid for another.
///
/// The tag is hashed first and separately: its length cannot be confused with the parts.
#[must_use]
pub fn tagged(purpose: &str, parts: &[&[u8]]) -> Hash {
    let mut hasher = Keccak256::new();
    hasher.update(keccak(&[purpose.as_bytes()]).0);
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// Hashes a stream of bytes piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Keccak(Keccak256);

impl Keccak {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything added.
    #[must_use]
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}
