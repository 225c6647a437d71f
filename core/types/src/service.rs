//! What the ledger knows of a service: the terms of its manifest.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Alias, Amount, Hash, Name};

/// Most statuses of a task.
pub const STATUSES_MAX: usize = 32;

/// Names bytes that are kept outside of the ledger.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub struct BlobRef {
    /// keccak-256 of the bytes.
    pub hash: Hash,
    /// Length in bytes.
    pub bytes: u32,
}

impl BlobRef {
    /// Names `bytes`.
    ///
    /// # Panics
    ///
    /// If they are longer than 4 GiB.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("blobs are far smaller than 4 GiB");
        Self { hash: crate::keccak(&[bytes]), bytes: length }
    }
}

/// How others check a task.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Verification {
    /// Every execution gives the same bytes: checkers execute it again, blind.
    Deterministic,
    /// The service brings a `verify` method: checkers apply it to the executor's answer.
    Method,
    /// Nobody can: what it does happens once, outside. The caller trusts whoever is drawn.
    None,
}

/// What the ledger knows of one task.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TaskTerms {
    /// Unique within the service.
    pub name: Name,
    /// The statuses that it may return; the first is the main one.
    pub statuses: Vec<Name>,
    /// How it is checked.
    pub verification: Verification,
    /// What one node gets for one execution, before the developer's and the treasury's shares.
    pub price: Amount,
    /// What one checker gets for one `verify`; with deterministic tasks this is `price`.
    pub check_price: Amount,
    /// How long one execution may take.
    pub time_limit_ms: u32,
}

/// What the ledger knows of one event.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EventTerms {
    /// Unique within the service.
    pub name: Name,
    /// How many keys an observation carries.
    pub keys: u8,
    /// How long emitters may take to agree, from the first observation, in milliseconds.
    pub window_ms: u32,
    /// Whose word counts.
    pub emitters: Emitters,
    /// Fields on whose value emitters agree within bounds; all others must be identical, or are
    /// ignored by leaving them out of the data.
    pub measured: Vec<MeasuredTerms>,
    /// What an application pays to all agreeing emitters together for one run that it starts or one
    /// wait that it ends.
    pub price: Amount,
}

/// Whose observations make an event valid.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Emitters {
    /// The first observation of any node in office: trusted, such as a webhook that reaches one node.
    One,
    /// A majority of the nodes in office.
    Majority,
    /// A majority of this many, or of the nodes in office where they are more: an office that has lost
    /// its honest nodes decides nothing.
    AtLeast(u16),
}

impl Emitters {
    /// Of how many nodes a majority is asked for, where so many are in office.
    #[must_use]
    pub fn counted(self, office: usize) -> usize {
        match self {
            Self::One | Self::Majority => office,
            Self::AtLeast(least) => office.max(usize::from(least)),
        }
    }
}

/// How emitters agree on a number that jitters: on the median of their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MeasuredTerms {
    /// How many decimals a value has on the ledger.
    pub decimals: u8,
    /// How far a value may be from the median, in units of the last decimal; an emitter beyond
    /// contradicts. `None` accepts every value.
    pub tolerance: Option<u64>,
}

/// Names one occurrence of an event for ever: an id counts once.
#[must_use]
pub fn event_key(service: &Hash, event: &Name, id: &Hash) -> Hash {
    crate::tagged("althing event", &[&service.0, event.as_str().as_bytes(), &id.0])
}

/// What the ledger knows of a service; everything else is in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ServiceTerms {
    /// Its name among people.
    pub alias: Alias,
    /// The manifest, canonical JSON; its hash is the id of the service.
    pub manifest: BlobRef,
    /// The wasm component; the manifest names it too. `None` for a native service: each node that
    /// offers it connects a program of its own.
    pub module: Option<BlobRef>,
    /// What it does.
    pub tasks: Vec<TaskTerms>,
    /// What it observes; a service has at least one task or event.
    pub events: Vec<EventTerms>,
    /// The least that a node stakes to offer the service.
    pub stake_min: Amount,
}

impl ServiceTerms {
    /// The id of the service: the hash of its manifest.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.manifest.hash
    }

    /// The task with this name.
    #[must_use]
    pub fn task(&self, name: &Name) -> Option<&TaskTerms> {
        self.tasks.iter().find(|task| task.name == *name)
    }

    /// The event with this name.
    #[must_use]
    pub fn event(&self, name: &Name) -> Option<&EventTerms> {
        self.events.iter().find(|event| event.name == *name)
    }
}
