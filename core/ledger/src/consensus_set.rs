//! The consensus set: who may decide blocks, by bonded stake.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{Address, Parameters, Round, Validator, ValidatorSet};

use crate::books::decode;
use crate::record::{ValidatorRecord, ValidatorStatus};
use crate::{Ledger, keys};

/// Most rounds whose absent proposers are noted: what a proposer can make others pay is bounded.
const ROUNDS_NOTED: u32 = 16;

/// Most validators that are registered at a time.
pub(crate) const REGISTERED_MAX: usize = 10_000;

/// Counts the proposals that were missed before this block's round, and jails who missed too many, as
/// long as the rest is known to be able to go on without it, and without any one more.
pub(crate) fn note_proposers<V: View>(ledger: &mut Ledger<'_, V>) -> Result<(), Fault> {
    let set: ValidatorSet = ledger.load(keys::NEXT_VALIDATORS)?.unwrap_or_default();
    let block = ledger.block.clone();
    for round in 0..block.round.0.min(ROUNDS_NOTED) {
        let Some(absent) = set.proposer(block.height, Round(round)).map(|v| v.address) else {
            continue;
        };
        if absent != block.proposer {
            missed(ledger, &set, absent)?;
        }
    }
    if let Some(mut record) = ledger.validator(&block.proposer)?
        && record.missed > 0
    {
        record.missed = 0;
        ledger.put_validator_quietly(&block.proposer, &record)?;
    }
    Ok(())
}

fn missed<V: View>(
    ledger: &mut Ledger<'_, V>,
    set: &ValidatorSet,
    address: Address,
) -> Result<(), Fault> {
    let Some(mut record) = ledger.validator(&address)? else { return Ok(()) };
    record.missed = record.missed.saturating_add(1);
    let until = ledger.block.time.after(ledger.parameters.jail_ms);
    let jailed = record.missed >= ledger.parameters.missed_proposals_max
        && record.status == ValidatorStatus::Active
        && can_do_without(ledger, set, &address)?
        && can_lose_one_more(ledger, set, &address)?;
    if jailed {
        record.status = ValidatorStatus::Jailed { until };
        record.missed = 0;
        return ledger.put_validator(&address, &record);
    }
    ledger.put_validator_quietly(&address, &record)
}

/// Whether those of the rest who have missed no proposal since their last one hold more than two thirds
/// of its power.
///
/// After an outage everybody has missed some: were they all jailed, whoever proposed first would decide
/// alone, or the absent would be left without a quorum, and the chain at its end.
fn can_do_without<V: View>(
    ledger: &Ledger<'_, V>,
    set: &ValidatorSet,
    address: &Address,
) -> Result<bool, Fault> {
    let (mut present, mut all) = (0_u128, 0_u128);
    for member in set.members().iter().filter(|member| member.address != *address) {
        let Some(record) = ledger.validator(&member.address)? else { continue };
        if record.status != ValidatorStatus::Active {
            continue;
        }
        let power = u128::from(member.power);
        all = all.saturating_add(power);
        if record.missed == 0 || member.address == ledger.block.proposer {
            present = present.saturating_add(power);
        }
    }
    Ok(present.saturating_mul(3) > all.saturating_mul(2))
}

/// Whether each of the rest whose loss the set can bear can still be lost once this one is gone.
///
/// Who is jailed needs a block to return. If another one was then lost for good, and the rest of the rest
/// were no quorum, there would never be one, though together with the one that is only jailed they might
/// be many enough: four of equal stake bear the loss of one, and three bear none.
fn can_lose_one_more<V: View>(
    ledger: &Ledger<'_, V>,
    set: &ValidatorSet,
    address: &Address,
) -> Result<bool, Fault> {
    let mut rest = Vec::new();
    let (mut all, mut own) = (0_u128, 0_u128);
    for member in set.members() {
        let record = ledger.validator(&member.address)?;
        if record.is_none_or(|record| record.status != ValidatorStatus::Active) {
            continue;
        }
        let power = u128::from(member.power);
        all = all.saturating_add(power);
        if member.address == *address {
            own = power;
        } else {
            rest.push(power);
        }
    }
    // More than two thirds are left if what is lost is less than a third.
    let bears = |all: u128, loss: u128| loss.saturating_mul(3) < all;
    let left = all.saturating_sub(own);
    Ok(rest.iter().all(|loss| bears(left, *loss) || !bears(all, *loss)))
}

/// The set of the next height; written only if it may have changed.
pub(crate) fn next<V: View>(ledger: &mut Ledger<'_, V>) -> Result<ValidatorSet, Fault> {
    let present: ValidatorSet = ledger.load(keys::NEXT_VALIDATORS)?.unwrap_or_default();
    if !ledger.set_changed() {
        return Ok(present);
    }
    let set = largest(eligible(ledger)?, &ledger.parameters);
    if set.members().is_empty() || set == present {
        return Ok(present); // without validators there would be no next block
    }
    ledger.write(keys::NEXT_VALIDATORS.to_vec(), &set);
    Ok(set)
}

/// Those with the largest bonds, as many as may be in the set.
pub(crate) fn largest(validators: Vec<Validator>, parameters: &Parameters) -> ValidatorSet {
    let set = ValidatorSet::new(validators);
    let most = usize::try_from(parameters.validators_max).unwrap_or(usize::MAX);
    if set.members().len() <= most {
        return set;
    }
    ValidatorSet::new(set.members().iter().take(most).cloned().collect())
}

/// True if no more validators can register: whoever is beyond the limit would never be weighed.
pub(crate) fn is_full<V: View>(ledger: &Ledger<'_, V>) -> Result<bool, Fault> {
    Ok(ledger.state().range(keys::VALIDATORS, None, REGISTERED_MAX)?.len() >= REGISTERED_MAX)
}

/// Everybody who may be in the set.
pub(crate) fn eligible<V: View>(ledger: &Ledger<'_, V>) -> Result<Vec<Validator>, Fault> {
    let mut validators = Vec::new();
    for (key, bytes) in ledger.state().range(keys::VALIDATORS, None, REGISTERED_MAX)? {
        let record: ValidatorRecord = decode(&key, &bytes)?;
        let address = key.last_chunk::<20>().map(|bytes| Address(*bytes)).unwrap_or_default();
        let in_office =
            record.status == ValidatorStatus::Active && record.bonded >= ledger.parameters.bond_min;
        if in_office && record.bonded.whole_tokens() > 0 {
            validators.push(Validator {
                address,
                public_key: record.public_key,
                endpoint: record.endpoint,
                beacon_key: record.beacon_key,
                power: record.bonded.whole_tokens(),
            });
        }
    }
    Ok(validators)
}
