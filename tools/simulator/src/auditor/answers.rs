//! What must hold of answers, those in the block that asks for them among them.
//!
//! | claim | checked |
//! |---|---|
//! | a result is right, if a committee or a sound node alone has found it | every settled execution |
//! | what was accepted stays on a disk | every settled execution that a sound node answered, and again at the end |

use std::collections::BTreeSet;

use althing_ledger::{Change, Conclusion, Executed, Execution, Step};
use althing_types::{Block, Hash, Outcome};

use super::Auditor;

const STAYS: &str = "what was accepted stays on a disk";

impl Auditor {
    /// Whether it is known what an execution must have come to: an honest committee has checked it, or a
    /// sound node has answered it alone.
    pub(super) fn is_judged(&self, execution: &Execution) -> bool {
        execution.checkers > 0 || self.is_answered_soundly(execution)
    }

    fn is_answered_soundly(&self, execution: &Execution) -> bool {
        execution.answer().is_some_and(|(member, _)| self.sound.contains_key(&member.node))
    }

    /// Counts what proposers answered in their own blocks.
    pub(super) fn block_of_answers(&mut self, block: &Block, executed: &Executed) {
        let asked: BTreeSet<Hash> = executed
            .changes
            .iter()
            .filter(|change| matches!(change.step, Step::Created | Step::Drawn))
            .map(|change| change.execution)
            .collect();
        let proposer = block.header.proposer;
        let own = |Change { execution, step }: &&Change| {
            *step == Step::Answered(proposer) && asked.contains(execution)
        };
        let answers = executed.changes.iter().filter(own).count() as u64;
        if answers > 0 {
            *self.answers.entry("answers in the block that asks").or_default() += answers;
            *self.answers.entry("blocks that answer themselves").or_default() += 1;
        }
    }

    /// What a sound node has answered is durable before a block says so.
    pub(super) fn output_is_there(
        &mut self,
        execution: &Execution,
        now_us: u64,
        output: &dyn Fn(&Hash) -> Option<Vec<u8>>,
    ) {
        if let Some(hash) = self.sound_output(execution).filter(|hash| output(hash).is_none()) {
            let what = format!("{}: nobody has {hash}", execution.id);
            self.violated(STAYS, now_us, what);
        }
    }

    /// Accepted outputs of sound nodes that are on no disk any more.
    pub(crate) fn lost_outputs(
        &self,
        output: impl Fn(&Hash) -> Option<Vec<u8>>,
    ) -> Vec<(&'static str, String)> {
        let known = self.settled.values().filter_map(|execution| {
            let hash = self.sound_output(execution).filter(|hash| output(hash).is_none())?;
            Some((STAYS, format!("{}: nobody has {hash} any more", execution.id)))
        });
        known.collect()
    }

    /// The output that was accepted, if a sound node has brought it.
    fn sound_output(&self, execution: &Execution) -> Option<Hash> {
        match &execution.conclusion {
            Some(Conclusion::Accepted(Outcome::Returned { output, .. })) => {
                self.is_answered_soundly(execution).then_some(output.hash)
            }
            _ => None,
        }
    }
}
