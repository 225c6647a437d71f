//! From the genesis to the validator set of a later height.

use alloc::vec::Vec;

use althing_ledger::{genesis_writes, keys};
use althing_types::{
    Certificate, Eip712, Genesis, Hash, Header, Height, Malformed, Signatures, ValidatorSet,
    canonical,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{LightError, PROOF_BYTES_MAX, verify_certificate};

/// Most changes of the validator set that are followed.
pub const CHANGES_MAX: usize = 10_000;

/// A header that two thirds have signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decision {
    /// What was signed.
    pub header: Header,
    /// The signatures.
    pub certificate: Certificate,
}

/// A block after which another set decides.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SetChange {
    /// Decided by the old set; its header names the new one.
    pub decision: Decision,
    /// The new set.
    pub next: ValidatorSet,
}

/// How the validator set came about.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trail {
    /// The start of the chain; its hash is trusted.
    pub genesis: Genesis,
    /// Every change before the height in question, ascending.
    pub changes: Vec<SetChange>,
}

/// Where a trail leads.
pub(crate) struct Followed {
    set: ValidatorSet,
    eip712: Eip712,
    after: Height,
    genesis: Hash,
}

impl Trail {
    /// Follows the changes from the trusted genesis.
    pub(crate) fn follow(
        &self,
        trusted: &Hash,
        signatures: &dyn Signatures,
    ) -> Result<Followed, LightError> {
        let found = self.genesis.hash();
        if found != *trusted {
            return Err(LightError::OtherGenesis { trusted: *trusted, found });
        }
        if self.changes.len() > CHANGES_MAX {
            return Err(LightError::BadTrail);
        }
        let mut followed = Followed {
            set: first_set(&self.genesis, signatures)?,
            eip712: Eip712::new(self.genesis.chain),
            after: Height(0),
            genesis: found,
        };
        for SetChange { decision, next } in &self.changes {
            let header = &decision.header;
            followed.verify(self, decision, signatures)?;
            let follows = next.hash() == header.next_validator_set
                && next.is_canonical()
                && !next.members().is_empty();
            if !follows {
                return Err(LightError::WrongSet { height: header.height });
            }
            followed.set = next.clone();
            followed.after = header.height;
        }
        Ok(followed)
    }
}

impl Followed {
    /// Verifies a block of the present set; gives the power that signed, and that of all.
    pub(crate) fn verify(
        &self,
        trail: &Trail,
        decision: &Decision,
        signatures: &dyn Signatures,
    ) -> Result<(u64, u64), LightError> {
        let Decision { header, certificate } = decision;
        let height = header.height;
        if height <= self.after {
            return Err(LightError::BadTrail);
        }
        if header.validator_set != self.set.hash() {
            return Err(LightError::WrongSet { height });
        }
        let is_for_it = (certificate.height, certificate.block) == (height, header.id())
            && header.chain == trail.genesis.chain
            && (height != Height(1) || header.previous == self.genesis);
        if !is_for_it {
            return Err(LightError::OtherBlock { height });
        }
        let power = verify_certificate(certificate, &self.set, &self.eip712, signatures)?;
        Ok((power, self.set.total_power()))
    }
}

/// The set that the ledger derives from a genesis.
fn first_set(genesis: &Genesis, signatures: &dyn Signatures) -> Result<ValidatorSet, LightError> {
    let mut writes = genesis_writes(genesis, signatures)?;
    let bytes = writes.remove(keys::NEXT_VALIDATORS).flatten();
    let bytes = bytes.ok_or(Malformed::Bytes { what: "validator set" })?;
    Ok(canonical::decode(&bytes, PROOF_BYTES_MAX, "validator set")?)
}
