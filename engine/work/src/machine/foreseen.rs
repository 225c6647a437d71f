//! What a block asks for that this node is still building.
//!
//! ```text
//!   Foreseen ──► job, as any other ──► answer ──► the same block
//!                  ├── Committed: open as foreseen, or settled ──► as any other
//!                  └── Decided, and it did not come ──► forgotten
//! ```
//!
//! - Bounds: what one block asks for; only tasks that are short, and run in the sandbox: they can be run
//!   for a block that is never decided, since nothing but their answer comes of them.
//! - Source: `docs/adr/0015-answers-in-the-same-block.md`.

use std::collections::{BTreeMap, BTreeSet};

use althing_ledger::Execution;
use althing_types::{Answer, Hash, Height, Operation};

use super::{Effect, JobId, Machine, Said, Stage, is_short};

/// Executions that are not on the ledger yet.
#[derive(Debug, Default)]
pub(super) struct Foreseen {
    heights: BTreeMap<Hash, Height>,
    /// The block that is open, or was last.
    open: Height,
    /// Those whose answer the open block waits for; some may have it already.
    awaited: BTreeSet<JobId>,
    /// No other node proposes blocks: answers go out with this node's own.
    pub(super) alone: bool,
}

impl Foreseen {
    /// Takes note that an execution is on the ledger.
    pub(super) fn came(&mut self, execution: &Execution) {
        let height = self.heights.get(&execution.id);
        if height.is_some_and(|height| *height <= execution.changed) {
            self.forget(&execution.id);
        }
    }

    pub(super) fn forget(&mut self, execution: &Hash) {
        self.heights.remove(execution);
    }
}

impl Machine {
    pub(super) fn foresee(
        &mut self,
        height: Height,
        executions: Vec<Execution>,
        effects: &mut Vec<Effect>,
    ) {
        if self.foreseen.open != height {
            // What an earlier block did not wait for to the end, this one does not wait for either.
            self.foreseen.awaited.clear();
            self.foreseen.open = height;
        }
        for execution in executions {
            let job = JobId { execution: execution.id, round: execution.round };
            // A node that is named may be given secrets, by a home that does not know of the step yet.
            let at_once = is_short(&execution, &self.config)
                && self.is_inside(&execution.service)
                && execution.nodes.is_empty();
            if !at_once || self.jobs.contains_key(&job) {
                continue;
            }
            self.see(execution, effects);
            if let Some(opened) = self.jobs.get_mut(&job) {
                opened.foreseen = true;
                self.foreseen.heights.insert(job.execution, height);
                self.foreseen.awaited.insert(job);
            }
        }
    }

    /// Forgets what was foreseen and did not come.
    pub(super) fn decided(&mut self, height: Height, effects: &mut Vec<Effect>) {
        let over = |(id, of): (&Hash, &Height)| (*of <= height).then_some(*id);
        let never: Vec<Hash> = self.foreseen.heights.iter().filter_map(over).collect();
        for execution in never {
            self.forget(&execution, effects);
        }
    }

    /// The ledger refused an answer. It may have come before what it answers, in a block that was not the
    /// one foreseen: it is said once more.
    pub(super) fn refused(&mut self, operation: &Operation) {
        let Operation::Answer(Answer { execution, round, .. }) = operation else { return };
        let id = JobId { execution: *execution, round: *round };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if std::mem::take(&mut job.foreseen) {
            job.said = Said::Nothing;
        }
    }

    /// Whether an answer that the open block waits for is still being worked on.
    pub fn is_answering(&mut self) -> bool {
        while let Some(job) = self.foreseen.awaited.first() {
            let stage = self.jobs.get(job).map(|job| &job.stage);
            let under_way = stage.is_some_and(|stage| match stage {
                Stage::Waiting
                | Stage::Fetching(_)
                | Stage::Ready
                | Stage::Running
                | Stage::Keeping => true,
                Stage::Known(_) | Stage::Refused => false,
            });
            if under_way {
                return true;
            }
            self.foreseen.awaited.pop_first();
        }
        false
    }
}
