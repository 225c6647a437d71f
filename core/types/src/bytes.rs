//! Fixed-size byte strings that print as hexadecimal with `0x`.

use core::fmt;
use core::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::Malformed;

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// All zeros.
            pub const ZERO: Self = Self([0; $length]);
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ZERO
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Malformed;
            fn try_from(bytes: &[u8]) -> Result<Self, Malformed> {
                bytes.try_into().map(Self).map_err(|_| Malformed::Length { expected: $length, found: bytes.len() })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            /// Takes hexadecimal of the exact length, with or without `0x`.
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                let mut bytes = [0; $length];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| Malformed::Hexadecimal { bytes: $length })?;
                Ok(Self(bytes))
            }
        }
    };
}

fixed_bytes!(
    /// keccak-256 of something canonical.
    Hash, 32
);
fixed_bytes!(
    /// An Ethereum address: the last 20 bytes of the hash of a secp256k1 public key.
    Address, 20
);
fixed_bytes!(
    /// A secp256k1 public key, compressed.
    PublicKey, 33
);
fixed_bytes!(
    /// The name of a node on the network: an ed25519 public key.
    EndpointId, 32
);
fixed_bytes!(
    /// A validator's public key for the random beacon (ristretto255, see `docs/adr/0003`).
    BeaconKey, 32
);
fixed_bytes!(
    /// A VRF pre-output (32 bytes) and its proof (64 bytes).
    BeaconProof, 96
);
