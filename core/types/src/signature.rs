//! secp256k1 signatures as the EVM checks them, and the port through which they are checked.

use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, BeaconKey, BeaconProof, Hash, Malformed, PublicKey};

/// Half of the order of secp256k1, big-endian: the largest s that is accepted (EIP-2).
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

fn s_is_low(r_and_s: &[u8; 64]) -> bool {
    r_and_s.iter().skip(32).le(HALF_ORDER.iter())
}

/// A transaction's signature: r ‖ s ‖ v with v = 27 or 28; the signer is recovered from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct RecoverableSignature {
    /// r ‖ s, big-endian.
    pub r_and_s: [u8; 64],
    /// 27 or 28.
    pub v: u8,
}

impl RecoverableSignature {
    /// True unless a third party could have made a second signature out of it.
    #[must_use]
    pub fn is_low_s(&self) -> bool {
        s_is_low(&self.r_and_s)
    }
}

impl fmt::Display for RecoverableSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.r_and_s.iter().chain([&self.v]).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RecoverableSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecoverableSignature {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 65];
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, &mut bytes)
            .map_err(|_| Malformed::Hexadecimal { bytes: 65 })?;
        let (r_and_s, v) = bytes.split_first_chunk().expect("65 bytes hold 64");
        Ok(Self { r_and_s: *r_and_s, v: v.first().copied().unwrap_or(0) })
    }
}

/// A vote's signature: r ‖ s with low s. The signer's key is known from the validator set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct VoteSignature(pub [u8; 64]);

impl VoteSignature {
    /// True unless a third party could have made a second signature out of it.
    #[must_use]
    pub fn is_low_s(&self) -> bool {
        s_is_low(&self.0)
    }
}

impl fmt::Display for VoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for VoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VoteSignature {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; 64];
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode_to_slice(digits, &mut bytes)
            .map_err(|_| Malformed::Hexadecimal { bytes: 64 })?;
        Ok(Self(bytes))
    }
}

/// Checks signatures: the port between the core and a cryptographic library.
///
/// Implementations must agree with the EVM's `ecrecover`, refuse a high s, and be pure.
pub trait Signatures {
    /// The account that signed `digest`, if the signature is well formed and low in s.
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address>;

    /// Whether the holder of `key` signed `digest`.
    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool;

    /// The address of a public key, if it is a point of the curve.
    fn address_of(&self, key: &PublicKey) -> Option<Address>;

    /// The one value that `key` can give for `input`, if `proof` proves it.
    fn beacon(&self, key: &BeaconKey, input: &Hash, proof: &BeaconProof) -> Option<Hash>;
}
