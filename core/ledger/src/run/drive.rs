//! Feeds a run, and carries out what it asks for.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::{
    Action, Amount, Claim, EndpointId, Hash, Payload, StepInput, TimeMs, canonical, purse,
};
use althing_workflow::{Attempt, Effect, Input, Occurrence, Origin as From, Run, RunEnd};

use super::{Parent, RunRecord, RunStep, memory};
use crate::application::{self, ApplicationRecord, topic};
use crate::execution::{Conclusion, MemberState, Origin};
use crate::ledger::Halt;
use crate::order::{self, Order, Work};
use crate::receipt::Receipt;
use crate::record::Due;
use crate::{Execution, Ledger, Restriction, emitters, keys};

/// Largest [`StepInput`] in bytes: it travels with the execution.
const STEP_INPUT_BYTES_MAX: usize = 64 << 10;
/// Largest record of a run in bytes that still takes in what an application has returned.
const RUN_BYTES_MAX: usize = 256 << 10;
/// Most nodes that are named as those who have parts of an input.
const HOMES_MAX: usize = 16;
/// How many of those who agreed with an executor are named as holders of its output.
const HOLDERS_MAX: usize = 3;

/// Tells a run something; whatever follows from it happens in the same block.
///
/// It ends: every job either ends an attempt or begins one, a failed one rests until a later block,
/// and applications nest to a bounded depth.
pub(crate) fn drive<V: View>(
    ledger: &mut Ledger<'_, V>,
    run: Hash,
    input: Input,
) -> Result<(), Fault> {
    let mut jobs = VecDeque::from([(run, input)]);
    while let Some((id, input)) = jobs.pop_front() {
        let Some(mut record) = ledger.run(&id)? else { continue };
        let application = known(ledger, &record.application)?;
        if let Input::Event { step, occurrence } = &input {
            let (step, event) = (*step, occurrence.key);
            note(ledger, &record, RunStep::Took { step, event });
        }
        let now = ledger.block.time;
        let effects = record.run.apply(&application.terms.plan, now, input);
        let mut passage = Passage { application: &application, record: &mut record };
        for effect in effects {
            passage.carry_out(ledger, effect, &mut jobs)?;
        }
        keep(ledger, &application, record)?;
    }
    Ok(())
}

fn known<V: View>(ledger: &Ledger<'_, V>, id: &Hash) -> Result<ApplicationRecord, Fault> {
    let missing = || Fault { what: "a run of no application", key: keys::application(id) };
    ledger.application(id)?.ok_or_else(missing)
}

fn note<V: View>(ledger: &mut Ledger<'_, V>, record: &RunRecord, step: RunStep) {
    ledger.note_run(record.id, record.application, step);
}

/// Writes a run back, or moves it into the receipts if it has ended.
fn keep<V: View>(
    ledger: &mut Ledger<'_, V>,
    application: &ApplicationRecord,
    mut record: RunRecord,
) -> Result<(), Fault> {
    record.changed = ledger.block.height;
    let due = record.run.deadline(&application.terms.plan);
    if due != record.due {
        if let Some(before) = record.due {
            ledger.unplan(before, &Due::Run(record.id));
        }
        if let Some(due) = due {
            ledger.plan(due, &Due::Run(record.id));
        }
        record.due = due;
    }
    if record.run.end.is_none() {
        ledger.write(keys::run(&record.id), &record);
        return Ok(());
    }
    record.ended_at = Some(ledger.block.time);
    ledger.delete(keys::run(&record.id));
    ledger.delete(keys::open_run(&record.application, &record.id));
    let application = record.application;
    ledger.change_usage(&application, |usage| usage.open = usage.open.saturating_sub(1))?;
    ledger.leave(Receipt::Run(record));
    application::retire(ledger, &application)
}

/// Opens a run; it begins with [`Input::Started`].
pub(super) fn open<V: View>(
    ledger: &mut Ledger<'_, V>,
    application: &ApplicationRecord,
    cause: Cause,
) -> Result<Hash, Fault> {
    let Cause { id, payer, parent, started_at, event, event_key, event_homes, keys: event_keys } =
        cause;
    let record = RunRecord {
        id,
        application: application.id,
        payer,
        parent,
        event,
        event_key,
        event_homes,
        started: ledger.block.height,
        started_at,
        changed: ledger.block.height,
        run: Run::new(id, &application.terms.plan, event_keys, parent.is_some()),
        due: None,
        spent: Amount::ZERO,
        ended_at: None,
    };
    ledger.change_usage(&application.id, |usage| {
        usage.runs = usage.runs.saturating_add(1);
        usage.open = usage.open.saturating_add(1);
    })?;
    ledger.write(keys::open_run(&application.id, &id), &());
    ledger.write(keys::run(&id), &record);
    note(ledger, &record, RunStep::Started);
    Ok(id)
}

/// Why there is a run.
pub(super) struct Cause {
    pub(super) id: Hash,
    pub(super) payer: Hash,
    pub(super) parent: Option<Parent>,
    pub(super) started_at: TimeMs,
    pub(super) event: Payload,
    pub(super) event_key: Option<Hash>,
    pub(super) event_homes: Vec<EndpointId>,
    pub(super) keys: Vec<Hash>,
}

type Jobs = VecDeque<(Hash, Input)>;

/// A run and its application while effects are carried out.
struct Passage<'a> {
    application: &'a ApplicationRecord,
    record: &'a mut RunRecord,
}

impl Passage<'_> {
    fn carry_out<V: View>(
        &mut self,
        ledger: &mut Ledger<'_, V>,
        effect: Effect,
        jobs: &mut Jobs,
    ) -> Result<(), Fault> {
        let id = self.record.id;
        match effect {
            Effect::Begin { step, attempt, id: attempt_id } => {
                note(ledger, self.record, RunStep::Began { step, attempt, id: attempt_id });
                if let Some(answer) = self.begin(ledger, step, attempt_id, jobs)? {
                    jobs.push_back((id, answer));
                }
            }
            Effect::Abandon { child } => jobs.push_back((child, Input::Cancelled)),
            Effect::Listen { step, filter } => self.listen(ledger, step, &filter, jobs)?,
            Effect::StopListening { step, filter } => {
                self.stop_listening(ledger, step, &filter)?;
            }
            Effect::StepEnded { step, status } => {
                note(ledger, self.record, RunStep::StepEnded { step, status });
            }
            Effect::Short { short } => {
                let step = if short { RunStep::OutOfFunds } else { RunStep::Resumed };
                note(ledger, self.record, step);
                if let Some(parent) = self.record.parent {
                    jobs.push_back((parent.run, Input::ChildShort { child: id, short }));
                }
            }
            Effect::Failed => note(ledger, self.record, RunStep::Failed),
            Effect::Ended(end) => {
                note(ledger, self.record, RunStep::Ended(end));
                if let Some(parent) = self.record.parent {
                    let input = self.handed_back(ledger, parent, end)?;
                    jobs.push_back((parent.run, input));
                }
            }
        }
        Ok(())
    }

    fn origin(&self) -> From<'_> {
        From {
            application: &self.application.id,
            document: &self.application.terms.document,
            started_at: self.record.started_at,
            event: &self.record.event,
        }
    }

    /// Nodes that have parts of a step's input, the nearest first.
    fn homes(&self, step: u16) -> Vec<EndpointId> {
        let plan = &self.application.terms.plan;
        let mut homes = alloc::vec![self.application.terms.home];
        let parts = self.record.run.holders(plan, step);
        for endpoint in parts.iter().chain(&self.record.event_homes) {
            if homes.len() < HOMES_MAX && !homes.contains(endpoint) {
                homes.push(*endpoint);
            }
        }
        homes
    }

    /// Begins an attempt; gives what the run is to be told if it could not.
    fn begin<V: View>(
        &mut self,
        ledger: &mut Ledger<'_, V>,
        step: u16,
        id: Hash,
        jobs: &mut Jobs,
    ) -> Result<Option<Input>, Fault> {
        let failed = Input::Attempted { id, attempt: Attempt::Failed };
        let plan = &self.application.terms.plan;
        let Some(planned) = plan.steps.get(usize::from(step)) else { return Ok(Some(failed)) };
        let input = self.record.run.step_input(plan, &self.origin(), step);
        if canonical::encode(&input).len() > STEP_INPUT_BYTES_MAX {
            return Ok(Some(failed));
        }
        match &planned.action {
            Action::Task { service, task } => {
                let work = Work {
                    service,
                    task,
                    checkers: planned.checkers,
                    quorum: planned.quorum,
                    restriction: Restriction { nodes: &planned.nodes, labels: &planned.labels },
                    price_max: planned.price_max,
                };
                let order = Order {
                    id,
                    payer: purse(&self.record.payer),
                    input: input.blob(),
                    origin: Origin::Step(input),
                    homes: self.homes(step),
                };
                match order::place(ledger, &work, order) {
                    Ok(_) => {
                        ledger.write(keys::payer(&id), &self.record.payer);
                        Ok(None)
                    }
                    Err(Halt::Rejected(crate::Rejection::InsufficientBalance { .. })) => {
                        Ok(Some(Input::OutOfFunds { step }))
                    }
                    Err(Halt::Rejected(_)) => Ok(Some(failed)),
                    Err(Halt::Fault(fault)) => Err(fault),
                }
            }
            Action::Application { application } => {
                let used = ledger.application(application)?;
                let owner = &self.application.owner;
                let Some(used) = used.filter(|used| used.is_usable_by(owner) && !used.paused)
                else {
                    return Ok(Some(failed));
                };
                let cause = Cause {
                    id,
                    payer: self.record.payer,
                    parent: Some(Parent { run: self.record.id, step }),
                    started_at: self.began(step, ledger.block.time),
                    event_homes: self.homes(step),
                    event: Payload::Given(Box::new(input)),
                    event_key: None,
                    keys: Vec::new(),
                };
                open(ledger, &used, cause)?;
                jobs.push_back((id, Input::Started));
                Ok(None)
            }
        }
    }

    /// When a run that this step uses counts as started: with the step's first attempt. Deeper down, with
    /// that of the step of the outermost run: only its record outlives every attempt.
    fn began(&self, step: u16, now: TimeMs) -> TimeMs {
        if self.record.parent.is_some() {
            return self.record.started_at;
        }
        self.record.run.step(step).and_then(|step| step.began).unwrap_or(now)
    }

    fn listen<V: View>(
        &mut self,
        ledger: &mut Ledger<'_, V>,
        step: u16,
        filter: &[(u8, Hash)],
        jobs: &mut Jobs,
    ) -> Result<(), Fault> {
        let plan = &self.application.terms.plan;
        let wait = plan.steps.get(usize::from(step)).and_then(|step| step.wait.as_ref());
        let Some(event) = wait.map(|wait| &wait.event) else { return Ok(()) };
        let topic = topic(event, filter.first().copied());
        let stamp = ledger.stamp();
        ledger.write(keys::wait(&topic, &self.record.id, step), &stamp);
        note(ledger, self.record, RunStep::Waiting { step, event: event.clone() });
        let since = self.record.started_at;
        for remembered in memory::find(ledger, &topic, filter, since)? {
            // What started the run is not news to it.
            if Some(remembered.key) != self.record.event_key {
                jobs.push_back((self.record.id, Input::Event { step, occurrence: remembered }));
            }
        }
        Ok(())
    }

    fn stop_listening<V: View>(
        &mut self,
        ledger: &mut Ledger<'_, V>,
        step: u16,
        filter: &[(u8, Hash)],
    ) -> Result<(), Fault> {
        let plan = &self.application.terms.plan;
        let wait = plan.steps.get(usize::from(step)).and_then(|step| step.wait.as_ref());
        let Some(event) = wait.map(|wait| wait.event.clone()) else { return Ok(()) };
        let topic = topic(&event, filter.first().copied());
        ledger.delete(keys::wait(&topic, &self.record.id, step));
        let awaited = self.record.run.step(step).and_then(|step| step.awaited.as_ref());
        let Some(Occurrence { key, .. }) = awaited else { return Ok(()) };
        if self.record.run.end.is_some() {
            return Ok(());
        }
        let key = *key;
        pay_for_event(ledger, self.record, &event, &key)
    }

    /// What the run of the application that used this one is told of its end.
    fn handed_back<V: View>(
        &self,
        ledger: &Ledger<'_, V>,
        parent: Parent,
        end: RunEnd,
    ) -> Result<Input, Fault> {
        let id = self.record.id;
        let returned = match end {
            RunEnd::Completed { returned } => returned,
            RunEnd::OutOfFunds => return Ok(Input::ChildOutOfFunds { child: id }),
            RunEnd::Skipped | RunEnd::Cancelled => None,
        };
        let failed = Input::Attempted { id, attempt: Attempt::Failed };
        let plan = &self.application.terms.plan;
        let found = returned.and_then(|index| {
            let name = plan.returns.get(usize::from(index))?.name.clone();
            Some((index, name, self.record.run.return_input(plan, &self.origin(), index)?))
        });
        let Some((index, status, context)) = found else { return Ok(failed) };
        let room = ledger
            .run(&parent.run)?
            .map_or(0, |record| RUN_BYTES_MAX.saturating_sub(canonical::encode(&record).len()));
        let bytes = canonical::encode(&context).len();
        if bytes > room.min(STEP_INPUT_BYTES_MAX) {
            return Ok(failed);
        }
        let holders = self.holders(&context);
        let output = Payload::Returned { context: Box::new(context), index };
        let attempt = Attempt::Returned { status, output, keys: Vec::new(), holders };
        Ok(Input::Attempted { id, attempt })
    }

    fn holders(&self, context: &StepInput) -> Vec<EndpointId> {
        let mut homes = self.homes(context.step);
        for endpoint in self.record.run.ending(context.step).iter().flat_map(|e| &e.holders) {
            if homes.len() < HOMES_MAX && !homes.contains(endpoint) {
                homes.push(*endpoint);
            }
        }
        homes
    }
}

/// Pays the emitters of an event that started a run or ended a wait, as far as the deposit reaches.
pub(super) fn pay_for_event<V: View>(
    ledger: &mut Ledger<'_, V>,
    record: &mut RunRecord,
    event: &althing_types::EventName,
    key: &Hash,
) -> Result<(), Fault> {
    let service = ledger.service(&event.service)?;
    let price = service.as_ref().and_then(|service| service.terms.event(&event.event));
    let Some(price) = price.map(|terms| terms.price).filter(|price| !price.is_zero()) else {
        return Ok(());
    };
    let payer = record.payer;
    let purse = purse(&payer);
    let price = price.min(ledger.balance(&purse)?);
    ledger.take(&purse, price)?;
    record.spent = record.spent.saturating_add(price);
    ledger.change_usage(&payer, |usage| usage.spent = usage.spent.saturating_add(price))?;
    emitters::reward_emitters(ledger, key, price)
}

/// Tells a run that one of its deadlines has come.
pub(crate) fn on_deadline<V: View>(ledger: &mut Ledger<'_, V>, run: Hash) -> Result<(), Fault> {
    let Some(mut record) = ledger.run(&run)? else { return Ok(()) };
    if record.due.is_some_and(|due| due <= ledger.block.time) {
        // It has left the plan.
        record.due = None;
        ledger.write(keys::run(&run), &record);
    }
    drive(ledger, run, Input::Deadline)
}

/// Tells a run what an execution came to; its payer has been refunded what was not spent.
pub(crate) fn on_settled<V: View>(
    ledger: &mut Ledger<'_, V>,
    execution: &Execution,
) -> Result<(), Fault> {
    let Origin::Step(input) = &execution.origin else { return Ok(()) };
    let spent = execution.paid_in.saturating_sub(execution.refunded);
    let key = keys::payer(&execution.id);
    if let Some(payer) = ledger.load::<Hash>(&key)? {
        ledger.delete(key);
        ledger.change_usage(&payer, |usage| usage.spent = usage.spent.saturating_add(spent))?;
        application::sweep(ledger, &payer)?;
    }
    let Some(mut record) = ledger.run(&input.run)? else { return Ok(()) };
    record.spent = record.spent.saturating_add(spent);
    ledger.write(keys::run(&input.run), &record);
    let attempt = execution.attempt(holders(ledger, execution)?);
    drive(ledger, input.run, Input::Attempted { id: execution.id, attempt })
}

/// Where the first of those are who claimed the accepted outcome: they have the output.
fn holders<V: View>(
    ledger: &Ledger<'_, V>,
    execution: &Execution,
) -> Result<Vec<EndpointId>, Fault> {
    let Some(Conclusion::Accepted(accepted)) = &execution.conclusion else {
        return Ok(Vec::new());
    };
    let mut holders = Vec::new();
    let agrees = |member: &&crate::Member| matches!(&member.state, MemberState::Opened(Claim::Outcome(outcome)) if outcome == accepted);
    for member in execution.members.iter().filter(agrees).take(HOLDERS_MAX) {
        if let Some(offer) = ledger.offer(&execution.service, &member.node)? {
            holders.push(offer.endpoint);
        }
    }
    Ok(holders)
}
