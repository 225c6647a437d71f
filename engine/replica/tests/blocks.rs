//! Building, checking and committing blocks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use althing_keys::Secp256k1;
use althing_ledger::{Invalid, audit, query};
use althing_replica::application::Application as _;
use althing_replica::store::Store;
use althing_replica::{BadBlock, DRIFT_MS_MAX, MemoryStore, Next, Ports, Replica, Subject};
use althing_state::View as _;
use althing_types::{
    Address, Amount, BeaconKey, BeaconProof, BlobRef, Block, BlockId, Bond, ChainId, Claim,
    EndpointId, Evidence, Hash, Header, Height, Nonce, Opening, Operation, Outcome, PublicKey,
    RecoverableSignature, Reveal, Round, Seal, Signatures, SignedTransaction, SignedVote, TimeMs,
    VoteKind, VoteSignature, commitment,
};
use common::{World, account, draft, fault, transaction, transfer, validator_key};

const ZERO: Round = Round(0);

/// A block of four nodes' first height with three transfers; nobody has checked it yet.
fn proposed() -> (World, usize, Block) {
    let mut world = World::new(4);
    for n in 0..3 {
        world.ask(&account(n), transfer(&account(5), 1_000));
    }
    let proposer = world.proposer(ZERO);
    let (_, body) = world.nodes[proposer].replica.propose(Height(1), ZERO).unwrap();
    (world, proposer, Block::decode(&body).unwrap())
}

/// What another node says of a block.
fn judge(world: &mut World, proposer: usize, block: &Block) -> Option<Result<(), BadBlock>> {
    let other = (proposer + 1) % world.nodes.len();
    let replica = &mut world.nodes[other].replica;
    let (height, round) = (block.header.height, block.header.round);
    let answer = replica.receive(height, round, block.header.proposer, &block.encode()).unwrap();
    let (id, valid) = answer?;
    let verdict = replica.objection(&id).map_or(Ok(()), Err);
    assert_eq!(verdict.is_ok(), valid, "a block is invalid for a reason");
    Some(verdict)
}

#[test]
fn a_lone_replica_makes_blocks() {
    let mut world = World::new(1);
    let hash = world.ask(&account(0), transfer(&account(1), 500));
    let first = world.round();
    assert_eq!(first.transactions.len(), 1);
    assert_eq!(first.header.previous, world.genesis.hash());
    let second = world.round();
    assert_eq!(second.header.previous, first.header.id());
    assert!(second.header.time > first.header.time);
    assert_ne!(second.header.beacon, first.header.beacon);
    assert_ne!(second.header.headers_root, first.header.headers_root);

    let reader = world.nodes[0].replica.reader();
    let head = reader.head();
    assert_eq!(head.header.as_ref(), Some(&second.header));
    assert_eq!(head.view.root(), second.header.state_root);
    let receiver = query::account(&head.view, &account(1).address()).unwrap();
    assert_eq!(receiver.balance, Amount::from_base_units(1_000_000_500));
    assert!(reader.archived(&Subject::Transaction(hash)).unwrap().is_some());
    let (block, certificate) = reader.decided(Height(1)).unwrap().unwrap();
    assert_eq!((block, certificate.block), (first.clone(), first.header.id()));
    let (bytes, _) = world.nodes[0].replica.decided(Height(1)).unwrap().unwrap();
    assert_eq!(bytes, first.encode());
    assert!(world.nodes[0].replica.decided(Height(3)).unwrap().is_none());
    audit(&head.view).unwrap();
}

#[test]
fn replicas_that_check_each_others_blocks_have_equal_roots() {
    let mut world = World::new(4);
    for n in 0..8 {
        world.ask(&account(n % 4), transfer(&account(9), u128::from(n) + 1));
        world.round();
    }
    let heads: Vec<_> = world.nodes.iter().map(|node| node.replica.reader().head()).collect();
    for head in &heads {
        assert_eq!(head.tip, heads[0].tip);
        assert_eq!(head.view.root(), heads[0].view.root());
    }
    assert_eq!(heads[0].tip.height, Height(8));
}

#[test]
fn a_block_that_another_node_proposed_is_valid() {
    let (mut world, proposer, block) = proposed();
    assert_eq!(judge(&mut world, proposer, &block), Some(Ok(())));
}

#[test]
fn no_header_field_can_be_changed() {
    type Change = (&'static str, fn(&mut Header));
    fn flip(hash: &mut Hash) {
        hash.0[7] ^= 1;
    }
    let changes: [Change; 14] = [
        ("chain", |h| h.chain = ChainId(8)),
        ("height", |h| h.height = Height(2)),
        ("round", |h| h.round = Round(1)),
        ("time before", |h| h.time = TimeMs(common::START)),
        ("time", |h| h.time = h.time.next()),
        ("previous", |h| flip(&mut h.previous)),
        ("transactions", |h| flip(&mut h.transactions_root)),
        ("state", |h| flip(&mut h.state_root)),
        ("receipts", |h| flip(&mut h.receipts_root)),
        ("headers", |h| flip(&mut h.headers_root)),
        ("beacon", |h| flip(&mut h.beacon)),
        ("set", |h| flip(&mut h.validator_set)),
        ("next set", |h| flip(&mut h.next_validator_set)),
        ("proposer", |h| h.proposer.0[3] ^= 1),
    ];
    for (name, change) in changes {
        let (mut world, proposer, mut block) = proposed();
        change(&mut block.header);
        let replica = &mut world.nodes[(proposer + 1) % 4].replica;
        let Header { height, round, proposer, .. } = block.header;
        let answer = replica.receive(height, round, proposer, &block.encode()).unwrap();
        let valid = answer.is_some_and(|(_, valid)| valid);
        // A later time is the proposer's choice: it changes the id and nothing else here.
        assert_eq!(valid, name == "time", "{name}");
    }
}

#[test]
fn each_objection_names_its_cause() {
    let (mut world, proposer, block) = proposed();
    let with = |change: &dyn Fn(&mut Header)| {
        let mut block = block.clone();
        change(&mut block.header);
        block
    };
    let verdict = judge(&mut world, proposer, &with(&|h| h.state_root.0[0] ^= 1));
    assert_eq!(verdict, Some(Err(BadBlock::WrongHeader { field: "state root" })));
    let verdict = judge(&mut world, proposer, &with(&|h| h.previous.0[0] ^= 1));
    assert_eq!(verdict, Some(Err(BadBlock::WrongParent)));
    let (previous, found) = (TimeMs(common::START), TimeMs(common::START));
    let verdict = judge(&mut world, proposer, &with(&|h| h.time = TimeMs(common::START)));
    assert_eq!(verdict, Some(Err(BadBlock::TimeNotAfter { previous, found })));
}

#[test]
fn a_round_that_was_not_the_proposers_is_refused() {
    let (mut world, proposer, block) = proposed();
    let other = (0..50)
        .map(Round)
        .find(|round| world.proposer(*round) != proposer)
        .expect("four nodes take turns");
    let mut block = block;
    block.header.round = other;
    let verdict = judge(&mut world, proposer, &block);
    assert_eq!(verdict, Some(Err(BadBlock::WrongProposer)));
}

#[test]
fn a_block_of_a_later_round_or_a_later_time_is_valid_once_that_has_come() {
    let (mut world, proposer, _) = proposed();
    let (other, later) = ((proposer + 1) % 4, Round(7));
    let turn = world.proposer(later);
    let (id, body) = world.nodes[turn].replica.propose(Height(1), later).unwrap();
    let observer = if turn == other { (other + 1) % 4 } else { other };
    let address = validator_key(world.nodes[turn].number).address();
    let now = world.time.now().0;
    let replica = &mut world.nodes[observer].replica;
    let early = replica.receive(Height(1), Round(6), address, &body).unwrap();
    assert_eq!(early, Some((id, false)), "of a later round");
    world.time.set(now - DRIFT_MS_MAX - 1);
    assert!(!replica.revalidate(&id, later).unwrap(), "too new for a clock that is behind");
    world.time.set(now - DRIFT_MS_MAX);
    assert!(replica.revalidate(&id, later).unwrap());
}

#[test]
fn two_thirds_overrule_the_clock_of_one_node() {
    let (mut world, proposer, block) = proposed();
    let (id, other) = (block.header.id(), (proposer + 1) % 4);
    world.time.set(0);
    let address = block.header.proposer;
    let certificate = world.certificate(Height(1), ZERO, id);
    let replica = &mut world.nodes[other].replica;
    let answer = replica.receive(Height(1), ZERO, address, &block.encode()).unwrap();
    assert_eq!(answer, Some((id, false)));
    replica.commit(certificate).unwrap();
    assert_eq!(replica.next_height(), Height(2));
}

#[test]
fn a_node_with_a_slow_clock_takes_what_two_thirds_have_decided() {
    let (mut world, proposer, block) = proposed();
    let (id, other) = (block.header.id(), (proposer + 1) % 4);
    world.time.set(0);
    let address = block.header.proposer;
    let replica = &mut world.nodes[other].replica;
    let (height, bytes) = (Height(1), block.encode());
    let alone = replica.receive(height, ZERO, address, &bytes).unwrap();
    assert_eq!(alone, Some((id, false)));
    let certified = replica.receive_certified(height, ZERO, address, &bytes).unwrap();
    assert_eq!(certified, Some((id, true)));

    // What follows from the chain is not overruled.
    let mut wrong = block;
    wrong.header.state_root.0[0] ^= 1;
    let answer = replica.receive_certified(height, ZERO, address, &wrong.encode()).unwrap();
    assert_eq!(answer, Some((wrong.header.id(), false)));
}

/// The proposer's block, with its transactions replaced and everything else recomputed as far as a
/// liar could.
fn with_transactions(block: &Block, transactions: Vec<SignedTransaction>) -> Block {
    let mut block = block.clone();
    let hashes: Vec<Hash> = transactions.iter().map(SignedTransaction::hash).collect();
    block.header.transactions_root = althing_state::merkle::list_root(&hashes);
    block.transactions = transactions;
    block
}

fn refused(world: &mut World, proposer: usize, block: &Block) -> Invalid {
    match judge(world, proposer, block) {
        Some(Err(BadBlock::BadTransaction { invalid, transaction: _ })) => invalid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_with_a_transaction_that_must_not_be_there_is_invalid() {
    let (mut world, proposer, block) = proposed();
    let good = block.transactions.clone();
    let and = |extra: SignedTransaction| {
        let mut transactions = good.clone();
        transactions.push(extra);
        with_transactions(&block, transactions)
    };
    let key = account(6);
    let plain = |key: &althing_keys::AccountKey, nonce| {
        draft(key.address(), Nonce(nonce), vec![transfer(&account(7), 1)])
    };

    let mut forged = transaction(&key, Nonce(0), vec![transfer(&account(7), 1)]);
    forged.signature.r_and_s[5] ^= 1;
    assert_eq!(refused(&mut world, proposer, &and(forged)), Invalid::BadSignature);

    let duplicate = good[0].clone();
    let invalid = refused(&mut world, proposer, &and(duplicate));
    assert_eq!(invalid, Invalid::WrongNonce { expected: Nonce(1), found: Nonce(0) });

    let (mut world, proposer) = (proposed().0, proposer);
    let mut expired = plain(&key, 0);
    expired.expires = Height(0);
    let invalid = refused(&mut world, proposer, &and(key.sign_transaction(expired)));
    assert_eq!(invalid, Invalid::Expired { expires: Height(0) });

    let poor = account(77);
    let unfunded = poor.sign_transaction(plain(&poor, 0));
    let invalid = refused(&mut world, proposer, &and(unfunded));
    assert!(matches!(invalid, Invalid::CannotPay { .. }), "{invalid:?}");
}

#[test]
fn many_unknown_signatures_are_verified_as_one_by_one() {
    let (mut world, proposer, block) = proposed();
    let mut transactions: Vec<SignedTransaction> = (0..40)
        .map(|n| transaction(&account(6), Nonce(n), vec![transfer(&account(7), 1)]))
        .collect();
    for (number, broken) in [(39, 31), (31, 5)] {
        transactions[number].signature = RecoverableSignature { r_and_s: [1; 64], v: 27 };
        let expected = transactions[number].hash();
        let verdict = judge(&mut world, proposer, &with_transactions(&block, transactions.clone()));
        match verdict {
            Some(Err(BadBlock::BadTransaction { transaction, .. })) => {
                assert_eq!(transaction, expected, "the first in order, {broken}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_body_with_a_spoiled_proof_or_other_transactions_is_nobodys() {
    let (mut world, proposer, block) = proposed();
    let mut spoiled = block.clone();
    spoiled.beacon_proof = BeaconProof([9; 96]);
    assert_eq!(judge(&mut world, proposer, &spoiled), None);
    let mut fewer = block.clone();
    fewer.transactions.pop();
    assert_eq!(judge(&mut world, proposer, &fewer), None);
    let other = (proposer + 1) % 4;
    let replica = &mut world.nodes[other].replica;
    let mut longer = block.encode();
    longer.push(0);
    for body in [&longer[..], &[], &longer[..100]] {
        let answer = replica.receive(Height(1), ZERO, block.header.proposer, body).unwrap();
        assert_eq!(answer, None);
    }
    assert_eq!(judge(&mut world, proposer, &block), Some(Ok(())), "the good body still counts");
}

#[test]
fn two_proposals_for_one_round_are_the_same() {
    let mut world = World::new(1);
    let first = world.nodes[0].replica.propose(Height(1), ZERO).unwrap();
    world.time.add(50);
    world.ask(&account(0), transfer(&account(1), 5));
    let second = world.nodes[0].replica.propose(Height(1), ZERO).unwrap();
    assert_eq!(first, second);
    let later = world.nodes[0].replica.propose(Height(1), Round(1)).unwrap();
    assert_ne!(later.0, first.0);
    assert_eq!(world.nodes[0].replica.body(&first.0).unwrap(), Some(first.1));
}

#[test]
fn blocks_of_later_heights_are_kept_and_checked_when_their_height_comes() {
    let mut world = World::new(1);
    // The same chain elsewhere, two blocks ahead.
    let mut ahead = World::new(1);
    let blocks = [ahead.round(), ahead.round()];
    let replica = &mut world.nodes[0].replica;
    let proposer = blocks[1].header.proposer;
    let early = replica.receive(Height(2), ZERO, proposer, &blocks[1].encode()).unwrap();
    let (second, valid) = early.expect("it is kept");
    assert!(!valid);
    let (third, far) = (ahead.round(), ahead.round());
    assert!(replica.receive(Height(3), ZERO, proposer, &third.encode()).unwrap().is_some());
    let too_far = replica.receive(Height(4), ZERO, proposer, &far.encode()).unwrap();
    assert_eq!(too_far, None);
    assert!(!replica.revalidate(&second, ZERO).unwrap(), "its parent is unknown");
    let first = replica.receive(Height(1), ZERO, proposer, &blocks[0].encode()).unwrap();
    world.time.set(ahead.time.now().0);
    let replica = &mut world.nodes[0].replica;
    assert!(replica.revalidate(&first.unwrap().0, ZERO).unwrap());
    for (height, block) in blocks.iter().enumerate() {
        let (_, certificate) =
            ahead.nodes[0].replica.decided(Height(height as u64 + 1)).unwrap().unwrap();
        assert!(world.nodes[0].replica.revalidate(&block.header.id(), ZERO).unwrap());
        world.nodes[0].replica.commit(certificate).unwrap();
    }
    assert_eq!(world.nodes[0].replica.next_height(), Height(3));
}

#[test]
fn whichever_of_many_bodies_of_one_round_is_decided_can_be_committed() {
    let (mut world, proposer, block) = proposed();
    let other = (proposer + 1) % 4;
    let mut ids = Vec::new();
    for n in 0..20 {
        let mut block = block.clone();
        block.header.time = block.header.time.after(n);
        let replica = &mut world.nodes[other].replica;
        let body = block.encode();
        let answer = replica.receive(Height(1), ZERO, block.header.proposer, &body).unwrap();
        assert_eq!(answer, Some((block.header.id(), true)));
        ids.push((block.header.id(), body));
    }
    for (id, body) in &ids {
        let replica = &mut world.nodes[other].replica;
        assert_eq!(replica.body(id).unwrap().as_ref(), Some(body));
        assert!(replica.revalidate(id, ZERO).unwrap());
    }
    let certificate = world.certificate(Height(1), ZERO, ids[3].0);
    world.nodes[other].replica.commit(certificate).unwrap();
    assert_eq!(world.nodes[other].replica.reader().head().tip.block, ids[3].0);
}

#[test]
fn a_good_body_replaces_a_spoiled_one_that_came_early() {
    let mut ahead = World::new(1);
    let blocks = [ahead.round(), ahead.round()];
    let mut world = World::new(1);
    world.time.set(ahead.time.now().0);
    let proposer = blocks[0].header.proposer;
    let mut spoiled = blocks[1].clone();
    spoiled.beacon_proof = BeaconProof([9; 96]);
    let replica = &mut world.nodes[0].replica;
    let id = blocks[1].header.id();
    let early = replica.receive(Height(2), ZERO, proposer, &spoiled.encode()).unwrap();
    assert_eq!(early, Some((id, false)));
    replica.receive(Height(1), ZERO, proposer, &blocks[0].encode()).unwrap();
    let (_, certificate) = ahead.nodes[0].replica.decided(Height(1)).unwrap().unwrap();
    replica.commit(certificate).unwrap();
    assert!(!replica.revalidate(&id, ZERO).unwrap());
    let good = replica.receive(Height(2), ZERO, proposer, &blocks[1].encode()).unwrap();
    assert_eq!(good, Some((id, true)));
    let (body, certificate) = ahead.nodes[0].replica.decided(Height(2)).unwrap().unwrap();
    assert_eq!(replica.body(&id).unwrap(), Some(body));
    replica.commit(certificate).unwrap();
}

#[test]
fn a_good_body_in_place_of_a_spoiled_one_survives_a_power_loss() {
    let mut ahead = World::new(1);
    let blocks = [ahead.round(), ahead.round()];
    let mut world = World::new(1);
    world.time.set(ahead.time.now().0);
    let proposer = blocks[0].header.proposer;
    let mut spoiled = blocks[1].clone();
    spoiled.beacon_proof = BeaconProof([9; 96]);
    let replica = &mut world.nodes[0].replica;
    replica.receive(Height(2), ZERO, proposer, &spoiled.encode()).unwrap();
    replica.receive(Height(1), ZERO, proposer, &blocks[0].encode()).unwrap();
    let (_, certificate) = ahead.nodes[0].replica.decided(Height(1)).unwrap().unwrap();
    replica.commit(certificate).unwrap();
    let good = replica.receive(Height(2), ZERO, proposer, &blocks[1].encode()).unwrap();
    assert_eq!(good, Some((blocks[1].header.id(), true)), "consensus may vote for it now");

    let store = Arc::new(world.nodes[0].store.lose_power());
    let config = common::config(&world.genesis, 0);
    let mut replica = common::open(config, 0, &store, &world.time).unwrap();
    let (body, certificate) = ahead.nodes[0].replica.decided(Height(2)).unwrap().unwrap();
    assert_eq!(replica.body(&blocks[1].header.id()).unwrap(), Some(body));
    replica.commit(certificate).unwrap();
}

#[test]
fn a_decided_block_that_is_invalid_here_stops_the_node() {
    let (mut world, proposer, mut block) = proposed();
    block.header.state_root.0[0] ^= 1;
    let id = block.header.id();
    judge(&mut world, proposer, &block);
    let certificate = world.certificate(Height(1), ZERO, id);
    let replica = &mut world.nodes[(proposer + 1) % 4].replica;
    assert_eq!(fault(replica.commit(certificate)).code, Some("CON-0001"));
    assert_eq!(replica.next_height(), Height(1), "nothing was committed");
}

#[test]
fn a_decision_without_its_body_or_for_another_height_stops_the_node() {
    let mut world = World::new(1);
    let unknown = world.certificate(Height(1), ZERO, BlockId::ZERO);
    fault(world.nodes[0].replica.commit(unknown));
    let (id, _) = world.nodes[0].replica.propose(Height(1), ZERO).unwrap();
    let early = world.certificate(Height(2), ZERO, id);
    fault(world.nodes[0].replica.commit(early));
    fault(world.nodes[0].replica.propose(Height(2), ZERO));
}

#[test]
fn a_corrupted_value_stops_the_node_that_reads_it() {
    let mut world = World::new(1);
    world.ask(&account(0), transfer(&account(1), 5));
    let key = althing_ledger::keys::account(&account(1).address());
    world.nodes[0].store.corrupt(&key, Some(vec![0; 24]));
    let fault = fault(world.nodes[0].replica.propose(Height(1), ZERO));
    assert_eq!(fault.code, Some("STO-0006"));
    let view = world.nodes[0].replica.reader().view();
    assert!(view.read(&key).is_err());
    assert!(view.range(b"a", None, 100).is_err());
    world.nodes[0].store.corrupt(&key, None);
    assert!(view.read(&key).is_err(), "it has vanished");
    let unknown = althing_ledger::keys::account(&Address::ZERO);
    world.nodes[0].store.corrupt(&unknown, Some(vec![0; 24]));
    assert_eq!(view.read(&unknown).unwrap(), None, "what was never written is not there");
}

#[test]
fn listeners_hear_of_every_commit_once() {
    let mut world = World::new(1);
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&heard);
    world.nodes[0].replica.on_commit(Box::new(move |committed| {
        assert_eq!(committed.block, committed.header.id());
        counter.fetch_add(committed.receipts.len(), Ordering::SeqCst);
    }));
    world.ask(&account(0), transfer(&account(1), 5));
    world.ask(&account(1), transfer(&account(0), 5));
    world.round();
    world.round();
    assert_eq!(heard.load(Ordering::SeqCst), 2);
}

#[test]
fn a_commit_tells_whether_the_next_block_is_worth_making() {
    let mut world = World::new(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    world.nodes[0].replica.on_commit(Box::new(move |committed| {
        teller.lock().unwrap().push(committed.next);
    }));
    world.round();
    // One that waits for a nonce that is not here yet is no reason to make a block.
    let key = account(0);
    world.submit(&transaction(&key, Nonce(1), vec![transfer(&account(1), 5)]));
    world.round();
    world.settle_one_execution();
    let told = told.lock().unwrap();
    assert_eq!(told[..2], [Next { ready: false, due: None }; 2]);
    let due = told.iter().find_map(|next| next.due).expect("an execution has a deadline");
    let next = Next { ready: false, due: Some(due) };
    assert!(next.is_worth_making(due) && !next.is_worth_making(TimeMs(due.0 - 1)));
    assert!(Next { ready: true, due: None }.is_worth_making(TimeMs(0)));
}

#[test]
fn the_words_of_a_committee_wait_for_one_another_a_little_and_for_nothing_else() {
    let mut world = World::new(3);
    let id = world.draw_one_execution(2, 2);
    let members = world.members(&id);
    assert_eq!(members.len(), 3);
    let next = |world: &World| world.nodes[0].replica.next().unwrap();
    let now = |world: &World| world.time.now();
    let deadline = next(&world).due.expect("the committee has a deadline");
    let outcome = Outcome::Returned {
        status: "done".parse().unwrap(),
        output: BlobRef::of(b"{}"),
        keys: Vec::new(),
    };
    let openings: Vec<Opening> = (0..3)
        .map(|salt| Opening { claim: Claim::Outcome(outcome.clone()), salt: Hash([salt; 32]) })
        .collect();
    let seal = |member: usize| {
        let commitment = commitment(&id, 0, &members[member].address(), &openings[member]);
        Operation::Seal(Seal { execution: id, round: 0, commitment })
    };
    let reveal = |member: usize| {
        let opening = openings[member].clone();
        Operation::Reveal(Reveal { execution: id, round: 0, opening })
    };
    for word in [&seal as &dyn Fn(usize) -> Operation, &reveal] {
        let begun = now(&world);
        world.ask(&members[0], word(0));
        let waits = Next { ready: false, due: Some(TimeMs(begun.0 + 4)) };
        assert_eq!(next(&world), waits);
        world.time.add(3);
        world.ask(&members[1], word(1));
        // Who comes later does not begin the wait anew.
        assert_eq!(next(&world), waits);
        assert!(!next(&world).is_worth_making(now(&world)));
        world.time.add(1);
        assert!(next(&world).is_worth_making(now(&world)), "who is late is not waited for");
        world.ask(&members[2], word(2));
        assert!(next(&world).ready);
        world.round();
        assert!(!next(&world).ready);
    }
    assert!(world.archived(Subject::Execution(id)).is_some(), "it is settled");
    assert!(deadline > now(&world));
}

#[test]
fn all_words_of_a_committee_or_anything_else_beside_one_are_worth_a_block_at_once() {
    let mut world = World::new(3);
    let id = world.draw_one_execution(2, 2);
    let members = world.members(&id);
    let seal = |byte| Seal { execution: id, round: 0, commitment: Hash([byte; 32]) };
    world.ask(&members[0], Operation::Seal(seal(1)));
    assert!(!world.nodes[0].replica.next().unwrap().ready);
    world.ask(&account(3), transfer(&account(4), 5));
    assert!(world.nodes[0].replica.next().unwrap().ready);
    world.round();
    world.ask(&members[1], Operation::Seal(seal(2)));
    assert!(!world.nodes[0].replica.next().unwrap().ready);
    // The first has sealed in the block before: with the third nobody is missing.
    world.ask(&members[2], Operation::Seal(seal(3)));
    assert!(world.nodes[0].replica.next().unwrap().ready);
}

#[test]
fn evidence_waits_bounded_and_once_per_validator() {
    let mut world = World::new(1);
    let vote = |block| SignedVote {
        kind: VoteKind::Prevote,
        height: Height(1),
        round: ZERO,
        block,
        signature: VoteSignature([0; 64]),
    };
    let replica = &mut world.nodes[0].replica;
    for n in 0..200_u8 {
        let (first, second) = (vote(None), vote(Some(Hash::ZERO)));
        let evidence = Evidence {
            validator: Address([n / 2; 20]),
            first: first.into(),
            second: second.into(),
        };
        replica.misbehaviour(evidence);
    }
    assert_eq!(replica.take_evidence().len(), 64);
    assert!(replica.take_evidence().is_empty());
}

#[test]
fn one_block_of_many_comes_to_the_same_accounts_as_many_blocks_of_one() {
    let transfers = |world: &mut World, each: bool| {
        for n in 0..12_u64 {
            world.ask(&account(n % 3), transfer(&account((n + 1) % 5), u128::from(n) * 7 + 1));
            if each {
                world.round();
            }
        }
        world.round();
        let view = world.nodes[0].replica.reader().view();
        let balances = (0..5).map(|n| query::account(&view, &account(n).address()).unwrap());
        (balances.collect::<Vec<_>>(), query::totals(&view).unwrap())
    };
    let batched = transfers(&mut World::new(1), false);
    let sequential = transfers(&mut World::new(1), true);
    assert_eq!(batched, sequential);
}

/// Real signatures, and how often a signer was recovered.
struct Counting(Arc<AtomicUsize>);

impl Signatures for Counting {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Secp256k1.recover(digest, signature)
    }

    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool {
        Secp256k1.verifies(digest, signature, key)
    }

    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        Secp256k1.address_of(key)
    }

    fn beacon(&self, key: &BeaconKey, input: &Hash, proof: &BeaconProof) -> Option<Hash> {
        Secp256k1.beacon(key, input, proof)
    }
}

#[test]
fn a_signature_is_verified_once_whether_gossip_or_a_block_brings_it_first() {
    let (mut world, recovered) = (World::new(4), Arc::new(AtomicUsize::new(0)));
    for node in &mut world.nodes {
        let ports = Ports {
            store: Arc::clone(&node.store) as Arc<dyn Store>,
            signatures: Arc::new(Counting(Arc::clone(&recovered))),
            beacon: Some(Box::new(common::Signer::of(node.number))),
            clock: Box::new(|| TimeMs(common::START + 1_010)),
        };
        let config = common::config(&world.genesis, node.number);
        node.replica = Replica::open(config, ports).unwrap();
    }
    let proposer = world.proposer(ZERO);
    let bytes: Vec<Vec<u8>> = (0..40_u64)
        .map(|n| {
            transaction(&account(n % 5), Nonce(n / 5), vec![transfer(&account(5), 1)]).encode()
        })
        .collect();
    for bytes in &bytes {
        world.nodes[proposer].replica.submit(bytes).unwrap();
    }
    assert_eq!(world.round().transactions.len(), bytes.len());
    assert_eq!(recovered.load(Ordering::SeqCst), 4 * bytes.len());
    for node in &mut world.nodes {
        for bytes in &bytes {
            assert_eq!(node.replica.submit(bytes).unwrap_err().code(), Some("POL-0004"));
        }
    }
    assert_eq!(recovered.load(Ordering::SeqCst), 4 * bytes.len(), "the gossip came late");
}

/// Real signatures, until somebody bonds.
struct Panicking;

impl Signatures for Panicking {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        Secp256k1.recover(digest, signature)
    }

    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool {
        Secp256k1.verifies(digest, signature, key)
    }

    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        assert_ne!(*key, PublicKey::ZERO, "a broken rule");
        Secp256k1.address_of(key)
    }

    fn beacon(&self, key: &BeaconKey, input: &Hash, proof: &BeaconProof) -> Option<Hash> {
        Secp256k1.beacon(key, input, proof)
    }
}

#[test]
fn a_panic_in_the_ledger_stops_the_node_and_changes_nothing() {
    let world = World::new(1);
    let store = Arc::new(MemoryStore::new());
    let ports = Ports {
        store: Arc::clone(&store) as Arc<dyn Store>,
        signatures: Arc::new(Panicking),
        beacon: Some(Box::new(common::Signer::of(0))),
        clock: Box::new(|| TimeMs(common::START + 1)),
    };
    let mut replica = Replica::open(common::config(&world.genesis, 0), ports).unwrap();
    let bond = Bond {
        amount: Amount::from_tokens(200),
        public_key: PublicKey::ZERO,
        endpoint: EndpointId::ZERO,
        beacon_key: BeaconKey::ZERO,
    };
    let bond = transaction(&account(0), Nonce(0), vec![Operation::Bond(bond)]);
    replica.submit(&bond.encode()).unwrap();
    let (before, writes) = (replica.reader().head().tip, store.writes());
    let stopped = fault(replica.propose(Height(1), ZERO));
    assert_eq!(stopped.code, Some("CON-0002"));
    assert_eq!(store.writes(), writes);
    assert_eq!(replica.reader().head().tip, before);
}
