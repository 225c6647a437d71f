//! Repeats what failed in many runs, no faster than asked.
//!
//! ```text
//!   runs, by id, page after page ─► steps that failed ─► a batch, when its time has come ─► receipts
//! ```
//!
//! Nothing is remembered here: the ledger repeats a step that has failed and no other, so the same
//! command again goes on where this one ended, and repeats nothing twice.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_api::wire::{OperationResult, Run, RunStatus};
use althing_api::{ApplicationKey, Cut, PAGE_MAX, RunFilter};
use althing_types::{Hash, Operation, Repeat};
use anyhow::{Context as _, Result};
use serde::Serialize;

use super::wanted;
use crate::failure::Failure;
use crate::output::Output;
use crate::patience::{Patience, pause};
use crate::sign::Signer;

/// Most repetitions under one signature.
const BATCH_MAX: usize = 64;

/// So many in a time: `5/s`, `90/m`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    count: u32,
    unit: &'static str,
    per: Duration,
}

const UNITS: [(&str, Duration); 3] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3_600)),
];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no rate; write it like 5/s, 90/m or 1000/h");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let (unit, per) = *UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let count: u32 = count.parse().map_err(|_| wrong())?;
        if count == 0 { Err(wrong()) } else { Ok(Self { count, unit, per }) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

impl Rate {
    /// How long after the beginning the next one may go, when so many have gone.
    fn due(self, gone: usize) -> Duration {
        self.per.saturating_mul(u32::try_from(gone).unwrap_or(u32::MAX)) / self.count
    }

    /// How many go together: what a second allows.
    fn batch(self) -> usize {
        let second = u64::from(self.count) / self.per.as_secs();
        usize::try_from(second).unwrap_or(BATCH_MAX).clamp(1, BATCH_MAX)
    }
}

/// Which runs, and how.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) application: ApplicationKey,
    pub(super) status: RunStatus,
    pub(super) step: Option<String>,
    pub(super) rate: Rate,
    pub(super) limit: usize,
    pub(super) dry: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Runs that had the status when they were looked at.
    runs: usize,
    /// Those of them in which the ledger repeated something.
    runs_repeated: usize,
    /// Steps that would be repeated, or were asked for.
    asked: usize,
    /// Steps that the ledger repeats.
    repeated: usize,
    /// How many it refused, by its code.
    refused: BTreeMap<String, usize>,
    /// The first refused ones.
    examples: Vec<Refused>,
    /// Runs that had nothing to repeat: no such step, or it went on meanwhile.
    nothing: usize,
    /// Whether there may be more beyond the limit.
    more: bool,
    took_ms: u64,
}

#[derive(Debug, Serialize)]
struct Refused {
    run: String,
    step: u16,
    code: String,
}

const EXAMPLES_MAX: usize = 10;

impl Summary {
    fn text(&self, dry: bool) -> String {
        let verb = if dry { "would be repeated" } else { "repeated" };
        let done = if dry { self.asked } else { self.repeated };
        let mut text = format!("{done} steps {verb}, in {} of {} runs", self.shown(dry), self.runs);
        for (code, count) in &self.refused {
            text.push_str(&format!("\n  {count} refused with {code}"));
        }
        for Refused { run, step, code } in &self.examples {
            text.push_str(&format!("\n    run {run}, step {step}: {code}"));
        }
        if self.nothing > 0 {
            text.push_str(&format!("\n  {} runs had nothing to repeat", self.nothing));
        }
        if self.more {
            text.push_str("\n  the limit was reached: the same command goes on with the others");
        }
        text
    }

    const fn shown(&self, dry: bool) -> usize {
        if dry { self.runs - self.nothing } else { self.runs_repeated }
    }
}

/// Only what failed, or could not be paid, can be repeated.
fn repeatable(status: RunStatus) -> Result<()> {
    match status {
        RunStatus::Failed | RunStatus::OutOfFunds => Ok(()),
        RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::Done
        | RunStatus::Dead
        | RunStatus::Skipped
        | RunStatus::Cancelled => {
            let message = format!("runs that are {status} have nothing to repeat");
            let hint = "give --status failed or --status out_of_funds";
            Err(Failure::new("CLI-0042", message, hint).into())
        }
    }
}

pub(super) fn run(client: &Client, signer: &Signer, wish: &Wish, output: Output) -> Result<()> {
    repeatable(wish.status)?;
    let begun = Instant::now();
    let mut summary = Summary::default();
    let ended = repeat_all(client, signer, wish, output, (begun, &mut summary));
    summary.took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Err(error) = ended {
        // What was done stays done.
        return Err(error.context(format!("it ended early: {}", summary.text(wish.dry))));
    }
    output.print(&summary, |summary| summary.text(wish.dry))
}

fn repeat_all(
    client: &Client,
    signer: &Signer,
    wish: &Wish,
    output: Output,
    (begun, summary): (Instant, &mut Summary),
) -> Result<()> {
    let application = Patience::short().ask(|| client.application(&wish.application))?.id.0;
    let filter = RunFilter { application: Some(application), status: Some(wish.status) };
    let (mut after, mut ready) = (None, VecDeque::new());
    loop {
        let cut = Cut { after, limit: PAGE_MAX };
        let page = Patience::short().ask(|| client.runs(filter, cut))?;
        for run in &page.items {
            if summary.runs == wish.limit {
                summary.more = true;
                break;
            }
            summary.runs += 1;
            let steps = steps(run, wish.step.as_deref());
            summary.nothing += usize::from(steps.is_empty());
            ready.extend(steps.into_iter().map(|step| Repeat { run: run.id.0, step }));
        }
        after = page.next.map(|next| next.0).filter(|_| !summary.more);
        // The last ones go however few they are.
        while ready.len() >= wish.rate.batch() || (after.is_none() && !ready.is_empty()) {
            let batch: Vec<Repeat> = ready.drain(..wish.rate.batch().min(ready.len())).collect();
            if wish.dry {
                summary.asked += batch.len();
                continue;
            }
            pause_until(begun + wish.rate.due(summary.asked));
            summary.asked += batch.len();
            carry_out(signer, &batch, summary).context("repeating steps")?;
            output.say(&format!("{} of {} repeated so far", summary.repeated, summary.asked));
        }
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The steps of a run that are to be repeated.
fn steps(run: &Run, named: Option<&str>) -> Vec<u16> {
    let fits = |name: &str| named.is_none_or(|named| named == name);
    let steps = (0..).zip(&run.steps);
    let steps = steps.filter(|(_, step)| wanted(&step.phase) && fits(step.id.as_str()));
    steps.map(|(index, _)| index).collect()
}

fn pause_until(time: Instant) {
    while let Some(left) = time.checked_duration_since(Instant::now()).filter(|it| !it.is_zero()) {
        pause(left);
    }
}

/// Each for itself: one that is refused takes none of the others along.
fn carry_out(signer: &Signer, batch: &[Repeat], summary: &mut Summary) -> Result<()> {
    let operations = batch.iter().cloned().map(Operation::Repeat).collect();
    let submitted = signer.submit(operations, false)?;
    let receipt = signer.wait(&submitted)?;
    let mut last: Option<Hash> = None;
    for (repeat, result) in batch.iter().zip(&receipt.results) {
        match result {
            OperationResult::Done | OperationResult::Created { .. } => {
                summary.repeated += 1;
                summary.runs_repeated += usize::from(last != Some(repeat.run));
                last = Some(repeat.run);
            }
            OperationResult::Rejected { code, .. } => {
                *summary.refused.entry(code.clone()).or_default() += 1;
                if summary.examples.len() < EXAMPLES_MAX {
                    let (run, step) = (repeat.run.to_string(), repeat.step);
                    summary.examples.push(Refused { run, step, code: code.clone() });
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_reads_back_and_says_when_the_next_may_go() {
        let rate: Rate = "5/s".parse().unwrap();
        assert_eq!((rate.to_string().as_str(), rate.batch()), ("5/s", 5));
        assert_eq!(rate.due(0), Duration::ZERO);
        assert_eq!(rate.due(5), Duration::from_secs(1));
        let slow: Rate = "90/h".parse().unwrap();
        assert_eq!((slow.batch(), slow.due(1)), (1, Duration::from_secs(40)));
        assert_eq!("9999/s".parse::<Rate>().unwrap().batch(), BATCH_MAX);
        for bad in ["", "5", "0/s", "5/d", "/s", "-1/s", "fast"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_failed_or_lacks_money_is_repeated() {
        for status in [RunStatus::Failed, RunStatus::OutOfFunds] {
            assert!(repeatable(status).is_ok());
        }
        for status in [RunStatus::Running, RunStatus::Waiting, RunStatus::Done, RunStatus::Dead] {
            assert!(crate::failure::render(&repeatable(status).unwrap_err()).contains("CLI-0042"));
        }
    }
}
