//! Certificates under real signatures, and bytes from strangers. Whole receipts are verified in the
//! tests of `althing-replica`, where blocks are made.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use althing_keys::{AccountKey, Secp256k1};
use althing_light::{LightError, Receipt, StateProof, verify_certificate};
use althing_types::{
    Address, BeaconKey, Certificate, ChainId, CommitSignature, Eip712, EndpointId, Hash, Height,
    Round, Validator, ValidatorSet, VoteKind, VoteSignature, keccak,
};
use proptest::prelude::*;

const BLOCK: Hash = Hash([7; 32]);

fn eip712() -> Eip712 {
    Eip712::new(ChainId(7))
}

fn keys() -> Vec<AccountKey> {
    (0..4_u8).map(|n| AccountKey::from_bytes(&keccak(&[&[n]]).0).unwrap()).collect()
}

/// Four members with these powers.
fn set(powers: [u64; 4]) -> ValidatorSet {
    let member = |(key, power): (&AccountKey, u64)| Validator {
        address: key.address(),
        public_key: key.public_key(),
        endpoint: EndpointId::ZERO,
        beacon_key: BeaconKey::ZERO,
        power,
    };
    ValidatorSet::new(keys().iter().zip(powers).map(member).collect())
}

/// Signed by the keys at these places.
fn certificate(signers: &[usize]) -> Certificate {
    let (height, round) = (Height(5), Round(1));
    let digest = eip712().vote(VoteKind::Precommit, height, round, Some(BLOCK));
    let keys = keys();
    let sign = |place: &usize| CommitSignature {
        validator: keys[*place].address(),
        signature: keys[*place].sign_vote(&digest),
    };
    let mut signatures: Vec<CommitSignature> = signers.iter().map(sign).collect();
    signatures.sort_by_key(|signature| signature.validator);
    Certificate { height, round, block: BLOCK, signatures }
}

fn check(certificate: &Certificate, set: &ValidatorSet) -> Result<u64, LightError> {
    verify_certificate(certificate, set, &eip712(), &Secp256k1)
}

#[test]
fn more_than_two_thirds_of_the_power_is_a_quorum_and_two_thirds_are_not() {
    let equal = set([1, 1, 1, 1]);
    assert_eq!(check(&certificate(&[0, 1, 2, 3]), &equal), Ok(4));
    assert_eq!(check(&certificate(&[0, 2, 3]), &equal), Ok(3));
    let none = LightError::NoQuorum { signed: 2, total: 4 };
    assert_eq!(check(&certificate(&[1, 2]), &equal), Err(none.clone()));
    assert_eq!(none.code(), "RCP-0007");
    let thirds = set([1, 1, 1, 3]);
    let exactly = LightError::NoQuorum { signed: 4, total: 6 };
    assert_eq!(check(&certificate(&[0, 3]), &thirds), Err(exactly));
    assert_eq!(check(&certificate(&[0, 1, 3]), &thirds), Ok(5));
    assert!(check(&certificate(&[]), &equal).is_err());
    assert!(check(&certificate(&[]), &ValidatorSet::default()).is_err(), "nobody is no quorum");
}

#[test]
fn a_certificate_of_many_keeps_the_signatures_that_a_quorum_needs() {
    let key = |n: u8| AccountKey::from_bytes(&keccak(&[b"one of many", &[n]]).0).unwrap();
    // Two who are as powerful as ten others, and thirty.
    let validator = |n: u8| Validator {
        address: key(n).address(),
        public_key: key(n).public_key(),
        endpoint: EndpointId([n; 32]),
        beacon_key: BeaconKey([n; 32]),
        power: if n < 2 { 10 } else { 1 },
    };
    let set = ValidatorSet::new((0..32).map(validator).collect());
    let block = keccak(&[b"block"]);
    let digest = eip712().vote(VoteKind::Precommit, Height(7), Round(1), Some(block));
    let signed = |signers: std::ops::Range<u8>| {
        let mut signatures: Vec<CommitSignature> = signers
            .map(key)
            .map(|key| CommitSignature {
                validator: key.address(),
                signature: key.sign_vote(&digest),
            })
            .collect();
        signatures.sort_by_key(|signature| signature.validator);
        Certificate { height: Height(7), round: Round(1), block, signatures }
    };
    let trimmed = signed(0..32).trimmed(&set);
    // 34 of 50: both of the powerful, and fourteen.
    assert_eq!(trimmed.signatures.len(), 16);
    assert_eq!(check(&trimmed, &set), Ok(34));
    let without_one = signed(1..32).trimmed(&set);
    assert_eq!(check(&without_one, &set), Ok(34));
    assert_eq!(without_one.signatures.len(), 25);
    // Few are all kept, and so is what no quorum has signed.
    assert_eq!(signed(0..16).trimmed(&set), signed(0..16));
    assert_eq!(signed(4..32).trimmed(&set), signed(4..32));
}

#[test]
fn powers_near_the_largest_number_do_not_wrap() {
    let huge = set([u64::MAX / 4; 4]);
    assert!(check(&certificate(&[0, 1]), &huge).is_err());
    assert!(check(&certificate(&[0, 1, 2]), &huge).is_ok());
}

#[test]
fn signers_are_distinct_members_in_order() {
    let equal = set([1, 1, 1, 1]);
    let mut twice = certificate(&[0, 1]);
    let first = twice.signatures[0].clone();
    twice.signatures.insert(0, first.clone());
    let error = check(&twice, &equal).unwrap_err();
    assert_eq!(error, LightError::BadSigner { signer: first.validator });
    assert_eq!(error.code(), "RCP-0005");
    let mut unordered = certificate(&[0, 1, 2]);
    unordered.signatures.swap(0, 2);
    assert!(matches!(check(&unordered, &equal), Err(LightError::BadSigner { .. })));
    let mut stranger = certificate(&[0, 1, 2]);
    stranger.signatures[2].validator = Address([0xff; 20]);
    assert!(matches!(check(&stranger, &equal), Err(LightError::BadSigner { .. })));
}

#[test]
fn one_signature_that_does_not_verify_spoils_the_certificate() {
    let equal = set([1, 1, 1, 1]);
    let good = certificate(&[0, 1, 2, 3]);
    for place in 0..4 {
        let mut forged = good.clone();
        forged.signatures[place].signature.0[40] ^= 1;
        let signer = forged.signatures[place].validator;
        assert_eq!(check(&forged, &equal), Err(LightError::BadSignature { signer }));
        let mut high = good.clone();
        high.signatures[place].signature = negated(&high.signatures[place].signature);
        assert_eq!(check(&high, &equal), Err(LightError::BadSignature { signer }), "a high s");
    }
    let changes: [fn(&mut Certificate); 3] =
        [|c| c.height = Height(6), |c| c.round = Round(0), |c| c.block = Hash::ZERO];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        assert!(matches!(check(&other, &equal), Err(LightError::BadSignature { .. })));
    }
    let elsewhere = Eip712::new(ChainId(8));
    let replayed = verify_certificate(&good, &equal, &elsewhere, &Secp256k1);
    assert!(matches!(replayed, Err(LightError::BadSignature { .. })), "on another chain");
}

/// The other s of the same signature: the curve's order less s.
fn negated(signature: &VoteSignature) -> VoteSignature {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
        0x41, 0x41,
    ];
    let (mut negated, mut borrow) = (signature.0, 0_i16);
    for place in (0..32).rev() {
        let digit = i16::from(ORDER[place]) - i16::from(signature.0[32 + place]) - borrow;
        borrow = i16::from(digit < 0);
        negated[32 + place] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    VoteSignature(negated)
}

proptest! {
    #[test]
    fn bytes_from_strangers_are_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000)
    ) {
        prop_assert!(Receipt::decode(&bytes).is_err());
        prop_assert!(StateProof::decode(&bytes).is_err());
    }
}
