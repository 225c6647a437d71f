//! The validator set, cheap to clone: the engine clones it at every height.

use std::sync::Arc;

use althing_types::{Height, PublicKey, ValidatorSet};
use malachite_types::{Round, VotingPower};

use super::{Chain, Voter, defined_round};

/// A validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its account.
    pub address: Voter,
    /// The key that signs its votes.
    pub public_key: PublicKey,
    /// Whole tokens: the engine panics when the total exceeds `u64::MAX / 3`.
    pub power: VotingPower,
}

impl malachite_types::Validator<Chain> for Member {
    fn address(&self) -> &Voter {
        &self.address
    }

    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

/// The consensus set of one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members(Arc<Shared>);

#[derive(Debug, PartialEq, Eq)]
struct Shared {
    set: ValidatorSet,
    /// In the order of `set`.
    members: Vec<Member>,
    /// Positions in `members`, by ascending address.
    by_address: Vec<usize>,
}

impl Members {
    /// The engine's view of a set.
    #[must_use]
    pub fn new(set: ValidatorSet) -> Self {
        let members: Vec<Member> = set
            .members()
            .iter()
            .map(|v| Member { address: Voter(v.address), public_key: v.public_key, power: v.power })
            .collect();
        let mut by_address: Vec<usize> = (0..members.len()).collect();
        by_address.sort_by_key(|place| members.get(*place).map(|member| member.address));
        Self(Arc::new(Shared { set, members, by_address }))
    }

    /// The set in the project's own vocabulary.
    #[must_use]
    pub fn set(&self) -> &ValidatorSet {
        &self.0.set
    }

    /// The member with this address.
    #[must_use]
    pub fn get(&self, address: &Voter) -> Option<&Member> {
        let Shared { members, by_address, .. } = &*self.0;
        let address_at = |place: &usize| members.get(*place).map(|member| member.address);
        let found = by_address.binary_search_by_key(&Some(*address), address_at).ok()?;
        members.get(*by_address.get(found)?)
    }

    /// Who proposes in this round; `None` for an empty set or a nil round.
    #[must_use]
    pub fn proposer(&self, height: Height, round: Round) -> Option<&Member> {
        let proposer = self.0.set.proposer(height, defined_round(round)?)?;
        self.get(&Voter(proposer.address))
    }
}

impl malachite_types::ValidatorSet<Chain> for Members {
    fn count(&self) -> usize {
        self.0.members.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.0.set.total_power()
    }

    fn get_by_address(&self, address: &Voter) -> Option<&Member> {
        self.get(address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Member> {
        self.0.members.get(index)
    }
}
