//! Why a proof proves nothing.

use althing_ledger::GenesisError;
use althing_types::{Address, Hash, Height, Malformed};

/// Why a proof was refused. The first fault that was found, in the order of the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightError {
    /// The bytes are no proof, or too many.
    #[error("not the canonical bytes of a proof")]
    Malformed(#[from] Malformed),
    /// The proof is about another chain.
    #[error("the proof begins at genesis {found}, {trusted} is trusted")]
    OtherGenesis {
        /// What the verifier trusts.
        trusted: Hash,
        /// What the proof begins with.
        found: Hash,
    },
    /// The genesis contradicts itself.
    #[error("the genesis cannot start a chain")]
    BadGenesis(#[from] GenesisError),
    /// The certificate is about another block.
    #[error("the certificate at height {height} is not for the header beside it")]
    OtherBlock {
        /// The header's height.
        height: Height,
    },
    /// A signer is not in the set, is there twice, or is out of order.
    #[error("{signer} is not a distinct member of the set, in order")]
    BadSigner {
        /// Who is said to have signed.
        signer: Address,
    },
    /// A signature does not verify.
    #[error("the signature of {signer} does not verify")]
    BadSignature {
        /// Who is said to have signed.
        signer: Address,
    },
    /// Two thirds have not signed.
    #[error("{signed} of {total} votes signed, more than two thirds are needed")]
    NoQuorum {
        /// Power of those who signed.
        signed: u64,
        /// Power of all.
        total: u64,
    },
    /// The header or the new set does not follow from the proof before it.
    #[error("the validator set at height {height} does not follow from the one before")]
    WrongSet {
        /// The header's height.
        height: Height,
    },
    /// Heights do not ascend, or there are too many changes.
    #[error("the changes of the validator set are too many, or their heights do not ascend")]
    BadTrail,
    /// The block has no such receipt, or another one.
    #[error("the receipt is not among those of the block")]
    NotInBlock,
    /// A list of candidates is not one that the execution was drawn from, or gives another draw.
    #[error("the list of candidates {roster} does not give the recorded draw")]
    BadRoster {
        /// Its hash.
        roster: Hash,
    },
    /// The state had another value, or one where none is claimed.
    #[error("the state does not hold what the proof claims")]
    NotInState,
}

impl LightError {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "RCP-0001",
            Self::OtherGenesis { .. } => "RCP-0002",
            Self::BadGenesis(_) => "RCP-0003",
            Self::OtherBlock { .. } => "RCP-0004",
            Self::BadSigner { .. } => "RCP-0005",
            Self::BadSignature { .. } => "RCP-0006",
            Self::NoQuorum { .. } => "RCP-0007",
            Self::WrongSet { .. } => "RCP-0008",
            Self::BadTrail => "RCP-0009",
            Self::NotInBlock => "RCP-0010",
            Self::BadRoster { .. } => "RCP-0011",
            Self::NotInState => "RCP-0012",
        }
    }
}
