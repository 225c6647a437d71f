//! Opening, reopening and refusing to open.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::sync::Arc;

use althing_ledger::{GenesisError, keys};
use althing_replica::application::Application as _;
use althing_replica::store::{Archive, Store as _, StoredProposal};
use althing_replica::{FailedWrite, MemoryStore, OpenError, Replica};
use althing_types::{Amount, Hash, Height, Round};
use common::{World, account, config, fault, genesis, open, transfer};

fn reopen(world: &World, store: &Arc<MemoryStore>) -> Result<Replica, OpenError> {
    open(config(&world.genesis, 0), 0, store, &world.time)
}

/// A lone node after some blocks.
fn grown() -> World {
    let mut world = World::new(1);
    for n in 0..5 {
        world.ask(&account(n), transfer(&account(n + 1), 10));
        world.round();
    }
    world
}

fn refusal(result: Result<Replica, OpenError>) -> OpenError {
    result.expect_err("it must not open")
}

#[test]
fn a_reopened_store_gives_the_same_tip_and_goes_on() {
    let mut world = grown();
    let before = world.nodes[0].replica.reader().head();
    let store = Arc::new(world.nodes[0].store.lose_power());
    world.nodes[0].replica = reopen(&world, &store).unwrap();
    let after = world.nodes[0].replica.reader().head();
    assert_eq!((after.tip, &after.header), (before.tip, &before.header));
    assert_eq!(after.view.root(), before.view.root());
    assert_eq!(after.validators, before.validators);
    world.ask(&account(8), transfer(&account(9), 10));
    assert_eq!(world.round().header.previous, before.tip.block);
}

#[test]
fn a_replay_from_genesis_reaches_the_same_root() {
    let world = grown();
    let store = Arc::new(MemoryStore::new());
    let mut replica = open(config(&world.genesis, 0), 0, &store, &world.time).unwrap();
    for height in 1..=5 {
        let decided = world.nodes[0].replica.decided(Height(height)).unwrap();
        let (body, certificate) = decided.unwrap();
        let proposer = world.genesis.validators[0].address;
        let answer = replica.receive(Height(height), Round(0), proposer, &body).unwrap();
        assert_eq!(answer, Some((certificate.block, true)));
        replica.commit(certificate).unwrap();
    }
    let (copy, original) = (replica.reader().head(), world.nodes[0].replica.reader().head());
    assert_eq!(copy.tip, original.tip);
    assert_eq!(copy.view.root(), original.view.root());
}

#[test]
fn one_changed_value_keeps_a_node_from_starting() {
    let world = grown();
    let key = keys::account(&account(3).address());
    for value in [None, Some(vec![7; 24])] {
        let store = Arc::new(world.nodes[0].store.lose_power());
        store.corrupt(&key, value);
        let error = refusal(reopen(&world, &store));
        assert!(matches!(error, OpenError::RootMismatch { height: Height(5), .. }), "{error}");
        assert_eq!(error.code(), "STO-0001");
    }
    let store = Arc::new(MemoryStore::new());
    drop(open(config(&world.genesis, 0), 0, &store, &world.time).unwrap());
    store.corrupt(&key, Some(vec![7; 24]));
    assert_eq!(refusal(reopen(&world, &store)).code(), "STO-0001", "at height zero too");
}

#[test]
fn a_store_of_another_chain_is_refused() {
    let world = grown();
    let mut other = genesis(1);
    other.accounts[0].balance = Amount::from_tokens(2_000);
    let store = Arc::new(world.nodes[0].store.lose_power());
    let error = refusal(open(config(&other, 0), 0, &store, &world.time));
    assert!(matches!(error, OpenError::OtherGenesis { .. }), "{error}");
    assert_eq!(error.code(), "STO-0002");
}

#[test]
fn a_store_without_its_chain_record_is_refused() {
    let world = grown();
    let store = Arc::new(world.nodes[0].store.lose_power());
    store.forget(Archive::Chain, &Hash::ZERO);
    assert_eq!(refusal(reopen(&world, &store)).code(), "STO-0003");
}

#[test]
fn a_garbled_proposal_is_refused() {
    let world = grown();
    let store = Arc::new(world.nodes[0].store.lose_power());
    let garbled = StoredProposal { height: Height(6), id: Hash::ZERO, block: vec![1, 2, 3] };
    store.keep_proposal(&garbled).unwrap();
    assert_eq!(refusal(reopen(&world, &store)).code(), "STO-0003");
}

#[test]
fn a_genesis_without_validators_is_refused() {
    let mut genesis = genesis(1);
    genesis.validators.clear();
    let store = Arc::new(MemoryStore::new());
    let error = refusal(open(config(&genesis, 0), 0, &store, &common::Time::default()));
    assert!(matches!(error, OpenError::Genesis(GenesisError::NoValidators)), "{error}");
    assert_eq!(error.code(), "GEN-0001");
    assert_eq!(store.tip().unwrap(), None, "nothing was written");
}

#[test]
fn a_store_that_cannot_be_written_has_a_code() {
    let store = Arc::new(MemoryStore::new());
    store.fail_write(1, FailedWrite::Lost);
    let error = refusal(open(config(&genesis(1), 0), 0, &store, &common::Time::default()));
    assert_eq!(error.code(), "STO-0005");
}

#[test]
fn a_proposal_survives_a_power_loss_and_is_proposed_again() {
    let mut world = grown();
    let (height, round) = (Height(6), Round(0));
    let first = world.nodes[0].replica.propose(height, round).unwrap();
    let store = Arc::new(world.nodes[0].store.lose_power());
    world.time.add(100);
    let mut replica = reopen(&world, &store).unwrap();
    assert_eq!(replica.body(&first.0).unwrap(), Some(first.1.clone()));
    assert_eq!(replica.propose(height, round).unwrap(), first);
    // What was voted for before the loss can be committed after it.
    let certificate = world.certificate(height, round, first.0);
    replica.commit(certificate).unwrap();
    assert_eq!(replica.next_height(), Height(7));
}

#[test]
fn a_failed_write_at_any_moment_loses_nothing_that_was_acknowledged() {
    for how in [FailedWrite::Lost, FailedWrite::Unacknowledged] {
        for n in 1..=4 {
            let mut world = grown();
            let before = world.nodes[0].replica.reader().head();
            let view = before.view.clone();
            world.nodes[0].store.fail_write(n, how);
            let mut acknowledged = Height(5);
            // Two writes a height: the proposal, the commit.
            let failed = loop {
                world.time.add(10);
                let height = acknowledged.next();
                let (id, _) = match world.nodes[0].replica.propose(height, Round(0)) {
                    Ok(proposed) => proposed,
                    Err(fault) => break fault,
                };
                let certificate = world.certificate(height, Round(0), id);
                match world.nodes[0].replica.commit(certificate) {
                    Ok(()) => acknowledged = height,
                    Err(fault) => break fault,
                }
            };
            assert!(failed.operation.ends_with("block"), "{failed}");
            althing_ledger::audit(&view).expect("the old view is still whole");
            // Whoever goes on regardless gets nowhere.
            let replica = &mut world.nodes[0].replica;
            let height = replica.next_height();
            let again = replica.propose(height, Round(1)).map(|_| ());
            assert!(again.is_err());
            let store = Arc::new(world.nodes[0].store.lose_power());
            let replica = reopen(&world, &store).unwrap();
            let tip = replica.reader().head().tip.height;
            let most = if how == FailedWrite::Lost { acknowledged } else { acknowledged.next() };
            assert!((acknowledged..=most).contains(&tip), "{how:?} {n}: {tip}");
        }
    }
}

#[test]
fn a_node_without_a_beacon_key_does_not_propose() {
    let world = World::new(1);
    let store = Arc::new(MemoryStore::new());
    let mut replica = open(config(&world.genesis, 3), 3, &store, &world.time).unwrap();
    fault(replica.propose(Height(1), Round(0)));
}
