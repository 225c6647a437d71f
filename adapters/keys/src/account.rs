//! The key of an account.

use std::fmt;

use althing_types::{
    Address, Eip712, Hash, PublicKey, RecoverableSignature, SignedTransaction, Transaction,
    VoteSignature,
};
use secp256k1::ecdsa::RecoveryId;
use secp256k1::{Message, SECP256K1, SecretKey};
use zeroize::Zeroizing;

use crate::{KeyError, files, signatures};

/// The secret of an account: whoever has it is the account.
///
/// Nonces are derived from key and digest (RFC 6979), so equal digests get equal signatures.
pub struct AccountKey {
    secret: SecretKey,
    public_key: PublicKey,
    address: Address,
}

impl AccountKey {
    /// A new key from the operating system's entropy.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] if there is none.
    pub fn generate() -> Result<Self, KeyError> {
        // One in 2^128 draws is no scalar; four in a row mean that the source is broken.
        for _ in 0..4 {
            if let Some(key) = Self::from_bytes(&*files::entropy::<32>()?) {
                return Ok(key);
            }
        }
        Err(KeyError::Entropy { source: std::io::Error::other("only invalid scalars came") })
    }

    /// From 32 bytes, big-endian; `None` for zero and for numbers from the curve's order on.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_byte_array(*secret).ok()?;
        let public = secret.public_key(SECP256K1);
        let (public_key, address) = (PublicKey(public.serialize()), signatures::address(&public));
        Some(Self { secret, public_key, address })
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.secret_bytes())
    }

    /// The account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The public key; hashes to [`address`](Self::address).
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Signs a transaction for the chain that it names.
    #[must_use]
    pub fn sign_transaction(&self, transaction: Transaction) -> SignedTransaction {
        let digest = transaction.digest(&Eip712::new(transaction.chain));
        SignedTransaction { transaction, signature: self.sign_recoverable(&digest) }
    }

    /// Signs the digest of a vote, a proposal or a body.
    #[must_use]
    pub fn sign_vote(&self, digest: &Hash) -> VoteSignature {
        let signature = SECP256K1.sign_ecdsa(Message::from_digest(digest.0), &self.secret);
        VoteSignature(signature.serialize_compact())
    }

    /// Claims the endpoint that this account's node speaks from; the address is recovered from it.
    #[must_use]
    pub fn sign_hello(&self, eip712: &Eip712, endpoint: &[u8; 32]) -> RecoverableSignature {
        self.sign_recoverable(&eip712.hello(self.address, endpoint))
    }

    /// Signs a digest so that the address can be recovered.
    #[must_use]
    pub fn sign_recoverable(&self, digest: &Hash) -> RecoverableSignature {
        let message = Message::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.secret);
        let (id, r_and_s) = signature.serialize_compact();
        let v = match id {
            RecoveryId::Zero => 27,
            RecoveryId::One => 28,
            RecoveryId::Two | RecoveryId::Three => {
                unreachable!("r above the curve's order: one signature in 2^127")
            }
        };
        RecoverableSignature { r_and_s, v }
    }
}

impl Drop for AccountKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({}, secret hidden)", self.address)
    }
}
