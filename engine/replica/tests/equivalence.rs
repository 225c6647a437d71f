//! One history, whichever way it is reached: as it happened, replayed from the genesis, taken over
//! as a snapshot with what followed, or in other hands. Its roots are part of the protocol.
//!
//! To accept others, run the tests with `ALTHING_BLESS=1` and explain the new file in the commit.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use althing_replica::application::Application as _;
use althing_replica::store::{Archive, Commit, Store, Tip};
use althing_replica::{Head, MemoryStore, Replica, Subject};
use althing_state::{Snapshot, View as _};
use althing_types::{
    Amount, Block, Bond, EndpointId, Evidence, Hash, Height, Operation, Round, SignedVote, Unbond,
    VoteKind, Withdraw, keccak,
};
use common::{World, account, beacon, config, open, service, transfer, validator_key};

/// A chain of two validators in which a bit of everything happens.
fn history() -> World {
    let mut world = World::new(2);
    world.settle_one_execution();
    for n in 0..4 {
        world.ask(&account(n), transfer(&account(n + 1), 1_000 + u128::from(n)));
    }
    world.round();
    let newcomer = account(5);
    world.ask(
        &newcomer,
        Operation::Bond(Bond {
            amount: Amount::from_tokens(120),
            public_key: newcomer.public_key(),
            endpoint: EndpointId([5; 32]),
            beacon_key: beacon(5).key(),
        }),
    );
    world.round();
    world.ask(&newcomer, Operation::Unbond(Unbond { amount: Amount::from_tokens(120) }));
    let round = ours(&world);
    world.round_of(round);
    world.ask(&validator_key(0), Operation::Withdraw(Withdraw { service: service().id() }));
    world.ask(&account(6), Operation::Evidence(double_vote(&world)));
    world.time.add(70_000);
    world.round();
    world.ask(&account(7), transfer(&account(8), 77));
    let round = ours(&world);
    world.round_of(round);
    world
}

/// The first round of the next height in which one of the world's nodes proposes.
fn ours(world: &World) -> Round {
    let replica = &world.nodes[0].replica;
    let (set, height) = (replica.validators(), replica.next_height());
    let ours = |round: &Round| {
        let proposer = set.proposer(height, *round).map(|v| v.address);
        (0..2).any(|n| proposer == Some(validator_key(n).address()))
    };
    (0..1_000).map(Round).find(ours).expect("the world's nodes are validators")
}

fn double_vote(world: &World) -> Evidence {
    let key = validator_key(1);
    let vote = |block: Option<Hash>| {
        let (kind, height, round) = (VoteKind::Prevote, Height(2), Round(0));
        let digest = world.eip712.vote(kind, height, round, block);
        SignedVote { kind, height, round, block, signature: key.sign_vote(&digest) }
    };
    let (first, second) = (vote(None), vote(Some(Hash([2; 32]))));
    Evidence { validator: key.address(), first: first.into(), second: second.into() }
}

fn head(replica: &Replica) -> Arc<Head> {
    replica.reader().head()
}

fn heights(world: &World) -> std::ops::RangeInclusive<u64> {
    1..=head(&world.nodes[0].replica).tip.height.0
}

/// Lets a replica follow the blocks of the world's first node, from where it is.
fn follow(replica: &mut Replica, world: &World) {
    let next = replica.next_height();
    for height in heights(world).map(Height).skip_while(|height| *height < next) {
        let (body, certificate) = world.nodes[0].replica.decided(height).unwrap().unwrap();
        let proposer = Block::decode(&body).unwrap().header.proposer;
        let answer = replica.receive(height, certificate.round, proposer, &body).unwrap();
        assert_eq!(
            answer,
            Some((certificate.block, true)),
            "{:?}",
            replica.objection(&certificate.block)
        );
        replica.commit(certificate).unwrap();
    }
}

/// Everything that a node is asked for: state, proofs, blocks, receipts.
fn assert_same(replica: &Replica, world: &World, from: u64) {
    let original = &world.nodes[0].replica;
    let (found, expected) = (head(replica), head(original));
    assert_eq!((found.tip, &found.header), (expected.tip, &expected.header));
    assert_eq!(found.view.root(), expected.view.root());
    assert_eq!(found.validators, expected.validators);
    let entries = expected.view.range(b"", None, usize::MAX).unwrap();
    assert_eq!(found.view.range(b"", None, usize::MAX).unwrap(), entries);
    for (key, value) in &entries {
        let proof = found.view.prove(key);
        assert_eq!(proof, expected.view.prove(key));
        assert!(proof.verify(&expected.tip.state_root, key, Some(value)));
    }
    for height in (from..=*heights(world).end()).map(Height) {
        assert_eq!(replica.decided(height).unwrap(), original.decided(height).unwrap());
        let (body, _) = original.decided(height).unwrap().unwrap();
        for transaction in Block::decode(&body).unwrap().transactions {
            let subject = Subject::Transaction(transaction.hash());
            let archived = replica.reader().archived(&subject).unwrap();
            assert!(archived.is_some());
            assert_eq!(archived, original.reader().archived(&subject).unwrap());
        }
    }
}

#[test]
fn a_replay_from_the_genesis_is_the_history_itself() {
    let world = history();
    let store = Arc::new(MemoryStore::new());
    let mut replica = open(config(&world.genesis, 0), 0, &store, &world.time).unwrap();
    follow(&mut replica, &world);
    assert_same(&replica, &world, 1);
}

#[test]
fn a_replay_that_stops_after_every_height_is_the_history_itself() {
    let world = history();
    let mut store = Arc::new(MemoryStore::new());
    for height in heights(&world).map(Height) {
        let mut replica = open(config(&world.genesis, 0), 0, &store, &world.time).unwrap();
        let (body, certificate) = world.nodes[0].replica.decided(height).unwrap().unwrap();
        let proposer = Block::decode(&body).unwrap().header.proposer;
        replica.receive(height, certificate.round, proposer, &body).unwrap();
        // Between the vote and the decision, too.
        store = Arc::new(store.lose_power());
        let mut replica = open(config(&world.genesis, 0), 0, &store, &world.time).unwrap();
        replica.commit(certificate).unwrap();
        store = Arc::new(store.lose_power());
    }
    let replica = open(config(&world.genesis, 0), 0, &store, &world.time).unwrap();
    assert_same(&replica, &world, 1);
}

/// A store that holds nothing but a snapshot of one height, as another node hands it over.
fn from_snapshot(world: &World, stages: &BTreeMap<Height, Stage>, at: Height) -> Arc<MemoryStore> {
    let Stage { snapshot, chain, sets } = &stages[&at];
    let (body, certificate) = world.nodes[0].replica.decided(at).unwrap().unwrap();
    let header = Block::decode(&body).unwrap().header;
    // It travels as plain entries, and is held to the root that the header's signers vouch for.
    let entries = snapshot.entries().to_vec();
    let taken = Snapshot::import(at, &header.state_root, entries).unwrap();
    let writes = taken.entries().iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    let tip = Tip { height: at, block: header.id(), state_root: taken.root() };
    let mut archive = vec![(Archive::Chain, Hash::ZERO, chain.clone())];
    archive.extend(sets.iter().map(|(key, set)| (Archive::SetChange, *key, set.clone())));
    let store = Arc::new(MemoryStore::new());
    store
        .commit(Commit {
            tip,
            block: &body,
            certificate: &althing_types::canonical::encode(&certificate),
            writes: &writes.collect(),
            archive: &archive,
        })
        .unwrap();
    store
}

/// What a node can hand over of one height.
struct Stage {
    snapshot: Snapshot,
    chain: Vec<u8>,
    sets: Vec<(Hash, Vec<u8>)>,
}

/// A stage of every height, taken while the history is replayed.
fn stages(world: &World) -> BTreeMap<Height, Stage> {
    let store = Arc::new(MemoryStore::new());
    let mut replica = open(config(&world.genesis, 0), 0, &store, &world.time).unwrap();
    let mut stages = BTreeMap::new();
    for height in heights(world).map(Height) {
        let (body, certificate) = world.nodes[0].replica.decided(height).unwrap().unwrap();
        let proposer = Block::decode(&body).unwrap().header.proposer;
        replica.receive(height, certificate.round, proposer, &body).unwrap();
        replica.commit(certificate).unwrap();
        let view = &head(&replica).view;
        let snapshot = Snapshot::export(view, view.tree(), height).unwrap();
        let chain = store.archived(Archive::Chain, &Hash::ZERO).unwrap().unwrap();
        let key = |n: u32| althing_types::tagged("althing set change", &[&n.to_be_bytes()]);
        let set = |n| Some((key(n), store.archived(Archive::SetChange, &key(n)).unwrap()?));
        let sets = (0..).map_while(set).collect();
        stages.insert(height, Stage { snapshot, chain, sets });
    }
    stages
}

#[test]
fn a_snapshot_of_any_height_and_what_followed_is_the_history_itself() {
    let world = history();
    let stages = stages(&world);
    for height in heights(&world).map(Height) {
        let store = from_snapshot(&world, &stages, height);
        let mut replica = open(config(&world.genesis, 1), 1, &store, &world.time).unwrap();
        assert_eq!(replica.next_height(), height.next());
        follow(&mut replica, &world);
        assert_same(&replica, &world, height.0 + 1);
    }
}

#[test]
fn a_snapshot_with_one_entry_changed_is_not_taken() {
    let world = history();
    let stages = stages(&world);
    let stage = &stages[&Height(3)];
    let root = stage.snapshot.root();
    for spoiled in 0..stage.snapshot.entries().len() {
        let mut entries = stage.snapshot.entries().to_vec();
        entries[spoiled].1.push(0);
        assert!(Snapshot::import(Height(3), &root, entries).is_err());
        let mut entries = stage.snapshot.entries().to_vec();
        entries.remove(spoiled);
        assert!(Snapshot::import(Height(3), &root, entries).is_err());
    }
}

#[test]
fn the_roots_of_this_history_are_these() {
    let world = history();
    let mut text = String::from(
        "# height | block | state root | receipts root | headers root | next set | archive\n",
    );
    for height in heights(&world).map(Height) {
        let (body, _) = world.nodes[0].replica.decided(height).unwrap().unwrap();
        let block = Block::decode(&body).unwrap();
        let header = &block.header;
        let reader = world.nodes[0].replica.reader();
        let leaves: Vec<Vec<u8>> = block
            .transactions
            .iter()
            .map(|t| reader.archived(&Subject::Transaction(t.hash())).unwrap().unwrap().leaf)
            .collect();
        let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
        writeln!(
            text,
            "{height} | {} | {} | {} | {} | {} | {}",
            header.id(),
            header.state_root,
            header.receipts_root,
            header.headers_root,
            header.next_validator_set,
            keccak(&leaves),
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/history.txt");
    if std::env::var_os("ALTHING_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    for (found, expected) in text.lines().zip(expected.lines()) {
        assert_eq!(found, expected, "a fork");
    }
    assert_eq!(text.lines().count(), expected.lines().count());
}
