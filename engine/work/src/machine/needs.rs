//! What a job needs before it can run, and what the node claims if that is not to be had.

use std::collections::BTreeMap;

use althing_ledger::{Conclusion, Execution, MemberState, Origin};
use althing_types::{
    Address, BlobRef, Claim, Doubt, Hash, Opinion, Outcome, Payload, StepInput, TimeMs,
};

use super::Holder;
use crate::Work;

/// How long files may be looked for: half of the time that is left beside the work itself.
pub(crate) fn patience_ms(execution: &Execution, now: TimeMs) -> u64 {
    let left = now.until(execution.due).saturating_sub(u64::from(execution.time_limit_ms));
    (left / 2).max(1)
}

/// Who may have what an execution is about: its homes, then the other members.
pub(super) fn holders(execution: &Execution, me: &Address) -> Vec<Holder> {
    let others = execution.committee().map(|member| member.node).filter(|node| node != me);
    let homes = execution.homes.iter().copied().map(Holder::Endpoint);
    homes.chain(others.map(Holder::Node)).collect()
}

/// The blobs that the job of a call needs, and who may have them.
pub(super) fn wanted(
    execution: &Execution,
    work: Work,
    me: &Address,
) -> Vec<(BlobRef, Vec<Holder>)> {
    let mut wanted = vec![(execution.input, holders(execution, me))];
    wanted.extend(judged(execution, work).filter(|(blob, _)| blob.hash != execution.input.hash));
    wanted
}

/// What the job of a step needs before it is known what the step reads: the documents of all
/// applications in its input, and the output that is to be judged.
pub(super) fn documents(
    execution: &Execution,
    input: &StepInput,
    work: Work,
    me: &Address,
) -> Vec<(BlobRef, Vec<Holder>)> {
    let mut found = BTreeMap::new();
    collect(input, &mut |context, _| {
        found.insert(context.document.hash, context.document);
    });
    let from = holders(execution, me);
    let mut wanted: Vec<_> = found.into_values().map(|blob| (blob, from.clone())).collect();
    wanted.extend(judged(execution, work));
    wanted
}

/// The output that a checker judges, which its executor has.
fn judged(execution: &Execution, work: Work) -> impl Iterator<Item = (BlobRef, Vec<Holder>)> {
    let judged = match (work, execution.answer()) {
        (Work::Verify, Some((executor, Outcome::Returned { output, .. }))) => {
            Some((*output, vec![Holder::Node(executor.node)]))
        }
        _ => None,
    };
    judged.into_iter()
}

/// The applications whose payloads an execution reads: first the one whose run this is and those
/// through which it came to the step's own, then all others that are nested in its input. None for a
/// call.
#[must_use]
pub fn applications(execution: &Execution) -> Vec<Hash> {
    let Origin::Step(input) = &execution.origin else { return Vec::new() };
    let mut found = vec![input.application];
    let mut context = input;
    while let Payload::Given(outer) = &context.event {
        found.insert(0, outer.application);
        context = outer;
    }
    collect(input, &mut |context, _| {
        if !found.contains(&context.application) {
            found.push(context.application);
        }
    });
    found
}

/// Whether a blob is among what an execution reads, or what its members say came of it.
#[must_use]
pub fn reads(execution: &Execution, hash: &Hash) -> bool {
    let is_output = |outcome: &Outcome| match outcome {
        Outcome::Returned { output, .. } => output.hash == *hash,
        Outcome::Declined | Outcome::Failed(_) | Outcome::Inconclusive(_) => false,
    };
    let claimed = execution.members.iter().any(|member| match &member.state {
        MemberState::Opened(Claim::Outcome(outcome)) => is_output(outcome),
        _ => false,
    });
    let concluded = match &execution.conclusion {
        Some(Conclusion::Accepted(outcome)) => is_output(outcome),
        Some(Conclusion::Failed(_)) | None => false,
    };
    is_given(execution, hash) || claimed || concluded
}

/// Visits an input and the inputs nested in it with their payloads; the depth is bounded where
/// inputs are decoded.
fn collect(input: &StepInput, visit: &mut impl FnMut(&StepInput, &[&Payload])) {
    let outputs = input.outputs.iter().map(|output| &output.output);
    let payloads: Vec<&Payload> =
        [&input.event].into_iter().chain(&input.awaited).chain(outputs).collect();
    visit(input, &payloads);
    for payload in payloads {
        match payload {
            Payload::Given(context) | Payload::Returned { context, .. } => collect(context, visit),
            Payload::Blob(_) | Payload::Event { .. } => {}
        }
    }
}

/// Whether a blob is part of what the task is given.
fn is_given(execution: &Execution, hash: &Hash) -> bool {
    let Origin::Step(input) = &execution.origin else { return execution.input.hash == *hash };
    let mut given = false;
    collect(input, &mut |context, payloads| {
        given |= context.document.hash == *hash
            || payloads.iter().any(|payload| match payload {
                Payload::Blob(blob) | Payload::Event { base: blob, .. } => blob.hash == *hash,
                Payload::Given(_) | Payload::Returned { .. } => false,
            });
    });
    given
}

/// What a node claims that cannot run the service.
pub(super) fn unusable(_: &Execution, work: Work) -> Claim {
    match work {
        Work::Task => Claim::Outcome(Outcome::Inconclusive(Doubt::ServiceUnavailable)),
        Work::Verify => Claim::Opinion(Opinion::Inconclusive),
    }
}

/// What a node claims that lacks a blob.
pub(super) fn unavailable(execution: &Execution, work: Work, lost: &Hash) -> Claim {
    match work {
        Work::Task => Claim::Outcome(Outcome::Inconclusive(Doubt::InputUnavailable)),
        // Without the input nobody can tell; without the output, the executor withholds it.
        Work::Verify if is_given(execution, lost) => Claim::Opinion(Opinion::Inconclusive),
        Work::Verify => Claim::Opinion(Opinion::Unavailable),
    }
}
