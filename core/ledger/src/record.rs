//! The records that the state holds, open executions apart.

use alloc::vec::Vec;

use althing_types::{
    Address, Amount, BeaconKey, EndpointId, Hash, Height, Label, Nonce, PublicKey, ServiceTerms,
    TimeMs,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::books::{Holds, Pot};
use crate::reputation::Tally;

/// What an account owns and how many transactions it has made.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Free tokens.
    pub balance: Amount,
    /// The number of its next transaction.
    pub nonce: Nonce,
}

impl Holds for Account {
    const POT: Pot = Pot::Accounts;
    fn held(&self) -> Amount {
        self.balance
    }
}

/// Stake on its way back to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Unbonding {
    /// Paid at the first block from this time on.
    pub due: TimeMs,
    /// How much.
    pub amount: Amount,
}

/// Whether a validator may be in the consensus set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ValidatorStatus {
    /// It may.
    Active,
    /// It missed too many proposals; it may return after this time.
    Jailed {
        /// The end of its term.
        until: TimeMs,
    },
    /// It voted twice; it never returns.
    Convicted,
}

/// An account that stakes on consensus.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorRecord {
    /// Signs its votes.
    pub public_key: PublicKey,
    /// Where it is on the network.
    pub endpoint: EndpointId,
    /// Its key for the beacon.
    pub beacon_key: BeaconKey,
    /// Its stake.
    pub bonded: Amount,
    /// Stake on its way back, still slashable, by due time.
    pub unbonding: Vec<Unbonding>,
    /// Whether it may be in the set.
    pub status: ValidatorStatus,
    /// Proposals missed since its last one.
    pub missed: u32,
}

impl Holds for ValidatorRecord {
    const POT: Pot = Pot::Bonded;
    fn held(&self) -> Amount {
        self.unbonding.iter().map(|unbonding| unbonding.amount).chain([self.bonded]).sum()
    }
}

/// A published service.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ServiceRecord {
    /// The terms of its manifest.
    pub terms: ServiceTerms,
    /// Who published it, and earns from its executions.
    pub developer: Address,
    /// When it was published.
    pub published: Height,
    /// How many nodes offer it.
    pub offers: u32,
}

/// Whether an offer takes part in draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OfferStatus {
    /// It does.
    Active,
    /// The node was absent too often, or its stake fell below the minimum.
    Suspended,
    /// The node leaves; its stake is paid out at this time.
    Leaving {
        /// End of the delay.
        due: TimeMs,
    },
    /// The node has left; its history stays, so that leaving does not wash it white.
    Gone,
}

/// A node's commitment to a service, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OfferRecord {
    /// Nodes of one owner never sit in one committee.
    pub owner: Address,
    /// Where the node is on the network.
    pub endpoint: EndpointId,
    /// What the node says of itself.
    pub labels: Vec<Label>,
    /// What a fine is taken from.
    pub stake: Amount,
    /// First offered.
    pub since: TimeMs,
    /// Leaving earlier costs.
    pub term_until: TimeMs,
    /// Whether it takes part in draws.
    pub status: OfferStatus,
    /// What it did as an executor.
    pub executor: Tally,
    /// What it did as a checker.
    pub checker: Tally,
    /// What it did as an emitter of events.
    pub emitter: Tally,
    /// Absences since it was last present.
    pub absences_in_a_row: u32,
    /// How often it was fined for more than an absence.
    pub incidents: u32,
    /// The last time that it was.
    pub last_incident: Option<TimeMs>,
    /// All fines together.
    pub fined: Amount,
    /// All rewards together.
    pub earned: Amount,
}

impl Holds for OfferRecord {
    const POT: Pot = Pot::Offers;
    fn held(&self) -> Amount {
        self.stake
    }
}

/// What is due at a time.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Due {
    /// An execution's deadline, or its turn to be drawn.
    Execution(Hash),
    /// A validator's unbonding.
    Unbonding(Address),
    /// An offer's stake.
    Offer(Hash, Address),
    /// The end of an event's window.
    Event(Hash),
    /// A run's deadline.
    Run(Hash),
    /// An event goes on telling runs.
    FanOut(Hash),
    /// An event is remembered no longer.
    Forget(Hash),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_holds_its_bond_and_what_is_on_its_way_back() {
        let amount = Amount::from_tokens;
        let record = ValidatorRecord {
            public_key: PublicKey::ZERO,
            endpoint: EndpointId::ZERO,
            beacon_key: BeaconKey::ZERO,
            bonded: amount(5),
            unbonding: alloc::vec![Unbonding { due: TimeMs(1), amount: amount(2) }],
            status: ValidatorStatus::Active,
            missed: 0,
        };
        assert_eq!(record.held(), amount(7));
    }
}
