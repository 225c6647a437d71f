//! Who decides blocks, and with which weight.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, BeaconKey, EndpointId, Hash, Height, PublicKey, Round, canonical, tagged};

/// A member of the consensus set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// Its account.
    pub address: Address,
    /// The key that signs its votes; hashes to `address`.
    pub public_key: PublicKey,
    /// Where it is on the network.
    pub endpoint: EndpointId,
    /// Its key for the random beacon.
    pub beacon_key: BeaconKey,
    /// Bonded stake in whole tokens: one token, one vote.
    pub power: u64,
}

/// The consensus set of one height, by descending power, then ascending address.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorSet(Vec<Validator>);

impl ValidatorSet {
    /// Sorts the members into their canonical order.
    #[must_use]
    pub fn new(mut validators: Vec<Validator>) -> Self {
        validators.sort_by(|a, b| b.power.cmp(&a.power).then(a.address.cmp(&b.address)));
        Self(validators)
    }

    /// The members in canonical order.
    #[must_use]
    pub fn members(&self) -> &[Validator] {
        &self.0
    }

    /// True if the order is canonical, addresses are distinct and nobody is without power.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        let ordered = self.0.windows(2).all(|pair| match pair {
            [a, b] => (b.power, a.address) < (a.power, b.address),
            _ => true,
        });
        let mut addresses: Vec<&Address> = self.0.iter().map(|v| &v.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        ordered && addresses.len() == self.0.len() && self.0.iter().all(|v| v.power > 0)
    }

    /// The member with this address.
    #[must_use]
    pub fn get(&self, address: &Address) -> Option<&Validator> {
        self.0.iter().find(|validator| validator.address == *address)
    }

    /// The sum of all powers.
    #[must_use]
    pub fn total_power(&self) -> u64 {
        self.0.iter().fold(0, |sum, validator| sum.saturating_add(validator.power))
    }

    /// The hash that headers carry.
    #[must_use]
    pub fn hash(&self) -> Hash {
        tagged("althing validator set", &[&canonical::encode(self)])
    }

    /// Who proposes in this round: a hash of height and round picks a staked token.
    ///
    /// Equal on every node; `None` for an empty set.
    #[must_use]
    pub fn proposer(&self, height: Height, round: Round) -> Option<&Validator> {
        let seed = tagged("althing proposer", &[&height.0.to_be_bytes(), &round.0.to_be_bytes()]);
        let first = seed.0.first_chunk::<8>().copied()?;
        let mut token = u64::from_be_bytes(first).checked_rem(self.total_power())?;
        for validator in &self.0 {
            match token.checked_sub(validator.power) {
                None => return Some(validator),
                Some(rest) => token = rest,
            }
        }
        None
    }
}
