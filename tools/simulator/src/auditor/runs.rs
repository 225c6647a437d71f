//! What must hold of runs and of the money that they cost.
//!
//! | claim | checked |
//! |---|---|
//! | runs and their steps move along documented edges | every written run |
//! | a run has one cause and one end | every run that begins or ends |
//! | an event starts every run that listens to it, and wakes every wait that asks for it | every block |
//! | a run always waits for something that comes, or says what it lacks | every block |
//! | money that lasts pays for every step | every run that lacks money |
//! | a deposit is spent on what its runs cost | every 16th block |
//! | a step that was accepted is right, and has had its effect | every settled step |
//! | every run ends, or moves on within its bound | at the end ([`crate::verdict`]) |

use std::collections::{BTreeMap, BTreeSet};

use althing_application::Evaluated;
use althing_ledger::{
    Conclusion, Executed, Execution, OperationResult, Origin, Receipt, RunChange, RunRecord,
    RunStep, keys, query,
};
use althing_types::{
    Address, Amount, Block, Hash, Header, Operation, Outcome, Payload, StepInput, StepStatus,
    TimeMs, purse, tagged,
};
use althing_workflow::{Branches, RunEnd, RunStatus, StepPhase, StepRun, attempt_id};

use super::{Auditor, money};
use crate::outside::Technology;
use crate::setting::{self, CHAIN};
use crate::shop::{self, Deployment};

/// What is known of runs.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    pub(super) applications: BTreeMap<Hash, Deployment>,
    /// By purse.
    purses: BTreeMap<Address, Hash>,
    pub(super) technology: Technology,
    /// When each was deployed, as a block's time.
    deployed: BTreeMap<Hash, TimeMs>,
    /// What was put into each one's purse.
    deposits: BTreeMap<Hash, Amount>,
    open: BTreeMap<Hash, RunRecord>,
    /// When each run has moved last, in microseconds.
    moved_us: BTreeMap<Hash, u64>,
    pub(crate) ended: BTreeMap<Hash, RunRecord>,
    /// Which step of which run was given which event.
    pub(super) taken: BTreeSet<(Hash, u16, Hash)>,
    pub(crate) edges: BTreeMap<(&'static str, &'static str), u64>,
    pub(crate) steps: BTreeMap<&'static str, u64>,
    pub(crate) results: BTreeMap<&'static str, u64>,
}

impl Runs {
    pub(super) fn new(deployments: Vec<Deployment>, technology: Technology) -> Self {
        let purses = deployments.iter().map(|d| (purse(&d.id), d.id)).collect();
        let applications = deployments.into_iter().map(|d| (d.id, d)).collect();
        Self { applications, purses, technology, ..Self::default() }
    }

    pub(super) fn plan(&self, application: &Hash) -> Option<&althing_types::Plan> {
        self.applications.get(application).map(|deployment| deployment.compiled.plan())
    }

    /// An open run, as it was before the block that is looked at.
    pub(super) fn known(&self, run: &Hash) -> Option<&RunRecord> {
        self.open.get(run)
    }

    /// How a run stands.
    pub(crate) fn status(&self, record: &RunRecord) -> Option<RunStatus> {
        let plan = self.plan(&record.application)?;
        Some(Branches::of(plan, &record.run).status(&record.run))
    }

    /// Whether what a run is paid from is enough for everything that can happen.
    pub(crate) fn lasts(&self, record: &RunRecord) -> bool {
        self.applications.get(&record.payer).is_some_and(|deployment| deployment.lasts)
    }

    /// Open runs, with the moment at which they have moved last.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&RunRecord, u64)> {
        self.open.values().map(|r| (r, self.moved_us.get(&r.id).copied().unwrap_or_default()))
    }
}

const fn phase_name(phase: &StepPhase) -> &'static str {
    match phase {
        StepPhase::Idle => "Idle",
        StepPhase::Waiting => "Waiting",
        StepPhase::Working { .. } => "Working",
        StepPhase::Resting { .. } => "Resting",
        StepPhase::Child { .. } => "Child",
        StepPhase::Short { .. } => "Short",
        StepPhase::Ended(_) => "Ended",
        StepPhase::NotTaken => "NotTaken",
    }
}

const fn change_name(step: &RunStep) -> &'static str {
    match step {
        RunStep::Started => "run started",
        RunStep::Began { .. } => "attempt begun",
        RunStep::Waiting { .. } => "wait begun",
        RunStep::Took { .. } => "event taken",
        RunStep::StepEnded { status: StepStatus::Returned(_), .. } => "step returned",
        RunStep::StepEnded { status: StepStatus::Error, .. } => "step failed",
        RunStep::StepEnded { status: StepStatus::Timeout, .. } => "step timed out",
        RunStep::OutOfFunds => "out of funds",
        RunStep::Resumed => "resumed",
        RunStep::Failed => "run failed",
        RunStep::Ended(_) => "run ended",
    }
}

/// Whether a step may go from one block to the next like this; several edges of the machine may lie in
/// one block. `repeated`: the owner has repeated a step of the run.
fn is_edge(from: &StepRun, to: &StepRun, repeated: bool) -> bool {
    use StepPhase::{Child, Ended, Idle, NotTaken, Resting, Short, Waiting, Working};
    if to.attempts < from.attempts {
        return false;
    }
    let again = to.attempts > from.attempts;
    match (&from.phase, &to.phase) {
        (a, b) if a == b => true,
        (Idle, _) => true,
        (Waiting, Working { .. } | Child { .. } | Resting { .. } | Short { .. }) => again,
        (Waiting, Ended(_)) => true,
        (Working { .. } | Child { .. }, Waiting | Resting { .. } | Ended(_)) => true,
        (Child { run: a, .. }, Child { run: b, .. }) if a == b => true,
        (Working { .. } | Child { .. }, Working { .. } | Child { .. } | Short { .. }) => again,
        (Resting { .. }, Working { .. } | Child { .. } | Resting { .. } | Short { .. }) => again,
        (Resting { .. }, Ended(_)) => true,
        (Short { .. } | NotTaken, _) => repeated,
        (Ended(ending), _) => repeated && ending.status == StepStatus::Error,
        _ => false,
    }
}

/// Under which key a step's effect is asked for: as if no application around it was ever tried again.
fn key_of(input: &StepInput) -> Hash {
    let mut path = vec![input];
    while let Some(Payload::Given(user)) = path.last().map(|input| &input.event) {
        path.push(user);
    }
    let outermost = path.last().map(|input| input.run).unwrap_or_default();
    let used = path.iter().skip(1).rev();
    let run = used.fold(outermost, |run, user| attempt_id(&run, user.step, 0));
    tagged("althing step key", &[&run.0, &input.step.to_be_bytes()])
}

impl Auditor {
    /// What a block says of runs.
    pub(super) fn block_of_runs(&mut self, block: &Block, executed: &Executed, now_us: u64) {
        let repeated = self.money(block, executed);
        let time = block.header.time;
        self.events_taken(&executed.run_changes);
        let inflows = money::inflows(block, executed);
        for RunChange { run, step, .. } in &executed.run_changes {
            *self.runs.steps.entry(change_name(step)).or_default() += 1;
            if *step == RunStep::OutOfFunds {
                self.run_lacks_money(run, executed, now_us);
            }
        }
        for (key, value) in &executed.writes {
            if key.starts_with(keys::RUNS)
                && let Some(value) = value
                && let Ok(record) = borsh::from_slice::<RunRecord>(value)
            {
                for what in self.lacks_nothing(&record, &repeated, &inflows) {
                    let claim = "a step lacks money only where there is too little";
                    self.violated(claim, now_us, what);
                }
                self.run_moved(&record, &repeated, time, now_us);
                self.runs.open.insert(record.id, record);
            }
        }
        for receipt in &executed.receipts {
            if let Receipt::Run(record) = receipt {
                self.run_moved(record, &repeated, time, now_us);
                self.run_ended(record, now_us);
            }
        }
        self.listeners(&block.header, now_us);
        self.runs_wait_for_something(&block.header, now_us);
    }

    /// Takes in what was paid into purses; gives the runs of which a step was repeated.
    fn money(&mut self, block: &Block, executed: &Executed) -> BTreeSet<Hash> {
        let mut repeated = BTreeSet::new();
        let receipts = executed.receipts.iter().filter_map(|receipt| match receipt {
            Receipt::Transaction(receipt) => Some(receipt),
            _ => None,
        });
        for (signed, receipt) in block.transactions.iter().zip(receipts) {
            let operations = signed.transaction.operations.iter().zip(&receipt.results);
            for (operation, result) in operations {
                let application = match (operation, result) {
                    (Operation::Deploy(deploy), OperationResult::Created(id)) => {
                        self.runs.deployed.insert(*id, block.header.time);
                        Some((*id, deploy.deposit))
                    }
                    (Operation::Transfer(transfer), OperationResult::Done) => {
                        self.runs.purses.get(&transfer.to).map(|id| (*id, transfer.amount))
                    }
                    (Operation::Repeat(repeat), OperationResult::Done) => {
                        repeated.insert(repeat.run);
                        None
                    }
                    _ => None,
                };
                if let Some((id, amount)) = application {
                    let deposit = self.runs.deposits.entry(id).or_default();
                    *deposit = deposit.saturating_add(amount);
                }
            }
        }
        repeated
    }

    /// Every purse has what was put in, by its owner or as a part of fines, less what was spent and
    /// what is in escrow.
    pub(super) fn count_deposits(&mut self, now_us: u64) {
        let mut broken = Vec::new();
        for (id, deposit) in &self.runs.deposits {
            let purse = purse(id);
            let balance = query::account(&self.state, &purse).unwrap_or_default().balance;
            let spent = query::usage(&self.state, id).unwrap_or_default().spent;
            let open = self.open.values().filter(|execution| execution.payer == purse);
            let held = |e: &Execution| e.paid_in.saturating_sub(e.refunded);
            let escrow = open.fold(Amount::ZERO, |sum, e| sum.saturating_add(held(e)));
            let found = balance.saturating_add(spent).saturating_add(escrow);
            if found != *deposit {
                broken.push(format!(
                    "{id}: {deposit} were put in; {balance} are there, {spent} spent, {escrow} in escrow"
                ));
            }
        }
        for what in broken {
            self.violated("a deposit is spent on what its runs cost", now_us, what);
        }
    }

    fn run_lacks_money(&mut self, run: &Hash, executed: &Executed, now_us: u64) {
        let written = executed.writes.get(&keys::run(run)).and_then(Option::as_ref);
        let record = written.and_then(|bytes| borsh::from_slice::<RunRecord>(bytes).ok());
        if record.is_some_and(|record| self.runs.lasts(&record)) {
            let what = format!("run {run} lacks money");
            self.violated("money that lasts pays for every step", now_us, what);
        }
    }

    fn run_moved(&mut self, now: &RunRecord, repeated: &BTreeSet<Hash>, time: TimeMs, now_us: u64) {
        let id = now.id;
        self.run_waits(now, time, now_us);
        self.runs.moved_us.insert(id, now_us);
        if self.runs.ended.contains_key(&id) {
            self.violated("a run has one cause and one end", now_us, format!("{id} ended before"));
        }
        let Some(before) = self.runs.open.get(&id).cloned() else {
            if let Some(what) = self.uncaused(now) {
                self.violated("a run has one cause and one end", now_us, format!("{id}: {what}"));
            }
            return;
        };
        let is_repeated = repeated.contains(&id)
            || now.parent.is_some_and(|parent| repeated.contains(&parent.run));
        let steps = before.run.steps.iter().zip(&now.run.steps).enumerate();
        for (index, (from, to)) in steps {
            let (a, b) = (phase_name(&from.phase), phase_name(&to.phase));
            *self.runs.edges.entry((a, b)).or_default() += 1;
            if !is_edge(from, to, is_repeated) {
                let what = format!("step {index} of {id}: {:?} -> {:?}", from.phase, to.phase);
                self.violated("runs move along documented edges", now_us, what);
            }
        }
        let same = (&before.event, before.event_key, before.payer, before.application);
        if same != (&now.event, now.event_key, now.payer, now.application) {
            let what = format!("{id} has another cause than before");
            self.violated("a run has one cause and one end", now_us, what);
        }
    }

    fn run_waits(&mut self, now: &RunRecord, time: TimeMs, now_us: u64) {
        let Some(plan) = self.runs.plan(&now.application) else { return };
        let before = self.runs.open.get(&now.id).map(|before| &before.run.steps);
        let steps = now.run.steps.iter().zip(&plan.steps).enumerate();
        let wrong: Vec<_> = steps
            .filter_map(|(index, (step, planned))| {
                let was = before.and_then(|before| before.get(index));
                let (claim, what) = self.waits_wrongly(now, (was, step), planned, time)?;
                Some((claim, format!("step {index} of {}: {what}", now.id)))
            })
            .collect();
        for (claim, what) in wrong {
            self.violated(claim, now_us, what);
        }
    }

    /// Why a run should not be there.
    fn uncaused(&self, record: &RunRecord) -> Option<&'static str> {
        match (record.event_key, record.parent) {
            (Some(event), None) => {
                let parts: [&[u8]; 3] = [&CHAIN.0.to_be_bytes(), &record.application.0, &event.0];
                let valid = self.events.valid.get(&event);
                let plan = self.runs.plan(&record.application);
                let listens = plan
                    .zip(valid)
                    .is_some_and(|(plan, valid)| plan.trigger.event.as_ref() == Some(&valid.name));
                if record.id != tagged("althing run", &parts) {
                    Some("its id is not that of its event")
                } else if !listens {
                    Some("its event is not valid, or not the one that it listens to")
                } else {
                    None
                }
            }
            (None, Some(_)) => None,
            _ => Some("it has no cause, or two"),
        }
    }

    fn run_ended(&mut self, record: &RunRecord, now_us: u64) {
        let id = record.id;
        self.runs.open.remove(&id);
        let over = |step: &StepRun| matches!(step.phase, StepPhase::Ended(_) | StepPhase::NotTaken);
        let result = match record.run.end {
            Some(RunEnd::Completed { .. }) => {
                if !record.run.steps.iter().all(over) {
                    let what = format!("{id} is completed with a step under way");
                    self.violated("a run has one cause and one end", now_us, what);
                }
                match self.runs.status(record) {
                    Some(RunStatus::Done) => "completed: done",
                    Some(RunStatus::Dead) => "completed: dead",
                    Some(_) | None => "completed: otherwise",
                }
            }
            Some(RunEnd::Skipped) => "skipped",
            Some(RunEnd::OutOfFunds) => "ended for want of money",
            Some(RunEnd::Cancelled) => "cancelled",
            None => {
                let what = format!("{id} is in the receipts without an end");
                self.violated("a run has one cause and one end", now_us, what);
                "without an end"
            }
        };
        *self.runs.results.entry(result).or_default() += 1;
        if self.runs.ended.insert(id, record.clone()).is_some() {
            self.violated("a run has one cause and one end", now_us, format!("{id} ended twice"));
        }
    }

    /// Every event that became valid has started all runs that it had to.
    fn listeners(&mut self, header: &Header, now_us: u64) {
        for event in std::mem::take(&mut self.fresh_events) {
            let Some(valid) = self.events.valid.get(&event) else { continue };
            let mut missed = Vec::new();
            for (id, deployment) in &self.runs.applications {
                let listens =
                    deployment.compiled.plan().trigger.event.as_ref() == Some(&valid.name);
                let before = self.runs.deployed.get(id).is_some_and(|at| *at < header.time);
                let parts: [&[u8]; 3] = [&CHAIN.0.to_be_bytes(), &id.0, &event.0];
                let run = tagged("althing run", &parts);
                let began = self.runs.open.contains_key(&run) || self.runs.ended.contains_key(&run);
                if listens && before && !began {
                    missed.push(format!("{event} has started no run of {}", deployment.alias));
                }
            }
            for what in missed {
                self.violated("an event starts every run that listens to it", now_us, what);
            }
        }
    }

    /// No open run rests on nothing.
    fn runs_wait_for_something(&mut self, header: &Header, now_us: u64) {
        let mut broken = Vec::new();
        for record in self.runs.open.values() {
            let Some(plan) = self.runs.plan(&record.application) else {
                broken.push(format!("{} is a run of no application", record.id));
                continue;
            };
            if record.due != record.run.deadline(plan) {
                broken
                    .push(format!("{} is due {:?}, not when it should be", record.id, record.due));
            }
            if record.due.is_some_and(|due| due <= header.time) && record.changed < header.height {
                broken
                    .push(format!("{} was due {:?}, at {:?}", record.id, record.due, header.time));
            }
            let mut moves = record.run.kept_until.is_some();
            for (index, (step, planned)) in (0..).zip(record.run.steps.iter().zip(&plan.steps)) {
                let lost = match &step.phase {
                    StepPhase::Working { execution } => !self.open.contains_key(execution),
                    StepPhase::Child { run, .. } => !self.runs.open.contains_key(run),
                    StepPhase::Waiting => self.has_missed(record, index, planned),
                    StepPhase::Idle
                    | StepPhase::Resting { .. }
                    | StepPhase::Short { .. }
                    | StepPhase::Ended(_)
                    | StepPhase::NotTaken => false,
                };
                if lost {
                    let phase = &step.phase;
                    broken.push(format!("step {index} of {} is {phase:?} for nothing", record.id));
                }
                moves |= !matches!(
                    step.phase,
                    StepPhase::Idle | StepPhase::Ended(_) | StepPhase::NotTaken
                );
            }
            if !moves {
                broken.push(format!("nothing of {} is under way", record.id));
            }
        }
        for what in broken {
            self.violated("a run waits for something that comes", now_us, what);
        }
    }

    /// Whether what was accepted for a step is right, by evaluating it from all nodes' files.
    pub(super) fn step_settled(
        &mut self,
        execution: &Execution,
        now_us: u64,
        file: &dyn Fn(&Hash) -> Option<Vec<u8>>,
    ) {
        let Origin::Step(input) = &execution.origin else { return };
        // Of fines, whoever paid for a failure gets up to as much again as it paid.
        let more = execution.refunded.saturating_sub(execution.paid_in);
        if let Some(id) = self.runs.purses.get(&execution.payer) {
            let deposit = self.runs.deposits.entry(*id).or_default();
            *deposit = deposit.saturating_add(more);
        }
        let Some(Conclusion::Accepted(outcome)) = &execution.conclusion else { return };
        if !self.is_judged(execution) {
            return;
        }
        match self.wrong(execution, input, outcome, file) {
            None => {}
            Some(what) => {
                let what =
                    format!("{}, step {} of {}: {what}", execution.id, input.step, input.run);
                self.violated("a result is right", now_us, what);
            }
        }
    }

    fn wrong(
        &self,
        execution: &Execution,
        input: &StepInput,
        outcome: &Outcome,
        file: &dyn Fn(&Hash) -> Option<Vec<u8>>,
    ) -> Option<String> {
        let deployment = self.runs.applications.get(&input.application)?;
        let parsed = deployment.compiled.parsed();
        let mut payloads: BTreeMap<Hash, Vec<u8>> = self
            .runs
            .applications
            .values()
            .map(|d| (d.compiled.blob().hash, d.compiled.document().to_vec()))
            .collect();
        for _ in 0..8 {
            for blob in parsed.needs(input, &payloads) {
                // What nobody has any more cannot be judged.
                payloads.insert(blob.hash, file(&blob.hash)?);
            }
        }
        let evaluated = parsed.evaluate(input, &payloads);
        let given = match (&evaluated, outcome) {
            (Ok(Evaluated::Declined), Outcome::Declined) | (Err(_), Outcome::Failed(_)) => {
                return None;
            }
            (Ok(Evaluated::Run { input }), Outcome::Returned { .. } | Outcome::Failed(_)) => input,
            (evaluated, outcome) => return Some(format!("{outcome:?} of {evaluated:?}")),
        };
        let task = execution.task.as_str();
        if execution.service == setting::manifest().id() {
            let bytes = match outcome {
                Outcome::Returned { output, .. } => file(&output.hash),
                _ => None,
            };
            let right = setting::is_right(task, given, outcome, bytes.as_deref());
            return (!right).then(|| format!("a task '{task}' was accepted with {outcome:?}"));
        }
        let Outcome::Returned { status, output, .. } = outcome else { return None };
        let Some(deed) = self.runs.technology.find(&key_of(input)) else {
            return Some(format!("a task '{task}' was accepted that nobody did"));
        };
        let expected = serde_json::from_slice(given).ok().and_then(|json| shop::done(task, &json));
        let said = (deed.status, althing_types::BlobRef::of(&deed.output));
        let right = said == (status.as_str(), *output)
            && expected.is_some_and(|(status, _)| status == deed.status);
        (!right)
            .then(|| format!("a task '{task}' was accepted with {outcome:?}, done was {deed:?}"))
    }
}
