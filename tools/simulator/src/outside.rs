//! What is outside of the network: a technology that does what it is asked for once a key, and at each
//! node the program that asks it.
//!
//! ```text
//!   worker ─Assignment─► Program ─key, request─► Technology    asked again after a lost answer:
//!                          └─ answer lost, by chance             the same key, the same answer
//! ```
//!
//! A program stands for a bridge: it keeps nothing in mind, since what it asks of the technology carries
//! the key. What the real bridges keep in mind is tested where they are.
//!
//! - Invariant: nothing is done twice here under one key; whoever asks for another thing under a known
//!   key, or for the same thing under another key, is noted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use althing_manifest::{CanonicalJson, Manifest};
use althing_types::{Hash, Name, Opinion};
use althing_work::port::{Assignment, BoxFuture, Native};
use althing_work::{Returned, TaskRun, Unusable, VerifyRun};
use serde_json::Value as Json;

use crate::random::Random;
use crate::shop;

/// What holds of requests.
const ONCE: &str = "one request has one key and one effect";
/// What holds of their time.
const DECIDED: &str = "nothing is done outside before a block asks for it";

/// How long a program takes, in microseconds.
const TASK_US: u64 = 8_000;

/// Something that the technology has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deed {
    pub(crate) task: Name,
    pub(crate) input: Json,
    pub(crate) status: &'static str,
    pub(crate) output: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    done: BTreeMap<Hash, Deed>,
    /// By request, the key under which it was done.
    requests: BTreeMap<(Name, String), Hash>,
    /// In the order in which they were done; taken by whoever watches.
    news: Vec<Deed>,
    repeated: u64,
    lost: u64,
    conflicts: Vec<(&'static str, String)>,
}

/// One technology that all programs ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Technology(Arc<Mutex<State>>);

impl Technology {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done under a key.
    pub(crate) fn find(&self, key: &Hash) -> Option<Deed> {
        self.state().done.get(key).cloned()
    }

    /// What was done since somebody looked.
    pub(crate) fn take_news(&self) -> Vec<Deed> {
        std::mem::take(&mut self.state().news)
    }

    /// Requests that no honest worker makes, since somebody looked, with the claim that each breaks.
    pub(crate) fn take_conflicts(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.state().conflicts)
    }

    /// How much was done, how often it was asked for again, and how many answers were lost.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let state = self.state();
        (state.done.len() as u64, state.repeated, state.lost)
    }

    fn perform(&self, assignment: &Assignment) -> Option<Deed> {
        let Assignment { key, task, input, .. } = assignment;
        let input: Json = serde_json::from_slice(input).ok()?;
        let mut state = self.state();
        if let Some(deed) = state.done.get(key).cloned() {
            state.repeated += 1;
            if deed.input != input || deed.task != *task {
                let what = format!("{task} {input} under the key of {} {}", deed.task, deed.input);
                state.conflicts.push((ONCE, what));
            }
            return Some(deed);
        }
        let (status, output) = shop::done(task.as_str(), &input)?;
        let output = CanonicalJson::of(output).ok()?.into_bytes();
        let deed = Deed { task: task.clone(), input, status, output };
        let request = (task.clone(), deed.input.to_string());
        if let Some(other) = state.requests.insert(request, *key) {
            let what = format!("{task} {} under {key} and before under {other}", deed.input);
            state.conflicts.push((ONCE, what));
        }
        state.done.insert(*key, deed.clone());
        state.news.push(deed.clone());
        Some(deed)
    }
}

/// A node's program.
#[derive(Debug)]
pub(crate) struct Program {
    technology: Technology,
    random: Mutex<Random>,
    /// Answers that are lost, of a thousand.
    lost_per_mille: u32,
}

impl Program {
    pub(crate) const fn new(technology: Technology, random: Random, lost_per_mille: u32) -> Self {
        Self { technology, random: Mutex::new(random), lost_per_mille }
    }

    /// Its worker asks for what no block has asked for yet.
    pub(crate) fn asked_too_early(&self, execution: &Hash) {
        let what = format!("{execution} was asked for by whom no block has drawn");
        self.technology.state().conflicts.push((DECIDED, what));
    }

    fn is_lost(&self) -> bool {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).chance(self.lost_per_mille)
    }
}

impl Native for Program {
    fn prepare(&self, service: &Hash, _: &Manifest) -> Result<(), Unusable> {
        if *service == shop::manifest().id() { Ok(()) } else { Err(Unusable::Unavailable) }
    }

    /// The answer may be lost after the deed was done: then the node knows nothing of it.
    fn task(&self, assignment: Assignment) -> BoxFuture<TaskRun> {
        let done = self.technology.perform(&assignment);
        let run = match done.filter(|_| {
            let lost = self.is_lost();
            self.technology.state().lost += u64::from(lost);
            !lost
        }) {
            Some(deed) => TaskRun {
                result: Ok(Returned {
                    status: deed.status.parse().expect("the statuses' names are names"),
                    output: deed.output,
                }),
                fuel_used: 0,
                duration_us: TASK_US,
                log: Vec::new(),
            },
            None => TaskRun::unavailable("the program does not answer"),
        };
        Box::pin(std::future::ready(run))
    }

    fn verify(
        &self,
        assignment: Assignment,
        status: Name,
        output: Vec<u8>,
    ) -> BoxFuture<VerifyRun> {
        let deed = self.technology.find(&assignment.key);
        let there = deed.is_some_and(|deed| {
            deed.status == status.as_str() && deed.output == output && deed.task == assignment.task
        });
        let opinion = if there { Opinion::Valid } else { Opinion::Invalid };
        let run = VerifyRun {
            opinion,
            reason: String::new(),
            fuel_used: 0,
            duration_us: TASK_US,
            log: Vec::new(),
        };
        Box::pin(std::future::ready(run))
    }
}
