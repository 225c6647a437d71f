//! The corpora's inputs, out of the encoders that nodes, callers and developers use.

mod bodies;
mod frames;
mod texts;

use althing_ledger::keys;
use althing_light::Receipt;
use althing_replica::Subject;
use althing_replica::application::Application as _;
use althing_replica::receipt_file::render;
use althing_types::{
    Amount, Block, Bond, Certificate, EndpointId, Evidence, Hash, Height, Operation, Resume,
    Reveal, Round, Seal, SignedTransaction, SignedVote, Transaction, Unbond, Unjail, VoteKind,
    Withdraw, canonical,
};

use crate::common::{World, account, beacon, draft, service, transaction, transfer, validator_key};

/// Target, name, bytes.
pub(crate) type Seed = (&'static str, String, Vec<u8>);

/// A chain on which one execution was settled, and what it is made of.
pub(crate) struct Chain {
    pub(crate) world: World,
    pub(crate) execution: Hash,
    pub(crate) blocks: Vec<(Block, Certificate)>,
}

pub(crate) fn chain() -> Chain {
    let mut world = World::new(2);
    let execution = world.settle_one_execution();
    for n in 0..3 {
        world.ask(&account(n), transfer(&account(n + 1), 1_000));
    }
    world.round();
    let replica = &world.nodes[0].replica;
    let heights = (1..replica.next_height().0).map(Height);
    let decided = heights.map(|height| replica.decided(height).unwrap().unwrap());
    let blocks = decided.map(|(body, cert)| (Block::decode(&body).unwrap(), cert)).collect();
    Chain { world, execution, blocks }
}

/// Every kind of operation, and of what is inside of them.
pub(crate) fn operations(chain: &Chain) -> Vec<Operation> {
    let id = service().id();
    let asked = chain.blocks.iter().flat_map(|(block, _)| &block.transactions);
    let mut operations: Vec<Operation> =
        asked.flat_map(|signed| signed.transaction.operations.clone()).collect();
    let vote = |block: Option<Hash>| {
        let (kind, height, round) = (VoteKind::Prevote, Height(2), Round(0));
        let digest = chain.world.eip712.vote(kind, height, round, block);
        let signature = validator_key(1).sign_vote(&digest);
        SignedVote { kind, height, round, block, signature }
    };
    let execution = chain.execution;
    let opening = althing_types::Opening {
        claim: althing_types::Claim::Opinion(althing_types::Opinion::Valid),
        salt: Hash([9; 32]),
    };
    operations.extend([
        Operation::Bond(Bond {
            amount: Amount::from_tokens(120),
            public_key: account(5).public_key(),
            endpoint: EndpointId([5; 32]),
            beacon_key: beacon(5).key(),
        }),
        Operation::Unbond(Unbond { amount: Amount::from_tokens(3) }),
        Operation::Unjail(Unjail {}),
        Operation::Evidence(Evidence {
            validator: validator_key(1).address(),
            first: vote(None).into(),
            second: vote(Some(Hash([2; 32]))).into(),
        }),
        Operation::Withdraw(Withdraw { service: id }),
        Operation::Resume(Resume { service: id }),
        Operation::Seal(Seal { execution, round: 0, commitment: Hash([3; 32]) }),
        Operation::Reveal(Reveal { execution, round: 1, opening }),
    ]);
    operations
}

pub(crate) fn transactions(chain: &Chain) -> Vec<SignedTransaction> {
    let operations = operations(chain);
    let nonce = althing_types::Nonce;
    let mut signed: Vec<SignedTransaction> = (0_u64..)
        .zip(&operations)
        .map(|(n, operation)| transaction(&account(1), nonce(n), vec![operation.clone()]))
        .collect();
    let key = account(2);
    let all = Transaction { atomic: true, ..draft(key.address(), nonce(7), operations) };
    signed.push(key.sign_transaction(all));
    signed
}

/// Receipts of a chain, and the hash of the genesis under which they hold.
pub(crate) fn receipts() -> (Vec<Receipt>, Hash) {
    let chain = chain();
    (receipts_of(&chain), chain.world.genesis.hash())
}

fn receipts_of(chain: &Chain) -> Vec<Receipt> {
    let reader = chain.world.nodes[0].replica.reader();
    let asked = chain.blocks.iter().flat_map(|(block, _)| &block.transactions);
    let subjects = asked.map(|signed| Subject::Transaction(signed.hash()));
    subjects
        .chain([Subject::Execution(chain.execution)])
        .map(|subject| reader.receipt(&subject).unwrap().unwrap())
        .collect()
}

fn named(target: &'static str, name: &str, inputs: Vec<Vec<u8>>) -> Vec<Seed> {
    let numbered = inputs.into_iter().enumerate();
    numbered.map(|(n, input)| (target, format!("{name}-{n:02}"), input)).collect()
}

pub(crate) fn all() -> Vec<Seed> {
    let chain = chain();
    let reader = chain.world.nodes[0].replica.reader();
    let receipts = receipts_of(&chain);
    let encoded = |transactions: Vec<SignedTransaction>| {
        transactions.iter().map(SignedTransaction::encode).collect()
    };
    let proven = [
        keys::account(&account(1).address()),
        keys::account(&account(99).address()),
        keys::service(&service().id()),
        keys::TOTALS.to_vec(),
    ];
    let proofs = proven.iter().map(|key| reader.state_proof(key).unwrap().unwrap().encode());
    let files = receipts.iter().map(|receipt| render(receipt).unwrap().into_bytes());
    let mut seeds = vec![
        named("transaction", "signed", encoded(transactions(&chain))),
        named("block", "block", chain.blocks.iter().map(|(block, _)| block.encode()).collect()),
        named(
            "certificate",
            "two",
            chain.blocks.iter().map(|(_, c)| canonical::encode(c)).collect(),
        ),
        named("ledger_receipt", "leaf", receipts.iter().map(|r| r.leaf.clone()).collect()),
        named("genesis", "two-validators", vec![canonical::encode(&chain.world.genesis)]),
        named("receipt", "receipt", receipts.iter().map(Receipt::encode).collect()),
        named("receipt_file", "receipt", files.collect()),
        named("state_proof", "proof", proofs.collect()),
    ];
    seeds.push(frames::merkle_proofs());
    seeds.push(frames::list_proofs());
    seeds.push(frames::ranges());
    seeds.extend(frames::all(&chain));
    seeds.extend(texts::all());
    seeds.extend(bodies::all(&chain));
    seeds.concat()
}
