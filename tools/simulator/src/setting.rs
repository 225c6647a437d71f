//! The chain that is simulated: its rules, its accounts, its service and what its tasks come to.

use std::time::Duration;

use althing_consensus_malachite::Config as ConsensusConfig;
use althing_manifest::{Limits, Manifest, Status, Task};
use althing_replica::Limits as MempoolLimits;
use althing_types::{
    Amount, BasisPoints, BlobRef, ChainId, Endowment, EndpointId, Failure, Genesis,
    GenesisValidator, Name, Outcome, Parameters, TimeMs, Verification, tagged,
};
use althing_work::simulated::{Rule, TableRuntime};
use althing_work::{Config, LaneLimits};

use crate::signatures::Key;

/// The chain's number.
pub const CHAIN: ChainId = ChainId(7);
/// The time of the genesis.
pub const START_MS: u64 = 1_000_000;
/// Accounts that call tasks and move tokens.
pub const USERS: u64 = 4;
/// In every input: nothing on the ledger may contain it.
pub const MARKER: &str = "payload that no ledger sees";

const MODULE: &[u8] = b"simulated module";

/// The key of a node.
#[must_use]
pub fn node_key(node: usize) -> Key {
    Key::new("node", node as u64)
}

/// The key of a user.
#[must_use]
pub fn user_key(user: u64) -> Key {
    Key::new("user", user)
}

/// Where a node is on the network.
#[must_use]
pub fn endpoint(node: usize) -> EndpointId {
    EndpointId(tagged("simulated endpoint", &[&(node as u64).to_be_bytes()]).0)
}

fn name(text: &str) -> Name {
    text.parse().expect("the names here are valid")
}

/// The chain's rules: those of a network on one machine, with delays short enough to be seen to end.
#[must_use]
pub fn parameters() -> Parameters {
    Parameters {
        fee_base: Amount::from_base_units(1_000),
        fee_per_byte: Amount::from_base_units(1),
        validators_max: 16,
        bond_min: Amount::from_tokens(100),
        unbonding_ms: 60_000,
        missed_proposals_max: 3,
        jail_ms: 5_000,
        double_vote_slash: BasisPoints(2_000),
        seal_window_ms: 4_000,
        reveal_window_ms: 4_000,
        draw_window_ms: 8_000,
        escalations_max: 2,
        events_kept_ms: 30 * 86_400_000,
        fan_out_per_block: 1_000,
        checkers_max: 16,
        substitutes: 2,
        newcomers_share: BasisPoints(1_000),
        newcomer_until: 5,
        reputation_halving_ms: 86_400_000,
        misbehaviour_heals_ms: 86_400_000,
        executor_wrong: BasisPoints(1_000),
        checker_wrong: BasisPoints(500),
        emitter_wrong: BasisPoints(500),
        bad_opening: BasisPoints(1_000),
        withheld: BasisPoints(1_000),
        absent: BasisPoints(50),
        slash_burned: BasisPoints(5_000),
        absences_max: 5,
        early_exit: BasisPoints(500),
        developer_share: BasisPoints(1_000),
        treasury_share: BasisPoints(500),
        wasm_engine: name("simulated"),
    }
}

/// A bound for how long an execution may take on a network without faults, from its call: every
/// round draws, works with every substitute and refill, and reveals. A window that ends without a block is
/// prolonged by half: once in a while, behind absent proposers.
#[must_use]
pub fn execution_ms_max() -> u64 {
    let Parameters { seal_window_ms, reveal_window_ms, draw_window_ms, escalations_max, .. } =
        parameters();
    let work = seal_window_ms + 1_000;
    let prolonged = (seal_window_ms + reveal_window_ms) / 2;
    let round = draw_window_ms + 4 * work + work + reveal_window_ms + prolonged;
    u64::from(escalations_max + 1) * round
}

/// The start of the chain: `powers` has each node's stake in tokens; without one, it is no validator.
#[must_use]
pub fn genesis(powers: &[u64]) -> Genesis {
    let nodes = (0..powers.len()).map(node_key);
    let mut accounts: Vec<Endowment> = nodes
        .chain((0..USERS).map(user_key))
        .map(|key| Endowment { address: key.address(), balance: Amount::from_tokens(1_000_000) })
        .collect();
    accounts.sort_by_key(|endowment| endowment.address);
    let mut validators: Vec<GenesisValidator> = powers
        .iter()
        .enumerate()
        .filter(|(_, power)| **power > 0)
        .map(|(node, power)| GenesisValidator {
            address: node_key(node).address(),
            public_key: node_key(node).public(),
            endpoint: endpoint(node),
            beacon_key: node_key(node).beacon_key(),
            bonded: Amount::from_tokens(*power),
        })
        .collect();
    validators.sort_by_key(|validator| validator.address);
    Genesis { chain: CHAIN, time: TimeMs(START_MS), parameters: parameters(), accounts, validators }
}

/// The manifest of the service that is simulated.
#[must_use]
pub fn manifest() -> Manifest {
    let task = |text: &str, verification, time_ms| Task {
        name: name(text),
        summary: "For simulations.".to_owned(),
        verification,
        price: Amount::from_tokens(1),
        check_price: Amount::from_tokens(1),
        limits: Limits { time_ms, ..Limits::DEFAULT },
        inputs: serde_json::json!({}),
        statuses: vec![Status { name: name("done"), outputs: serde_json::json!({}) }],
    };
    Manifest {
        service: "acme/simulated@1.0.0".parse().expect("a valid alias"),
        summary: "For simulations.".to_owned(),
        module: Some(BlobRef::of(MODULE)),
        stake_min: Amount::from_tokens(100),
        limits: Limits::DEFAULT,
        tasks: vec![
            task(DETERMINISTIC, Verification::Deterministic, 200),
            task(FAILING, Verification::Deterministic, 200),
            task(METHOD, Verification::Method, 200),
        ],
        events: Vec::new(),
    }
}

/// All services of the chain.
#[must_use]
pub fn services() -> [althing_types::Hash; 2] {
    [manifest().id(), crate::shop::manifest().id()]
}

/// Every node comes to the same.
pub const DETERMINISTIC: &str = "total";
/// Fails on every node in the same way.
pub const FAILING: &str = "fails";
/// Never comes to the same twice; a method checks it.
pub const METHOD: &str = "factor";
/// All tasks.
pub const TASKS: [&str; 3] = [DETERMINISTIC, FAILING, METHOD];

/// The files of the service.
#[must_use]
pub fn service_files() -> [Vec<u8>; 3] {
    [manifest().canonical(), MODULE.to_vec(), crate::shop::manifest().canonical()]
}

/// What tasks come to on a node: a table in place of WebAssembly.
#[must_use]
pub fn runtime(seed: u64) -> TableRuntime {
    TableRuntime::new(seed)
        .with(name(DETERMINISTIC), Rule::Digest(name("done")), 3_000)
        .with(name(FAILING), Rule::Fails(Failure::Trap), 2_000)
        .with(name(METHOD), Rule::Chance(name("done")), 5_000)
}

/// Whether an outcome is right for a task and an input; `output` has the bytes that it names.
#[must_use]
pub fn is_right(task: &str, input: &[u8], outcome: &Outcome, output: Option<&[u8]>) -> bool {
    let digest = TableRuntime::digest(&name(task), input);
    match (task, outcome) {
        (FAILING, outcome) => *outcome == Outcome::Failed(Failure::Trap),
        (DETERMINISTIC, Outcome::Returned { output, .. }) => {
            *output == BlobRef::of(format!("{{\"of\":\"{digest}\"}}").as_bytes())
        }
        (METHOD, Outcome::Returned { .. }) => {
            output.is_some_and(|b| b.ends_with(format!("\"of\":\"{digest}\"}}").as_bytes()))
        }
        _ => false,
    }
}

/// The worker's bounds: small, so that they are met.
pub const WORKER: Config = Config {
    jobs_max: 64,
    short_jobs_max: 32,
    short_ms_max: 5_000,
    short_at_once: 2,
    short: LaneLimits { fetching_max: 8, running_max: 2 },
    long: LaneLimits { fetching_max: 4, running_max: 1 },
    outside: LaneLimits { fetching_max: 0, running_max: 2 },
    outside_long: LaneLimits { fetching_max: 0, running_max: 2 },
    services_max: 4,
};

/// The mempool's bounds: small, so that they are met.
pub const MEMPOOL: MempoolLimits =
    MempoolLimits { transactions_max: 64, bytes_max: 64 << 10, per_account_max: 16, gap_max: 16 };

/// How consensus is run: as in a node, with a least time between blocks, since a simulated network
/// under load would else spend its time on tens of blocks a second.
#[must_use]
pub fn consensus() -> ConsensusConfig {
    ConsensusConfig {
        min_block: Duration::from_millis(400),
        ..ConsensusConfig::new(CHAIN, "the simulated disk".into())
    }
}
