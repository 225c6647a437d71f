//! Whether a proposed block is valid.
//!
//! ```text
//!   bytes ──decode, body fits id──► Candidate ──its height is next──► check ──► Outcome | BadBlock
//! ```
//!
//! - Errors: [`BadBlock`] if the proposer is at fault, [`Fault`] if this node is.
//! - Invariants: what is checked at a moment (round, clock) is kept apart from what follows from the
//!   chain alone, since two thirds may decide a block that this node's clock holds for too new. No
//!   signature that waits in the mempool or was verified lately is verified again.

use std::sync::Arc;
use std::thread;

use althing_ledger::{Authenticated, Invalid};
use althing_state::merkle::list_root;
use althing_types::{
    BeaconProof, Block, BlockId, Hash, Header, Height, Round, SignedTransaction, TimeMs,
};

use crate::application::Fault;
use crate::execute::{Draft, Outcome, Purpose, beacon_input, header, run};
use crate::mempool::Mempool;
use crate::reader::Head;
use crate::rules::Rules;

/// How far a block's time may be ahead of this node's clock, in milliseconds.
pub const DRIFT_MS_MAX: u64 = 10_000;
/// From this many unknown signatures on, a second thread helps.
const PARALLEL_FROM: usize = 16;

/// Why a block is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// It was made for a later round.
    #[error("the block is of round {found}, later than {round}")]
    LaterRound {
        /// The round in which it was proposed.
        round: Round,
        /// The block's.
        found: Round,
    },
    /// Its time is not after the previous block's.
    #[error("the block's time {found} is not after the previous block's, {previous}")]
    TimeNotAfter {
        /// The previous block's.
        previous: TimeMs,
        /// The block's.
        found: TimeMs,
    },
    /// Its time is too far in the future.
    #[error("the block's time {found} is more than {DRIFT_MS_MAX} ms after this node's, {now}")]
    TimeTooNew {
        /// This node's.
        now: TimeMs,
        /// The block's.
        found: TimeMs,
    },
    /// Its proposer was not the round's.
    #[error("the block's proposer is not the proposer of its round")]
    WrongProposer,
    /// It does not follow this chain's tip.
    #[error("the block does not follow the last one")]
    WrongParent,
    /// The beacon is not what the proposer's key gives, as far as the proof shows.
    #[error("the beacon's proof does not hold")]
    BadBeacon,
    /// A transaction must not be there.
    #[error("transaction {transaction} must not be in the block: {invalid}")]
    BadTransaction {
        /// Its hash.
        transaction: Hash,
        /// Why.
        invalid: Invalid,
    },
    /// The header says something else than what the transactions come to.
    #[error("the header's {field} is not what follows from the block")]
    WrongHeader {
        /// The first field that differs.
        field: &'static str,
    },
}

/// A block above the tip.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) header: Header,
    pub(crate) bytes: Vec<u8>,
    /// This node made it.
    pub(crate) own: bool,
    /// For this tip, what [`check`] said.
    pub(crate) checked: Option<(BlockId, Result<(), BadBlock>)>,
}

impl Candidate {
    /// The block that was kept.
    pub(crate) fn decode(&self) -> Result<Decoded, Fault> {
        decode(&self.bytes)
            .ok_or_else(|| Fault::new("decoding a kept block", "it is not what was kept"))
    }
}

/// A block whose body is the one that its id commits to.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) header: Header,
    pub(crate) beacon_proof: BeaconProof,
    /// With their hashes.
    pub(crate) transactions: Vec<(Hash, SignedTransaction)>,
}

/// Decodes a block; `None` for bytes that are no block, or not the body that the id commits to.
pub(crate) fn decode(bytes: &[u8]) -> Option<Decoded> {
    let (block, hashes) = Block::decode_hashed(bytes).ok()?;
    let Block { header, beacon_proof, transactions } = block;
    (list_root(&hashes) == header.transactions_root).then(|| Decoded {
        header,
        beacon_proof,
        transactions: hashes.into_iter().zip(transactions).collect(),
    })
}

/// What depends on the moment at which a block was proposed here.
pub(crate) fn check_moment(header: &Header, round: Round, now: TimeMs) -> Result<(), BadBlock> {
    if header.round > round {
        return Err(BadBlock::LaterRound { round, found: header.round });
    }
    if header.time > now.after(DRIFT_MS_MAX) {
        return Err(BadBlock::TimeTooNew { now, found: header.time });
    }
    Ok(())
}

/// The beacon that a proof proves for the block's proposer.
pub(crate) fn proven_beacon(
    header: &Header,
    proof: &BeaconProof,
    head: &Head,
    rules: &Rules,
) -> Option<Hash> {
    let proposer = head.validators.get(&header.proposer)?;
    rules.signatures.beacon(&proposer.beacon_key, &beacon_input(head, rules), proof)
}

/// Whether a block may follow `head`, by everything that follows from the chain alone.
pub(crate) fn check(
    block: Decoded,
    head: &Head,
    rules: &Rules,
    mempool: &Mempool,
) -> Result<Result<Outcome, BadBlock>, Fault> {
    let Decoded { header: claimed, beacon_proof, transactions } = block;
    let height: Height = head.next_height();
    if (claimed.chain, claimed.height, claimed.previous) != (rules.chain(), height, head.tip.block)
    {
        return Ok(Err(BadBlock::WrongParent));
    }
    if claimed.time <= head.time() {
        let (previous, found) = (head.time(), claimed.time);
        return Ok(Err(BadBlock::TimeNotAfter { previous, found }));
    }
    let proposer = head.validators.proposer(height, claimed.round).map(|v| v.address);
    if proposer != Some(claimed.proposer) {
        return Ok(Err(BadBlock::WrongProposer));
    }
    if proven_beacon(&claimed, &beacon_proof, head, rules) != Some(claimed.beacon) {
        return Ok(Err(BadBlock::BadBeacon));
    }
    let transactions = match authenticate_all(transactions, rules, mempool) {
        Ok(transactions) => transactions,
        Err(bad) => return Ok(Err(bad)),
    };
    let draft = Draft {
        round: claimed.round,
        time: claimed.time,
        proposer: claimed.proposer,
        beacon: claimed.beacon,
    };
    let run = run(head, rules, &draft, transactions, Purpose::Check)?;
    if let Some((transaction, invalid)) = run.refused.first().copied() {
        return Ok(Err(BadBlock::BadTransaction { transaction, invalid }));
    }
    let outcome = run.outcome.expect("a run is stopped by a refusal only");
    let computed = header(head, rules, &draft, &outcome);
    Ok(match difference(&claimed, &computed) {
        Some(field) => Err(BadBlock::WrongHeader { field }),
        None => Ok(outcome),
    })
}

/// The first field in which two headers differ.
fn difference(claimed: &Header, computed: &Header) -> Option<&'static str> {
    // Destructured, so that a new field cannot be forgotten.
    let Header {
        chain,
        height,
        round,
        time,
        previous,
        transactions_root,
        state_root,
        receipts_root,
        headers_root,
        beacon,
        validator_set,
        next_validator_set,
        proposer,
    } = claimed;
    let fields = [
        ("chain", *chain == computed.chain),
        ("height", *height == computed.height),
        ("round", *round == computed.round),
        ("time", *time == computed.time),
        ("previous block", *previous == computed.previous),
        ("transactions root", *transactions_root == computed.transactions_root),
        ("state root", *state_root == computed.state_root),
        ("receipts root", *receipts_root == computed.receipts_root),
        ("headers root", *headers_root == computed.headers_root),
        ("beacon", *beacon == computed.beacon),
        ("validator set", *validator_set == computed.validator_set),
        ("next validator set", *next_validator_set == computed.next_validator_set),
        ("proposer", *proposer == computed.proposer),
    ];
    fields.iter().find(|(_, equal)| !equal).map(|(name, _)| *name)
}

/// A transaction on its way to being [`Authenticated`].
enum Slot {
    Known(Arc<Authenticated>),
    Unknown(Hash, Option<Box<SignedTransaction>>),
}

impl Slot {
    fn verify(&mut self, rules: &Rules) -> Result<(), BadBlock> {
        if let Self::Unknown(hash, signed) = self
            && let Some(signed) = signed.take()
        {
            let transaction = *hash;
            let verified = rules.verify(*signed);
            *self = Self::Known(
                verified.map_err(|invalid| BadBlock::BadTransaction { transaction, invalid })?,
            );
        }
        Ok(())
    }
}

/// Verifies the signatures that were not verified before.
fn authenticate_all(
    transactions: Vec<(Hash, SignedTransaction)>,
    rules: &Rules,
    mempool: &Mempool,
) -> Result<Vec<Arc<Authenticated>>, BadBlock> {
    let mut slots: Vec<Slot> = transactions
        .into_iter()
        .map(|(hash, signed)| {
            match mempool.find(&hash).cloned().or_else(|| rules.verified(&hash)) {
                Some(known) => Slot::Known(known),
                None => Slot::Unknown(hash, Some(Box::new(signed))),
            }
        })
        .collect();
    let verify = |slots: &mut [Slot]| slots.iter_mut().try_for_each(|slot| slot.verify(rules));
    let unknown = slots.iter().filter(|slot| matches!(slot, Slot::Unknown(..))).count();
    if unknown < PARALLEL_FROM {
        verify(&mut slots)?;
    } else {
        let half = slots.len() / 2;
        let (first, second) = slots.split_at_mut(half);
        thread::scope(|scope| {
            let helper = scope.spawn(|| verify(second));
            let first = verify(first);
            // The earlier fault is the one that is named, as in one thread.
            let second = helper.join().expect("verifying a signature does not panic");
            first.and(second)
        })?;
    }
    let known = slots.into_iter().filter_map(|slot| match slot {
        Slot::Known(known) => Some(known),
        Slot::Unknown(..) => None,
    });
    Ok(known.collect())
}
