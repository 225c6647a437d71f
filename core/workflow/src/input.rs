//! What the machine is told, and what it asks for.

use alloc::vec::Vec;

use althing_types::{EndpointId, Hash, Name, Payload, StepStatus};

use crate::{Occurrence, RunEnd};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The run begins.
    Started,
    /// An event that a step waits for; its keys are those of the step's filter.
    Event {
        /// The step.
        step: u16,
        /// The event.
        occurrence: Occurrence,
    },
    /// An attempt is over.
    Attempted {
        /// The execution, or the run of the application that the step uses.
        id: Hash,
        /// What it came to.
        attempt: Attempt,
    },
    /// The run of an application that a step uses cannot be paid, or can again.
    ChildShort {
        /// That run.
        child: Hash,
        /// Whether it cannot.
        short: bool,
    },
    /// The run of an application that a step uses ended for want of money.
    ChildOutOfFunds {
        /// That run.
        child: Hash,
    },
    /// An attempt that the machine asked for could not be paid; nothing was begun.
    OutOfFunds {
        /// The step.
        step: u16,
    },
    /// Time has passed: all that is due at `now` is done.
    Deadline,
    /// The owner ends the run.
    Cancelled,
    /// The owner repeats a step; see [`Run::can_repeat`](crate::Run::can_repeat).
    Repeat {
        /// The step.
        step: u16,
    },
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A declared status.
    Returned {
        /// The status.
        status: Name,
        /// The output.
        output: Payload,
        /// Hashes of keys for later waits.
        keys: Vec<Hash>,
        /// Nodes that have the output.
        holders: Vec<EndpointId>,
    },
    /// The condition of the trigger or the wait was false.
    Declined,
    /// It failed, or could not be begun for another reason than money.
    Failed,
}

/// Something to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin an attempt of a step; answered with [`Input::OutOfFunds`] or [`Input::Attempted`].
    Begin {
        /// The step.
        step: u16,
        /// Counts from zero.
        attempt: u16,
        /// Names the execution, or the run of the application that the step uses.
        id: Hash,
    },
    /// End the run of an application whose end nobody waits for any more.
    Abandon {
        /// That run.
        child: Hash,
    },
    /// Find events for a step, past ones since the run's start first.
    Listen {
        /// The step.
        step: u16,
        /// What they must be; the first is the index. Empty: any event of this name.
        filter: Vec<(u8, Hash)>,
    },
    /// Find no more events for it.
    StopListening {
        /// The step.
        step: u16,
        /// As it was.
        filter: Vec<(u8, Hash)>,
    },
    /// Tell those who watch: a step has ended.
    StepEnded {
        /// The step.
        step: u16,
        /// How.
        status: StepStatus,
    },
    /// Tell those who watch, and the run whose step waits for this one: it lacks money, or no more.
    Short {
        /// Whether it does.
        short: bool,
    },
    /// Tell those who watch: the run failed, and waits for being taken up again.
    Failed,
    /// The run is over.
    Ended(RunEnd),
}

/// Why a step cannot be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRepeatable {
    /// There is no such step.
    #[error("the application has no such step")]
    NoSuchStep,
    /// It neither ended with an error nor lacks money.
    #[error("the step has neither failed nor lacked money")]
    NotFailed,
    /// Steps that hang on its error have begun.
    #[error("the application has handled the error")]
    Handled,
    /// The run is over.
    #[error("the run has ended")]
    Over,
}
