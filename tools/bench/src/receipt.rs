//! Verifying a receipt, as a stranger does: from the file and the hash of the genesis alone.

use std::sync::Arc;

use althing_keys::{AccountKey, BeaconSecret, Secp256k1};
use althing_light::{Receipt, verify};
use althing_node::parameters;
use althing_replica::receipt_file::{render, verify_file};
use althing_replica::{MemoryStore, Subject};
use althing_types::{
    Amount, BlobRef, Call, ChainId, Claim, Endowment, EndpointId, Genesis, GenesisValidator, Hash,
    Offer, Opening, Operation, Outcome, Parameters, Publish, Reveal, Seal, ServiceTerms, TaskTerms,
    TimeMs, Verification, commitment, keccak,
};
use anyhow::{Context as _, Result, ensure};

use crate::cost;
use crate::figure::{Bar, Figure};
use crate::solo::Solo;
use crate::stage::person;

const CHECKERS: u16 = 3;
/// Nodes that offer the service.
const OFFERS: usize = 4;
const ROUNDS: u32 = 10;

fn key(n: usize) -> AccountKey {
    AccountKey::from_bytes(&keccak(&[b"bench validator", &n.to_be_bytes()]).0)
        .expect("a hash below the order of the curve, but for one in 2^128")
}

fn beacon(n: usize) -> BeaconSecret {
    BeaconSecret::from_bytes(&keccak(&[b"bench beacon", &n.to_be_bytes()]).0)
}

fn genesis(validators: usize) -> Genesis {
    let mut accounts =
        vec![Endowment { address: person().address(), balance: Amount::from_tokens(1_000) }];
    accounts.extend(
        (0..validators)
            .map(|n| Endowment { address: key(n).address(), balance: Amount::from_tokens(1_000) }),
    );
    accounts.sort_by_key(|account| account.address);
    let validator = |n: usize| GenesisValidator {
        address: key(n).address(),
        public_key: key(n).public_key(),
        endpoint: EndpointId(keccak(&[b"endpoint", &n.to_be_bytes()]).0),
        beacon_key: beacon(n).key(),
        bonded: Amount::from_tokens(100),
    };
    let mut set: Vec<GenesisValidator> = (0..validators).map(validator).collect();
    set.sort_by_key(|validator| validator.address);
    // One of them proposes all blocks here, in whatever round is its turn: nobody is absent.
    let parameters = Parameters { missed_proposals_max: u32::MAX, ..parameters::open_network() };
    Genesis { chain: ChainId(1), time: TimeMs(1), parameters, accounts, validators: set }
}

fn service() -> Result<ServiceTerms> {
    let task = TaskTerms {
        name: "total".parse()?,
        statuses: vec!["ok".parse()?],
        verification: Verification::Deterministic,
        price: Amount::from_tokens(1),
        check_price: Amount::from_tokens(1),
        time_limit_ms: 5_000,
    };
    Ok(ServiceTerms {
        alias: "acme/invoice@1.0.0".parse()?,
        manifest: BlobRef::of(b"manifest"),
        module: Some(BlobRef::of(b"module")),
        tasks: vec![task],
        events: Vec::new(),
        stake_min: Amount::from_tokens(10),
    })
}

/// The receipt of an execution that three have checked, on a chain with so many validators.
fn receipt(validators: usize) -> Result<(Receipt, Hash)> {
    let (genesis, keys) = (genesis(validators), (0..validators).map(key).collect());
    let trusted = genesis.hash();
    let mut solo = Solo::open(genesis, Arc::new(MemoryStore::new()), keys, beacon(0))?;
    let terms = service()?;
    let service = terms.id();
    solo.ask(&person(), vec![Operation::Publish(Publish { terms: terms.into() })])?;
    for n in 0..OFFERS {
        let offer = Offer {
            service,
            stake: Amount::from_tokens(50),
            term_ms: 86_400_000,
            owner: key(n).address(),
            endpoint: EndpointId(keccak(&[b"endpoint", &n.to_be_bytes()]).0),
            labels: vec![],
        };
        solo.ask(&key(n), vec![Operation::Offer(offer)])?;
    }
    solo.block()?;
    let call = Call {
        service,
        task: "total".parse()?,
        input: BlobRef::of(b"{}"),
        home: EndpointId::ZERO,
        checkers: CHECKERS,
        quorum: 0,
        nodes: Vec::new(),
        price_max: Amount::from_tokens(10),
    };
    let called = solo.ask(&person(), vec![Operation::Call(call)])?;
    solo.block()?;
    let id = solo.created(called)?;
    solo.block()?;
    let drawn = solo.reader().execution(&id)?.context("it is on the ledger")?;
    let members: Vec<AccountKey> = (0..OFFERS)
        .map(key)
        .filter(|key| drawn.members.iter().any(|member| member.node == key.address()))
        .collect();
    ensure!(members.len() == OFFERS, "{} of {OFFERS} were drawn", members.len());
    let outcome = Outcome::Returned {
        status: "ok".parse()?,
        output: BlobRef::of(b"{\"total\":\"42\"}"),
        keys: Vec::new(),
    };
    let opening = |key: &AccountKey| Opening {
        claim: Claim::Outcome(outcome.clone()),
        salt: keccak(&[&key.address().0]),
    };
    for key in &members {
        let commitment = commitment(&id, 0, &key.address(), &opening(key));
        solo.ask(key, vec![Operation::Seal(Seal { execution: id, round: 0, commitment })])?;
    }
    solo.block()?;
    for key in &members {
        let reveal = Reveal { execution: id, round: 0, opening: opening(key) };
        solo.ask(key, vec![Operation::Reveal(reveal)])?;
    }
    solo.block()?;
    let receipt = solo.reader().receipt(&Subject::Execution(id))?;
    Ok((receipt.context("the execution is not settled")?, trusted))
}

/// Runs the benchmark.
pub(crate) fn run() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for validators in [4, 100] {
        let (receipt, trusted) = receipt(validators)?;
        let text = render(&receipt)?;
        let mut failed = false;
        let proof = cost::of_each(ROUNDS, || {
            failed |= verify(&receipt, &trusted, &Secp256k1).is_err();
        });
        let file = cost::of_each(ROUNDS, || {
            failed |= verify_file(&text, &trusted, &Secp256k1).is_err();
        });
        ensure!(!failed, "a true receipt was refused");
        figures.push(
            Figure::new(
                format!("a receipt's file, {validators} validators"),
                file.wall_us / 1e3,
                "ms",
            )
            .cpu(file.cpu_us / 1e3, "ms")
            .against("its proof alone", proof.wall_us / 1e3)
            .bar(Bar::AtMost(5.0))
            .note(format!(
                "{} B of text, {} B of proof",
                text.len(),
                receipt.encode().len()
            )),
        );
    }
    Ok(figures)
}
