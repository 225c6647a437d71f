//! Transactions whose signature is known to be good, and what makes a transaction inadmissible.

use althing_state::{Fault, View};
use althing_types::{
    Address, Amount, ChainId, Eip712, Hash, Height, Malformed, Nonce, OPERATIONS_MAX, Parameters,
    Signatures, SignedTransaction, Transaction,
};

use crate::books::load;
use crate::{Account, keys};

/// Why a transaction must not be in a block. It costs nothing and leaves no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The bytes are not a canonical transaction, or too many.
    #[error("not the canonical bytes of a transaction")]
    Malformed,
    /// The signature is missing, garbled, or another account's.
    #[error("the signature is not that of the account")]
    BadSignature,
    /// The signature has the high one of its two possible values of s.
    #[error("the signature is malleable: its s is above half of the curve's order")]
    HighS,
    /// Made for another chain.
    #[error("the transaction is for chain {found}, this is chain {expected}")]
    WrongChain {
        /// This chain.
        expected: ChainId,
        /// The transaction's.
        found: ChainId,
    },
    /// No operation, or too many.
    #[error("a transaction has 1 to {OPERATIONS_MAX} operations")]
    OperationCount,
    /// Used already, or not the account's next.
    #[error("the account's next nonce is {expected}, the transaction has {found}")]
    WrongNonce {
        /// The account's next.
        expected: Nonce,
        /// The transaction's.
        found: Nonce,
    },
    /// Its last height has passed.
    #[error("the transaction was valid until height {expires}")]
    Expired {
        /// The last height at which it could be included.
        expires: Height,
    },
    /// The fee is above the account's own limit.
    #[error("the fee is {fee}, above the limit of {limit}")]
    FeeAboveLimit {
        /// What the transaction costs.
        fee: Amount,
        /// What its account allows.
        limit: Amount,
    },
    /// The account cannot pay the fee.
    #[error("the fee is {fee}, the account has {balance}")]
    CannotPay {
        /// What the transaction costs.
        fee: Amount,
        /// What the account has.
        balance: Amount,
    },
}

impl Invalid {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "TXN-0001",
            Self::BadSignature => "TXN-0002",
            Self::HighS => "TXN-0003",
            Self::WrongChain { .. } => "TXN-0004",
            Self::OperationCount => "TXN-0005",
            Self::WrongNonce { .. } => "TXN-0006",
            Self::Expired { .. } => "TXN-0007",
            Self::FeeAboveLimit { .. } => "TXN-0008",
            Self::CannotPay { .. } => "TXN-0009",
        }
    }
}

impl From<Malformed> for Invalid {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A transaction that its account has signed for this chain. Made once, at admission; kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    signed: SignedTransaction,
    hash: Hash,
    bytes: usize,
}

impl Authenticated {
    /// Decodes and verifies canonical bytes.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for everything that can be told without the state.
    pub fn decode(
        bytes: &[u8],
        eip712: &Eip712,
        chain: ChainId,
        signatures: &dyn Signatures,
    ) -> Result<Self, Invalid> {
        let signed = SignedTransaction::decode(bytes)?;
        Self::verify_encoded(signed, bytes, eip712, chain, signatures)
    }

    /// Verifies a decoded transaction.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for everything that can be told without the state.
    pub fn verify(
        signed: SignedTransaction,
        eip712: &Eip712,
        chain: ChainId,
        signatures: &dyn Signatures,
    ) -> Result<Self, Invalid> {
        let bytes = signed.encode();
        if bytes.len() > althing_types::TRANSACTION_BYTES_MAX {
            return Err(Invalid::Malformed);
        }
        Self::verify_encoded(signed, &bytes, eip712, chain, signatures)
    }

    /// Takes a transaction that this node itself has just signed: nobody recovers the signer of his own
    /// signature. The other nodes do.
    ///
    /// # Errors
    ///
    /// [`Invalid`] for everything else that can be told without the state.
    pub fn signed_here(
        signed: SignedTransaction,
        bytes: &[u8],
        chain: ChainId,
    ) -> Result<Self, Invalid> {
        if bytes.len() > althing_types::TRANSACTION_BYTES_MAX {
            return Err(Invalid::Malformed);
        }
        Self::checked(signed, bytes, chain)
    }

    fn verify_encoded(
        signed: SignedTransaction,
        bytes: &[u8],
        eip712: &Eip712,
        chain: ChainId,
        signatures: &dyn Signatures,
    ) -> Result<Self, Invalid> {
        let fresh = Self::checked(signed, bytes, chain)?;
        let SignedTransaction { transaction, signature } = &fresh.signed;
        if signatures.recover(&transaction.digest(eip712), signature) != Some(transaction.account) {
            return Err(Invalid::BadSignature);
        }
        Ok(fresh)
    }

    /// Everything but whose signature it is.
    fn checked(signed: SignedTransaction, bytes: &[u8], chain: ChainId) -> Result<Self, Invalid> {
        let transaction = &signed.transaction;
        if transaction.chain != chain {
            return Err(Invalid::WrongChain { expected: chain, found: transaction.chain });
        }
        if transaction.operations.is_empty() || transaction.operations.len() > OPERATIONS_MAX {
            return Err(Invalid::OperationCount);
        }
        if !signed.signature.is_low_s() {
            return Err(Invalid::HighS);
        }
        Ok(Self { hash: SignedTransaction::hash_of(bytes), bytes: bytes.len(), signed })
    }

    /// What was signed.
    #[must_use]
    pub fn transaction(&self) -> &Transaction {
        &self.signed.transaction
    }

    /// The transaction with its signature.
    #[must_use]
    pub fn signed(&self) -> &SignedTransaction {
        &self.signed
    }

    /// Its hash, signature included.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Its length in canonical bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Who signed it.
    #[must_use]
    pub fn account(&self) -> Address {
        self.signed.transaction.account
    }

    /// What it costs, whether its operations succeed or not.
    #[must_use]
    pub fn fee(&self, parameters: &Parameters) -> Amount {
        let bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        let for_bytes = parameters.fee_per_byte.checked_mul(bytes).unwrap_or(Amount::MAX);
        parameters.fee_base.saturating_add(for_bytes)
    }

    /// Whether the transaction may be in the block of `height`, given the state before it.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the state cannot be read.
    pub fn admissible(
        &self,
        view: &impl View,
        parameters: &Parameters,
        height: Height,
    ) -> Result<Result<(), Invalid>, Fault> {
        let account: Account = load(view, &keys::account(&self.account()))?.unwrap_or_default();
        Ok(self.admissible_for(&account, parameters, height))
    }

    pub(crate) fn admissible_for(
        &self,
        account: &Account,
        parameters: &Parameters,
        height: Height,
    ) -> Result<(), Invalid> {
        let transaction = self.transaction();
        let fee = self.fee(parameters);
        if transaction.nonce != account.nonce {
            return Err(Invalid::WrongNonce { expected: account.nonce, found: transaction.nonce });
        }
        if transaction.expires < height {
            return Err(Invalid::Expired { expires: transaction.expires });
        }
        if fee > transaction.fee_limit {
            return Err(Invalid::FeeAboveLimit { fee, limit: transaction.fee_limit });
        }
        if fee > account.balance {
            return Err(Invalid::CannotPay { fee, balance: account.balance });
        }
        Ok(())
    }
}
