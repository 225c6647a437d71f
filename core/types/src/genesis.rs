//! What everybody agrees on before the first block.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    Address, Amount, BasisPoints, BeaconKey, ChainId, EndpointId, Hash, PublicKey, TimeMs,
    canonical, tagged,
};

/// The start of a chain; its hash is what a light client trusts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Genesis {
    /// The chain.
    pub chain: ChainId,
    /// Blocks are later than this.
    pub time: TimeMs,
    /// The rules' numbers.
    pub parameters: Parameters,
    /// All tokens that are not bonded, by ascending address.
    pub accounts: Vec<Endowment>,
    /// The first consensus set with its bonds, by ascending address.
    pub validators: Vec<GenesisValidator>,
}

impl Genesis {
    /// The hash that receipts are verified against.
    #[must_use]
    pub fn hash(&self) -> Hash {
        tagged("althing genesis", &[&canonical::encode(self)])
    }
}

/// What an account owns at the start.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Endowment {
    /// The account.
    pub address: Address,
    /// Its balance.
    pub balance: Amount,
}

/// A member of the first consensus set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct GenesisValidator {
    /// Its account.
    pub address: Address,
    /// The key that signs its votes; hashes to `address`.
    pub public_key: PublicKey,
    /// Where it is on the network.
    pub endpoint: EndpointId,
    /// Its key for the random beacon.
    pub beacon_key: BeaconKey,
    /// Its bond, beside its balance.
    pub bonded: Amount,
}

/// The numbers of the rules; constant for a chain's life.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parameters {
    /// Fee of a transaction, before its bytes.
    pub fee_base: Amount,
    /// Fee of each byte of a transaction.
    pub fee_per_byte: Amount,
    /// Most members of the consensus set.
    pub validators_max: u32,
    /// Least bond of a member of the consensus set.
    pub bond_min: Amount,
    /// How long unbonded and withdrawn stake is held back, in milliseconds of block time.
    pub unbonding_ms: u64,
    /// How many proposals in a row a validator may miss before it is jailed.
    pub missed_proposals_max: u32,
    /// How long a jailed validator stays out, in milliseconds.
    pub jail_ms: u64,
    /// Share of the bond that a double vote costs.
    pub double_vote_slash: BasisPoints,
    /// How long members have to seal or answer, beside the task's own time limit, in milliseconds.
    pub seal_window_ms: u64,
    /// How long members have to reveal, in milliseconds.
    pub reveal_window_ms: u64,
    /// How long an execution waits for enough candidates, in milliseconds.
    pub draw_window_ms: u64,
    /// How many times a larger committee is drawn.
    pub escalations_max: u32,
    /// How long an event is remembered for runs that come to wait for it, in milliseconds.
    pub events_kept_ms: u64,
    /// How many listeners and waits one block looks at for its events; the others wait for the next.
    pub fan_out_per_block: u32,
    /// Most checkers of one execution.
    pub checkers_max: u16,
    /// How many substitutes are drawn for each execution.
    pub substitutes: u16,
    /// Share of draws that is kept for newcomers.
    pub newcomers_share: BasisPoints,
    /// A node is a newcomer until it has done this many executions or checks of the service.
    pub newcomer_until: u32,
    /// After this long, what a node has done counts half, in milliseconds.
    pub reputation_halving_ms: u64,
    /// After this long, a misbehaviour no longer lowers a node's weight in draws, in milliseconds.
    pub misbehaviour_heals_ms: u64,
    /// Severity of a wrong result of an executor, as a share of its stake.
    pub executor_wrong: BasisPoints,
    /// Severity of a wrong check.
    pub checker_wrong: BasisPoints,
    /// Severity of an observation that contradicts the one that was agreed on.
    pub emitter_wrong: BasisPoints,
    /// Severity of a commitment that its own node cannot open: a copied one.
    pub bad_opening: BasisPoints,
    /// Severity of a commitment that was never opened.
    pub withheld: BasisPoints,
    /// Severity of an absence.
    pub absent: BasisPoints,
    /// Share of every slash that is burned, so that convicting oneself never pays.
    pub slash_burned: BasisPoints,
    /// How many absences in a row suspend an offer.
    pub absences_max: u32,
    /// Share of the stake that leaving before the term costs.
    pub early_exit: BasisPoints,
    /// Share of a fee that goes to the service's developer.
    pub developer_share: BasisPoints,
    /// Share of a fee that goes to the treasury.
    pub treasury_share: BasisPoints,
    /// The wasm engine that every node must run, so that fuel is counted alike.
    pub wasm_engine: crate::Name,
}
