//! Runs of applications in the ledger.
//!
//! ```text
//!   event ─valid─► on_event ─► start runs of those who listen     (index: topic → application)
//!                     └──────► deliver to those who wait           (index: topic → run, step)
//!   execution ─settled─► on_settled ─┐
//!   deadline ─────────► on_deadline ─┼─► drive: Run::apply ─► effects carried out in the same block
//!   Cancel, Repeat ──────────────────┘
//!   run ended ─► Receipt::Run, out of the state
//! ```
//!
//! - Shapes: a *topic* is the hash of an event and one of its keys with its value ([`keys`](crate::keys)).
//!   An event reads as many entries as there are runs that it concerns, however many others wait.
//! - Units: amounts in base units; times in milliseconds of block time.
//! - Errors: only [`Fault`](althing_state::Fault): nothing that a run does can be rejected.
//! - Invariants: a run is indexed under a topic exactly while one of its steps listens; an event is
//!   delivered to a wait once; a run has at most one deadline in the plan.
//! - Source: `docs/adr/0008-applications-on-the-ledger.md`.

mod drive;
mod fan_out;
mod memory;
mod restart;

use alloc::vec::Vec;

use althing_types::{Amount, EndpointId, EventName, Hash, Height, Payload, StepStatus, TimeMs};
use althing_workflow::{Run, RunEnd};
use borsh::{BorshDeserialize, BorshSerialize};
pub(crate) use drive::{drive, on_deadline, on_settled};
pub(crate) use fan_out::{Happening, on_continuation, on_event};
pub(crate) use memory::forget;
pub(crate) use restart::restart;

/// The step of another run that waits for this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Parent {
    /// The run.
    pub run: Hash,
    /// Its step.
    pub step: u16,
}

/// One passage of an application.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RunRecord {
    /// Names it: derived from what caused it.
    pub id: Hash,
    /// The application.
    pub application: Hash,
    /// The outermost application, whose deposit pays.
    pub payer: Hash,
    /// Who waits for it, if it is part of another application's run.
    pub parent: Option<Parent>,
    /// What started it.
    pub event: Payload,
    /// The event that started it, if one did.
    pub event_key: Option<Hash>,
    /// Nodes that have parts of what started it.
    pub event_homes: Vec<EndpointId>,
    /// The block in which it started.
    pub started: Height,
    /// That block's time. Of a run that a step of another one uses: when the first attempt of that step
    /// began, of the outermost run's where several are nested. Waits find events from then on.
    pub started_at: TimeMs,
    /// The block of the last change.
    pub changed: Height,
    /// How far it is.
    pub run: Run,
    /// Its next deadline.
    pub due: Option<TimeMs>,
    /// What its executions and events have cost so far; runs that it used are counted for
    /// themselves.
    pub spent: Amount,
    /// When it ended.
    pub ended_at: Option<TimeMs>,
}

/// What happened to a run in a block; for nodes that watch, not part of consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunChange {
    /// The run.
    pub run: Hash,
    /// Its application.
    pub application: Hash,
    /// What happened.
    pub step: RunStep,
}

/// A change of state of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStep {
    /// It began.
    Started,
    /// An attempt of a step began.
    Began {
        /// The step.
        step: u16,
        /// Counts from zero.
        attempt: u16,
        /// The execution, or the run of the application that the step uses.
        id: Hash,
    },
    /// A step waits for an event.
    Waiting {
        /// The step.
        step: u16,
        /// The event.
        event: EventName,
    },
    /// A step took an event, or queued it.
    Took {
        /// The step.
        step: u16,
        /// The event.
        event: Hash,
    },
    /// A step ended.
    StepEnded {
        /// The step.
        step: u16,
        /// How.
        status: StepStatus,
    },
    /// A step cannot be paid.
    OutOfFunds,
    /// What lacked money goes on.
    Resumed,
    /// It failed, and can be taken up again for a time.
    Failed,
    /// It is in the block's receipts.
    Ended(RunEnd),
}
