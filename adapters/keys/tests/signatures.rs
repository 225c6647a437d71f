//! Signatures against the EVM's own vectors, and what must be refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use althing_keys::{AccountKey, Secp256k1};
use althing_types::{
    Address, Amount, ChainId, Eip712, Hash, Height, Nonce, Operation, PublicKey,
    RecoverableSignature, Round, Signatures as _, SignedTransaction, Transaction, Transfer,
    VoteKind, VoteSignature, keccak,
};
use proptest::prelude::*;

/// The curve's order, big-endian.
const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

fn hash(text: &str) -> Hash {
    text.parse().unwrap()
}

/// The other signature of the same message: (r, n − s, other v).
fn high_s(signature: &RecoverableSignature) -> RecoverableSignature {
    let (mut out, order) = (*signature, hash(ORDER));
    let mut borrow = 0;
    for place in (0..32).rev() {
        let difference =
            i32::from(order.0[place]) - i32::from(signature.r_and_s[32 + place]) - borrow;
        borrow = i32::from(difference < 0);
        out.r_and_s[32 + place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    out.v = 55 - signature.v;
    out
}

fn key(seed: u8) -> AccountKey {
    AccountKey::from_bytes(&[seed; 32]).unwrap()
}

fn transfer(chain: u64, account: Address) -> Transaction {
    Transaction {
        chain: ChainId(chain),
        account,
        nonce: Nonce(7),
        expires: Height(100),
        atomic: true,
        fee_limit: Amount::from_tokens(1),
        operations: vec![Operation::Transfer(Transfer {
            to: Address([0x22; 20]),
            amount: Amount::from_tokens(5),
        })],
    }
}

fn signer(signed: &SignedTransaction) -> Option<Address> {
    let transaction = &signed.transaction;
    let digest = transaction.digest(&Eip712::new(transaction.chain));
    Secp256k1.recover(&digest, &signed.signature)
}

/// go-ethereum, `crypto/signature_test.go`.
#[test]
fn recovers_the_key_of_go_ethereums_vector() {
    let digest = hash("0xce0677bb30baa8cf067c88db9811f4333d131bf8bcf12fe7065d211dce971008");
    let signature: RecoverableSignature =
        "90f27b8b488db00b00606796d2987f6a5f59ae62ea05effe84fef5b8b0e54998\
         4a691139ad57a3f0b906637673aa2f63d1f55cb1a69199d4009eea23ceaddc931c"
            .parse()
            .unwrap();
    let key: PublicKey =
        "02e32df42865e97135acfb65f3bae71bdc86f4d49150ad6a440b6f15878109880a".parse().unwrap();
    let expected = Secp256k1.address_of(&key).unwrap();
    assert_eq!(Secp256k1.recover(&digest, &signature), Some(expected));
}

/// EIP-712's own example: `Mail` from Cow to Bob, signed with the key keccak("cow").
#[test]
fn signs_as_the_example_of_eip_712_does() {
    let cow = AccountKey::from_bytes(&keccak(&[b"cow"]).0).unwrap();
    assert_eq!(cow.address().to_string(), "0xcd2a3d9f938e13cd947ec05abc7fe734df8dd826");

    let digest = hash("0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
    let signature = cow.sign_recoverable(&digest);

    assert_eq!(
        signature.to_string(),
        "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d\
         07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
    );
    assert_eq!(Secp256k1.recover(&digest, &signature), Some(cow.address()));
}

#[test]
fn a_high_s_is_refused_everywhere() {
    let key = key(1);
    let digest = keccak(&[b"pay"]);
    let low = key.sign_recoverable(&digest);
    let high = high_s(&low);
    assert!(low.is_low_s() && !high.is_low_s());

    assert_eq!(Secp256k1.recover(&digest, &low), Some(key.address()));
    assert_eq!(Secp256k1.recover(&digest, &high), None);
    assert!(Secp256k1.verifies(&digest, &VoteSignature(low.r_and_s), &key.public_key()));
    assert!(!Secp256k1.verifies(&digest, &VoteSignature(high.r_and_s), &key.public_key()));
}

#[test]
fn a_transaction_for_another_chain_recovers_another_account() {
    let key = key(2);
    let mut signed = key.sign_transaction(transfer(1, key.address()));
    assert_eq!(signer(&signed), Some(key.address()));
    signed.transaction.chain = ChainId(2);
    assert_ne!(signer(&signed), Some(key.address()));
}

#[test]
fn a_vote_verifies_with_its_own_digest_and_key_only() {
    let (key, other) = (key(3), key(4));
    let eip712 = Eip712::new(ChainId(1));
    let block = Some(keccak(&[b"block"]));
    let digest = eip712.vote(VoteKind::Precommit, Height(5), Round(0), block);
    let vote = key.sign_vote(&digest);

    assert!(Secp256k1.verifies(&digest, &vote, &key.public_key()));
    assert!(!Secp256k1.verifies(&digest, &vote, &other.public_key()));
    for another in [
        eip712.vote(VoteKind::Prevote, Height(5), Round(0), block),
        eip712.vote(VoteKind::Precommit, Height(6), Round(0), block),
        eip712.vote(VoteKind::Precommit, Height(5), Round(1), block),
        eip712.vote(VoteKind::Precommit, Height(5), Round(0), None),
        Eip712::new(ChainId(2)).vote(VoteKind::Precommit, Height(5), Round(0), block),
    ] {
        assert!(!Secp256k1.verifies(&another, &vote, &key.public_key()));
    }
}

#[test]
fn a_hello_binds_account_chain_and_endpoint() {
    let key = key(5);
    let eip712 = Eip712::new(ChainId(1));
    let hello = key.sign_hello(&eip712, &[9; 32]);
    let recovered = |eip712: &Eip712, endpoint| {
        Secp256k1.recover(&eip712.hello(key.address(), endpoint), &hello)
    };
    assert_eq!(recovered(&eip712, &[9; 32]), Some(key.address()));
    assert_ne!(recovered(&eip712, &[8; 32]), Some(key.address()));
    assert_ne!(recovered(&Eip712::new(ChainId(2)), &[9; 32]), Some(key.address()));
}

#[test]
fn points_off_the_curve_and_invalid_scalars_are_refused() {
    // x = 5 is on no point of the curve.
    let mut off_curve = PublicKey::ZERO;
    (off_curve.0[0], off_curve.0[32]) = (2, 5);
    assert_eq!(Secp256k1.address_of(&off_curve), None);
    assert_eq!(Secp256k1.address_of(&PublicKey::ZERO), None);
    assert!(AccountKey::from_bytes(&[0; 32]).is_none());
    assert!(AccountKey::from_bytes(&hash(ORDER).0).is_none());
}

#[test]
fn a_printed_key_hides_its_secret() {
    let text = format!("{:?}", key(0x5a));
    assert!(text.contains("secret hidden") && !text.contains("5a5a5a"), "{text}");
}

#[test]
fn generated_keys_differ() {
    let (a, b) = (AccountKey::generate().unwrap(), AccountKey::generate().unwrap());
    assert_ne!(a.address(), b.address());
}

proptest! {
    #[test]
    fn every_signature_is_low_and_recovers_its_signer(
        secret in any::<[u8; 32]>(),
        digest in any::<[u8; 32]>(),
    ) {
        let Some(key) = AccountKey::from_bytes(&secret) else { return Ok(()) };
        let digest = Hash(digest);
        let signature = key.sign_recoverable(&digest);
        let vote = key.sign_vote(&digest);
        prop_assert!(signature.is_low_s() && vote.is_low_s());
        prop_assert_eq!(vote.0, signature.r_and_s);
        prop_assert_eq!(Secp256k1.recover(&digest, &signature), Some(key.address()));
        prop_assert_eq!(Secp256k1.address_of(&key.public_key()), Some(key.address()));
        prop_assert_eq!(Secp256k1.recover(&digest, &high_s(&signature)), None);
    }

    #[test]
    fn garbage_is_never_a_signature_of_a_known_account(
        r_and_s in proptest::collection::vec(any::<u8>(), 64),
        v in any::<u8>(),
    ) {
        let signature = RecoverableSignature { r_and_s: r_and_s.try_into().unwrap(), v };
        let digest = keccak(&[b"garbage"]);
        prop_assert_ne!(Secp256k1.recover(&digest, &signature), Some(key(1).address()));
        if v != 27 && v != 28 {
            prop_assert_eq!(Secp256k1.recover(&digest, &signature), None);
        }
    }
}
