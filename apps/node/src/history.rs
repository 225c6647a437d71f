//! A run's history: its machine, fed once more with what the ledger has kept of it.
//!
//! ```text
//!   run's record    plan, keys, how it ended ┐
//!   executions      created, settled, outcome ├─► inputs in the order of their blocks ─► Run::apply
//!   blocks          times: what was due       ┘      └─► what happened, and the run as it then was
//! ```
//!
//! Nothing is kept for that: a run's attempts have names that follow from the run, so that every
//! execution is found in the archive, where its receipt proves it.
//!
//! - Bounds: [`INPUTS_MAX`] inputs; a deadline costs some twenty reads of blocks.
//! - Errors: what is missing is not guessed: [`History::agrees`] says whether the run that was played is
//!   the one that the ledger has.

use std::collections::{BTreeMap, VecDeque};

use althing_ledger::{ApplicationRecord, Origin, RunRecord, RunStep, query};
use althing_replica::{ReadError, Reader};
use althing_types::{Amount, BlobRef, Hash, Height, Payload, Plan, StepStatus, TimeMs};
use althing_workflow::{
    Attempt, Effect, Input, Occurrence, Run, RunEnd, StepPhase, StepRun, attempt_id,
};

/// Most inputs that are played.
const INPUTS_MAX: usize = 10_000;

/// What happened to a run in a block.
pub(crate) struct Moment {
    pub(crate) height: Height,
    pub(crate) time: TimeMs,
    pub(crate) changes: Vec<RunStep>,
}

/// A run as it was played.
pub(crate) struct History {
    pub(crate) moments: Vec<Moment>,
    /// As it was after the last moment.
    pub(crate) record: RunRecord,
    /// Whether it came to the same as the run that the ledger has; only said of a whole one.
    pub(crate) agrees: bool,
}

/// Plays a run, up to a block or as far as it is.
pub(crate) fn replay(
    reader: &Reader,
    application: &ApplicationRecord,
    record: &RunRecord,
    until: Option<Height>,
) -> Result<History, ReadError> {
    let known = &record.run;
    let plan = &application.terms.plan;
    let mut player = Player {
        reader,
        plan,
        record,
        run: Run::new(known.id, plan, known.keys.clone(), known.nested),
        now: (record.started, record.started_at),
        spent: Amount::ZERO,
        moments: Vec::new(),
        times: BTreeMap::new(),
    };
    // Nothing later is in the record that it is held against.
    let last = until.map_or(record.changed, |until| until.min(record.changed));
    if last >= record.started {
        // A run that another one uses, or that was begun anew, may count as started earlier.
        player.now.1 = player.time(record.started)?;
        player.moment().changes.push(RunStep::Started);
        player.play(Input::Started)?;
    }
    for _ in 0..INPUTS_MAX {
        let Some((height, input)) = player.next(last)? else { break };
        player.now = (height, player.time(height)?);
        player.play(input)?;
    }
    let agrees = player.agrees();
    let Player { run, now, spent, moments, .. } = player;
    let ended_at = run.end.map(|_| now.1);
    let record = RunRecord { run, changed: now.0, due: None, spent, ended_at, ..record.clone() };
    Ok(History { moments, record, agrees })
}

struct Player<'a> {
    reader: &'a Reader,
    plan: &'a Plan,
    /// How far the ledger has it.
    record: &'a RunRecord,
    run: Run,
    now: (Height, TimeMs),
    /// For executions; what events cost is not told by when.
    spent: Amount,
    moments: Vec<Moment>,
    times: BTreeMap<Height, TimeMs>,
}

impl Player<'_> {
    fn moment(&mut self) -> &mut Moment {
        let (height, time) = self.now;
        if self.moments.last().is_none_or(|last| last.height != height) {
            self.moments.push(Moment { height, time, changes: Vec::new() });
        }
        self.moments.last_mut().expect("one was pushed if there was none")
    }

    /// Takes an input, and whatever follows from it in the same block.
    fn play(&mut self, input: Input) -> Result<(), ReadError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            if let Input::Event { step, occurrence } = &input {
                let took = RunStep::Took { step: *step, event: occurrence.key };
                self.moment().changes.push(took);
            }
            let effects = self.run.apply(self.plan, self.now.1, input);
            for effect in effects {
                if let Effect::Begin { step, id, .. } = &effect
                    && let Some(answer) = self.not_begun(*step, id)?
                {
                    inputs.push_back(answer);
                }
                if let Some(change) = self.change(effect) {
                    self.moment().changes.push(change);
                }
            }
        }
        Ok(())
    }

    /// What the ledger noted of an effect.
    fn change(&self, effect: Effect) -> Option<RunStep> {
        Some(match effect {
            Effect::Begin { step, attempt, id } => RunStep::Began { step, attempt, id },
            Effect::Listen { step, .. } => {
                let wait = self.plan.steps.get(usize::from(step))?.wait.as_ref()?;
                RunStep::Waiting { step, event: wait.event.clone() }
            }
            Effect::StepEnded { step, status } => RunStep::StepEnded { step, status },
            Effect::Short { short: true } => RunStep::OutOfFunds,
            Effect::Short { short: false } => RunStep::Resumed,
            Effect::Failed => RunStep::Failed,
            Effect::Ended(end) => RunStep::Ended(end),
            Effect::Abandon { .. } | Effect::StopListening { .. } => return None,
        })
    }

    /// What a run was told whose attempt left no trace: it could not be paid, or not be begun.
    fn not_begun(&self, step: u16, id: &Hash) -> Result<Option<Input>, ReadError> {
        if self.reader.execution(id)?.is_some() || self.reader.run(id)?.is_some() {
            return Ok(None);
        }
        let retries = self.plan.steps.get(usize::from(step)).map_or(0, |plan| plan.retry.max);
        let failures = self.run.step(step).map_or(0, |step| step.failures);
        let ended_badly =
            self.record.run.ending(step).is_some_and(|ending| {
                ending.status == StepStatus::Error && !self.is_followed(step)
            });
        Ok(Some(if failures < retries || ended_badly {
            Input::Attempted { id: *id, attempt: Attempt::Failed }
        } else {
            Input::OutOfFunds { step }
        }))
    }

    /// Whether the ledger has begun more attempts of a step than were played.
    fn is_followed(&self, step: u16) -> bool {
        let attempts = |run: &Run| run.step(step).map_or(0, |step| step.attempts);
        attempts(&self.record.run) > attempts(&self.run)
    }

    /// The next input and its block, if it came up to `last`.
    fn next(&mut self, last: Height) -> Result<Option<(Height, Input)>, ReadError> {
        let mut found: Option<(Height, Input)> = None;
        let mut offer = |height: Height, input: Input| {
            if height <= last && found.as_ref().is_none_or(|(earliest, _)| height < *earliest) {
                found = Some((height, input));
            }
        };
        // What is due is done at the beginning of a block.
        if let Some(due) = self.run.deadline(self.plan)
            && let Some(height) = self.block_at(due, last)?
        {
            offer(height, Input::Deadline);
        }
        for (step, _) in (0..).zip(&self.run.steps) {
            if let Some((height, input)) = self.of_step(step)? {
                offer(height, input);
            }
        }
        if self.run.end.is_none() && self.record.run.end == Some(RunEnd::Cancelled) {
            offer(self.record.changed, Input::Cancelled);
        }
        if let Some((_, Input::Attempted { id, .. })) = &found
            && let Some(execution) = self.reader.execution(id)?
        {
            let cost = execution.paid_in.saturating_sub(execution.refunded);
            self.spent = self.spent.saturating_add(cost);
        }
        Ok(found)
    }

    /// What a step was told next, and in which block.
    fn of_step(&self, step: u16) -> Result<Option<(Height, Input)>, ReadError> {
        let Some(known) = self.run.step(step) else { return Ok(None) };
        let following = attempt_id(&self.run.id, step, known.attempts);
        Ok(match &known.phase {
            StepPhase::Working { execution } => {
                let found = self.reader.execution(execution)?;
                found.filter(|it| it.conclusion.is_some()).map(|it| {
                    // Who has the output is no matter of what happened.
                    let attempt = it.attempt(Vec::new());
                    (it.changed, Input::Attempted { id: it.id, attempt })
                })
            }
            StepPhase::Child { run, .. } => {
                let child = self.reader.run(run)?;
                match child.filter(|child| child.run.end.is_some()) {
                    Some(child) => Some((child.changed, self.child_ended(step, &child)?)),
                    None => None,
                }
            }
            StepPhase::Waiting => {
                let begun = self.began(&following)?;
                begun.map(|(height, payload)| (height, self.event(step, payload)))
            }
            StepPhase::Short { .. } => {
                self.began(&following)?.map(|(height, _)| (height, Input::Repeat { step }))
            }
            StepPhase::Ended(_) if self.run.can_repeat(self.plan, step).is_ok() => {
                self.began(&following)?.map(|(height, _)| (height, Input::Repeat { step }))
            }
            StepPhase::Idle
            | StepPhase::Resting { .. }
            | StepPhase::Ended(_)
            | StepPhase::NotTaken => None,
        })
    }

    /// Where an attempt began, and with which event.
    fn began(&self, id: &Hash) -> Result<Option<(Height, Option<Payload>)>, ReadError> {
        if let Some(execution) = self.reader.execution(id)? {
            let awaited = match execution.origin {
                Origin::Step(input) => input.awaited,
                Origin::Call => None,
            };
            return Ok(Some((execution.created, awaited)));
        }
        let Some(child) = self.reader.run(id)? else { return Ok(None) };
        let awaited = match child.event {
            Payload::Given(input) => input.awaited,
            Payload::Blob(_) | Payload::Event { .. } | Payload::Returned { .. } => None,
        };
        Ok(Some((child.started, awaited)))
    }

    /// The event that a step took; the record names the last one.
    fn event(&self, step: u16, payload: Option<Payload>) -> Input {
        let awaited = self.record.run.step(step).and_then(|step| step.awaited.clone());
        let last = awaited.filter(|last| Some(&last.payload) == payload.as_ref());
        let occurrence = last.unwrap_or_else(|| Occurrence {
            key: Hash::ZERO,
            payload: payload.unwrap_or_else(|| Payload::Blob(BlobRef::of(b""))),
            holders: Vec::new(),
        });
        Input::Event { step, occurrence }
    }

    /// What the end of a used application's run means to the step.
    fn child_ended(&self, step: u16, child: &RunRecord) -> Result<Input, ReadError> {
        let failed = Input::Attempted { id: child.id, attempt: Attempt::Failed };
        let index = match child.run.end {
            Some(RunEnd::OutOfFunds) => return Ok(Input::ChildOutOfFunds { child: child.id }),
            Some(RunEnd::Completed { returned: Some(index) }) => index,
            Some(RunEnd::Completed { returned: None } | RunEnd::Skipped | RunEnd::Cancelled)
            | None => return Ok(failed),
        };
        let used = query::application(&self.reader.view(), &child.application)?;
        let status = used
            .and_then(|used| Some(used.terms.plan.returns.get(usize::from(index))?.name.clone()));
        // What it returned is in the record, if this is how the step ended.
        let output = self.record.run.ending(step).and_then(|ending| ending.output.clone());
        let (Some(status), Some(output)) = (status, output) else { return Ok(failed) };
        let attempt = Attempt::Returned { status, output, keys: Vec::new(), holders: Vec::new() };
        Ok(Input::Attempted { id: child.id, attempt })
    }

    /// The first block after the present one whose time is not before `due`.
    fn block_at(&mut self, due: TimeMs, last: Height) -> Result<Option<Height>, ReadError> {
        let (mut low, mut high) = (self.now.0.0.saturating_add(1), last.0);
        if low > high || self.time(last)? < due {
            return Ok(None);
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.time(Height(middle))? < due { low = middle + 1 } else { high = middle }
        }
        Ok(Some(Height(low)))
    }

    fn time(&mut self, height: Height) -> Result<TimeMs, ReadError> {
        if let Some(time) = self.times.get(&height) {
            return Ok(*time);
        }
        let decided = self.reader.decided(height)?;
        let missing = ReadError::Missing { what: "a block of the run's time" };
        let time = decided.ok_or(missing)?.0.header.time;
        self.times.insert(height, time);
        Ok(time)
    }

    /// Whether the run that was played is the one that the ledger has.
    fn agrees(&self) -> bool {
        let known = &self.record.run;
        let same = |(one, other): (&StepRun, &StepRun)| {
            one.attempts == other.attempts && is_as_far(&one.phase, &other.phase)
        };
        self.run.end == known.end
            && self.run.steps.len() == known.steps.len()
            && self.run.steps.iter().zip(&known.steps).all(same)
    }
}

fn is_as_far(one: &StepPhase, other: &StepPhase) -> bool {
    match (one, other) {
        (StepPhase::Ended(one), StepPhase::Ended(other)) => {
            one.status == other.status && one.at == other.at
        }
        (StepPhase::Working { execution }, StepPhase::Working { execution: other }) => {
            execution == other
        }
        (StepPhase::Child { run, .. }, StepPhase::Child { run: other, .. }) => run == other,
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}
