//! The genesis as a file: what `althing node init` reads.

use althing_types as core;

use super::mirror::mirror;
use super::text::{AddressText, AmountText, BeaconKeyText, EndpointText, NameText, PublicKeyText};

mirror! {
    /// The start of a chain; its hash is what a light client trusts.
    Genesis = core::Genesis {
        /// The chain.
        chain: u64,
        /// Blocks are later than this, milliseconds since 1970.
        time: u64,
        /// The rules' numbers.
        parameters: Parameters,
        /// All tokens that are not bonded, by ascending address.
        accounts: Vec<Endowment>,
        /// The first consensus set with its bonds, by ascending address.
        validators: Vec<GenesisValidator>,
    }

    /// What an account owns at the start.
    Endowment = core::Endowment {
        /// The account.
        address: AddressText,
        /// Its balance.
        balance: AmountText,
    }

    /// A member of the first consensus set.
    GenesisValidator = core::GenesisValidator {
        /// Its account.
        address: AddressText,
        /// The key that signs its votes.
        public_key: PublicKeyText,
        /// Where it is on the network.
        endpoint: EndpointText,
        /// Its key for the random beacon.
        beacon_key: BeaconKeyText,
        /// Its bond, beside its balance.
        bonded: AmountText,
    }

    /// The numbers of the rules; shares are in hundredths of a percent, times in milliseconds.
    Parameters = core::Parameters {
        /// Fee of a transaction, before its bytes.
        fee_base: AmountText,
        /// Fee of each byte of a transaction.
        fee_per_byte: AmountText,
        /// Most members of the consensus set.
        validators_max: u32,
        /// Least bond of a member of the consensus set.
        bond_min: AmountText,
        /// How long unbonded and withdrawn stake is held back.
        unbonding_ms: u64,
        /// How many proposals in a row a validator may miss before it is jailed.
        missed_proposals_max: u32,
        /// How long a jailed validator stays out.
        jail_ms: u64,
        /// Share of the bond that a double vote costs.
        double_vote_slash: u32,
        /// How long members have to seal or answer, beside the task's own time limit.
        seal_window_ms: u64,
        /// How long members have to reveal.
        reveal_window_ms: u64,
        /// How long an execution waits for enough candidates.
        draw_window_ms: u64,
        /// How many times a larger committee is drawn.
        escalations_max: u32,
        /// How long an event is remembered for runs that come to wait for it.
        events_kept_ms: u64,
        /// How many listeners and waits one block looks at for its events.
        fan_out_per_block: u32,
        /// Most checkers of one execution.
        checkers_max: u16,
        /// How many substitutes are drawn for each execution.
        substitutes: u16,
        /// Share of draws that is kept for newcomers.
        newcomers_share: u32,
        /// A node is a newcomer until it has done this many executions or checks of the service.
        newcomer_until: u32,
        /// After this long, what a node has done counts half.
        reputation_halving_ms: u64,
        /// After this long, a misbehaviour no longer lowers a node's weight in draws.
        misbehaviour_heals_ms: u64,
        /// Severity of a wrong result of an executor, as a share of its stake.
        executor_wrong: u32,
        /// Severity of a wrong check.
        checker_wrong: u32,
        /// Severity of an observation that contradicts the one that was agreed on.
        emitter_wrong: u32,
        /// Severity of a commitment that its own node cannot open.
        bad_opening: u32,
        /// Severity of a commitment that was never opened.
        withheld: u32,
        /// Severity of an absence.
        absent: u32,
        /// Share of every slash that is burned.
        slash_burned: u32,
        /// How many absences in a row suspend an offer.
        absences_max: u32,
        /// Share of the stake that leaving before the term costs.
        early_exit: u32,
        /// Share of a fee that goes to the service's developer.
        developer_share: u32,
        /// Share of a fee that goes to the treasury.
        treasury_share: u32,
        /// The wasm engine that every node must run.
        wasm_engine: NameText,
    }
}
