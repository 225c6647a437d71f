//! Canonical bytes: borsh, no maps, and decoding followed by encoding gives the same bytes.

use alloc::vec::Vec;

use borsh::io::{ErrorKind, Write};
use borsh::{BorshDeserialize, BorshSerialize};

/// Bytes or text that are not what they claim to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes cannot be decoded as this type.
    #[error("not the canonical bytes of a {what}")]
    Bytes {
        /// The type that was expected.
        what: &'static str,
    },
    /// More bytes than the type may have.
    #[error("{found} bytes, at most {max} are allowed")]
    TooLong {
        /// Limit in bytes.
        max: usize,
        /// Length found.
        found: usize,
    },
    /// A fixed-size value of another size.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// Length of the type in bytes.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// Not hexadecimal of that length.
    #[error("not {bytes} bytes in hexadecimal")]
    Hexadecimal {
        /// Length of the type in bytes.
        bytes: usize,
    },
    /// Not a decimal amount of tokens.
    #[error("not an amount: digits with up to six decimals are expected, such as 12.5")]
    Amount,
    /// Not a name.
    #[error("not a name: 1 to 64 of a-z, 0-9, '_', '-', '.', beginning with a letter or digit")]
    Name,
    /// Not an alias.
    #[error("not an alias: namespace/name@version is expected, such as acme/invoice@1.0.0")]
    Alias,
}

/// The canonical bytes of a value.
///
/// # Panics
///
/// Never: writing to memory cannot fail, and no type here has a fallible encoding.
#[must_use]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to memory cannot fail")
}

/// Decodes a value and asserts that it has no other encoding.
///
/// # Errors
///
/// [`Malformed::TooLong`] above `bytes_max`, before anything is parsed; [`Malformed::Bytes`] if the
/// bytes are not exactly what [`encode`] makes of the value.
pub fn decode<T: BorshDeserialize + BorshSerialize>(
    bytes: &[u8],
    bytes_max: usize,
    what: &'static str,
) -> Result<T, Malformed> {
    if bytes.len() > bytes_max {
        return Err(Malformed::TooLong { max: bytes_max, found: bytes.len() });
    }
    let mut rest = bytes;
    let value = decode_next(&mut rest, what)?;
    if rest.is_empty() { Ok(value) } else { Err(Malformed::Bytes { what }) }
}

/// Decodes the value with which `bytes` begin, as [`decode`] does, and moves `bytes` behind it.
///
/// # Errors
///
/// [`Malformed::Bytes`] if no canonical value is there; where `bytes` are then is not told.
pub(crate) fn decode_next<T: BorshDeserialize + BorshSerialize>(
    bytes: &mut &[u8],
    what: &'static str,
) -> Result<T, Malformed> {
    let malformed = |_| Malformed::Bytes { what };
    let begin = *bytes;
    let value = T::deserialize(bytes).map_err(malformed)?;
    let taken = begin.len().saturating_sub(bytes.len());
    let mut same = Same(begin.get(..taken).unwrap_or_default());
    value.serialize(&mut same).map_err(malformed)?;
    if same.0.is_empty() { Ok(value) } else { Err(Malformed::Bytes { what }) }
}

/// Takes nothing but the bytes that are expected: encoding again needs no memory.
struct Same<'a>(&'a [u8]);

impl Write for Same<'_> {
    fn write(&mut self, written: &[u8]) -> borsh::io::Result<usize> {
        self.0 = self.0.strip_prefix(written).ok_or(ErrorKind::InvalidData)?;
        Ok(written.len())
    }

    fn flush(&mut self) -> borsh::io::Result<()> {
        Ok(())
    }
}
