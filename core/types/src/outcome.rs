//! What came of a task, and how it is sealed until everybody has committed.

use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Address, BlobRef, Hash, Name, canonical, tagged};

/// What one node says that a task came to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Outcome {
    /// The task returned one of its declared statuses; the output's bytes are a blob.
    Returned {
        /// A status that the service declares for the task.
        status: Name,
        /// The output, canonical JSON.
        output: BlobRef,
        /// Hashes of keys for later waits of the run; empty outside of runs.
        keys: Vec<Hash>,
    },
    /// The condition of the step's trigger or wait was false, and the task was not run.
    Declined,
    /// The task failed, and fails in the same way on every node.
    Failed(Failure),
    /// The node could not tell; it neither supports nor contradicts anybody.
    Inconclusive(Doubt),
}

/// A failure that every honest node reproduces.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Failure {
    /// The input does not satisfy the task's schema.
    BadInput,
    /// The status is not declared, or the output does not satisfy its schema, or is too large.
    BadOutput,
    /// The service itself gave up.
    GaveUp,
    /// More fuel was needed than the manifest allows.
    OutOfFuel,
    /// More memory was needed than the manifest allows.
    OverMemory,
    /// The code trapped.
    Trap,
    /// An expression of the application could not be evaluated.
    BadExpression,
    /// A native service answered something that is not an answer: two statuses, none, or no JSON.
    BadAnswer,
}

/// Why a node cannot tell.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Doubt {
    /// The input could not be fetched.
    InputUnavailable,
    /// The service's code or manifest could not be fetched, or is not what the ledger says.
    ServiceUnavailable,
    /// The time limit ran out: the node is too slow, or the limit too short.
    OverTime,
    /// The stack overflowed; where it does depends on the compiler.
    StackOverflow,
    /// A secret of the application was not to be had from its home.
    SecretUnavailable,
}

/// What a checker says of an executor's answer to a task with a `verify` method.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize,
)]
pub enum Opinion {
    /// The method accepted it.
    Valid,
    /// The method refused it.
    Invalid,
    /// The output could not be fetched from the executor.
    Unavailable,
    /// The checker itself could not tell.
    Inconclusive,
}

/// What a node commits itself to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Claim {
    /// Its own result of the task.
    Outcome(Outcome),
    /// Its opinion of the executor's result.
    Opinion(Opinion),
}

/// Opens a commitment.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Opening {
    /// What was committed to.
    pub claim: Claim,
    /// Keeps the commitment from being guessed.
    pub salt: Hash,
}

/// A sealed claim.
///
/// It names the node: whoever copies another's commitment cannot open it.
#[must_use]
pub fn commitment(execution: &Hash, round: u32, node: &Address, opening: &Opening) -> Hash {
    let claim = canonical::encode(&opening.claim);
    tagged("althing seal", &[&execution.0, &round.to_be_bytes(), &node.0, &opening.salt.0, &claim])
}
