//! Where a node may be made to misbehave, so that the network can be watched catching it.
//!
//! The worker asks its conduct at the four points at which a dishonest operator would change the
//! program. A node that is started for real has [`Honest`], which this crate's users get by default;
//! the dishonest ones live in a crate that only development networks link.
//!
//! - Invariant: a conduct decides what the node *says*. It cannot make the node crash, read another
//!   node's secret or sign for it.

use althing_ledger::Execution;
use althing_types::{Claim, Hash, Opening, Outcome};

use crate::runtime::TaskRun;

/// What the node has found out, with the output's bytes if there is an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it will commit itself to.
    pub claim: Claim,
    /// The bytes that the claim names.
    pub output: Option<Vec<u8>>,
}

impl Finding {
    /// What a run of a task came to, with the keys that a later wait of its run compares.
    #[must_use]
    pub fn of_task(run: TaskRun, keys: Vec<Hash>) -> Self {
        let mut outcome = run.outcome();
        if let Outcome::Returned { keys: of_run, .. } = &mut outcome {
            *of_run = keys;
        }
        let output = run.result.ok().map(|returned| returned.output);
        Self { claim: Claim::Outcome(outcome), output }
    }

    /// A claim without bytes.
    #[must_use]
    pub const fn bare(claim: Claim) -> Self {
        Self { claim, output: None }
    }
}

/// How a node goes about an assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approach {
    /// It does the work.
    Work,
    /// It claims this without having worked.
    Pretend(Finding),
    /// It does nothing.
    Refuse,
}

/// How a node behaves. The defaults are honest.
pub trait Conduct: Send {
    /// Sees every execution that concerns the node, each time that it changes.
    fn on_sight(&mut self, execution: &Execution) {
        let _seen = execution;
    }

    /// How to go about an assignment; asked once for each round, and again after a restart.
    fn on_assignment(&mut self, execution: &Execution) -> Approach {
        let _seen = execution;
        Approach::Work
    }

    /// May replace what the work came to.
    fn on_result(&mut self, execution: &Execution, honest: Finding) -> Finding {
        let _seen = execution;
        honest
    }

    /// What to seal; `None` waits for the execution's next change.
    fn on_seal(&mut self, execution: &Execution, honest: Hash) -> Option<Hash> {
        let _seen = execution;
        Some(honest)
    }

    /// How to open the node's seal. `fitting` is the opening that fits it, if the node has one;
    /// `None` stays silent until the execution's next change.
    fn on_reveal(&mut self, execution: &Execution, fitting: Option<Opening>) -> Option<Opening> {
        let _seen = execution;
        fitting
    }
}

/// Does what the protocol says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Honest;

impl Conduct for Honest {}
