//! The beacon's value: one for each key and input, proven, and equal for ever.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use althing_keys::{BeaconSecret, Secp256k1};
use althing_types::{
    BeaconKey, BeaconProof, ChainId, Hash, Height, Signatures as _, beacon_input, keccak,
};
use proptest::prelude::*;

fn secret(seed: u8) -> BeaconSecret {
    BeaconSecret::from_bytes(&[seed; 32])
}

fn value(secret: &BeaconSecret, input: &Hash) -> Hash {
    Secp256k1.beacon(&secret.key(), input, &secret.prove(input)).unwrap()
}

/// A change here is a fork.
#[test]
fn key_proof_and_value_are_those_of_the_protocol() {
    let secret = secret(7);
    let input = beacon_input(ChainId(1), Height(1), &Hash::ZERO);
    assert_eq!(
        [input, Hash(secret.key().0), keccak(&[&secret.prove(&input).0]), value(&secret, &input)]
            .map(|hash| hash.to_string()),
        [
            "0x89ac8ac025eb97e71d64a89ed21a61053f30b9ef814be0375e777284a6536f05",
            "0x840fa71dbdfb6cd7481055f497142a038ea9275ab6b73d4a6c4d6f567e15bd36",
            "0xc70aa8bf8c069ddb5edaf50d545182de91e0a5c495936a899bf8bc6b2bca11e9",
            "0x6143a4c163ae807f22e99aa3826b91bf2cfdb468771331d0608796e597b3c599",
        ]
    );
}

#[test]
fn another_key_input_or_height_gives_another_value() {
    let input = beacon_input(ChainId(1), Height(9), &keccak(&[b"previous"]));
    let next = beacon_input(ChainId(1), Height(10), &keccak(&[b"previous"]));
    let values = [value(&secret(1), &input), value(&secret(2), &input), value(&secret(1), &next)];
    assert!(values[0] != values[1] && values[0] != values[2] && values[1] != values[2]);
}

#[test]
fn a_proof_is_refused_under_another_key_or_input() {
    let (one, two, input) = (secret(1), secret(2), keccak(&[b"input"]));
    let (evaluated, proof) = one.evaluate(&input);
    assert_eq!(Secp256k1.beacon(&one.key(), &input, &proof), Some(evaluated));
    assert_eq!(Secp256k1.beacon(&two.key(), &input, &proof), None);
    assert_eq!(Secp256k1.beacon(&one.key(), &keccak(&[b"other"]), &proof), None);
    assert!(Secp256k1.beacon(&one.key(), &input, &proof).is_some());
}

#[test]
fn every_single_flipped_bit_of_a_proof_is_refused() {
    let (secret, input) = (secret(3), keccak(&[b"input"]));
    let proof = secret.prove(&input);
    for bit in 0..BeaconProof::LENGTH * 8 {
        let mut flipped = proof;
        flipped.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Secp256k1.beacon(&secret.key(), &input, &flipped), None, "bit {bit}");
    }
}

#[test]
fn the_value_of_another_input_cannot_be_grafted_onto_a_proof() {
    let (secret, input, other) = (secret(3), keccak(&[b"input"]), keccak(&[b"other"]));
    let mut grafted = secret.prove(&input);
    grafted.0[..32].copy_from_slice(&secret.prove(&other).0[..32]);
    assert_eq!(Secp256k1.beacon(&secret.key(), &input, &grafted), None);
}

#[test]
fn the_identity_is_nobodys_key_and_nobodys_value() {
    let (secret, input) = (secret(4), keccak(&[b"input"]));
    let proof = secret.prove(&input);
    assert_eq!(Secp256k1.beacon(&BeaconKey::ZERO, &input, &proof), None);
    assert_eq!(Secp256k1.beacon(&BeaconKey::ZERO, &input, &BeaconProof::ZERO), None);
    assert_eq!(Secp256k1.beacon(&secret.key(), &input, &BeaconProof::ZERO), None);
}

#[test]
fn a_printed_secret_is_hidden() {
    let text = format!("{:?}", secret(0x5a));
    assert!(text.contains("secret hidden") && !text.contains("5a5a5a"), "{text}");
}

proptest! {
    #[test]
    fn proving_is_deterministic_and_verifies(seed in any::<[u8; 32]>(), input in any::<[u8; 32]>()) {
        let (secret, input) = (BeaconSecret::from_bytes(&seed), Hash(input));
        let proof = secret.prove(&input);
        prop_assert_eq!(proof, BeaconSecret::from_bytes(&seed).prove(&input));
        prop_assert!(Secp256k1.beacon(&secret.key(), &input, &proof).is_some());
    }

    #[test]
    fn garbage_proves_nothing(
        key in any::<[u8; 32]>(),
        proof in proptest::collection::vec(any::<u8>(), 96),
    ) {
        let proof = BeaconProof(proof.try_into().unwrap());
        let (own, input) = (secret(1).key(), keccak(&[b"input"]));
        prop_assert_eq!(Secp256k1.beacon(&BeaconKey(key), &input, &proof), None);
        prop_assert_eq!(Secp256k1.beacon(&own, &input, &proof), None);
    }
}
