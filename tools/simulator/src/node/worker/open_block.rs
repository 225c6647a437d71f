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

/// What is under way for a block that is open, by when it is done: in microseconds since the block was
/// begun.
#[derive(Default)]
pub(super) struct UnderWay {
    due: BTreeMap<(u64, u64), Due>,
    sequence: u64,
}

impl UnderWay {
    fn add(&mut self, at_us: u64, what: Due) {
        self.sequence += 1;
        self.due.insert((at_us, self.sequence), what);
    }

    /// Takes in what the worker has begun; what others are asked comes after the block.
    fn take_in(&mut self, at_us: u64, begun: Vec<Deed>, deeds: &mut Vec<Deed>) {
        for deed in begun {
            match deed {
                Deed::Work(after_us, input) => self.add(at_us + after_us, Due::Work(input)),
                Deed::Keep(after_us) => self.add(at_us + after_us, Due::Keep),
                other => deeds.push(other),
            }
        }
    }
}

impl Worker {
    /// Begins what an open block asks for, which was open for `at_us` by then.
    pub(in crate::node) fn foresee(
        &mut self,
        owed: Owed,
        at_us: u64,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fault> {
        let Owed { height, executions, alone } = owed;
        self.foreseen.extend(executions.iter().map(|execution| (execution.id, height)));
        let mut begun = Vec::new();
        let input = Input::Foreseen { height, executions, alone };
        self.step(input, reader, now_us, &mut begun)?;
        self.under_way.take_in(at_us, begun, deeds);
        Ok(())
    }

    /// Answers what an open block has asked for; `open_us` is for how long it was open, and may be.
    pub(in crate::node) fn answer(
        &mut self,
        open_us: Range<u64>,
        reader: &Reader,
        now_us: u64,
        deeds: &mut Vec<Deed>,
    ) -> Result<Answered, Fault> {
        let (mut at_us, mut in_vain) = (open_us.start, false);
        while self.machine.is_answering() {
            if self.under_way.due.is_empty() && self.writing {
                // An earlier batch is being written, which is done by then.
                self.under_way.add(at_us + WRITE_US, Due::Keep);
            }
            let first = self.under_way.due.first_entry();
            let Some(entry) = first.filter(|first| first.key().0 < open_us.end) else {
                (at_us, in_vain) = (open_us.end, true);
                break;
            };
            let ((when_us, _), what) = entry.remove_entry();
            at_us = at_us.max(when_us);
            let mut begun = Vec::new();
            match what {
                Due::Work(input) => self.step(*input, reader, now_us, &mut begun)?,
                Due::Keep => self.write(reader, now_us, &mut begun)?,
            }
            self.under_way.take_in(at_us, begun, deeds);
        }
        let rest = std::mem::take(&mut self.under_way).due;
        deeds.extend(rest.into_iter().map(|((when_us, _), what)| match what {
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
