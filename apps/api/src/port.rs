//! The port: what the HTTP interface asks of a node.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use althing_types::{
    Address, Alias, Hash, Height, Name, RecoverableSignature, SignedTransaction, TimeMs,
};
use bytes::Bytes;
use tokio::sync::broadcast;
use zeroize::Zeroizing;

use crate::problem::{Kind, Refusal};
use crate::wire;

/// What a method of [`Node`] returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, NodeError>> + Send + 'a>>;

/// Names a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKey {
    /// By the hash of its manifest.
    Id(Hash),
    /// By its name among people.
    Alias(Alias),
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

impl std::str::FromStr for ServiceKey {
    type Err = althing_types::Malformed;

    /// An id if it reads as one, else an alias.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Alias))
    }
}

/// Part of a list: up to `limit` entries after `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The last entry of the part before.
    pub after: Option<Hash>,
    /// At least one, at most [`PAGE_MAX`].
    pub limit: usize,
}

/// Most entries of a page.
pub const PAGE_MAX: usize = 1000;

/// Which executions are listed; a field that is set must match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Paid by this account.
    pub payer: Option<Address>,
    /// Worked on by this node.
    pub node: Option<Address>,
    /// Of this service.
    pub service: Option<Hash>,
    /// In this phase.
    pub phase: Option<wire::Phase>,
}

/// Names an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationKey {
    /// By its id.
    Id(Hash),
    /// By its name among people.
    Alias(Alias),
}

impl fmt::Display for ApplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

impl std::str::FromStr for ApplicationKey {
    type Err = althing_types::Malformed;

    /// An id if it reads as one, else an alias.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Id).or_else(|_| text.parse().map(Self::Alias))
    }
}

/// Which runs are listed; a field that is set must match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this application.
    pub application: Option<Hash>,
    /// With this status.
    pub status: Option<wire::RunStatus>,
}

/// Which events are listed; a field that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this service.
    pub service: Option<Hash>,
    /// With this name.
    pub event: Option<Name>,
    /// In this state.
    pub state: Option<wire::EventState>,
}

/// A signed wish to be shown what is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewing {
    /// Who wishes.
    pub account: Address,
    /// Until when the signature is good; a node accepts at most [`VIEWING_MAX`] from now on.
    pub until: TimeMs,
    /// Over the typed data `View(account, until)`; see [`Eip712::view`](althing_types::Eip712::view).
    pub signature: RecoverableSignature,
}

/// How long a [`Viewing`] may last.
pub const VIEWING_MAX: Duration = Duration::from_secs(3600);

/// Why a node does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// What was named does not exist.
    #[error("there is no {what}")]
    NotFound {
        /// With its name, such as `execution 0x…`.
        what: String,
    },
    /// The transaction cannot get into a block.
    #[error("{detail}")]
    Rejected {
        /// The ledger's code, such as `TXN-0006`.
        code: &'static str,
        /// Why, in words.
        detail: String,
    },
    /// The caller has not shown that it may.
    #[error("{what}")]
    NotAllowed {
        /// What was not shown.
        what: &'static str,
    },
    /// An event is not what its service declares.
    #[error("{detail}")]
    NotAnEvent {
        /// The code of the rule, such as `MAN-0032`.
        code: Option<&'static str>,
        /// Why, in words.
        detail: String,
    },
    /// A program cannot be connected.
    #[error("{detail}")]
    NotConnected {
        /// The code of the cause, such as `PRG-0001`.
        code: &'static str,
        /// Why, in words.
        detail: String,
    },
    /// The node has as much to do as it can take.
    #[error("{what}")]
    Busy {
        /// Of what there is too much.
        what: &'static str,
    },
    /// The node failed; the cause is for its log, not for the caller.
    #[error("the node failed")]
    Failed {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::NotFound { .. } => Kind::NotFound.because(error.to_string()),
            NodeError::Rejected { code, detail } => {
                Self { cause: Some(code), ..Kind::Rejected.because(detail) }
            }
            NodeError::NotAllowed { what } => Kind::NotAllowed.because(what),
            NodeError::NotAnEvent { code, detail } => {
                Self { cause: code, ..Kind::NotAnEvent.because(detail) }
            }
            NodeError::NotConnected { code, detail } => {
                Self { cause: Some(code), ..Kind::NotConnected.because(detail) }
            }
            NodeError::Busy { what } => Kind::Busy.because(what),
            NodeError::Failed { source } => {
                let source: &dyn std::error::Error = source.as_ref();
                tracing::error!(error = source, "api.request failed");
                Kind::Internal.because("the node could not answer")
            }
        }
    }
}

/// A node, as the HTTP interface sees it. Reads are of the last decided block.
pub trait Node: Send + Sync + 'static {
    /// The node and its chain.
    fn status(&self) -> Answer<'_, wire::Status>;

    /// The chain's start.
    fn genesis(&self) -> Answer<'_, wire::Genesis>;

    /// Checks a transaction and queues it; returns its hash. A known one is accepted again.
    fn submit(&self, transaction: SignedTransaction) -> Answer<'_, Hash>;

    /// What became of a transaction; waits up to `wait` for it to be in a block.
    fn transaction(&self, hash: Hash, wait: Duration) -> Answer<'_, wire::TransactionReceipt>;

    /// An account; an unknown one is empty.
    fn account(&self, address: Address) -> Answer<'_, wire::Account>;

    /// Services by ascending id.
    fn services(&self, cut: Cut) -> Answer<'_, wire::Page<wire::Service>>;

    /// A service.
    fn service(&self, service: ServiceKey) -> Answer<'_, wire::Service>;

    /// The offers of a service with their reputations, by ascending node.
    fn offers(&self, service: ServiceKey) -> Answer<'_, Vec<wire::Offer>>;

    /// Executions, open and settled.
    fn executions(
        &self,
        filter: ExecutionFilter,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Execution>>;

    /// An execution; waits up to `wait` for it to be settled, then returns it as it is.
    fn execution(&self, id: Hash, wait: Duration) -> Answer<'_, wire::Execution>;

    /// Why an execution came out as it did, with its draws replayed.
    fn explain(&self, id: Hash) -> Answer<'_, wire::Explanation>;

    /// The portable receipt of a settled execution: a JSON file.
    fn receipt(&self, id: Hash) -> Answer<'_, Bytes>;

    /// A decided block; the last one for `None`.
    fn block(&self, height: Option<Height>) -> Answer<'_, wire::Block>;

    /// Up to `limit` headers from `from` on, ascending.
    fn headers(&self, from: Height, limit: usize) -> Answer<'_, Vec<wire::IdentifiedHeader>>;

    /// Everybody who stakes on consensus.
    fn validators(&self) -> Answer<'_, wire::Validators>;

    /// Where all tokens are.
    fn totals(&self) -> Answer<'_, wire::Totals>;

    /// Keeps a blob, so that other nodes can fetch it from this one; one that belongs to a private
    /// application only those that are drawn for what reads it.
    fn put_blob(&self, bytes: Bytes, of: Option<Hash>) -> Answer<'_, wire::BlobRef>;

    /// A blob that this node has or finds. One that belongs to a private application is given as a part
    /// of that application, or of one of its executions, to its owner and grantees; to others it does
    /// not exist.
    fn blob(&self, viewer: Option<Address>, hash: Hash, of: Option<Hash>) -> Answer<'_, Bytes>;

    /// The node's metrics as Prometheus text.
    fn metrics(&self) -> String;

    /// Verifies a signed wish to be shown what is private; returns whose it is.
    fn viewer(&self, viewing: Viewing) -> Answer<'_, Address>;

    /// Applications, runs and events; `None` for a node that does not tell of them.
    fn applications(&self) -> Option<&dyn Applications> {
        None
    }

    /// The programs of native services; `None` for a node that does no work.
    fn programs(&self) -> Option<&dyn Programs> {
        None
    }

    /// The secrets of applications whose home this is; `None` for a node that keeps none.
    fn secrets(&self) -> Option<&dyn Secrets> {
        None
    }

    /// What happens from now on. A reader that lags misses events, and is told so.
    fn events(&self) -> broadcast::Receiver<wire::Event>;
}

/// Applications, their runs and the events that start them. Reads are of the last decided block.
///
/// A private application, and all of its runs, is shown to `viewer` only if it is the owner or a
/// grantee; to others it does not exist.
pub trait Applications: Send + Sync {
    /// Applications by ascending id; of this owner only, if one is named.
    fn list(
        &self,
        viewer: Option<Address>,
        owner: Option<Address>,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Application>>;

    /// An application.
    fn application(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
    ) -> Answer<'_, wire::Application>;

    /// Runs, open and ended lately.
    fn runs(
        &self,
        viewer: Option<Address>,
        filter: RunFilter,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Run>>;

    /// A run; waits up to `wait` for it to be over, then returns it as it is.
    fn run(&self, viewer: Option<Address>, id: Hash, wait: Duration) -> Answer<'_, wire::Run>;

    /// What happened to a run.
    fn history(&self, viewer: Option<Address>, id: Hash) -> Answer<'_, wire::RunHistory>;

    /// A run as it was after a block.
    fn run_at(&self, viewer: Option<Address>, id: Hash, height: Height) -> Answer<'_, wire::Run>;

    /// Events, open and settled lately.
    fn occurrences(
        &self,
        filter: EventFilter,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Occurrence>>;

    /// An event; waits up to `wait` for it to be decided, then returns it as it is.
    fn occurrence(&self, key: Hash, wait: Duration) -> Answer<'_, wire::Occurrence>;
}

/// The secrets of applications whose home this is. Their names are told to the owner, and their values to
/// nobody.
///
/// [`NodeError::NotAllowed`] for everybody but the owner, and where another node is the home.
pub trait Secrets: Send + Sync {
    /// What the application asks for and what is set, by ascending name.
    fn list(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
    ) -> Answer<'_, Vec<wire::SecretName>>;

    /// Keeps a value for all versions of the application, in place of an earlier one.
    fn set(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
        name: Name,
        value: Zeroizing<String>,
    ) -> Answer<'_, ()>;

    /// Forgets a value.
    fn forget(&self, viewer: Option<Address>, key: ApplicationKey, name: Name) -> Answer<'_, ()>;
}

/// The programs behind native services that this node offers.
pub trait Programs: Send + Sync {
    /// Connects a program, or moves it to another address, with a new secret and token.
    fn connect(&self, service: ServiceKey, url: String) -> Answer<'_, wire::Connection>;

    /// Forgets a service's program.
    fn disconnect(&self, service: ServiceKey) -> Answer<'_, ()>;

    /// All connections, by ascending service.
    fn connections(&self) -> Answer<'_, Vec<wire::Connected>>;

    /// Takes an event from a program; returns once the observation is durable.
    ///
    /// [`NodeError::NotAllowed`] for a wrong token, [`NodeError::NotFound`] for an unknown event,
    /// [`NodeError::NotAnEvent`] for data against the schema.
    fn observe(
        &self,
        service: ServiceKey,
        token: String,
        event: wire::CloudEvent,
    ) -> Answer<'_, wire::Observed>;
}
