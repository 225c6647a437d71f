//! What a run does next.

use alloc::vec::Vec;

use althing_types::{Action, End, Payload, Plan, StepPlan, StepStatus, TimeMs};

use crate::graph::{Joined, is_followed, joined};
use crate::input::{Attempt, Effect, Input, NotRepeatable};
use crate::run::{
    Ending, KEPT_MS, Occurrence, QUEUE_MAX, Run, RunEnd, StepPhase, StepRun, attempt_id,
};

impl Run {
    /// Takes one input, and says what is to be done. An input that nothing waits for does nothing.
    pub fn apply(&mut self, plan: &Plan, now: TimeMs, input: Input) -> Vec<Effect> {
        if self.end.is_some() {
            return Vec::new();
        }
        let was_short = self.is_short();
        let mut machine = Machine { run: self, plan, now, effects: Vec::new() };
        machine.take(input);
        machine.advance();
        let Machine { mut effects, .. } = machine;
        let short = self.is_short();
        if short != was_short && self.end.is_none() {
            effects.push(Effect::Short { short });
        }
        effects
    }

    /// When [`Input::Deadline`] is next due.
    #[must_use]
    pub fn deadline(&self, plan: &Plan) -> Option<TimeMs> {
        if self.end.is_some() {
            return None;
        }
        let steps = self.steps.iter().zip(&plan.steps);
        steps.filter_map(|(step, plan)| due(step, plan)).chain(self.kept_until).min()
    }

    /// Whether a step can be repeated.
    ///
    /// # Errors
    ///
    /// [`NotRepeatable`] says why not.
    pub fn can_repeat(&self, plan: &Plan, step: u16) -> Result<(), NotRepeatable> {
        if self.end.is_some() {
            return Err(NotRepeatable::Over);
        }
        match &self.step(step).ok_or(NotRepeatable::NoSuchStep)?.phase {
            StepPhase::Short { .. } => Ok(()),
            StepPhase::Ended(ending) if ending.status == StepStatus::Error => {
                let end = End { step, status: StepStatus::Error };
                let begun = |(later, known): (&StepPlan, &StepRun)| {
                    later.after.ends.contains(&end)
                        && !matches!(known.phase, StepPhase::Idle | StepPhase::NotTaken)
                };
                let handled = plan.steps.iter().zip(&self.steps).any(begun);
                if handled { Err(NotRepeatable::Handled) } else { Ok(()) }
            }
            StepPhase::Idle
            | StepPhase::Waiting
            | StepPhase::Working { .. }
            | StepPhase::Resting { .. }
            | StepPhase::Child { .. }
            | StepPhase::Ended(_)
            | StepPhase::NotTaken => Err(NotRepeatable::NotFailed),
        }
    }

    /// Whether a step of the run, or of a run that it waits for, cannot be paid.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.steps.iter().any(|step| {
            matches!(step.phase, StepPhase::Short { .. } | StepPhase::Child { short: true, .. })
        })
    }
}

/// When something is due for a step.
fn due(step: &StepRun, plan: &StepPlan) -> Option<TimeMs> {
    let limit = || match (step.since, plan.timeout_ms) {
        (None, _) | (_, 0) => None,
        (Some(since), limit) => Some(since.after(limit)),
    };
    match step.phase {
        StepPhase::Waiting => step.wait_until,
        StepPhase::Working { .. } | StepPhase::Child { .. } => limit(),
        StepPhase::Resting { until } => Some(limit().map_or(until, |limit| limit.min(until))),
        StepPhase::Short { until } => Some(until),
        StepPhase::Idle | StepPhase::Ended(_) | StepPhase::NotTaken => None,
    }
}

struct Machine<'a> {
    run: &'a mut Run,
    plan: &'a Plan,
    now: TimeMs,
    effects: Vec<Effect>,
}

fn number(index: usize) -> u16 {
    u16::try_from(index).expect("a plan has few steps")
}

impl Machine<'_> {
    fn take(&mut self, input: Input) {
        match input {
            Input::Started => self.begin(0),
            Input::Event { step, occurrence } => self.event(step, occurrence),
            Input::Attempted { id, attempt } => {
                if let Some(step) = self.under_way(&id) {
                    self.attempted(step, attempt);
                }
            }
            Input::ChildShort { child, short: now } => {
                for step in &mut self.run.steps {
                    if let StepPhase::Child { run, short } = &mut step.phase
                        && *run == child
                    {
                        *short = now;
                    }
                }
            }
            Input::ChildOutOfFunds { child } => {
                if self.under_way(&child).is_some() {
                    self.end(RunEnd::OutOfFunds);
                }
            }
            Input::OutOfFunds { step } => {
                let until = self.now.after(KEPT_MS);
                if let Some(step) = self.step(step)
                    && matches!(step.phase, StepPhase::Working { .. } | StepPhase::Child { .. })
                {
                    step.phase = StepPhase::Short { until };
                }
            }
            Input::Deadline => self.deadline(),
            Input::Cancelled => self.end(RunEnd::Cancelled),
            Input::Repeat { step } => self.repeat(step),
        }
    }

    fn step(&mut self, step: u16) -> Option<&mut StepRun> {
        self.run.steps.get_mut(usize::from(step))
    }

    fn planned(&self, step: u16) -> Option<&StepPlan> {
        self.plan.steps.get(usize::from(step))
    }

    fn under_way(&self, id: &althing_types::Hash) -> Option<u16> {
        let is = |step: &StepRun| match &step.phase {
            StepPhase::Working { execution } => execution == id,
            StepPhase::Child { run, .. } => run == id,
            StepPhase::Idle
            | StepPhase::Waiting
            | StepPhase::Resting { .. }
            | StepPhase::Short { .. }
            | StepPhase::Ended(_)
            | StepPhase::NotTaken => false,
        };
        self.run.steps.iter().position(is).map(number)
    }

    // One step.

    fn begin(&mut self, step: u16) {
        if self.planned(step).is_some_and(|step| step.wait.is_some()) {
            self.listen(step);
        } else {
            self.attempt(step);
        }
    }

    fn listen(&mut self, step: u16) {
        let Some(wait) = self.planned(step).and_then(|step| step.wait.clone()) else { return };
        let Some(filter) = self.run.resolve(&wait.filter) else {
            // A value is missing: this step was begun past the one that yields it.
            return self.finish(step, StepStatus::Error);
        };
        let until = (wait.timeout_ms > 0).then(|| self.now.after(wait.timeout_ms));
        if let Some(known) = self.step(step) {
            known.phase = StepPhase::Waiting;
            known.listening = true;
            known.wait_until = until;
        }
        self.effects.push(Effect::Listen { step, filter });
    }

    fn stop_listening(&mut self, step: u16) {
        let Some(known) = self.step(step) else { return };
        if !core::mem::take(&mut known.listening) {
            return;
        }
        known.queued.clear();
        let filter = self.planned(step).and_then(|step| step.wait.as_ref()).map(|w| &w.filter);
        let filter = filter.and_then(|filter| self.run.resolve(filter)).unwrap_or_default();
        self.effects.push(Effect::StopListening { step, filter });
    }

    fn event(&mut self, step: u16, occurrence: Occurrence) {
        let now = self.now;
        let conditional = self.is_conditional(step);
        let Some(known) = self.step(step) else { return };
        let over = known.wait_until.is_some_and(|until| until <= now);
        let seen = known.awaited.iter().chain(&known.queued).any(|e| e.key == occurrence.key);
        if !known.listening || over || seen {
            return;
        }
        match known.phase {
            StepPhase::Waiting => {
                known.awaited = Some(occurrence);
                known.since = None;
                known.failures = 0;
                if !conditional {
                    self.stop_listening(step);
                }
                self.attempt(step);
            }
            StepPhase::Working { .. }
            | StepPhase::Resting { .. }
            | StepPhase::Child { .. }
            | StepPhase::Short { .. } => {
                if known.queued.len() < QUEUE_MAX {
                    known.queued.push(occurrence);
                }
            }
            StepPhase::Idle | StepPhase::Ended(_) | StepPhase::NotTaken => {}
        }
    }

    fn is_conditional(&self, step: u16) -> bool {
        let wait = self.planned(step).and_then(|step| step.wait.as_ref());
        wait.is_some_and(|wait| wait.conditional)
    }

    fn attempt(&mut self, step: u16) {
        let (now, run) = (self.now, self.run.id);
        let Some(action) = self.planned(step).map(|step| step.action.clone()) else { return };
        let readable = self.run.readable(self.plan, step);
        let Some(known) = self.step(step) else { return };
        if known.reads.is_none() {
            known.reads = readable;
        }
        let attempt = known.attempts;
        let Some(attempts) = attempt.checked_add(1) else {
            return self.finish(step, StepStatus::Error);
        };
        known.attempts = attempts;
        known.since.get_or_insert(now);
        let id = attempt_id(&run, step, attempt);
        known.phase = match action {
            Action::Task { .. } => StepPhase::Working { execution: id },
            Action::Application { .. } => {
                known.began.get_or_insert(now);
                StepPhase::Child { run: id, short: false }
            }
        };
        self.effects.push(Effect::Begin { step, attempt, id });
    }

    fn attempted(&mut self, step: u16, attempt: Attempt) {
        match attempt {
            Attempt::Returned { status, output, keys, holders } => {
                let yields = self.planned(step).map_or(0, |step| usize::from(step.yields));
                if keys.len() == yields {
                    let status = StepStatus::Returned(status);
                    self.close(step, status, Some(output), keys, holders);
                } else {
                    self.failed(step);
                }
            }
            Attempt::Declined if step == 0 && self.plan.trigger.conditional => {
                self.end(RunEnd::Skipped);
            }
            Attempt::Declined if self.is_conditional(step) => self.declined(step),
            Attempt::Declined | Attempt::Failed => self.failed(step),
        }
    }

    /// The event was not the awaited one: the next one is tried, or the wait stays open.
    fn declined(&mut self, step: u16) {
        let now = self.now;
        let Some(known) = self.step(step) else { return };
        known.awaited = None;
        known.since = None;
        known.failures = 0;
        // Nothing was done for it: what the next event is judged by may be what is known then.
        known.reads = None;
        if !known.listening {
            return self.listen(step);
        }
        if !known.queued.is_empty() {
            known.awaited = Some(known.queued.remove(0));
            return self.attempt(step);
        }
        known.phase = StepPhase::Waiting;
        if known.wait_until.is_some_and(|until| until <= now) {
            self.finish(step, StepStatus::Timeout);
        }
    }

    fn failed(&mut self, step: u16) {
        let now = self.now;
        let Some(retry) = self.planned(step).map(|step| step.retry) else { return };
        let Some(known) = self.step(step) else { return };
        known.failures = known.failures.saturating_add(1);
        if known.failures > retry.max {
            return self.finish(step, StepStatus::Error);
        }
        let doublings = u32::from(known.failures.saturating_sub(1));
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        let until = now.after(retry.backoff_ms.saturating_mul(factor));
        known.phase = StepPhase::Resting { until };
    }

    fn finish(&mut self, step: u16, status: StepStatus) {
        self.close(step, status, None, Vec::new(), Vec::new());
    }

    fn close(
        &mut self,
        step: u16,
        status: StepStatus,
        output: Option<Payload>,
        keys: Vec<althing_types::Hash>,
        holders: Vec<althing_types::EndpointId>,
    ) {
        self.stop_listening(step);
        if status == StepStatus::Timeout {
            self.abandon(step);
        }
        let at = self.now;
        if let Some(known) = self.step(step) {
            known.phase =
                StepPhase::Ended(Ending { status: status.clone(), output, keys, holders, at });
        }
        self.effects.push(Effect::StepEnded { step, status });
    }

    fn abandon(&mut self, step: u16) {
        if let Some(StepPhase::Child { run: child, .. }) = self.run.step(step).map(|s| &s.phase) {
            let child = *child;
            self.effects.push(Effect::Abandon { child });
        }
    }

    fn deadline(&mut self) {
        let now = self.now;
        for (index, plan) in self.plan.steps.iter().enumerate() {
            let step = number(index);
            let Some(known) = self.run.step(step) else { continue };
            if due(known, plan).is_none_or(|time| time > now) {
                continue;
            }
            match &known.phase {
                StepPhase::Resting { until } if *until <= now && !is_late(known, plan, now) => {
                    self.attempt(step);
                }
                StepPhase::Short { .. } => return self.end(RunEnd::OutOfFunds),
                StepPhase::Waiting
                | StepPhase::Working { .. }
                | StepPhase::Resting { .. }
                | StepPhase::Child { .. } => self.finish(step, StepStatus::Timeout),
                StepPhase::Idle | StepPhase::Ended(_) | StepPhase::NotTaken => {}
            }
        }
        if self.run.kept_until.is_some_and(|until| until <= now) {
            self.complete();
        }
    }

    fn repeat(&mut self, step: u16) {
        if self.run.can_repeat(self.plan, step).is_err() {
            return;
        }
        self.run.kept_until = None;
        for known in &mut self.run.steps {
            if known.phase == StepPhase::NotTaken {
                known.phase = StepPhase::Idle;
            }
        }
        let waits = self.planned(step).is_some_and(|step| step.wait.is_some());
        let Some(known) = self.step(step) else { return };
        known.failures = 0;
        known.since = None;
        if waits && known.awaited.is_none() { self.listen(step) } else { self.attempt(step) }
    }

    // The whole run.

    /// Begins what can begin, and finds what cannot begin any more.
    fn advance(&mut self) {
        if self.run.end.is_some() {
            return;
        }
        for index in 1..self.run.steps.len() {
            let step = number(index);
            if self.run.step(step).is_none_or(|known| known.phase != StepPhase::Idle) {
                continue;
            }
            match joined(self.plan, self.run, index) {
                Joined::Reached => self.begin(step),
                Joined::Open => {}
                Joined::Unreachable => {
                    if let Some(known) = self.step(step) {
                        known.phase = StepPhase::NotTaken;
                    }
                }
            }
        }
        let over = |step: &StepRun| matches!(step.phase, StepPhase::Ended(_) | StepPhase::NotTaken);
        if !self.run.steps.iter().all(over) || self.run.kept_until.is_some() {
            return;
        }
        if self.has_failed() && !self.run.nested {
            self.run.kept_until = Some(self.now.after(KEPT_MS));
            self.effects.push(Effect::Failed);
        } else {
            self.complete();
        }
    }

    /// Whether a step ended with an error that nothing hangs on.
    fn has_failed(&self) -> bool {
        let steps = (0..self.run.steps.len()).map(number);
        steps.filter_map(|step| Some((step, self.run.ending(step)?))).any(|(step, ending)| {
            let end = End { step, status: ending.status.clone() };
            ending.status == StepStatus::Error
                && !is_followed(self.plan, &end)
                && !self.plan.returns.iter().any(|returns| returns.from == end)
        })
    }

    fn complete(&mut self) {
        let reached =
            |end: &End| self.run.ending(end.step).is_some_and(|ending| ending.status == end.status);
        let returned = self.plan.returns.iter().position(|returns| reached(&returns.from));
        self.end(RunEnd::Completed { returned: returned.map(number) });
    }

    fn end(&mut self, end: RunEnd) {
        for step in (0..self.run.steps.len()).map(number) {
            self.stop_listening(step);
            self.abandon(step);
        }
        self.run.kept_until = None;
        self.run.end = Some(end);
        self.effects.push(Effect::Ended(end));
    }
}

fn is_late(step: &StepRun, plan: &StepPlan, now: TimeMs) -> bool {
    plan.timeout_ms > 0 && step.since.is_some_and(|since| since.after(plan.timeout_ms) <= now)
}
