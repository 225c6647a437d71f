//! Entries of append-only files, such that a torn end is told from damage.
//!
//! ```text
//!   entry:  length (4) · CRC-32 (4) · borsh
//! ```

use std::fs::File;
use std::io;
use std::path::Path;

use borsh::{BorshDeserialize, BorshSerialize};

/// An entry's bytes.
pub(crate) fn encode(entry: &impl BorshSerialize) -> Vec<u8> {
    let body = borsh::to_vec(entry).expect("writing to memory cannot fail");
    let length = u32::try_from(body.len()).expect("entries are short");
    [&length.to_be_bytes(), &crc32fast::hash(&body).to_be_bytes(), &body[..]].concat()
}

/// Makes a file's name durable: without it, a file that is new or renamed is lost with the power, whatever
/// was synced in it.
pub(crate) fn sync_name(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The entry at the beginning of `bytes` and its length; `Ok(None)` if it is cut off.
pub(crate) fn decode<E: BorshDeserialize>(
    bytes: &[u8],
    entry_bytes_max: usize,
) -> io::Result<Option<(E, usize)>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the journal is damaged");
    let (Some(length), Some(check)) = (number(bytes), bytes.get(4..).and_then(number)) else {
        return Ok(None);
    };
    let length = length as usize;
    if length > entry_bytes_max {
        return Err(damaged());
    }
    let Some(body) = bytes.get(8..8 + length) else { return Ok(None) };
    if crc32fast::hash(body) != check {
        // At the very end it is a write that a power loss cut short.
        return if bytes.len() == 8 + length { Ok(None) } else { Err(damaged()) };
    }
    let entry = borsh::from_slice(body).map_err(|_| damaged())?;
    Ok(Some((entry, 8 + length)))
}
