//! What never changes while a chain lives, and the record formats of the archive.

use std::fmt;
use std::sync::Arc;

use althing_ledger::{Authenticated, Invalid};
use althing_state::merkle::Range;
use althing_types::{
    BeaconKey, BeaconProof, ChainId, Eip712, Genesis, Hash, Height, Signatures, SignedTransaction,
    TimeMs, ValidatorSet, tagged,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::verified::Verified;

/// Where wall time comes from.
pub type Clock = Box<dyn Fn() -> TimeMs + Send>;

/// A validator's part of the random beacon.
pub trait BeaconSigner: Send {
    /// The validator's beacon key.
    fn key(&self) -> BeaconKey;

    /// The value of the key for `input`, and its proof.
    fn prove(&self, input: &Hash) -> (Hash, BeaconProof);
}

/// The chain's constants, shared by everybody who reads or verifies.
pub(crate) struct Rules {
    pub(crate) genesis: Genesis,
    pub(crate) genesis_hash: Hash,
    pub(crate) eip712: Eip712,
    pub(crate) signatures: Arc<dyn Signatures + Send + Sync>,
    /// No constant, but what everybody who verifies shares.
    verified: Verified,
}

impl Rules {
    pub(crate) fn new(genesis: Genesis, signatures: Arc<dyn Signatures + Send + Sync>) -> Self {
        let (genesis_hash, eip712) = (genesis.hash(), Eip712::new(genesis.chain));
        Self { genesis, genesis_hash, eip712, signatures, verified: Verified::default() }
    }

    pub(crate) const fn chain(&self) -> ChainId {
        self.genesis.chain
    }

    /// Everything that can be told of a transaction without the state.
    pub(crate) fn authenticate(&self, bytes: &[u8]) -> Result<Arc<Authenticated>, Invalid> {
        if let Some(known) = self.verified.find(&SignedTransaction::hash_of(bytes)) {
            return Ok(known);
        }
        let fresh = Authenticated::decode(bytes, &self.eip712, self.chain(), &*self.signatures)?;
        Ok(self.keep(fresh))
    }

    /// The transaction with this hash, if its signature was verified lately.
    pub(crate) fn verified(&self, hash: &Hash) -> Option<Arc<Authenticated>> {
        self.verified.find(hash)
    }

    /// As [`authenticate`](Self::authenticate), of a transaction that is known not to be
    /// [`verified`](Self::verified).
    pub(crate) fn verify(&self, signed: SignedTransaction) -> Result<Arc<Authenticated>, Invalid> {
        let fresh = Authenticated::verify(signed, &self.eip712, self.chain(), &*self.signatures)?;
        Ok(self.keep(fresh))
    }

    /// As [`authenticate`](Self::authenticate), of a transaction that this node has signed.
    pub(crate) fn signed_here(
        &self,
        signed: SignedTransaction,
        bytes: &[u8],
    ) -> Result<Arc<Authenticated>, Invalid> {
        let fresh = Authenticated::signed_here(signed, bytes, self.chain())?;
        Ok(self.keep(fresh))
    }

    fn keep(&self, fresh: Authenticated) -> Arc<Authenticated> {
        let fresh = Arc::new(fresh);
        self.verified.keep(&fresh);
        fresh
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("genesis", &self.genesis_hash).finish_non_exhaustive()
    }
}

/// A receipt as the archive holds it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Archived {
    /// The block.
    pub height: Height,
    /// The place among the block's receipts.
    pub index: u32,
    /// The leaf under the block's receipts root.
    pub leaf: Vec<u8>,
}

/// What a receipt is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Subject {
    /// A transaction, by its hash.
    Transaction(Hash),
    /// An execution, by its id.
    Execution(Hash),
    /// An event, by its key.
    Event(Hash),
    /// A run, by its id.
    Run(Hash),
}

/// Where the chain's lists end.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChainRecord {
    /// Names the chain.
    pub(crate) genesis: Hash,
    /// The ids of all blocks before the tip; the tip's header has this range's root.
    pub(crate) before_tip: Range,
    /// How often the validator set has changed.
    pub(crate) set_changes: u32,
}

/// The `number`-th change of the validator set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct SetChange {
    /// The last block that the old set decided.
    pub(crate) height: Height,
    /// The new set.
    pub(crate) set: ValidatorSet,
}

impl SetChange {
    /// Under which the archive holds it.
    pub(crate) fn key(number: u32) -> Hash {
        tagged("althing set change", &[&number.to_be_bytes()])
    }
}
