//! What a node remembers of its own work, so that a restart never changes its mind.

use althing_types::{Address, Claim, Hash, Opening, commitment, tagged};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::JobId;

/// What the node found out in one round of one execution. Durable before the ledger hears of it:
/// a task that is not deterministic would come to something else the second time.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Record {
    /// The execution.
    pub execution: Hash,
    /// The committee's round.
    pub round: u32,
    /// What the node commits itself to.
    pub claim: Claim,
}

impl Record {
    /// Which job it belongs to.
    #[must_use]
    pub const fn job(&self) -> JobId {
        JobId { execution: self.execution, round: self.round }
    }
}

/// Known to this node alone: salts are derived from it, so none has to be stored.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From 32 unpredictable bytes that survive restarts.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The opening of the claim that this node makes in a round.
    #[must_use]
    pub fn opening(&self, job: &JobId, claim: Claim) -> Opening {
        let JobId { execution, round } = job;
        let parts: [&[u8]; 3] = [&self.0, &execution.0, &round.to_be_bytes()];
        Opening { claim, salt: tagged("althing salt", &parts) }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The commitment of `node` to an opening.
pub(crate) fn seal(job: &JobId, node: &Address, opening: &Opening) -> Hash {
    commitment(&job.execution, job.round, node, opening)
}

#[cfg(test)]
mod tests {
    use althing_types::Opinion;

    use super::*;

    #[test]
    fn a_salt_differs_by_node_execution_and_round_and_is_never_printed() {
        let claim = Claim::Opinion(Opinion::Valid);
        let salt = |secret: u8, execution: u8, round| {
            let job = JobId { execution: Hash([execution; 32]), round };
            Secret::new([secret; 32]).opening(&job, claim.clone()).salt
        };
        assert_eq!(salt(1, 1, 0), salt(1, 1, 0));
        assert_ne!(salt(1, 1, 0), salt(2, 1, 0));
        assert_ne!(salt(1, 1, 0), salt(1, 2, 0));
        assert_ne!(salt(1, 1, 0), salt(1, 1, 1));
        assert_eq!(format!("{:?}", Secret::new([7; 32])), "Secret(…)");
    }
}
