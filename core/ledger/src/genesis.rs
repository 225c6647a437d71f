//! The state before the first block.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use althing_types::{Amount, BasisPoints, Genesis, Nonce, Parameters, Signatures, Validator};

use crate::books::record_bytes;
use crate::record::{Account, ValidatorRecord, ValidatorStatus};
use crate::{Totals, consensus_set, keys};

/// Why a genesis cannot start a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Nobody could decide the first block.
    #[error("the genesis has no validator with the least bond")]
    NoValidators,
    /// The lists are not in their canonical order, or name somebody twice.
    #[error("the genesis' accounts or validators are not ascending by address")]
    NotCanonical,
    /// A public key that does not belong to its address.
    #[error("a validator's public key does not belong to its address")]
    ForeignPublicKey,
    /// A share of something is more than the whole: carried out, it would make tokens. Or events reach
    /// nobody.
    #[error("the genesis' parameters have shares of more than the whole, or a fan-out of none")]
    BadParameters,
    /// More tokens than fit.
    #[error("the genesis' tokens do not fit an amount")]
    Overflow,
}

/// What is taken, burned or shared out of an amount is never more than the amount.
fn shares_fit(parameters: &Parameters) -> bool {
    let fee = parameters.developer_share.0.saturating_add(parameters.treasury_share.0);
    [parameters.slash_burned.0, parameters.early_exit.0, parameters.double_vote_slash.0, fee]
        .iter()
        .all(|share| *share <= BasisPoints::WHOLE.0)
}

/// An event that no block looks at would reach nobody.
const fn events_arrive(parameters: &Parameters) -> bool {
    parameters.fan_out_per_block > 0
}

/// The writes that make the state of height zero.
///
/// # Errors
///
/// [`GenesisError`] if the genesis contradicts itself.
pub fn genesis_writes(
    genesis: &Genesis,
    signatures: &dyn Signatures,
) -> Result<BTreeMap<Vec<u8>, Option<Vec<u8>>>, GenesisError> {
    let ordered = genesis.accounts.iter().map(|account| account.address).is_sorted_by(|a, b| a < b)
        && genesis.validators.iter().map(|validator| validator.address).is_sorted_by(|a, b| a < b);
    if !ordered {
        return Err(GenesisError::NotCanonical);
    }
    if !shares_fit(&genesis.parameters) || !events_arrive(&genesis.parameters) {
        return Err(GenesisError::BadParameters);
    }
    let mut writes = BTreeMap::new();
    let mut totals = Totals::default();
    for endowment in &genesis.accounts {
        let account = Account { balance: endowment.balance, nonce: Nonce(0) };
        totals.accounts =
            totals.accounts.checked_add(endowment.balance).ok_or(GenesisError::Overflow)?;
        writes.insert(keys::account(&endowment.address), Some(record_bytes(&account)));
    }
    let mut set = Vec::new();
    for validator in &genesis.validators {
        if signatures.address_of(&validator.public_key) != Some(validator.address) {
            return Err(GenesisError::ForeignPublicKey);
        }
        let record = ValidatorRecord {
            public_key: validator.public_key,
            endpoint: validator.endpoint,
            beacon_key: validator.beacon_key,
            bonded: validator.bonded,
            unbonding: Vec::new(),
            status: ValidatorStatus::Active,
            missed: 0,
        };
        totals.bonded =
            totals.bonded.checked_add(validator.bonded).ok_or(GenesisError::Overflow)?;
        writes.insert(keys::validator(&validator.address), Some(record_bytes(&record)));
        if validator.bonded >= genesis.parameters.bond_min && validator.bonded.whole_tokens() > 0 {
            set.push(Validator {
                address: validator.address,
                public_key: validator.public_key,
                endpoint: validator.endpoint,
                beacon_key: validator.beacon_key,
                power: validator.bonded.whole_tokens(),
            });
        }
    }
    if set.is_empty() {
        return Err(GenesisError::NoValidators);
    }
    let supply: Option<Amount> = totals.accounts.checked_add(totals.bonded);
    totals.supply = supply.ok_or(GenesisError::Overflow)?;
    writes.insert(keys::PARAMETERS.to_vec(), Some(record_bytes(&genesis.parameters)));
    writes.insert(keys::TOTALS.to_vec(), Some(record_bytes(&totals)));
    let set = consensus_set::largest(set, &genesis.parameters);
    writes.insert(keys::NEXT_VALIDATORS.to_vec(), Some(record_bytes(&set)));
    Ok(writes)
}
