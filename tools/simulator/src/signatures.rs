//! Signatures that cost a hash: a simulated network signs thousands of times a simulated second.
//!
//! A signature is a keyed hash that anybody could compute. Nothing in a simulation forges one: a node
//! signs with its own key only, and so do its dishonest versions. Everything that the ledger, the
//! replica and consensus check about real signatures (who signed, which digest, low s) holds here too;
//! the real ones are tested in `althing-keys` and by the processes of `althing-soak`.

use althing_consensus_malachite::ConsensusSigner;
use althing_replica::BeaconSigner;
use althing_types::{
    Address, BeaconKey, BeaconProof, Eip712, Hash, PublicKey, RecoverableSignature, Signatures,
    SignedTransaction, Transaction, VoteSignature, tagged,
};
use althing_work::port::TransactionSigner;

/// The keys of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    public: PublicKey,
}

impl Key {
    /// The `number`-th key of a kind.
    #[must_use]
    pub fn new(kind: &str, number: u64) -> Self {
        let secret = tagged("simulated key", &[kind.as_bytes(), &number.to_be_bytes()]);
        let mut public = [2; 33];
        for (to, from) in public.iter_mut().skip(1).zip(secret.0) {
            *to = from;
        }
        Self { public: PublicKey(public) }
    }

    /// The account.
    #[must_use]
    pub fn address(&self) -> Address {
        address(&self.public)
    }

    /// The key that others verify with.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The account's key for the beacon.
    #[must_use]
    pub fn beacon_key(&self) -> BeaconKey {
        BeaconKey(tagged("simulated beacon key", &[&self.public.0]).0)
    }

    /// Signs a transaction, whoever's it says it is.
    #[must_use]
    pub fn sign(&self, eip712: &Eip712, transaction: Transaction) -> SignedTransaction {
        let digest = transaction.digest(eip712);
        let signature =
            RecoverableSignature { r_and_s: recoverable(&self.address(), &digest), v: 27 };
        SignedTransaction { transaction, signature }
    }
}

fn address(key: &PublicKey) -> Address {
    key.0.last_chunk::<20>().map(|bytes| Address(*bytes)).unwrap_or_default()
}

/// The account, then a hash of account and digest; s is low.
fn recoverable(account: &Address, digest: &Hash) -> [u8; 64] {
    let mark = tagged("simulated signature", &[&account.0, &digest.0]);
    let mut r_and_s = [0; 64];
    let bytes = account.0.iter().chain(&[0; 13]).chain(mark.0.iter().skip(1));
    for (to, from) in r_and_s.iter_mut().zip(bytes) {
        *to = *from;
    }
    r_and_s
}

fn beacon(key: &BeaconKey, input: &Hash) -> Hash {
    tagged("simulated beacon", &[&key.0, &input.0])
}

/// The value, then two hashes of it: no byte of a proof is free.
fn beacon_proof(key: &BeaconKey, input: &Hash) -> BeaconProof {
    let value = beacon(key, input);
    let (one, other) = (tagged("one", &[&value.0]), tagged("other", &[&value.0]));
    let mut proof = [0; 96];
    for (to, from) in proof.iter_mut().zip(value.0.iter().chain(&one.0).chain(&other.0)) {
        *to = *from;
    }
    BeaconProof(proof)
}

/// Checks simulated signatures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Simulated;

impl Signatures for Simulated {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        let account = Address(*signature.r_and_s.first_chunk::<20>()?);
        (signature.r_and_s == recoverable(&account, digest)).then_some(account)
    }

    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool {
        signature.0 == recoverable(&address(key), digest)
    }

    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        Some(address(key))
    }

    fn beacon(&self, key: &BeaconKey, input: &Hash, proof: &BeaconProof) -> Option<Hash> {
        (*proof == beacon_proof(key, input)).then(|| beacon(key, input))
    }
}

/// Signs what a node says: votes, transactions, its part of the beacon.
#[derive(Clone, Debug)]
pub struct Signer {
    key: Key,
    eip712: Eip712,
}

impl Signer {
    /// For a chain.
    #[must_use]
    pub const fn new(key: Key, eip712: Eip712) -> Self {
        Self { key, eip712 }
    }
}

impl ConsensusSigner for Signer {
    fn address(&self) -> Address {
        self.key.address()
    }

    fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    fn sign(&self, digest: &Hash) -> VoteSignature {
        VoteSignature(recoverable(&self.key.address(), digest))
    }
}

impl TransactionSigner for Signer {
    fn address(&self) -> Address {
        self.key.address()
    }

    fn sign(&self, transaction: Transaction) -> SignedTransaction {
        self.key.sign(&self.eip712, transaction)
    }
}

impl BeaconSigner for Signer {
    fn key(&self) -> BeaconKey {
        self.key.beacon_key()
    }

    fn prove(&self, input: &Hash) -> (Hash, BeaconProof) {
        let key = self.key.beacon_key();
        (beacon(&key, input), beacon_proof(&key, input))
    }
}

#[cfg(test)]
mod tests {
    use althing_types::ChainId;

    use super::*;

    #[test]
    fn a_signature_is_its_signers_and_of_its_digest() {
        let (one, other) = (Key::new("node", 1), Key::new("node", 2));
        let signer = Signer::new(one, Eip712::new(ChainId(1)));
        let digest = tagged("something", &[]);
        let signature = ConsensusSigner::sign(&signer, &digest);
        assert!(signature.is_low_s());
        assert!(Simulated.verifies(&digest, &signature, &one.public()));
        assert!(!Simulated.verifies(&digest, &signature, &other.public()));
        assert!(!Simulated.verifies(&Hash::ZERO, &signature, &one.public()));
        let recoverable = RecoverableSignature { r_and_s: signature.0, v: 27 };
        assert_eq!(Simulated.recover(&digest, &recoverable), Some(one.address()));
        assert_eq!(Simulated.recover(&Hash::ZERO, &recoverable), None);
        assert_eq!(Simulated.address_of(&one.public()), Some(one.address()));
    }

    #[test]
    fn a_key_has_one_beacon_value_for_an_input() {
        let key = Key::new("node", 1);
        let signer = Signer::new(key, Eip712::new(ChainId(1)));
        let (value, proof) = signer.prove(&Hash::ZERO);
        assert_eq!(Simulated.beacon(&key.beacon_key(), &Hash::ZERO, &proof), Some(value));
        let other = Key::new("node", 2).beacon_key();
        assert_eq!(Simulated.beacon(&other, &Hash::ZERO, &proof), None);
    }
}
