//! The numbers of a new chain's rules.

use althing_types::{Amount, BasisPoints, Parameters};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// The version of the wasm engine by which fuel is counted; part of the genesis, because nodes with
/// another engine would not agree.
pub const WASM_ENGINE: &str = "wasmtime-48.0.8";

/// For an open network: windows that allow for the distance between continents, delays that leave
/// time to report what happened.
///
/// # Panics
///
/// Never: the engine's name is a name.
#[must_use]
pub fn open_network() -> Parameters {
    Parameters {
        fee_base: Amount::from_base_units(1_000),
        fee_per_byte: Amount::from_base_units(1),
        validators_max: 100,
        bond_min: Amount::from_tokens(100),
        unbonding_ms: 21 * DAY_MS,
        missed_proposals_max: 50,
        jail_ms: 10 * MINUTE_MS,
        double_vote_slash: BasisPoints(2_000),
        seal_window_ms: 10_000,
        reveal_window_ms: 10_000,
        draw_window_ms: 60_000,
        escalations_max: 2,
        events_kept_ms: 30 * DAY_MS,
        fan_out_per_block: 1_000,
        checkers_max: 64,
        substitutes: 3,
        newcomers_share: BasisPoints(1_000),
        newcomer_until: 10,
        reputation_halving_ms: 30 * DAY_MS,
        misbehaviour_heals_ms: 30 * DAY_MS,
        executor_wrong: BasisPoints(1_000),
        checker_wrong: BasisPoints(500),
        emitter_wrong: BasisPoints(500),
        bad_opening: BasisPoints(1_000),
        // Not less than a wrong result: who sees that it was wrong must not gain by silence.
        withheld: BasisPoints(1_000),
        absent: BasisPoints(50),
        slash_burned: BasisPoints(5_000),
        absences_max: 5,
        early_exit: BasisPoints(500),
        developer_share: BasisPoints(1_000),
        treasury_share: BasisPoints(500),
        wasm_engine: WASM_ENGINE.parse().expect("lower case, digits, a hyphen and points"),
    }
}

/// For a network on one machine: the same rules, shorter windows and delays.
#[must_use]
pub fn dev_network() -> Parameters {
    Parameters {
        unbonding_ms: 5_000,
        jail_ms: 2_000,
        seal_window_ms: 4_000,
        reveal_window_ms: 4_000,
        draw_window_ms: 8_000,
        ..open_network()
    }
}
