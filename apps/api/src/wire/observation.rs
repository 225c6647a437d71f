//! Events as the ledger knows them: who observed what, and whether it counts.

use althing_ledger as ledger;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::EventName;
use super::execution::Offence;
use super::mirror::{Mirror, mirror_names};
use super::outcome::BlobRef;
use super::text::{AddressText, AmountText, EndpointText, HashText};

mirror_names! {
    /// How far an event has come.
    EventState = ledger::EventState {
        /// There is no majority yet, and time left.
        Open,
        /// It occurred: runs may start from it.
        Valid,
        /// Enough emitters took part, and no majority of them agreed.
        Contradicted,
        /// Too few emitters took part in time.
        Expired,
    }

    /// How an observation compares with what was agreed on.
    Standing = ledger::Standing {
        /// Nothing is agreed on.
        Open,
        /// It agrees.
        Agrees,
        /// It contradicts.
        Contradicts,
    }
}

impl std::fmt::Display for EventState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Valid => "valid",
            Self::Contradicted => "contradicted",
            Self::Expired => "expired",
        })
    }
}

impl std::str::FromStr for EventState {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Open, Self::Valid, Self::Contradicted, Self::Expired]
            .into_iter()
            .find(|state| state.to_string() == text)
            .ok_or("open, valid, contradicted or expired is expected")
    }
}

/// What one emitter said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Observation {
    /// The emitter.
    pub node: AddressText,
    /// When, milliseconds since 1970.
    pub at: u64,
    /// Hashes of the keys.
    pub keys: Vec<HashText>,
    /// The part of the data that all emitters are to see identically.
    pub data: Option<BlobRef>,
    /// The measured values, in units of their last decimal.
    pub measured: Vec<i64>,
    /// Compared with what was agreed on.
    pub standing: Standing,
    /// For what it was fined, if it was.
    pub offence: Option<Offence>,
    /// The fine, taken from its stake for the service.
    pub fine: AmountText,
    /// Its share of the price and of the fines.
    pub earned: AmountText,
}

/// An emitter in office that said nothing about an event that occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Absentee {
    /// The emitter.
    pub node: AddressText,
    /// The fine, taken from its stake for the service.
    pub fine: AmountText,
}

/// One occurrence of an event, from the first observation to its settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Occurrence {
    /// Names it: hash of service, event and id.
    pub key: HashText,
    /// The service and its event.
    #[serde(flatten)]
    pub name: EventName,
    /// Hash of the id that the service gave.
    pub id: HashText,
    /// How far it has come.
    pub state: EventState,
    /// The first observation, milliseconds since 1970.
    pub opened_at: u64,
    /// Observations from this time on are late, milliseconds since 1970.
    pub until: u64,
    /// When it became valid, or ended otherwise, milliseconds since 1970.
    pub decided_at: u64,
    /// Whose word counts.
    pub office: Vec<AddressText>,
    /// What was said, in order.
    pub observations: Vec<Observation>,
    /// Who was in office and silent; filled when a valid event is settled.
    pub absent: Vec<Absentee>,
    /// The agreed keys; those of the first observation until the event is valid.
    pub keys: Vec<HashText>,
    /// The agreed data; that of the first observation until the event is valid.
    pub base: BlobRef,
    /// The agreed values, in units of their last decimal.
    pub measured: Vec<i64>,
    /// Nodes that have the data.
    pub homes: Vec<EndpointText>,
    /// What runs have paid for the event, for those who agree.
    pub purse: AmountText,
    /// Why the ledger lately refused an observation by the node that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

/// Why the ledger refused an observation that a node had accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// The ledger's code, such as `LED-0045`.
    pub code: String,
    /// In words.
    pub detail: String,
}

impl From<ledger::EventRecord> for Occurrence {
    fn from(record: ledger::EventRecord) -> Self {
        let statements = record.statements;
        let observation = |said: ledger::Observation| {
            let statement = statements.get(usize::from(said.statement));
            Observation {
                node: said.node.into(),
                at: said.at.0,
                keys: statement.map(|made| Mirror::of(made.keys.clone())).unwrap_or_default(),
                data: statement.map(|made| made.data.into()),
                measured: said.measured,
                standing: said.standing.into(),
                offence: said.offence.map(Into::into),
                fine: said.fine.into(),
                earned: said.earned.into(),
            }
        };
        let absentee = |absent: ledger::Absentee| Absentee {
            node: absent.node.into(),
            fine: absent.fine.into(),
        };
        Self {
            key: record.key.into(),
            name: record.name.into(),
            id: record.id.into(),
            state: record.state.into(),
            opened_at: record.opened_at.0,
            until: record.until.0,
            decided_at: record.decided_at.0,
            office: Mirror::of(record.office),
            observations: record.observations.into_iter().map(observation).collect(),
            absent: record.absent.into_iter().map(absentee).collect(),
            keys: Mirror::of(record.keys),
            base: record.base.into(),
            measured: record.measured,
            homes: Mirror::of(record.homes),
            purse: record.purse.into(),
            refused: None,
        }
    }
}

/// A change of state of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum EventStep {
    /// An emitter observed it.
    Observed {
        /// The emitter.
        node: AddressText,
    },
    /// It became valid.
    Decided,
    /// An emitter was fined.
    Fined {
        /// The emitter.
        node: AddressText,
        /// For what.
        offence: Offence,
        /// How much.
        fine: AmountText,
    },
    /// It is in the block's receipts.
    Settled {
        /// As this.
        state: EventState,
    },
}

impl From<ledger::EventStep> for EventStep {
    fn from(step: ledger::EventStep) -> Self {
        match step {
            ledger::EventStep::Observed(node) => Self::Observed { node: node.into() },
            ledger::EventStep::Decided => Self::Decided,
            ledger::EventStep::Fined { node, offence, fine } => {
                Self::Fined { node: node.into(), offence: offence.into(), fine: fine.into() }
            }
            ledger::EventStep::Settled(state) => Self::Settled { state: state.into() },
        }
    }
}
