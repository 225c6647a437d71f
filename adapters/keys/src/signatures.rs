//! The core's port [`Signatures`], on libsecp256k1 and schnorrkel.

use althing_types::{
    Address, BeaconKey, BeaconProof, Hash, PublicKey, RecoverableSignature, Signatures,
    VoteSignature, keccak,
};
use secp256k1::ecdsa::{self, RecoveryId};
use secp256k1::{Message, SECP256K1};

use crate::beacon;

/// Checks signatures as the EVM's `ecrecover` does, except that a high s is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Secp256k1;

/// The address of a point of the curve.
pub(crate) fn address(key: &secp256k1::PublicKey) -> Address {
    let uncompressed = key.serialize_uncompressed();
    let (_, point) = uncompressed.split_first().expect("an uncompressed key has 65 bytes");
    let hash = keccak(&[point]);
    let (_, address) = hash.0.split_last_chunk::<20>().expect("a hash has 32 bytes");
    Address(*address)
}

impl Signatures for Secp256k1 {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        if !signature.is_low_s() {
            return None;
        }
        let id = match signature.v {
            27 => RecoveryId::Zero,
            28 => RecoveryId::One,
            _ => return None,
        };
        let signature = ecdsa::RecoverableSignature::from_compact(&signature.r_and_s, id).ok()?;
        let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).ok()?;
        Some(address(&key))
    }

    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool {
        // The library refuses a high s too; the rule is ours, so it is stated here.
        if !signature.is_low_s() {
            return false;
        }
        let (Ok(signature), Ok(key)) = (
            ecdsa::Signature::from_compact(&signature.0),
            secp256k1::PublicKey::from_byte_array_compressed(key.0),
        ) else {
            return false;
        };
        SECP256K1.verify_ecdsa(Message::from_digest(digest.0), &signature, &key).is_ok()
    }

    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        secp256k1::PublicKey::from_byte_array_compressed(key.0).ok().map(|key| address(&key))
    }

    fn beacon(&self, key: &BeaconKey, input: &Hash, proof: &BeaconProof) -> Option<Hash> {
        beacon::verify(key, input, proof)
    }
}
