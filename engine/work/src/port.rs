//! What the worker asks of the world. Each port has a twin in [`simulated`](crate::simulated) or in
//! the tests; the real ones are adapters and the node.

use std::collections::BTreeMap;
use std::pin::Pin;

use althing_manifest::Manifest;
use althing_state::View;
use althing_types::{
    Address, BlobRef, EndpointId, Hash, Name, Observe, SignedTransaction, TimeMs, Transaction,
};
use zeroize::Zeroizing;

use crate::runtime::{TaskRun, VerifyRun};
use crate::{Fate, Record, Unusable};

/// A future that a trait object can return.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A port failed; the node's log says how.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed")]
pub struct PortError {
    /// What was tried.
    pub operation: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Bytes by their hash.
///
/// Whoever asks says as a part of which applications: those of the execution that reads the blob, none
/// for a call or a service's files. What a node keeps for somebody else's private application is not
/// here for it.
pub trait Blobs: Send + Sync + 'static {
    /// The bytes, if they are on this node for an execution of these applications. May block on the
    /// disk.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the disk refuses.
    fn local(&self, blob: &BlobRef, of: &[Hash]) -> Result<Option<Vec<u8>>, PortError>;

    /// Keeps bytes for this node and for others; durable when it returns. May block on the disk.
    ///
    /// # Errors
    ///
    /// [`PortError`] if they do not fit or the disk refuses.
    fn keep(&self, bytes: &[u8]) -> Result<(), PortError>;

    /// Keeps outputs of executions, with one wait for the disk where that can be. The first that
    /// cannot be kept is told, and the others may be kept or not.
    ///
    /// # Errors
    ///
    /// [`PortError`] if they do not fit or the disk refuses.
    fn keep_outputs(&self, outputs: &[Produced<'_>]) -> Result<(), PortError> {
        outputs.iter().try_for_each(|output| self.keep(output.bytes))
    }

    /// As [`keep_outputs`](Self::keep_outputs), but durable only after [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`keep_outputs`](Self::keep_outputs).
    fn keep_outputs_unflushed(&self, outputs: &[Produced<'_>]) -> Result<(), PortError> {
        self.keep_outputs(outputs)
    }

    /// Makes durable whatever was kept.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the disk refuses.
    fn flush(&self) -> Result<(), PortError> {
        Ok(())
    }

    /// Keeps what was fetched for an execution.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    fn keep_fetched(&self, execution: &Hash, bytes: &[u8]) -> Result<(), PortError> {
        let _of_no_account = execution;
        self.keep(bytes)
    }

    /// Whether [`local`](Self::local) has the bytes without waiting for the disk.
    fn at_hand(&self, blob: &BlobRef, of: &[Hash]) -> bool {
        let _unknown = (blob, of);
        false
    }

    /// Asks one endpoint, once; for an execution that reads the blob, or for nobody in particular.
    /// The bytes need not be checked yet.
    fn fetch(
        &self,
        blob: BlobRef,
        from: EndpointId,
        execution: Option<Hash>,
    ) -> BoxFuture<Option<Vec<u8>>>;
}

/// The output of an execution, as it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Produced<'a> {
    /// The applications whose payloads it may tell of; none for a call.
    pub applications: &'a [Hash],
    /// The output.
    pub bytes: &'a [u8],
}

/// Programs outside of the node that do the tasks of native services, such as one that is connected
/// by HTTP.
///
/// As with a [`Runtime`](crate::Runtime), whatever a program does is an outcome.
pub trait Native: Send + Sync + 'static {
    /// Makes a native service ready; one that is ready already costs nothing.
    ///
    /// # Errors
    ///
    /// [`Unusable::Unavailable`] while no program is connected; [`Unusable::Refused`] if its manifest
    /// cannot be followed.
    fn prepare(&self, service: &Hash, manifest: &Manifest) -> Result<(), Unusable>;

    /// Has a task of a service done that is ready.
    fn task(&self, assignment: Assignment) -> BoxFuture<TaskRun>;

    /// Has another node's result of a task judged.
    fn verify(&self, assignment: Assignment, status: Name, output: Vec<u8>)
    -> BoxFuture<VerifyRun>;
}

/// Secrets that a step's task is given, by name. Wiped when they are let go of.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<Name, Zeroizing<String>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl FromIterator<(Name, Zeroizing<String>)> for Secrets {
    fn from_iter<T: IntoIterator<Item = (Name, Zeroizing<String>)>>(secrets: T) -> Self {
        Self(secrets.into_iter().collect())
    }
}

impl Secrets {
    /// The value of a secret.
    #[must_use]
    pub fn value(&self, name: &Name) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }
}

/// The way to what the owners of applications give to the nodes that work for them.
pub trait Vault: Send + Sync + 'static {
    /// Asks an application's home, once, for what the step of this execution is given. `None` where the
    /// home does not answer or gives nothing yet; whatever is not among the answer it does not have.
    fn secrets(&self, execution: Hash, home: EndpointId) -> BoxFuture<Option<Secrets>>;
}

/// A node to which nobody gives secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Vault for NoSecrets {
    fn secrets(&self, _: Hash, _: EndpointId) -> BoxFuture<Option<Secrets>> {
        Box::pin(std::future::ready(Some(Secrets::default())))
    }
}

/// What a program is asked to do.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The execution.
    pub execution: Hash,
    /// Equal for every attempt and every node: what has an effect in the world has it once a key.
    pub key: Hash,
    /// Nothing was asked for under the key before this time of the chain: whoever remembers answers for a
    /// while knows whether this one's may be forgotten.
    pub since: TimeMs,
    /// The service.
    pub service: Hash,
    /// One of its tasks.
    pub task: Name,
    /// Canonical JSON.
    pub input: Vec<u8>,
    /// Whether secrets are in the input: nothing that is said about it is written down.
    pub is_secret: bool,
}

impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { execution, service, task, .. } = self;
        f.debug_struct("Assignment")
            .field("execution", execution)
            .field("service", service)
            .field("task", task)
            .finish_non_exhaustive()
    }
}

/// A node without programs.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPrograms;

impl Native for NoPrograms {
    fn prepare(&self, _: &Hash, _: &Manifest) -> Result<(), Unusable> {
        Err(Unusable::Unavailable)
    }

    fn task(&self, _: Assignment) -> BoxFuture<TaskRun> {
        Box::pin(std::future::ready(TaskRun::unavailable("no program is connected")))
    }

    fn verify(&self, _: Assignment, _: Name, _: Vec<u8>) -> BoxFuture<VerifyRun> {
        Box::pin(std::future::ready(VerifyRun::inconclusive("no program is connected")))
    }
}

/// Whoever brings observations to the outbox, and hears what became of them. A lost one is asked for
/// again.
pub trait Observations: Send + Sync + 'static {
    /// Must not wait.
    fn fates(&self, fates: Vec<(Observe, Fate)>);
}

/// Nobody observes here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observations for Unobserved {
    fn fates(&self, fates: Vec<(Observe, Fate)>) {
        drop(fates);
    }
}

/// What the node must not forget: a few records for each open execution.
pub trait Journal: Send + Sync + 'static {
    /// Adds records, or replaces those of the same job; durable when it returns.
    ///
    /// # Errors
    ///
    /// [`PortError`] if they are not durable.
    fn remember(&self, records: &[Record]) -> Result<(), PortError>;

    /// Removes all records of these executions. Need not be durable.
    ///
    /// # Errors
    ///
    /// [`PortError`] if the disk refuses.
    fn forget(&self, executions: &[Hash]) -> Result<(), PortError>;

    /// All records.
    ///
    /// # Errors
    ///
    /// [`PortError`] if they cannot be read.
    fn recall(&self) -> Result<Vec<Record>, PortError>;
}

/// The committed state.
pub trait LedgerAccess: Send + Sync + 'static {
    /// A state as of one height.
    type Snapshot: View;

    /// The newest state with its height and time.
    ///
    /// # Errors
    ///
    /// [`PortError`] if it cannot be read.
    fn newest(&self) -> Result<Newest<Self::Snapshot>, PortError>;
}

/// A state and where it stands.
#[derive(Clone, Debug)]
pub struct Newest<S> {
    /// The state after the block.
    pub state: S,
    /// The block's height.
    pub height: althing_types::Height,
    /// The block's time.
    pub time: TimeMs,
}

/// The way to the mempool.
pub trait Submit: Send + Sync + 'static {
    /// Hands over a transaction. Never waits; a transaction that finds no room is handed over again
    /// later.
    ///
    /// # Errors
    ///
    /// [`PortError`] if it was not taken.
    fn submit(&self, transaction: SignedTransaction) -> Result<(), PortError>;
}

/// The node's key.
pub trait TransactionSigner: Send + Sync {
    /// The account.
    fn address(&self) -> Address;

    /// Signs for the account, which is the transaction's.
    fn sign(&self, transaction: Transaction) -> SignedTransaction;
}
