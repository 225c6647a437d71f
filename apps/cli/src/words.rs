//! What the ledger's words mean, for people. Programs get the wire's names.

use althing_api::wire::{Doubt, Failure, MemberState, Offence, Opinion, Reason, Role};

/// Somebody else's text, which must not be able to write on the terminal what it likes.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(crate) const fn role(role: Role) -> &'static str {
    match role {
        Role::Executor => "executor",
        Role::Checker => "checker",
    }
}

pub(crate) const fn offence(offence: Offence) -> &'static str {
    match offence {
        Offence::WrongResult => "a wrong result",
        Offence::WrongCheck => "a wrong check",
        Offence::ForgedSeal => "a forged seal",
        Offence::Withheld => "a withheld result",
        Offence::Absence => "absence",
        Offence::WrongObservation => "a wrong observation",
    }
}

pub(crate) const fn state(state: &MemberState) -> &'static str {
    match state {
        MemberState::Standby => "waits for the answer",
        MemberState::Assigned => "at work",
        MemberState::Sealed { .. } => "has sealed",
        MemberState::Opened { .. } => "has opened",
        MemberState::Absent => "absent",
        MemberState::Withheld { .. } => "did not open",
        MemberState::Forged { .. } => "opened another's seal",
        MemberState::Released => "not needed",
    }
}

pub(crate) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NoCandidates => "nobody could be drawn in time",
        Reason::TooFewMembers => "too few members took part",
        Reason::NoQuorum => "no round brought enough answers that agree",
        Reason::Inconclusive => "most members could not tell",
        Reason::NoValidAnswer => "no answer passed its check",
    }
}

pub(crate) const fn failure(failure: Failure) -> &'static str {
    match failure {
        Failure::BadInput => "the input does not satisfy the task's schema",
        Failure::BadOutput => "the service returned what it does not declare",
        Failure::GaveUp => "the service gave up",
        Failure::OutOfFuel => "the task needs more fuel than it may use",
        Failure::OverMemory => "the task needs more memory than it may use",
        Failure::Trap => "the service's code trapped",
        Failure::BadExpression => "an expression of the application could not be evaluated",
        Failure::BadAnswer => "the service's program answered what is no answer",
    }
}

/// What a step says whose condition was false.
pub(crate) const DECLINED: &str = "the condition was false, so the task was not run";

pub(crate) const fn doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::InputUnavailable => "the input could not be fetched",
        Doubt::ServiceUnavailable => "the service could not be fetched",
        Doubt::OverTime => "the time limit ran out",
        Doubt::StackOverflow => "the stack overflowed",
        Doubt::SecretUnavailable => "the application's home had no value for a secret of the step",
    }
}

pub(crate) const fn opinion(opinion: Opinion) -> &'static str {
    match opinion {
        Opinion::Valid => "valid",
        Opinion::Invalid => "invalid",
        Opinion::Unavailable => "not to be had",
        Opinion::Inconclusive => "neither valid nor invalid",
    }
}
