//! What a driver does for the machine that needs neither a clock nor another task: reading the state,
//! running a task on a local file, making a batch durable.
//!
//! [`drive`](super::drive) calls these on threads that may block, the simulator in its one thread.

use std::collections::BTreeSet;

use althing_ledger::{Execution, query};
use althing_types::{Address, Doubt, Hash, Height, Nonce, Opinion, Outcome, TimeMs};

use super::Ports;
use crate::port::{LedgerAccess, PortError, Produced};
use crate::runtime::{TaskRun, Unfinished, VerifyRun};
use crate::{Finished, Input, concerns};

/// Open executions read at once.
const PAGE: usize = 256;

/// A call reads what is open, and nothing that belongs to an application.
pub(super) const OF_A_CALL: &[Hash] = &[];

/// What a look at the whole state found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The state's height.
    pub height: Height,
    /// Its block's time.
    pub time: TimeMs,
    /// The node's next nonce.
    pub nonce: Nonce,
    /// The open executions of which the node is or was a member.
    pub executions: Vec<Execution>,
}

/// What is to be made durable, and then forgotten.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Records, each with the output that it names.
    pub records: Vec<Finished>,
    /// Executions that have ended.
    pub ended: Vec<Hash>,
}

impl Batch {
    pub(super) const fn is_empty(&self) -> bool {
        self.records.is_empty() && self.ended.is_empty()
    }
}

/// Makes a batch durable: outputs first, then the records that are to be remembered; what has ended is not
/// written at all, and what is flushed later is durable then. Returns what the machine is to be told.
///
/// # Errors
///
/// [`PortError`] if the journal fails: a node that may forget what it has sealed must not seal.
pub fn write<L>(ports: &Ports<L>, batch: Batch) -> Result<Vec<Input>, PortError> {
    let ended: BTreeSet<Hash> = batch.ended.iter().copied().collect();
    let open = batch.records.into_iter().filter(|it| !ended.contains(&it.record.execution));
    let (mut kept, mut records) = (Vec::new(), Vec::new());
    for (Finished { record, remember, .. }, stored) in store(ports, open.collect()) {
        kept.push(Input::Kept { job: record.job(), kept: stored });
        records.extend((stored && remember).then_some(record));
    }
    if !records.is_empty() {
        ports.journal.remember(&records)?;
    }
    if !batch.ended.is_empty() {
        ports.journal.forget(&batch.ended)?;
    }
    Ok(kept)
}

/// Stores outputs, together if that works and else one by one; tells which ones are stored.
fn store<L>(ports: &Ports<L>, finished: Vec<Finished>) -> Vec<(Finished, bool)> {
    let of = |later: bool| -> Vec<Produced<'_>> {
        let kept = finished.iter().filter(|finished| finished.flushed_later == later);
        kept.filter_map(Finished::produced).collect()
    };
    let (now, later) = (of(false), of(true));
    let together = (now.is_empty() || ports.blobs.keep_outputs(&now).is_ok())
        && (later.is_empty() || ports.blobs.keep_outputs_unflushed(&later).is_ok());
    let alone = |finished: &Finished| {
        let Some(output) = finished.produced() else { return true };
        let stored = ports.blobs.keep_outputs(&[output]);
        if let Err(error) = &stored {
            let execution = finished.record.execution;
            tracing::warn!(%error, %execution, "an output was not stored");
        }
        stored.is_ok()
    };
    finished
        .into_iter()
        .map(|finished| {
            let stored = together || alone(&finished);
            (finished, stored)
        })
        .collect()
}

/// Reads what concerns `node` in the newest state.
///
/// # Errors
///
/// [`PortError`] if the state cannot be read.
pub fn scan<L: LedgerAccess>(ledger: &L, node: &Address) -> Result<Scan, PortError> {
    let newest = ledger.newest()?;
    let fault = |source: althing_state::Fault| PortError {
        operation: "reading the open executions",
        source: Box::new(source),
    };
    let nonce = query::account(&newest.state, node).map_err(fault)?.nonce;
    let (mut executions, mut after) = (Vec::new(), None);
    loop {
        let page = query::executions(&newest.state, after.as_ref(), PAGE).map_err(fault)?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|execution| execution.id);
        executions.extend(page.into_iter().filter(|execution| concerns(execution, node)));
        if is_last {
            return Ok(Scan { height: newest.height, time: newest.time, nonce, executions });
        }
    }
}

/// Runs a call's task, in the sandbox, on an input that is on this node.
pub fn run_task<L>(ports: &Ports<L>, execution: &Execution) -> TaskRun {
    let Execution { service, task, .. } = execution;
    let run = match ports.blobs.local(&execution.input, OF_A_CALL) {
        Ok(Some(input)) => ports.runtime.task(service, task, &input),
        Ok(None) | Err(_) => {
            let doubt = Unfinished::Inconclusive(Doubt::InputUnavailable);
            TaskRun::not_begun(doubt, "the input is not here any more")
        }
    };
    for line in &run.log {
        tracing::debug!(execution = %execution.id, %line, "service");
    }
    run
}

/// Judges a call's answer, in the sandbox, whose bytes are on this node.
pub fn run_verify<L>(ports: &Ports<L>, execution: &Execution) -> VerifyRun {
    let Some((_, Outcome::Returned { status, output, .. })) = execution.answer() else {
        return VerifyRun::inconclusive("there is no answer");
    };
    let Ok(Some(input)) = ports.blobs.local(&execution.input, OF_A_CALL) else {
        return VerifyRun::inconclusive("the input is not here any more");
    };
    let Ok(Some(output)) = ports.blobs.local(output, OF_A_CALL) else {
        return VerifyRun::without_call(Opinion::Unavailable, "the output is not here any more");
    };
    let Execution { service, task, .. } = execution;
    let run = ports.runtime.verify(service, task, &input, status, &output);
    if run.opinion == Opinion::Invalid {
        tracing::info!(execution = %execution.id, reason = %run.reason, "an answer is refused");
    }
    run
}
