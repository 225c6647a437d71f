//! Records with their checksums (CRC-32, over the key as well as the value).

use althing_replica::store::{Decided, StoreError, Tip};
use althing_types::{Hash, Height};

use crate::error::corrupt;

const CHECKSUM_BYTES: usize = 4;

pub(crate) fn checksum(key: &[&[u8]], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = crc32fast::Hasher::new();
    key.iter().for_each(|part| hasher.update(part));
    hasher.update(value);
    hasher.finalize().to_le_bytes()
}

/// Writes `value ‖ checksum` to `sealed`.
pub(crate) fn seal(key: &[&[u8]], value: &[u8], sealed: &mut Vec<u8>) {
    sealed.clear();
    sealed.extend_from_slice(value);
    sealed.extend_from_slice(&checksum(key, value));
}

/// The value of a sealed record.
pub(crate) fn unseal<'a>(key: &[&[u8]], sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let (value, expected) =
        sealed.split_last_chunk().ok_or_else(|| corrupt("a record without a checksum"))?;
    if checksum(key, value) != *expected {
        return Err(corrupt("a record differs from its checksum"));
    }
    Ok(value)
}

pub(crate) fn encode_tip(tip: &Tip) -> Vec<u8> {
    let value = [&tip.height.0.to_le_bytes()[..], &tip.block.0, &tip.state_root.0].concat();
    let mut sealed = Vec::new();
    seal(&[b"tip"], &value, &mut sealed);
    sealed
}

pub(crate) fn decode_tip(sealed: &[u8]) -> Result<Tip, StoreError> {
    let value = unseal(&[b"tip"], sealed)?;
    let decode = || {
        let (height, rest) = value.split_first_chunk::<8>()?;
        let (block, root) = rest.split_first_chunk::<32>()?;
        let (height, state_root) =
            (Height(u64::from_le_bytes(*height)), Hash(root.try_into().ok()?));
        Some(Tip { height, block: Hash(*block), state_root })
    };
    decode().ok_or_else(|| corrupt("a tip of another length"))
}

pub(crate) fn encode_decided(height: Height, block: &[u8], certificate: &[u8]) -> Vec<u8> {
    let length = u64::try_from(block.len()).expect("a length has at most 64 bits").to_le_bytes();
    let mut record = vec![0; CHECKSUM_BYTES];
    [&length, block, certificate].iter().for_each(|part| record.extend_from_slice(part));
    let (first, rest) = record.split_at_mut(CHECKSUM_BYTES);
    first.copy_from_slice(&checksum(&[&height.0.to_le_bytes()], rest));
    record
}

pub(crate) fn decode_decided(height: Height, record: &[u8]) -> Result<Decided, StoreError> {
    let decode = || {
        let (expected, rest) = record.split_first_chunk()?;
        if checksum(&[&height.0.to_le_bytes()], rest) != *expected {
            return None;
        }
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (block, certificate) = rest.split_at_checked(length)?;
        Some(Decided { block: block.to_vec(), certificate: certificate.to_vec() })
    };
    decode()
        .ok_or_else(|| corrupt(format!("the block of height {height} differs from its checksum")))
}
