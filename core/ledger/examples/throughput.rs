//! How many transfers a second of CPU time carries through the ledger, without signatures and without
//! a disk: what is left is the rules themselves, the overlay and the canonical bytes.
//!
//! `cargo run --release -p althing-ledger --example throughput`
#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use std::collections::BTreeMap;

use althing_ledger::{Applied, Authenticated, BlockContext, Ledger, audit, genesis_writes};
use althing_state::MemoryState;
use althing_types::{
    Address, Amount, BasisPoints, BeaconKey, BeaconProof, ChainId, Eip712, Endowment, EndpointId,
    Genesis, GenesisValidator, Hash, Height, Nonce, Operation, Parameters, PublicKey,
    RecoverableSignature, Round, Signatures, SignedTransaction, TimeMs, Transaction, Transfer,
    VoteSignature, keccak,
};

const CHAIN: ChainId = ChainId(1);
const ACCOUNTS: u64 = 20_000;
const BLOCKS: u64 = 20;
const TRANSACTIONS: u64 = 5_000;

/// Believes the address that the signature holds.
#[derive(Debug)]
struct Believer;

impl Signatures for Believer {
    fn recover(&self, _: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        signature.r_and_s.first_chunk().map(|bytes| Address(*bytes))
    }

    fn verifies(&self, _: &Hash, _: &VoteSignature, _: &PublicKey) -> bool {
        true
    }

    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        key.0.first_chunk().map(|bytes| Address(*bytes))
    }

    fn beacon(&self, _: &BeaconKey, input: &Hash, _: &BeaconProof) -> Option<Hash> {
        Some(*input)
    }
}

fn address(n: u64) -> Address {
    let hash = keccak(&[&n.to_be_bytes()]);
    Address(*hash.0.first_chunk().expect("a hash has 32 bytes"))
}

fn parameters() -> Parameters {
    let (none, day_ms) = (BasisPoints(0), 86_400_000);
    Parameters {
        fee_base: Amount::from_base_units(1_000),
        fee_per_byte: Amount::from_base_units(1),
        validators_max: 100,
        bond_min: Amount::from_tokens(1),
        unbonding_ms: day_ms,
        missed_proposals_max: 50,
        jail_ms: day_ms,
        double_vote_slash: none,
        seal_window_ms: 10_000,
        reveal_window_ms: 10_000,
        draw_window_ms: 10_000,
        escalations_max: 2,
        events_kept_ms: 30 * 86_400_000,
        fan_out_per_block: 1_000,
        checkers_max: 64,
        substitutes: 3,
        newcomers_share: none,
        newcomer_until: 10,
        reputation_halving_ms: day_ms,
        misbehaviour_heals_ms: day_ms,
        executor_wrong: none,
        checker_wrong: none,
        emitter_wrong: none,
        bad_opening: none,
        withheld: none,
        absent: none,
        slash_burned: none,
        absences_max: 5,
        early_exit: none,
        developer_share: none,
        treasury_share: none,
        wasm_engine: "none".parse().expect("a name"),
    }
}

fn genesis() -> Genesis {
    let mut accounts: Vec<Endowment> = (0..ACCOUNTS)
        .map(|n| Endowment { address: address(n), balance: Amount::from_tokens(1_000) })
        .collect();
    accounts.sort_by_key(|account| account.address);
    let mut public_key = PublicKey::ZERO;
    public_key.0[..20].copy_from_slice(&address(0).0);
    let validator = GenesisValidator {
        address: address(0),
        public_key,
        endpoint: EndpointId::ZERO,
        beacon_key: BeaconKey::ZERO,
        bonded: Amount::from_tokens(1),
    };
    Genesis {
        chain: CHAIN,
        time: TimeMs(1),
        parameters: parameters(),
        accounts,
        validators: vec![validator],
    }
}

fn transfer(eip712: &Eip712, from: u64, to: u64, nonce: u64) -> Authenticated {
    let account = address(from);
    let transaction = Transaction {
        chain: CHAIN,
        account,
        nonce: Nonce(nonce),
        expires: Height(u64::MAX),
        atomic: false,
        fee_limit: Amount::from_tokens(1),
        operations: vec![Operation::Transfer(Transfer {
            to: address(to),
            amount: Amount::from_base_units(7),
        })],
    };
    let mut signature = RecoverableSignature { r_and_s: [0; 64], v: 27 };
    signature.r_and_s[..20].copy_from_slice(&account.0);
    let signed = SignedTransaction { transaction, signature };
    Authenticated::verify(signed, eip712, CHAIN, &Believer).expect("a good transaction")
}

/// Nanoseconds that this process has spent on a processor.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells it here");
    let first = text.split_whitespace().next().expect("three numbers");
    first.parse().expect("a number")
}

fn micros(ns: u64, count: u64) -> String {
    let hundredths = ns / 10 / count;
    format!("{}.{:02} µs", hundredths / 100, hundredths % 100)
}

fn main() {
    let eip712 = Eip712::new(CHAIN);
    let mut state = MemoryState::default();
    state.apply(&genesis_writes(&genesis(), &Believer).expect("a good genesis"));
    let mut nonces: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut rules_ns, mut closing_ns, mut tree_ns) = (0, 0, 0);
    for height in 1..=BLOCKS {
        let transactions: Vec<Authenticated> = (0..TRANSACTIONS)
            .map(|n| {
                let dice = keccak(&[&height.to_be_bytes(), &n.to_be_bytes()]).0;
                let number = |at: usize| {
                    let bytes = dice[at..at + 8].try_into().expect("eight bytes");
                    u64::from_be_bytes(bytes) % ACCOUNTS
                };
                let (from, to) = (number(0), number(8));
                let nonce = nonces.entry(from).or_insert(0);
                *nonce += 1;
                transfer(&eip712, from, to, *nonce - 1)
            })
            .collect();
        let block = BlockContext {
            chain: CHAIN,
            height: Height(height),
            round: Round(0),
            time: TimeMs(1 + height),
            previous: TimeMs(height),
            proposer: address(0),
            beacon: Hash::ZERO,
        };
        let before = cpu_ns();
        let mut ledger = Ledger::begin(&state, block, &eip712, &Believer).expect("a good state");
        for transaction in &transactions {
            let applied = ledger.apply(transaction).expect("a good state");
            assert_eq!(applied, Applied::Included);
        }
        let applied_at = cpu_ns();
        let executed = ledger.finish().expect("a good state");
        let executed_at = cpu_ns();
        state.apply(&executed.writes);
        rules_ns += applied_at - before;
        closing_ns += executed_at - applied_at;
        tree_ns += cpu_ns() - executed_at;
    }
    audit(&state).expect("tokens are conserved");
    let count = BLOCKS * TRANSACTIONS;
    println!("{count} transfers among {ACCOUNTS} accounts in {BLOCKS} blocks, CPU time each:");
    println!("  rules    {}", micros(rules_ns, count));
    println!("  receipts {} (encoded, and their root)", micros(closing_ns, count));
    println!("  tree     {}", micros(tree_ns, count));
    println!("root {}", state.root());
}
