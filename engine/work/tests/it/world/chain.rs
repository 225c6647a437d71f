//! The chain of a small world: its genesis, its accounts, its service.

use althing_ledger::{Execution, query};
use althing_manifest::{Event, Limits, Manifest, Status, Task};
use althing_state::MemoryState;
use althing_types::{
    Address, Amount, BasisPoints, BeaconKey, BeaconProof, BlobRef, ChainId, Eip712, Emitters,
    Endowment, EndpointId, Genesis, GenesisValidator, Hash, Height, Nonce, Operation, Outcome,
    Parameters, PublicKey, RecoverableSignature, Signatures, SignedTransaction, TimeMs,
    Transaction, Verification, VoteSignature,
};
use althing_work::port::TransactionSigner;
use althing_work::simulated::{Rule, TableRuntime};
use althing_work::{Config, LaneLimits, Secret, concerns};

pub(crate) const CHAIN: ChainId = ChainId(7);
pub(crate) const START: TimeMs = TimeMs(1_000_000);

/// Signs by name: the signature is the account and the digest.
pub(crate) struct Names;

impl Signatures for Names {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        let (account, rest) = signature.r_and_s.split_first_chunk::<20>()?;
        (rest.get(13..) == digest.0.get(1..)).then_some(Address(*account))
    }
    fn verifies(&self, _: &Hash, _: &VoteSignature, _: &PublicKey) -> bool {
        false
    }
    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        key.0.last_chunk::<20>().map(|bytes| Address(*bytes))
    }
    fn beacon(&self, _: &BeaconKey, _: &Hash, _: &BeaconProof) -> Option<Hash> {
        None
    }
}

pub(crate) struct Signer(pub(crate) Address);

impl TransactionSigner for Signer {
    fn address(&self) -> Address {
        self.0
    }
    fn sign(&self, transaction: Transaction) -> SignedTransaction {
        let digest = transaction.digest(&eip712());
        let mut r_and_s = [0; 64];
        r_and_s[..20].copy_from_slice(&self.0.0);
        r_and_s[33..].copy_from_slice(&digest.0[1..]);
        SignedTransaction { transaction, signature: RecoverableSignature { r_and_s, v: 27 } }
    }
}

pub(crate) fn eip712() -> Eip712 {
    Eip712::new(CHAIN)
}

pub(crate) fn name(text: &str) -> althing_types::Name {
    text.parse().expect("tests write valid names")
}

pub(crate) fn tokens(n: u64) -> Amount {
    Amount::from_tokens(n)
}

pub(crate) fn node_address(index: usize) -> Address {
    Address([u8::try_from(index).expect("few nodes") + 10; 20])
}

pub(crate) fn node_endpoint(index: usize) -> EndpointId {
    EndpointId([u8::try_from(index).expect("few nodes") + 10; 32])
}

pub(crate) const PAYER: Address = Address([1; 20]);
pub(crate) const VALIDATOR: Address = Address([2; 20]);
pub(crate) const HOME: EndpointId = EndpointId([1; 32]);

pub(crate) fn parameters() -> Parameters {
    Parameters {
        fee_base: Amount::from_base_units(10),
        fee_per_byte: Amount::from_base_units(1),
        validators_max: 10,
        bond_min: tokens(1),
        unbonding_ms: 10_000,
        missed_proposals_max: 10,
        jail_ms: 1_000,
        double_vote_slash: BasisPoints(5_000),
        seal_window_ms: 500,
        reveal_window_ms: 300,
        draw_window_ms: 800,
        escalations_max: 2,
        events_kept_ms: 30 * 86_400_000,
        fan_out_per_block: 1_000,
        checkers_max: 16,
        substitutes: 2,
        newcomers_share: BasisPoints(1_000),
        newcomer_until: 3,
        reputation_halving_ms: 86_400_000,
        misbehaviour_heals_ms: 86_400_000,
        executor_wrong: BasisPoints(2_000),
        checker_wrong: BasisPoints(1_000),
        emitter_wrong: BasisPoints(1_000),
        bad_opening: BasisPoints(3_000),
        withheld: BasisPoints(500),
        absent: BasisPoints(100),
        slash_burned: BasisPoints(5_000),
        absences_max: 1_000,
        early_exit: BasisPoints(1_000),
        developer_share: BasisPoints(1_000),
        treasury_share: BasisPoints(500),
        wasm_engine: name("simulated"),
    }
}

pub(crate) const MODULE: &[u8] = b"module";
/// Of the task `long`.
pub(crate) const LONG_US: u64 = 200_000;
/// Of every other task.
pub(crate) const SHORT_US: u64 = 2_000;

pub(crate) fn manifest(service: &str) -> Manifest {
    let task = |text: &str, verification, time_ms| Task {
        name: name(text),
        summary: "For tests.".to_owned(),
        verification,
        price: tokens(1),
        check_price: tokens(1),
        limits: Limits { time_ms, ..Limits::DEFAULT },
        inputs: serde_json::json!({}),
        statuses: vec![Status { name: name("done"), outputs: serde_json::json!({}) }],
    };
    Manifest {
        service: service.parse().expect("tests write valid aliases"),
        summary: "For tests.".to_owned(),
        module: Some(BlobRef::of(MODULE)),
        stake_min: tokens(100),
        limits: Limits::DEFAULT,
        tasks: vec![
            task("total", Verification::Deterministic, 100),
            task("fails", Verification::Deterministic, 100),
            task("factor", Verification::Method, 100),
            task("long", Verification::Deterministic, 10_000),
        ],
        events: vec![Event {
            name: name("asked"),
            summary: "For tests.".to_owned(),
            data: serde_json::json!({
                "type": "object",
                "properties": { "id": { "type": "string" }, "n": { "type": "integer" } },
                "required": ["id", "n"],
                "additionalProperties": false
            }),
            id: Some("id".to_owned()),
            keys: vec!["id".to_owned()],
            window_ms: 1_000,
            emitters: Emitters::One,
            agree: Vec::new(),
            price: Amount::ZERO,
        }],
    }
}

pub(crate) fn runtime(seed: u64) -> TableRuntime {
    TableRuntime::new(seed)
        .with(name("total"), Rule::Digest(name("done")), SHORT_US)
        .with(name("fails"), Rule::Fails(althing_types::Failure::Trap), SHORT_US)
        .with(name("factor"), Rule::Chance(name("done")), SHORT_US)
        .with(name("long"), Rule::Digest(name("done")), LONG_US)
}

pub(crate) const CONFIG: Config = Config {
    jobs_max: 256,
    short_jobs_max: 128,
    short_ms_max: 5_000,
    short_at_once: 2,
    short: LaneLimits { fetching_max: 16, running_max: 2 },
    long: LaneLimits { fetching_max: 4, running_max: 1 },
    outside: LaneLimits { fetching_max: 0, running_max: 64 },
    outside_long: LaneLimits { fetching_max: 0, running_max: 64 },
    services_max: 8,
};

pub(crate) fn right(task: &str, input: &str) -> Outcome {
    let digest = TableRuntime::digest(&name(task), input.as_bytes());
    let output = BlobRef::of(format!("{{\"of\":\"{digest}\"}}").as_bytes());
    Outcome::Returned { status: name("done"), output, keys: Vec::new() }
}

pub(crate) fn open_executions(state: &MemoryState, node: &Address) -> Vec<Execution> {
    let all = query::executions(state, None, 10_000).expect("memory can be read");
    all.into_iter().filter(|execution| concerns(execution, node)).collect()
}

pub(crate) fn secret(index: usize) -> Secret {
    Secret::new([u8::try_from(index).expect("few nodes"); 32])
}

pub(crate) fn sign(
    account: Address,
    nonce: Nonce,
    operations: Vec<Operation>,
) -> SignedTransaction {
    Signer(account).sign(Transaction {
        chain: CHAIN,
        account,
        nonce,
        expires: Height(1_000_000),
        atomic: false,
        fee_limit: tokens(10),
        operations,
    })
}

pub(crate) fn genesis(count: usize) -> Genesis {
    let mut accounts: Vec<Address> = (0..count).map(node_address).collect();
    accounts.push(PAYER);
    accounts.sort_unstable();
    let mut public_key = [2; 33];
    public_key[13..].copy_from_slice(&VALIDATOR.0);
    Genesis {
        chain: CHAIN,
        time: START,
        parameters: parameters(),
        accounts: accounts
            .into_iter()
            .map(|address| Endowment { address, balance: tokens(100_000) })
            .collect(),
        validators: vec![GenesisValidator {
            address: VALIDATOR,
            public_key: PublicKey(public_key),
            endpoint: EndpointId([2; 32]),
            beacon_key: BeaconKey::ZERO,
            bonded: tokens(100),
        }],
    }
}
