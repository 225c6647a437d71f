//! What the driver does while a block is open, in the node's own time.
//!
//! ```text
//!   Foreseen ──► jobs ──► their inputs, earliest first ──► nothing is awaited any more, or no time is left
//!                                                             └──► outbox, hurried
//! ```
//!
//! - Bounds: the time that the block is open. What would come later comes later.

use std::collections::BTreeMap;
use std::ops::Range;

use althing_ledger::Executed;
use althing_replica::application::Fault;
use althing_replica::{Owed, Reader};
use althing_types::{Header, SignedTransaction};
use althing_work::Input;

use super::super::Deed;
use super::{WRITE_US, Worker};

/// What the worker has to say while a block is open.
pub(in crate::node) struct Answered {
    pub(in crate::node) signed: Vec<SignedTransaction>,
    /// How long the block was open by then, in microseconds.
    pub(in crate::node) at_us: u64,
    /// Something was not ready in time.
    pub(in crate::node) in_vain: bool,
}

enum Due {
    Work(Box<Input>),
    Keep,
}

impl Worker {
    /// Answers what an open block asks; `open_us` is for how long it was open, and may be.
    pub(in crate::node) fn answer(
        &mut self,
        owed: Owed,
        open_us: Range<u64>,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<Answered, Fault> {
        let Owed { height, time, executions, alone } = owed;
        self.foreseen.extend(executions.iter().map(|execution| (execution.id, height)));
        let (mut at_us, mut in_vain, mut sequence) = (open_us.start, false, 0_u64);
        let mut due: BTreeMap<(u64, u64), Due> = BTreeMap::new();
        let mut fresh = Vec::new();
        let input = Input::Foreseen { height, time, executions, alone };
        self.step(input, reader, now_us, &mut fresh)?;
        loop {
            for deed in fresh.drain(..) {
                let (after_us, what) = match deed {
                    Deed::Work(after_us, input) => (after_us, Due::Work(input)),
                    Deed::Keep(after_us) => (after_us, Due::Keep),
                    // What others are asked comes after the block, and so do the alarms for it.
                    other => {
                        deeds.push(other);
                        continue;
                    }
                };
                sequence += 1;
                due.insert((at_us + after_us, sequence), what);
            }
            if !self.machine.is_answering() {
                break;
            }
            if due.is_empty() && self.writing {
                // An earlier batch is being written, which is done by then.
                due.insert((at_us + WRITE_US, sequence), Due::Keep);
            }
            let Some(entry) = due.first_entry().filter(|first| first.key().0 < open_us.end) else {
                (at_us, in_vain) = (open_us.end, true);
                break;
            };
            let ((when_us, _), what) = entry.remove_entry();
            at_us = when_us;
            match what {
                Due::Work(input) => self.step(*input, reader, now_us, &mut fresh)?,
                Due::Keep => self.write(reader, now_us, &mut fresh)?,
            }
        }
        deeds.extend(due.into_iter().map(|((when_us, _), what)| match what {
            Due::Work(input) => Deed::Work(when_us, input),
            Due::Keep => Deed::Keep(when_us),
        }));
        self.outbox.hurry();
        Ok(Answered { signed: self.outgoing(now_us), at_us, in_vain })
    }

    /// Counts what became of what was foreseen up to a height that is decided.
    pub(super) fn count_foreseen(&mut self, header: &Header, executed: &Executed) {
        let over = self.foreseen.extract_if(.., |_, height| *height <= header.height);
        for (id, height) in over {
            let came = executed.changes.iter().any(|change| change.execution == id);
            let own = header.proposer == *self.machine.node();
            self.openings.count(
                match (height == header.height && came, own) {
                    (true, true) => "foreseen, and came",
                    (true, false) => "foreseen, and another's block came",
                    (false, _) => "foreseen, and did not come then",
                },
                1,
            );
        }
    }
}
