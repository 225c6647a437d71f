//! The documented edges between an execution's phases.

use std::collections::BTreeMap;

use althing_ledger::{Change, Phase, Step, query};
use althing_state::MemoryState;
use althing_types::Hash;

/// Every edge there is: phase, what happens, next phase. What is not here must not happen.
///
/// An open answer leads to its check; without checkers, or without a result to check, the execution
/// moves on from there in the same breath.
const EDGES: &[(Phase, &str, Phase)] = &[
    (Phase::Created, "drawn", Phase::Working),
    (Phase::Created, "settled", Phase::Settled),
    (Phase::Working, "sealed", Phase::Working),
    (Phase::Working, "fined", Phase::Working),
    (Phase::Working, "reassigned", Phase::Working),
    (Phase::Working, "prolonged", Phase::Working),
    (Phase::Working, "answered", Phase::Checking),
    (Phase::Working, "revealing", Phase::Revealing),
    (Phase::Working, "settled", Phase::Settled),
    (Phase::Checking, "sealed", Phase::Checking),
    (Phase::Checking, "fined", Phase::Checking),
    (Phase::Checking, "reassigned", Phase::Checking),
    (Phase::Checking, "prolonged", Phase::Checking),
    (Phase::Checking, "revealing", Phase::Revealing),
    (Phase::Checking, "escalated", Phase::Created),
    (Phase::Checking, "settled", Phase::Settled),
    (Phase::Revealing, "revealed", Phase::Revealing),
    (Phase::Revealing, "prolonged", Phase::Revealing),
    (Phase::Revealing, "fined", Phase::Revealing),
    (Phase::Revealing, "escalated", Phase::Created),
    (Phase::Revealing, "settled", Phase::Settled),
];

fn name(step: &Step) -> &'static str {
    match step {
        Step::Created => "created",
        Step::Drawn => "drawn",
        Step::Reassigned { .. } => "reassigned",
        Step::Prolonged => "prolonged",
        Step::Sealed(_) => "sealed",
        Step::Answered(_) => "answered",
        Step::Revealing => "revealing",
        Step::Revealed(_) => "revealed",
        Step::Escalated => "escalated",
        Step::Fined { .. } => "fined",
        Step::Settled => "settled",
    }
}

/// Where each execution is, by the steps that were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracker(BTreeMap<Hash, Phase>);

impl Tracker {
    /// Follows a block's changes along the edges, and compares where they lead with the state.
    pub(crate) fn follow(&mut self, changes: &[Change], state: &MemoryState) {
        for Change { execution, step } in changes {
            let next = match self.0.get(execution) {
                None => {
                    assert_eq!(*step, Step::Created, "{execution} begins by being called for");
                    Phase::Created
                }
                Some(phase) => {
                    let edge =
                        EDGES.iter().find(|(from, what, _)| from == phase && *what == name(step));
                    edge.unwrap_or_else(|| panic!("no edge from {phase:?} by {step:?}")).2
                }
            };
            self.0.insert(*execution, next);
        }
        let open = query::executions(state, None, usize::MAX).unwrap();
        let stored: BTreeMap<Hash, Phase> = open.iter().map(|e| (e.id, e.phase)).collect();
        self.0.retain(|_, phase| *phase != Phase::Settled);
        assert_eq!(self.0, stored, "the steps told lead to the phases stored");
    }
}
