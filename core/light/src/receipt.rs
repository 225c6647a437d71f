//! Receipts: what became of a transaction, an execution, an event or a run, for ever and for everybody.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use althing_ledger::{Execution, Receipt as Leaf, Roster, draw, draw_seed};
use althing_state::merkle::ListProof;
use althing_types::{Address, BlockId, Hash, Height, Signatures, TimeMs, canonical};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Decision, LightError, PROOF_BYTES_MAX, Trail};

/// A receipt that proves itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Who may decide the block.
    pub trail: Trail,
    /// The block.
    pub decision: Decision,
    /// The place of the leaf among the block's receipts.
    pub proof: ListProof,
    /// Canonical bytes of an [`althing_ledger::Receipt`].
    pub leaf: Vec<u8>,
    /// Candidates that the execution's committees were drawn from; may be left out.
    pub rosters: Vec<Roster>,
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What became of the transaction, the execution, the event or the run.
    pub leaf: Leaf,
    /// The block that has it.
    pub block: BlockId,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
    /// Who signed it, ascending.
    pub signers: Vec<Address>,
    /// The power of those who signed.
    pub power: u64,
    /// The power of all.
    pub total_power: u64,
    /// How many draws were replayed.
    pub draws_replayed: usize,
}

impl Receipt {
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
        Ok(canonical::decode(bytes, PROOF_BYTES_MAX, "receipt")?)
    }

    /// What the leaf says; not verified.
    ///
    /// # Errors
    ///
    /// [`LightError::Malformed`] if it is no receipt of the ledger.
    pub fn claim(&self) -> Result<Leaf, LightError> {
        Ok(canonical::decode(&self.leaf, PROOF_BYTES_MAX, "receipt of the ledger")?)
    }
}

/// Verifies a receipt against the hash of a genesis.
///
/// # Errors
///
/// [`LightError`], the first fault: nothing of the receipt is to be believed then.
pub fn verify(
    receipt: &Receipt,
    trusted: &Hash,
    signatures: &dyn Signatures,
) -> Result<Verified, LightError> {
    let Receipt { trail, decision, proof, leaf, rosters } = receipt;
    let followed = trail.follow(trusted, signatures)?;
    let (power, total_power) = followed.verify(trail, decision, signatures)?;
    let header = &decision.header;
    if !proof.verify(&header.receipts_root, leaf) {
        return Err(LightError::NotInBlock);
    }
    let leaf = receipt.claim()?;
    let draws_replayed = match &leaf {
        Leaf::Execution(execution) => replay(execution, rosters)?,
        Leaf::Transaction(_) | Leaf::Event(_) | Leaf::Run(_) => match rosters.first() {
            Some(roster) => return Err(LightError::BadRoster { roster: roster.hash() }),
            None => 0,
        },
    };
    Ok(Verified {
        leaf,
        block: decision.certificate.block,
        height: header.height,
        time: header.time,
        signers: decision.certificate.signatures.iter().map(|s| s.validator).collect(),
        power,
        total_power,
        draws_replayed,
    })
}

/// Draws again what was drawn from the given rosters. Each must be one of the execution's, once.
fn replay(execution: &Execution, rosters: &[Roster]) -> Result<usize, LightError> {
    let (mut replayed, mut seen) = (0_usize, BTreeSet::new());
    for roster in rosters {
        let hash = roster.hash();
        let bad = LightError::BadRoster { roster: hash };
        if !seen.insert(hash) {
            return Err(bad);
        }
        let before = replayed;
        for record in execution.draws.iter().filter(|record| record.roster == hash) {
            let seed = draw_seed(&record.beacon, &execution.id, record.round, record.refill);
            let seats = usize::try_from(record.seats).unwrap_or(usize::MAX);
            let drawn = draw(&seed, roster, &record.excluded, execution.restriction(), seats);
            if drawn != record.drawn || roster.height != record.height {
                return Err(bad);
            }
            replayed = replayed.saturating_add(1);
        }
        if replayed == before || roster.service != execution.service {
            return Err(bad);
        }
    }
    Ok(replayed)
}
