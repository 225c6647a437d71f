//! What came of a task.

use althing_types as core;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mirror::{Mirror, mirror, mirror_by_from, mirror_names};
use super::text::{HashText, NameText};

mirror! {
    /// Names bytes that are kept outside of the ledger.
    BlobRef = core::BlobRef {
        /// keccak-256 of the bytes.
        hash: HashText,
        /// Length in bytes.
        bytes: u32,
    }

    /// Opens a commitment.
    Opening = core::Opening {
        /// What was committed to.
        claim: Claim,
        /// 32 random bytes that kept the commitment from being guessed.
        salt: HashText,
    }
}

mirror_names! {
    /// A failure that every honest node reproduces.
    Failure = core::Failure {
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
        /// A native service answered something that is not an answer.
        BadAnswer,
    }

    /// Why a node cannot tell.
    Doubt = core::Doubt {
        /// The input could not be fetched.
        InputUnavailable,
        /// The service's code or manifest could not be fetched, or is not what the ledger says.
        ServiceUnavailable,
        /// The time limit ran out.
        OverTime,
        /// The stack overflowed.
        StackOverflow,
        /// A secret of the application was not to be had from its home.
        SecretUnavailable,
    }

    /// What a checker says of an executor's answer.
    Opinion = core::Opinion {
        /// The method accepted it.
        Valid,
        /// The method refused it.
        Invalid,
        /// The output could not be fetched from the executor.
        Unavailable,
        /// The checker itself could not tell.
        Inconclusive,
    }
}

/// What one node says that a task came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The task returned one of its declared statuses.
    Returned {
        /// The status.
        status: NameText,
        /// The output, canonical JSON, as a blob.
        output: BlobRef,
        /// Hashes of keys for later waits of the run; none outside of runs.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<HashText>,
    },
    /// The condition of the step's trigger or wait was false, and the task was not run.
    Declined,
    /// The task failed, in the same way on every node.
    Failed {
        /// How.
        failure: Failure,
    },
    /// The node could not tell.
    Inconclusive {
        /// Why.
        doubt: Doubt,
    },
}

impl From<core::Outcome> for Outcome {
    fn from(outcome: core::Outcome) -> Self {
        match outcome {
            core::Outcome::Returned { status, output, keys } => Self::Returned {
                status: status.into(),
                output: output.into(),
                keys: Mirror::of(keys),
            },
            core::Outcome::Declined => Self::Declined,
            core::Outcome::Failed(failure) => Self::Failed { failure: failure.into() },
            core::Outcome::Inconclusive(doubt) => Self::Inconclusive { doubt: doubt.into() },
        }
    }
}

impl From<Outcome> for core::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Returned { status, output, keys } => {
                Self::Returned { status: status.0, output: output.into(), keys: keys.back() }
            }
            Outcome::Declined => Self::Declined,
            Outcome::Failed { failure } => Self::Failed(failure.into()),
            Outcome::Inconclusive { doubt } => Self::Inconclusive(doubt.into()),
        }
    }
}

mirror_by_from!(Outcome = core::Outcome);

/// What a node commits itself to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Its own result of the task.
    Outcome(Outcome),
    /// Its opinion of the executor's result.
    Opinion(Opinion),
}

impl From<core::Claim> for Claim {
    fn from(claim: core::Claim) -> Self {
        match claim {
            core::Claim::Outcome(outcome) => Self::Outcome(outcome.into()),
            core::Claim::Opinion(opinion) => Self::Opinion(opinion.into()),
        }
    }
}

impl From<Claim> for core::Claim {
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::Outcome(outcome) => Self::Outcome(outcome.into()),
            Claim::Opinion(opinion) => Self::Opinion(opinion.into()),
        }
    }
}

mirror_by_from!(Claim = core::Claim);
