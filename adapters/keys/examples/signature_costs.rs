//! Prints what a node pays for its signatures: `cargo run --release -p althing-keys --example
//! signature_costs`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use althing_keys::{AccountKey, BeaconSecret, Secp256k1};
use althing_types::{
    Amount, ChainId, Eip712, Hash, Height, Nonce, Operation, Round, Seal, Signatures as _,
    Transaction, Transfer, VoteKind, canonical, keccak,
};

const ROUNDS: u32 = 7;
const CALLS: u32 = 500;

/// The best of several rounds: the others measured the neighbours.
fn measure(what: &str, mut call: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(start.elapsed() / CALLS);
    }
    println!("{what:<44} {:>8.2} µs", best.as_secs_f64() * 1e6);
}

fn main() {
    let account = AccountKey::from_bytes(&[1; 32]).expect("a valid scalar");
    let beacon = BeaconSecret::from_bytes(&[2; 32]);
    let eip712 = Eip712::new(ChainId(1));
    let transaction = |operations| Transaction {
        chain: ChainId(1),
        account: account.address(),
        nonce: Nonce(0),
        expires: Height(100),
        atomic: false,
        fee_limit: Amount::from_tokens(1),
        operations,
    };
    let transfer = transaction(vec![Operation::Transfer(Transfer {
        to: account.address(),
        amount: Amount::from_tokens(1),
    })]);
    let seal = Seal { execution: Hash([3; 32]), round: 0, commitment: Hash([4; 32]) };
    let batch = transaction(vec![Operation::Seal(seal); 100]);
    let digest = keccak(&[b"digest"]);
    let signature = account.sign_recoverable(&digest);
    let vote = account.sign_vote(&digest);
    let proof = beacon.prove(&digest);
    let block = Some(digest);

    measure("EIP-712 digest of a vote", || {
        black_box(eip712.vote(VoteKind::Precommit, Height(1), Round(0), block));
    });
    measure("EIP-712 digest of a transfer", || {
        black_box(transfer.digest(&eip712));
    });
    measure("  of it: the canonical bytes, hashed", || {
        black_box(keccak(&[&canonical::encode(&transfer.operations)]));
    });
    measure("EIP-712 digest of a batch of 100 seals", || {
        black_box(batch.digest(&eip712));
    });
    measure("  of it: the canonical bytes, hashed", || {
        black_box(keccak(&[&canonical::encode(&batch.operations)]));
    });
    measure("secp256k1: sign", || {
        black_box(account.sign_vote(&digest));
    });
    measure("secp256k1: sign, recoverable", || {
        black_box(account.sign_recoverable(&digest));
    });
    measure("secp256k1: verify", || {
        black_box(Secp256k1.verifies(&digest, &vote, &account.public_key()));
    });
    measure("secp256k1: recover the address", || {
        black_box(Secp256k1.recover(&digest, &signature));
    });
    measure("beacon: prove", || {
        black_box(beacon.prove(&digest));
    });
    measure("beacon: verify", || {
        black_box(Secp256k1.beacon(&beacon.key(), &digest, &proof));
    });
}
