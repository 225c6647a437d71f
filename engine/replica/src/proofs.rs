//! Builds what light clients verify, out of what every node keeps.

use althing_ledger::Receipt as Leaf;
use althing_light::{
    CHANGES_MAX, Decision, PROOF_BYTES_MAX, Receipt, SetChange, StateProof, Trail,
};
use althing_state::{View as _, merkle};
use althing_types::{Block, Hash, Height};

use crate::reader::{ReadError, Reader, decode_record};
use crate::rules::{self, Subject};
use crate::store::Archive;

impl Reader {
    /// The receipt of a transaction or of a settled execution; `None` if there is none (yet).
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store is at fault.
    pub fn receipt(&self, subject: &Subject) -> Result<Option<Receipt>, ReadError> {
        let Some(archived) = self.archived(subject)? else { return Ok(None) };
        let (block, decision) = self.decision(archived.height)?;
        let missing = ReadError::Missing { what: "a receipt of a block" };
        let subjects = self.subjects(&block.header.id())?.unwrap_or_default();
        let mut leaves = Vec::with_capacity(subjects.len());
        for subject in &subjects {
            match self.archived(subject)? {
                Some(archived) => leaves.push(archived.leaf),
                None => return Err(missing),
            }
        }
        let index = usize::try_from(archived.index).unwrap_or(usize::MAX);
        let Some(proof) = merkle::list_proof(&leaves, index) else { return Err(missing) };
        if !proof.verify(&decision.header.receipts_root, &archived.leaf) {
            return Err(ReadError::Missing { what: "the receipt that a block has" });
        }
        let trail = self.trail(archived.height)?;
        let rosters = self.rosters(&archived.leaf)?;
        let mut receipt = Receipt { trail, decision, proof, leaf: archived.leaf, rosters };
        if receipt.encode().len() > PROOF_BYTES_MAX {
            // The outcome can be proven without them; a replay of the draws then asks the node.
            receipt.rosters.clear();
        }
        Ok(Some(receipt))
    }

    /// Proves what a key of the state holds at the last committed height; `None` before the first
    /// block, which nobody has signed.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the store is at fault.
    pub fn state_proof(&self, key: &[u8]) -> Result<Option<StateProof>, ReadError> {
        let head = self.head();
        let height = head.tip.height;
        if height == Height(0) {
            return Ok(None);
        }
        let (value, proof) = (head.view.read(key)?, head.view.prove(key));
        let (_, decision) = self.decision(height)?;
        let trail = self.trail(height)?;
        Ok(Some(StateProof { trail, decision, key: key.to_vec(), value, proof }))
    }

    fn decision(&self, height: Height) -> Result<(Block, Decision), ReadError> {
        let missing = ReadError::Missing { what: "a decided block" };
        let (block, certificate) = self.decided(height)?.ok_or(missing)?;
        let header = block.header.clone();
        Ok((block, Decision { header, certificate }))
    }

    /// How the set that decides `height` came about.
    fn trail(&self, height: Height) -> Result<Trail, ReadError> {
        let mut changes = Vec::new();
        for number in 0..u32::try_from(CHANGES_MAX).unwrap_or(u32::MAX) {
            let key = rules::SetChange::key(number);
            let Some(bytes) = self.store().archived(Archive::SetChange, &key)? else { break };
            let change: rules::SetChange = decode_record(&bytes, "change of the validator set")?;
            if change.height >= height {
                break;
            }
            let (_, decision) = self.decision(change.height)?;
            changes.push(SetChange { decision, next: change.set });
        }
        Ok(Trail { genesis: self.genesis().clone(), changes })
    }

    /// The candidates from which an execution's committees were drawn, in the order of the draws.
    fn rosters(&self, leaf: &[u8]) -> Result<Vec<althing_ledger::Roster>, ReadError> {
        let Leaf::Execution(execution) = decode_record(leaf, "receipt")? else {
            return Ok(Vec::new());
        };
        let mut hashes: Vec<Hash> = Vec::new();
        for record in &execution.draws {
            if !hashes.contains(&record.roster) {
                hashes.push(record.roster);
            }
        }
        let mut rosters = Vec::with_capacity(hashes.len());
        for hash in &hashes {
            let missing = ReadError::Missing { what: "a list of candidates" };
            rosters.push(self.roster(hash)?.ok_or(missing)?);
        }
        Ok(rosters)
    }
}
