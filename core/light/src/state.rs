//! Proofs that the state had a value, or had none, at a height.

use alloc::vec::Vec;

use althing_state::Proof;
use althing_types::{BlockId, Hash, Height, Signatures, TimeMs, canonical};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Decision, LightError, PROOF_BYTES_MAX, Trail};

/// What a key of the state held after a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    /// Who may decide the block.
    pub trail: Trail,
    /// The block.
    pub decision: Decision,
    /// The key; see [`althing_ledger::keys`].
    pub key: Vec<u8>,
    /// Its value; `None` if it had none.
    pub value: Option<Vec<u8>>,
    /// The way from the state's root.
    pub proof: Proof,
}

/// Where a state proof holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedState {
    /// The block.
    pub block: BlockId,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
    /// The power of those who signed.
    pub power: u64,
    /// The power of all.
    pub total_power: u64,
}

impl StateProof {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Decodes canonical bytes of at most [`PROOF_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`LightError::Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, LightError> {
        Ok(canonical::decode(bytes, PROOF_BYTES_MAX, "state proof")?)
    }
}

/// Verifies a state proof against the hash of a genesis.
///
/// # Errors
///
/// [`LightError`], the first fault.
pub fn verify_state(
    proof: &StateProof,
    trusted: &Hash,
    signatures: &dyn Signatures,
) -> Result<VerifiedState, LightError> {
    let StateProof { trail, decision, key, value, proof } = proof;
    let followed = trail.follow(trusted, signatures)?;
    let (power, total_power) = followed.verify(trail, decision, signatures)?;
    let header = &decision.header;
    if !proof.verify(&header.state_root, key, value.as_deref()) {
        return Err(LightError::NotInState);
    }
    let block = decision.certificate.block;
    Ok(VerifiedState { block, height: header.height, time: header.time, power, total_power })
}
