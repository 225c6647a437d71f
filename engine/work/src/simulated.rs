//! Twins of the ports, in memory: for tests, and for the simulator.
//!
//! - Invariant: what a twin answers depends on its construction and on the calls so far, never on
//!   time, chance or the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use althing_manifest::Manifest;
use althing_types::{BlobRef, Doubt, Failure, Hash, Name, Opinion, tagged};

use crate::port::{Journal, PortError};
use crate::runtime::{Refusal, Returned, Runtime, TaskRun, Unfinished, VerifyRun};
use crate::{JobId, Record};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a simulated task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Returns this status and a digest of the input: the same on every node.
    Digest(Name),
    /// Returns this status, a digest of the input and a number that never comes twice; `verify`
    /// accepts it if the digest is right.
    Chance(Name),
    /// Fails in this way.
    Fails(Failure),
    /// Cannot tell.
    Doubts(Doubt),
}

/// A runtime that looks up in a table what a task does.
#[derive(Debug)]
pub struct TableRuntime {
    /// Sets this node's chance apart from the others'.
    seed: u64,
    tasks: BTreeMap<Name, (Rule, u64)>,
    state: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    ready: BTreeSet<Hash>,
    tasks: u64,
    verifications: u64,
}

impl TableRuntime {
    /// Without tasks; `seed` sets the node's chance apart from other nodes'.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, tasks: BTreeMap::new(), state: Mutex::default() }
    }

    /// Adds a task, which is said to take `duration_us`.
    #[must_use]
    pub fn with(mut self, task: Name, rule: Rule, duration_us: u64) -> Self {
        self.tasks.insert(task, (rule, duration_us));
        self
    }

    /// How many tasks were run.
    #[must_use]
    pub fn tasks_run(&self) -> u64 {
        lock(&self.state).tasks
    }

    /// How many answers were judged.
    #[must_use]
    pub fn verifications_run(&self) -> u64 {
        lock(&self.state).verifications
    }

    /// What an honest node returns for `input`, less the chance.
    #[must_use]
    pub fn digest(task: &Name, input: &[u8]) -> Hash {
        tagged("simulated task", &[task.as_str().as_bytes(), &[0], input])
    }

    fn duration_us(&self, task: &Name) -> u64 {
        self.tasks.get(task).map_or(0, |(_, duration_us)| *duration_us)
    }
}

impl Runtime for TableRuntime {
    fn prepare(
        &self,
        service: &Hash,
        component: &[u8],
        manifest: &Manifest,
    ) -> Result<(), Refusal> {
        if Some(BlobRef::of(component)) != manifest.module {
            return Err(Refusal::OtherModule);
        }
        lock(&self.state).ready.insert(*service);
        Ok(())
    }

    fn task(&self, service: &Hash, task: &Name, input: &[u8]) -> TaskRun {
        let mut state = lock(&self.state);
        state.tasks += 1;
        let digest = Self::digest(task, input);
        let rule = self.tasks.get(task).map(|(rule, _)| rule);
        let result = match rule.filter(|_| state.ready.contains(service)) {
            Some(Rule::Digest(status)) => Ok(Returned {
                status: status.clone(),
                output: format!("{{\"of\":\"{digest}\"}}").into_bytes(),
            }),
            Some(Rule::Chance(status)) => Ok(Returned {
                status: status.clone(),
                output: format!("{{\"n\":\"{}-{}\",\"of\":\"{digest}\"}}", self.seed, state.tasks)
                    .into_bytes(),
            }),
            Some(Rule::Fails(failure)) => Err(Unfinished::Failed(*failure)),
            Some(Rule::Doubts(doubt)) => Err(Unfinished::Inconclusive(*doubt)),
            None => Err(Unfinished::Inconclusive(Doubt::ServiceUnavailable)),
        };
        TaskRun { result, fuel_used: 1, duration_us: self.duration_us(task), log: Vec::new() }
    }

    fn verify(
        &self,
        _service: &Hash,
        task: &Name,
        input: &[u8],
        _status: &Name,
        output: &[u8],
    ) -> VerifyRun {
        lock(&self.state).verifications += 1;
        let right = format!("\"of\":\"{}\"}}", Self::digest(task, input));
        let opinion =
            if output.ends_with(right.as_bytes()) { Opinion::Valid } else { Opinion::Invalid };
        let reason = match opinion {
            Opinion::Valid => String::new(),
            _ => "the digest is wrong".to_owned(),
        };
        let duration_us = self.duration_us(task);
        VerifyRun { opinion, reason, fuel_used: 1, duration_us, log: Vec::new() }
    }
}

/// A journal that forgets everything when the process ends.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<BTreeMap<JobId, Record>>);

impl Journal for MemoryJournal {
    fn remember(&self, records: &[Record]) -> Result<(), PortError> {
        lock(&self.0).extend(records.iter().map(|record| (record.job(), record.clone())));
        Ok(())
    }

    fn forget(&self, executions: &[Hash]) -> Result<(), PortError> {
        lock(&self.0).retain(|job, _| !executions.contains(&job.execution));
        Ok(())
    }

    fn recall(&self) -> Result<Vec<Record>, PortError> {
        Ok(lock(&self.0).values().cloned().collect())
    }
}
