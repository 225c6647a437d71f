//! What an execution asks of a node: the whole of the protocol, read from the node's side.
//!
//! | verification | role | phase | state | duty |
//! |---|---|---|---|---|
//! | any, no checkers | executor | working | assigned | answer |
//! | method | executor | working | assigned | answer |
//! | deterministic | any | working | assigned | seal its outcome |
//! | method | checker | checking | assigned | seal its opinion |
//! | any | any | before revealing | sealed | wait |
//! | any | any | revealing | sealed | open |
//!
//! In every other state the node has nothing to do.

use althing_ledger::{Execution, MemberState, Phase, Role};
use althing_types::{Address, Hash, Verification};

/// What a node has to do next in the present round of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Run the task and answer openly.
    Answer,
    /// Do the work and seal what came of it.
    Seal,
    /// It has sealed this; the others have not.
    Wait(Hash),
    /// It has sealed this and has to open it.
    Open(Hash),
}

/// How a member comes to its claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It runs the task.
    Task,
    /// It judges the executor's answer with the service's `verify`.
    Verify,
}

/// What `execution` asks of `node` now; `None` if nothing.
#[must_use]
pub fn duty(execution: &Execution, node: &Address) -> Option<Duty> {
    let member = execution.member(node)?;
    let openly = execution.checkers == 0
        || (execution.verification == Verification::Method && member.role == Role::Executor);
    match (execution.phase, &member.state) {
        (Phase::Working, MemberState::Assigned) if openly => Some(Duty::Answer),
        (Phase::Working | Phase::Checking, MemberState::Assigned) => Some(Duty::Seal),
        (Phase::Revealing, MemberState::Sealed(commitment)) => Some(Duty::Open(*commitment)),
        (Phase::Working | Phase::Checking, MemberState::Sealed(commitment)) => {
            Some(Duty::Wait(*commitment))
        }
        _ => None,
    }
}

/// How `node` comes to its claim, if it is a member of the present round.
#[must_use]
pub fn work(execution: &Execution, node: &Address) -> Option<Work> {
    let role = execution.member(node)?.role;
    Some(match (execution.verification, role) {
        (Verification::Method, Role::Checker) => Work::Verify,
        (Verification::Method, Role::Executor)
        | (Verification::Deterministic | Verification::None, _) => Work::Task,
    })
}
