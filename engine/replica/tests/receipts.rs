//! Receipts and state proofs, from blocks that replicas made, verified as a stranger would.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use althing_keys::Secp256k1;
use althing_ledger::{Conclusion, Receipt as Leaf, keys};
use althing_light::{LightError, Receipt, StateProof, verify, verify_state};
use althing_replica::Subject;
use althing_replica::receipt_file::{FileError, render, verify_file};
use althing_types::{Amount, Bond, Hash, Height, Operation, Round, ValidatorSet};
use common::{World, account, genesis, transfer, validator_key};

/// Four nodes that settled an execution.
fn settled() -> (World, Receipt) {
    let mut world = World::new(4);
    let id = world.settle_one_execution();
    let receipt = receipt(&world, Subject::Execution(id)).unwrap();
    (world, receipt)
}

fn receipt(world: &World, subject: Subject) -> Option<Receipt> {
    world.nodes[0].replica.reader().receipt(&subject).unwrap()
}

fn refused(receipt: &Receipt, trusted: &Hash) -> LightError {
    verify(receipt, trusted, &Secp256k1).expect_err("it must be refused")
}

/// Four validators, then a fifth bonds more than the others: it replaces one of them (at most four).
fn after_a_change_of_the_set() -> (World, Hash) {
    let mut world = World::new(4);
    let newcomer = validator_key(5);
    world.ask(&account(0), transfer(&newcomer, Amount::from_tokens(500).base_units()));
    world.round();
    let bond = Bond {
        amount: Amount::from_tokens(150),
        public_key: newcomer.public_key(),
        endpoint: althing_types::EndpointId([5; 32]),
        beacon_key: common::beacon(5).key(),
    };
    let before = world.nodes[0].replica.reader().head().validators.clone();
    world.ask(&newcomer, Operation::Bond(bond));
    world.round();
    let after = world.nodes[0].replica.reader().head().validators.clone();
    assert_ne!(before, after);
    let round = (0..50)
        .map(Round)
        .find(|round| {
            let height = world.nodes[0].replica.reader().head().next_height();
            let proposer = after.proposer(height, *round).unwrap().address;
            proposer != newcomer.address()
        })
        .unwrap();
    let hash = world.ask(&account(1), transfer(&account(2), 7));
    world.round_of(round);
    (world, hash)
}

#[test]
fn a_receipt_proves_an_execution_to_who_trusts_the_genesis_only() {
    let (world, receipt) = settled();
    let trusted = genesis(4).hash();
    let verified = verify(&receipt, &trusted, &Secp256k1).unwrap();
    let Leaf::Execution(execution) = &verified.leaf else { panic!("not an execution") };
    assert!(matches!(execution.conclusion, Some(Conclusion::Accepted(_))));
    assert_eq!((verified.power, verified.total_power), (400, 400));
    assert_eq!((verified.signers.len(), verified.draws_replayed), (4, 1));
    assert_eq!(verified.height, world.nodes[0].replica.reader().head().tip.height);
    assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
}

#[test]
fn a_receipt_proves_a_transaction() {
    let mut world = World::new(4);
    let mut hashes = Vec::new();
    for n in 0..7 {
        hashes.push(world.ask(&account(n), transfer(&account(8), 5)));
    }
    world.round();
    for hash in hashes {
        let receipt = receipt(&world, Subject::Transaction(hash)).unwrap();
        let verified = verify(&receipt, &world.genesis.hash(), &Secp256k1).unwrap();
        assert!(matches!(verified.leaf, Leaf::Transaction(receipt) if receipt.transaction == hash));
    }
    assert_eq!(receipt(&world, Subject::Transaction(Hash::ZERO)), None);
}

#[test]
fn a_receipt_follows_the_validator_set() {
    let (world, hash) = after_a_change_of_the_set();
    let receipt = receipt(&world, Subject::Transaction(hash)).unwrap();
    assert_eq!(receipt.trail.changes.len(), 1);
    let trusted = world.genesis.hash();
    let verified = verify(&receipt, &trusted, &Secp256k1).unwrap();
    assert_eq!(verified.total_power, 450);

    let mut without = receipt.clone();
    without.trail.changes.clear();
    let height = receipt.decision.header.height;
    assert_eq!(refused(&without, &trusted), LightError::WrongSet { height });
    let mut twice = receipt.clone();
    twice.trail.changes.push(receipt.trail.changes[0].clone());
    assert_eq!(refused(&twice, &trusted), LightError::BadTrail);
    let mut other = receipt;
    other.trail.changes[0].next = ValidatorSet::default();
    assert!(matches!(refused(&other, &trusted), LightError::WrongSet { .. }));
}

#[test]
fn each_part_of_a_receipt_is_needed() {
    let (_, receipt) = settled();
    let trusted = genesis(4).hash();
    let height = receipt.decision.header.height;
    let with = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = receipt.clone();
        change(&mut receipt);
        refused(&receipt, &trusted)
    };
    let error = refused(&receipt, &Hash::ZERO);
    assert_eq!(error.code(), "RCP-0002");
    assert_eq!(with(&|r| r.trail.genesis.time.0 += 1).code(), "RCP-0002");
    let error = with(&|r| r.decision.header.height = height.next());
    assert_eq!(error, LightError::OtherBlock { height: height.next() });
    assert_eq!(with(&|r| r.decision.certificate.round = Round(3)).code(), "RCP-0006");
    assert_eq!(with(&|r| r.decision.certificate.block = Hash::ZERO).code(), "RCP-0004");
    assert_eq!(with(&|r| r.leaf[40] ^= 1).code(), "RCP-0010");
    assert_eq!(with(&|r| r.proof.index += 1).code(), "RCP-0010");
    assert_eq!(with(&|r| r.rosters[0].candidates[0].weight += 1).code(), "RCP-0011");
    let error = with(&|r| {
        let roster = r.rosters[0].clone();
        r.rosters.push(roster);
    });
    assert_eq!(error.code(), "RCP-0011");
    assert_eq!(Receipt::decode(b"no").unwrap_err().code(), "RCP-0001");
    let mut longer = receipt.encode();
    longer.push(0);
    assert_eq!(Receipt::decode(&longer).unwrap_err().code(), "RCP-0001");
    assert_eq!(Receipt::decode(&vec![0; (1 << 20) + 1]).unwrap_err().code(), "RCP-0001");
    let mut contradictory = receipt.clone();
    contradictory.trail.genesis.validators.clear();
    let error = refused(&contradictory, &contradictory.trail.genesis.hash());
    assert_eq!(error.code(), "RCP-0003");
}

#[test]
fn a_state_proof_proves_presence_and_absence() {
    let (world, _) = after_a_change_of_the_set();
    let (reader, trusted) = (world.nodes[0].replica.reader(), world.genesis.hash());
    let present = reader.state_proof(&keys::account(&account(2).address())).unwrap().unwrap();
    assert!(present.value.is_some());
    let absent = reader.state_proof(&keys::account(&account(99).address())).unwrap().unwrap();
    assert_eq!(absent.value, None);
    for proof in [&present, &absent] {
        let verified = verify_state(proof, &trusted, &Secp256k1).unwrap();
        assert_eq!(verified.height, Height(3));
        assert_eq!(&StateProof::decode(&proof.encode()).unwrap(), proof);
    }
    let lies = [
        StateProof { value: None, ..present.clone() },
        StateProof { value: Some(vec![1]), ..present.clone() },
        StateProof { value: Some(vec![1]), ..absent.clone() },
        StateProof { key: absent.key, ..present },
    ];
    for lie in lies {
        let error = verify_state(&lie, &trusted, &Secp256k1).unwrap_err();
        assert_eq!(error.code(), "RCP-0012");
    }
    let fresh = World::new(1);
    assert_eq!(fresh.nodes[0].replica.reader().state_proof(b"t").unwrap(), None);
}

#[test]
fn a_receipt_file_is_readable_and_verifies() {
    let (world, receipt) = settled();
    let text = render(&receipt).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["execution"]["task"], "total");
    assert_eq!(file["execution"]["members"][0]["role"], "executor");
    assert!(file["execution"]["outcome"].as_str().unwrap().starts_with("accepted: done"));
    assert_eq!(file["block"]["signers"].as_array().unwrap().len(), 4);
    let verified = verify_file(&text, &world.genesis.hash(), &Secp256k1).unwrap();
    assert_eq!(verified.leaf, receipt.claim().unwrap());
}

#[test]
fn no_byte_of_a_receipt_can_be_changed() {
    let (world, receipt) = settled();
    let trusted = world.genesis.hash();
    let bytes = receipt.encode();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        let accepted = Receipt::decode(&changed)
            .and_then(|receipt| verify(&receipt, &trusted, &Secp256k1))
            .is_ok();
        assert!(!accepted, "byte {place} of {}", bytes.len());
    }
}

#[test]
fn no_byte_of_a_receipt_file_can_be_changed() {
    let (world, receipt) = settled();
    let trusted = world.genesis.hash();
    let text = render(&receipt).unwrap();
    for place in 0..text.len() {
        // Small letters become capitals, among other things: the same hexadecimal, another file.
        for mask in [0x01, 0x20] {
            let mut changed = text.clone().into_bytes();
            changed[place] ^= mask;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let verdict = verify_file(&changed, &trusted, &Secp256k1);
            assert!(verdict.is_err(), "byte {place} of {} ^ {mask:#x}", text.len());
        }
    }
    let longer = format!("{text} ");
    let error = verify_file(&longer, &trusted, &Secp256k1).unwrap_err();
    assert!(matches!(error, FileError::Altered));
    assert_eq!(error.code(), "RCP-0014");
    let error = verify_file("{}", &trusted, &Secp256k1).unwrap_err();
    assert_eq!(error.code(), "RCP-0013");
}
