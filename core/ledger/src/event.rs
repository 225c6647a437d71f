//! An event: one occurrence outside of the network, from the first observation to its settlement.
//!
//! ```text
//!   emitters: 1    ─observed─► Valid, settled at once
//!   majority       ─observed─► Open ─more than half of those in office agree─► Valid ─┐
//!                               │                                     window ends,    ├─► settled
//!                               └─window ends─► Valid, Contradicted or Expired        ┘
//! ```
//!
//! Settled, it is a leaf under the block's receipts root, and a [`Happened`] stays in the state: the
//! id has counted. An expired event leaves none: else one emitter could use up the ids of others by
//! being the only one to observe them.
//!
//! - Shapes: at most [`OFFICE_MAX`] emitters, each with one observation; equal keys and data are kept
//!   once, as a [`Statement`].
//! - Source: paper B §3.1; `docs/adr/0008-applications-on-the-ledger.md`.

use alloc::vec::Vec;

use althing_types::{Address, Amount, BlobRef, EndpointId, EventName, Hash, Height, TimeMs};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::Offence;
use crate::books::{Holds, Pot};

/// Most emitters in office for one event: of more offers, those with the largest stakes.
pub const OFFICE_MAX: usize = 128;
/// How many of the agreeing emitters are named as those who have the data.
pub const HOMES_MAX: usize = 4;

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum EventState {
    /// There is no majority yet, and time left.
    Open,
    /// It occurred: runs may start from it.
    Valid,
    /// Enough emitters took part, and no majority of them agreed.
    Contradicted,
    /// Too few emitters took part in time; the id has not counted.
    Expired,
}

/// What an observation says beside its measured values; equal ones are one.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Statement {
    /// Hashes of the keys.
    pub keys: Vec<Hash>,
    /// The part of the data that all emitters are to see identically.
    pub data: BlobRef,
}

/// How an observation compares with what was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// Nothing is agreed on.
    Open,
    /// It agrees.
    Agrees,
    /// It contradicts: another statement, or a value beyond its tolerance.
    Contradicts,
}

/// What one emitter said.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Observation {
    /// Who.
    pub node: Address,
    /// When, in block time.
    pub at: TimeMs,
    /// Which of the event's statements.
    pub statement: u16,
    /// The measured values, in units of their last decimal.
    pub measured: Vec<i64>,
    /// Compared with what was agreed on.
    pub standing: Standing,
    /// For what it was fined, if it was.
    pub offence: Option<Offence>,
    /// The fine, taken from its stake for the service.
    pub fine: Amount,
    /// Its share of the price and of the fines.
    pub earned: Amount,
}

impl Observation {
    pub(crate) const fn new(node: Address, at: TimeMs, statement: u16, measured: Vec<i64>) -> Self {
        Self {
            node,
            at,
            statement,
            measured,
            standing: Standing::Open,
            offence: None,
            fine: Amount::ZERO,
            earned: Amount::ZERO,
        }
    }
}

/// An emitter in office that said nothing about an event that occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Absentee {
    /// Who.
    pub node: Address,
    /// The fine, taken from its stake for the service.
    pub fine: Amount,
}

/// One occurrence of an event.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventRecord {
    /// Names it; see [`event_key`](althing_types::event_key).
    pub key: Hash,
    /// The service and its event.
    pub name: EventName,
    /// Hash of the id that the service gave.
    pub id: Hash,
    /// How far it has come.
    pub state: EventState,
    /// The first observation.
    pub opened_at: TimeMs,
    /// Observations from this time on are late.
    pub until: TimeMs,
    /// Whose word counts: in office at the first observation, ascending.
    pub office: Vec<Address>,
    /// The different statements, in the order in which they were made.
    pub statements: Vec<Statement>,
    /// What was said, in order.
    pub observations: Vec<Observation>,
    /// Who was in office and silent; filled when a valid event is settled.
    pub absent: Vec<Absentee>,
    /// The agreed keys; those of the first statement until the event is valid.
    pub keys: Vec<Hash>,
    /// The agreed data; that of the first statement until the event is valid.
    pub base: BlobRef,
    /// The agreed values; those of the first observation until the event is valid.
    pub measured: Vec<i64>,
    /// When the event became valid, or ended otherwise; `opened_at` until then.
    pub decided_at: TimeMs,
    /// Nodes that have the data: the first few that agree.
    pub homes: Vec<EndpointId>,
    /// What runs have paid for the event, for those who agree.
    pub purse: Amount,
}

impl Holds for EventRecord {
    const POT: Pot = Pot::Escrow;
    fn held(&self) -> Amount {
        self.purse
    }
}

impl EventRecord {
    /// The observation of `node`.
    #[must_use]
    pub fn observation(&self, node: &Address) -> Option<&Observation> {
        self.observations.iter().find(|observation| observation.node == *node)
    }

    /// Whether everybody whose word counts has spoken.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.observations.len() >= self.office.len()
    }

    /// How far an observation is from the agreed values, in units of the last decimals.
    pub fn distances(&self, observation: &Observation) -> impl Iterator<Item = u64> {
        self.measured
            .iter()
            .zip(&observation.measured)
            .map(|(agreed, value)| agreed.abs_diff(*value))
    }

    /// The observations that agree with the event.
    pub fn agreeing(&self) -> impl Iterator<Item = &Observation> {
        self.observations.iter().filter(|observation| observation.standing == Standing::Agrees)
    }
}

/// What stays of an event for ever, so that its id counts once.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Happened {
    /// Valid or contradicted.
    pub state: EventState,
    /// The block whose receipts have the event.
    pub height: Height,
    /// Who shares what runs pay for the event from now on: the first few who agreed and serve its
    /// data.
    pub payees: Vec<Address>,
}

/// What happened to an event in a block; for nodes that watch, not part of consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventChange {
    /// The event.
    pub event: Hash,
    /// What happened.
    pub step: EventStep,
}

/// A change of state of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventStep {
    /// An emitter observed it.
    Observed(Address),
    /// It became valid.
    Decided,
    /// An emitter was fined.
    Fined {
        /// The emitter.
        node: Address,
        /// For what.
        offence: Offence,
        /// How much.
        fine: Amount,
    },
    /// It is in the block's receipts.
    Settled(EventState),
}
