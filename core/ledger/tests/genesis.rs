//! Geneses that cannot start a chain.

use althing_keys::Secp256k1;
use althing_ledger::{GenesisError, genesis_writes};
use althing_types::{BasisPoints, Endowment, Genesis, Parameters};

use crate::common::{Chain, actor, genesis, parameters, tokens, units, validator};

fn good() -> Genesis {
    let account = |n| Endowment { address: actor(n).address(), balance: tokens(5) };
    let validators = (1..4).map(|n| validator(&actor(n), tokens(100 * n))).collect();
    genesis(parameters(), vec![account(1), account(2)], validators)
}

fn error(genesis: &Genesis) -> GenesisError {
    genesis_writes(genesis, &Secp256k1).unwrap_err()
}

#[test]
fn a_genesis_holds_its_tokens_and_its_set() {
    let chain = Chain::new(&good());
    assert_eq!(chain.totals().supply, tokens(10 + 600));
    assert_eq!(chain.validators.total_power(), 600);
}

#[test]
fn a_genesis_that_contradicts_itself_starts_no_chain() {
    let mut unordered = good();
    unordered.accounts.reverse();
    assert_eq!(error(&unordered), GenesisError::NotCanonical);
    let mut doubled = good();
    doubled.validators[1] = doubled.validators[0].clone();
    assert_eq!(error(&doubled), GenesisError::NotCanonical);
    let mut foreign = good();
    foreign.validators[0].public_key = actor(9).key.public_key();
    assert_eq!(error(&foreign), GenesisError::ForeignPublicKey);
    let mut poor = good();
    for validator in &mut poor.validators {
        validator.bonded = tokens(99);
    }
    assert_eq!(error(&poor), GenesisError::NoValidators);
    let mut rich = good();
    rich.accounts[0].balance = units(u128::MAX);
    assert_eq!(error(&rich), GenesisError::Overflow);
}

#[test]
fn shares_above_the_whole_and_events_that_reach_nobody_start_no_chain() {
    type Change = fn(&mut Parameters);
    let changes: [Change; 6] = [
        |p| p.fan_out_per_block = 0,
        |p| p.slash_burned = BasisPoints(10_001),
        |p| p.early_exit = BasisPoints(10_001),
        |p| p.double_vote_slash = BasisPoints(10_001),
        |p| (p.developer_share, p.treasury_share) = (BasisPoints(6_000), BasisPoints(4_001)),
        |p| p.developer_share = BasisPoints(u32::MAX),
    ];
    for change in changes {
        let mut genesis = good();
        change(&mut genesis.parameters);
        assert_eq!(error(&genesis), GenesisError::BadParameters);
    }
}

#[test]
fn the_first_set_is_no_larger_than_the_others() {
    let mut genesis = good();
    genesis.parameters.validators_max = 2;
    let chain = Chain::new(&genesis);
    assert_eq!(chain.validators.members().len(), 2);
    assert_eq!(chain.validators.total_power(), 500, "the largest bonds");
}
