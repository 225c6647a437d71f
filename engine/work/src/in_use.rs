//! Which blobs the ledger may still ask for.
//!
//! ```text
//!   services                       manifest, component
//!   applications that start runs   document        (and others', while a run of theirs is open)
//!   executions, runs, events       while they are open: inputs, outputs, data
//!   remembered events              data: a run that begins to wait may be told of them
//! ```
//!
//! Everything else was needed once, or is not yet: a node keeps it for a while and then lets go.

use std::collections::BTreeSet;

use althing_ledger::{
    ApplicationRecord, EventRecord, Execution, MemberState, Origin, RunRecord, query,
};
use althing_state::{Fault, View};
use althing_types::{BlobRef, Claim, Hash, Outcome, Payload, StepInput};

/// Records that are read at once.
const PAGE: usize = 256;

/// The hashes of all blobs that the state names and may still ask for.
///
/// # Errors
///
/// [`Fault`] if the state cannot be read.
pub fn in_use(view: &impl View) -> Result<BTreeSet<Hash>, Fault> {
    let mut found = BTreeSet::new();
    pages(
        |after| query::services(view, after, PAGE),
        |(id, record)| {
            let blobs = [Some(record.terms.manifest), record.terms.module];
            found.extend(blobs.into_iter().flatten().map(|blob| blob.hash));
            *id
        },
    )?;
    let mut open = BTreeSet::new();
    pages(
        |after| query::runs(view, None, after, PAGE),
        |run| {
            open.insert(run.application);
            of_run(run, &mut note(&mut found));
            run.id
        },
    )?;
    pages(
        |after| query::applications(view, after, PAGE),
        |record| {
            if starts_runs(record) || open.contains(&record.id) {
                found.insert(record.terms.document.hash);
            }
            record.id
        },
    )?;
    pages(
        |after| query::executions(view, after, PAGE),
        |execution| {
            of_execution(execution, &mut note(&mut found));
            execution.id
        },
    )?;
    pages(
        |after| query::events(view, after, PAGE),
        |event| {
            of_event(event, &mut note(&mut found));
            event.key
        },
    )?;
    pages(
        |after| query::remembered(view, after, PAGE),
        |event| {
            of_payload(&event.payload, &mut note(&mut found));
            event.key
        },
    )?;
    Ok(found)
}

/// Takes down what is visited.
fn note(found: &mut BTreeSet<Hash>) -> impl FnMut(&BlobRef) {
    |blob| {
        found.insert(blob.hash);
    }
}

/// Visits all records, page by page; the visitor gives a record's name, after which the next page
/// begins.
fn pages<T>(
    read: impl Fn(Option<&Hash>) -> Result<Vec<T>, Fault>,
    mut visit: impl FnMut(&T) -> Hash,
) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let page = read(after.as_ref())?;
        for record in &page {
            after = Some(visit(record));
        }
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

/// Paused ones begin again; what was replaced or removed does not.
const fn starts_runs(record: &ApplicationRecord) -> bool {
    !record.removed && record.replaced_by.is_none()
}

fn of_run(record: &RunRecord, visit: &mut impl FnMut(&BlobRef)) {
    of_payload(&record.event, visit);
    for (index, step) in (0..).zip(&record.run.steps) {
        for event in step.awaited.iter().chain(&step.queued) {
            of_payload(&event.payload, visit);
        }
        if let Some(output) = record.run.ending(index).and_then(|ending| ending.output.as_ref()) {
            of_payload(output, visit);
        }
    }
}

fn of_execution(execution: &Execution, visit: &mut impl FnMut(&BlobRef)) {
    visit(&execution.input);
    if let Origin::Step(input) = &execution.origin {
        of_input(input, visit);
    }
    for member in &execution.members {
        if let MemberState::Opened(Claim::Outcome(Outcome::Returned { output, .. })) = &member.state
        {
            visit(output);
        }
    }
}

fn of_event(event: &EventRecord, visit: &mut impl FnMut(&BlobRef)) {
    visit(&event.base);
    for statement in &event.statements {
        visit(&statement.data);
    }
}

fn of_input(input: &StepInput, visit: &mut impl FnMut(&BlobRef)) {
    visit(&input.document);
    let outputs = input.outputs.iter().map(|output| &output.output);
    for payload in [&input.event].into_iter().chain(&input.awaited).chain(outputs) {
        of_payload(payload, visit);
    }
}

/// How deep inputs nest is bounded where they are decoded.
fn of_payload(payload: &Payload, visit: &mut impl FnMut(&BlobRef)) {
    match payload {
        Payload::Blob(blob) | Payload::Event { base: blob, .. } => visit(blob),
        Payload::Given(context) | Payload::Returned { context, .. } => of_input(context, visit),
    }
}
