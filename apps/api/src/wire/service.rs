//! Services, and the nodes that offer them.

use althing_ledger as ledger;
use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::label::Label;
use super::mirror::{Mirror, mirror, mirror_by_from, mirror_names};
use super::outcome::BlobRef;
use super::text::{AddressText, AliasText, AmountText, EndpointText, HashText, NameText};

mirror_names! {
    /// How others check a task.
    Verification = core::Verification {
        /// Checkers execute it again, blind.
        Deterministic,
        /// Checkers apply the service's `verify` method to the answer.
        Method,
        /// Nobody can; it is called without checkers.
        None,
    }
}

/// Whose observations make an event valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Emitters {
    /// The first observation of any node in office.
    One,
    /// A majority of the nodes in office.
    Majority,
    /// A majority of this many, or of the nodes in office where they are more.
    AtLeast(u16),
}

impl From<core::Emitters> for Emitters {
    fn from(core: core::Emitters) -> Self {
        match core {
            core::Emitters::One => Self::One,
            core::Emitters::Majority => Self::Majority,
            core::Emitters::AtLeast(least) => Self::AtLeast(least),
        }
    }
}

impl From<Emitters> for core::Emitters {
    fn from(wire: Emitters) -> Self {
        match wire {
            Emitters::One => Self::One,
            Emitters::Majority => Self::Majority,
            Emitters::AtLeast(least) => Self::AtLeast(least),
        }
    }
}

mirror_by_from!(Emitters = core::Emitters);

mirror! {
    /// What the ledger knows of one event.
    EventTerms = core::EventTerms {
        /// Unique within the service.
        name: NameText,
        /// How many keys an observation carries.
        keys: u8,
        /// How long emitters may take to agree, in milliseconds.
        window_ms: u32,
        /// Whose word counts.
        emitters: Emitters,
        /// Fields on whose value emitters agree within bounds.
        measured: Vec<MeasuredTerms>,
        /// What an application pays to all agreeing emitters together.
        price: AmountText,
    }

    /// How emitters agree on a number that jitters.
    MeasuredTerms = core::MeasuredTerms {
        /// How many decimals a value has on the ledger.
        decimals: u8,
        /// How far a value may be from the median; absent accepts every value.
        tolerance: Option<u64>,
    }

    /// What the ledger knows of one task.
    TaskTerms = core::TaskTerms {
        /// Unique within the service.
        name: NameText,
        /// The statuses that it may return; the first is the main one.
        statuses: Vec<NameText>,
        /// How it is checked.
        verification: Verification,
        /// What one node gets for one execution.
        price: AmountText,
        /// What one checker gets for one check.
        check_price: AmountText,
        /// How long one execution may take.
        time_limit_ms: u32,
    }

    /// What the ledger knows of a service.
    ServiceTerms = core::ServiceTerms {
        /// Its name among people.
        alias: AliasText,
        /// The manifest, canonical JSON; its hash is the id of the service.
        manifest: BlobRef,
        /// The wasm component; absent for a native service.
        module: Option<BlobRef>,
        /// What it does.
        tasks: Vec<TaskTerms>,
        /// What it observes; at least one task or event.
        #[serde(default)]
        events: Vec<EventTerms>,
        /// The least that a node stakes to offer the service.
        stake_min: AmountText,
    }

    /// What a node did in one role; older deeds count less.
    Tally = ledger::Tally {
        /// In agreement with the verdict, in millionths.
        right: u64,
        /// Against the verdict, in millionths.
        wrong: u64,
        /// Not there in time, in millionths.
        absent: u64,
        /// All that was ever done right.
        done: u32,
        /// The last time that the tally was brought up to date, milliseconds since 1970.
        updated: u64,
    }
}

/// A published service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// The hash of its manifest.
    pub id: HashText,
    /// The terms of its manifest.
    pub terms: ServiceTerms,
    /// Who published it, and earns from its executions.
    pub developer: AddressText,
    /// The height at which it was published.
    pub published: u64,
    /// How many nodes offer it.
    pub offers: u32,
}

impl From<ledger::ServiceRecord> for Service {
    fn from(record: ledger::ServiceRecord) -> Self {
        Self {
            id: record.terms.id().into(),
            developer: record.developer.into(),
            published: record.published.0,
            offers: record.offers,
            terms: record.terms.into(),
        }
    }
}

/// Whether an offer takes part in draws.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OfferStatus {
    /// It does.
    Active,
    /// The node was absent too often, or its stake fell below the minimum.
    Suspended,
    /// The node leaves.
    Leaving {
        /// Its stake is paid out at this time, milliseconds since 1970.
        due: u64,
    },
    /// The node has left.
    Gone,
}

/// A node's commitment to a service, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The service.
    pub service: HashText,
    /// The node.
    pub node: AddressText,
    /// Nodes of one owner never sit in one committee.
    pub owner: AddressText,
    /// Where the node is on the network.
    pub endpoint: EndpointText,
    /// What the node says of itself.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// What a fine is taken from.
    pub stake: AmountText,
    /// First offered, milliseconds since 1970.
    pub since: u64,
    /// Leaving earlier costs, milliseconds since 1970.
    pub term_until: u64,
    /// Whether it takes part in draws.
    pub status: OfferStatus,
    /// What it did as an executor.
    pub executor: Tally,
    /// What it did as a checker.
    pub checker: Tally,
    /// What it did as an emitter of events.
    pub emitter: Tally,
    /// Absences since it was last present.
    pub absences_in_a_row: u32,
    /// How often it was fined for more than an absence.
    pub incidents: u32,
    /// All fines together.
    pub fined: AmountText,
    /// All rewards together.
    pub earned: AmountText,
    /// What it weighs in a draw now: the product of the seven criteria, a decimal number.
    pub weight: String,
}

impl Offer {
    /// From the ledger's record; `weight` is [`ledger::weight`] of it now.
    #[must_use]
    pub fn of(
        service: core::Hash,
        node: core::Address,
        record: ledger::OfferRecord,
        weight: u128,
    ) -> Self {
        Self {
            service: service.into(),
            node: node.into(),
            owner: record.owner.into(),
            endpoint: record.endpoint.into(),
            labels: Mirror::of(record.labels),
            stake: record.stake.into(),
            since: record.since.0,
            term_until: record.term_until.0,
            status: match record.status {
                ledger::OfferStatus::Active => OfferStatus::Active,
                ledger::OfferStatus::Suspended => OfferStatus::Suspended,
                ledger::OfferStatus::Leaving { due } => OfferStatus::Leaving { due: due.0 },
                ledger::OfferStatus::Gone => OfferStatus::Gone,
            },
            executor: record.executor.into(),
            checker: record.checker.into(),
            emitter: record.emitter.into(),
            absences_in_a_row: record.absences_in_a_row,
            incidents: record.incidents,
            fined: record.fined.into(),
            earned: record.earned.into(),
            weight: weight.to_string(),
        }
    }
}
