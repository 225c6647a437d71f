//! Transactions: operations under one signature.

use alloc::string::ToString as _;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::eip712::TransactionFields;
use crate::{
    Address, Amount, ChainId, Eip712, Hash, Height, Malformed, Nonce, Operation,
    RecoverableSignature, canonical, keccak, tagged,
};

/// Largest signed transaction in bytes.
pub const TRANSACTION_BYTES_MAX: usize = 256 << 10;

/// Most operations in one transaction.
pub const OPERATIONS_MAX: usize = 1024;

/// What an account asks for, as EIP-712 typed data.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// The chain; part of the typed data's domain.
    pub chain: ChainId,
    /// Who asks, and pays the fee.
    pub account: Address,
    /// Equal to the account's counter.
    pub nonce: Nonce,
    /// The last height at which the transaction may be included.
    pub expires: Height,
    /// True: all operations or none. False: each operation stands for itself.
    pub atomic: bool,
    /// The most that the account pays for the transaction itself.
    pub fee_limit: Amount,
    /// One to [`OPERATIONS_MAX`].
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// What the account signs.
    ///
    /// The typed data shows every operation in words; `content` binds the exact bytes.
    #[must_use]
    pub fn digest(&self, eip712: &Eip712) -> Hash {
        let mut texts = Vec::with_capacity(self.operations.len().saturating_mul(32));
        for operation in &self.operations {
            texts.extend(keccak(&[operation.to_string().as_bytes()]).0);
        }
        eip712.transaction(&TransactionFields {
            account: self.account,
            nonce: self.nonce.0,
            expires: self.expires.0,
            atomic: self.atomic,
            fee_limit: self.fee_limit,
            texts: &texts,
            content: keccak(&[&canonical::encode(&self.operations)]),
        })
    }
}

/// A transaction with its account's signature.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTransaction {
    /// What was signed.
    pub transaction: Transaction,
    /// Over [`Transaction::digest`].
    pub signature: RecoverableSignature,
}

impl SignedTransaction {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Decodes canonical bytes of at most [`TRANSACTION_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        canonical::decode(bytes, TRANSACTION_BYTES_MAX, "transaction")
    }

    /// Names the transaction, signature included.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Self::hash_of(&self.encode())
    }

    /// [`hash`](Self::hash) of bytes that are already encoded.
    #[must_use]
    pub fn hash_of(encoded: &[u8]) -> Hash {
        tagged("althing transaction", &[encoded])
    }
}
