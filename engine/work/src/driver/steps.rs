//! Evaluates steps of runs: what they read, whether they take place, what their tasks are given.
//!
//! ```text
//!   survey ──► what is to be fetched      begin ──► Known(finding)
//!                                               ├─► Run(to run)     ─ the task ─► finish ─► finding
//!                                               └─► Judge(to judge) ─ verify ───► finding
//! ```
//!
//! A document is compiled and held to the ledger once; what was deployed never changes. Nothing here
//! waits but for the disk: the driver calls it on threads that may block, the simulator in its one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use althing_application::{Compiled, Evaluated as Value, NoValue};
use althing_ledger::{Execution, Origin, query};
use althing_types::{
    BlobRef, Claim, Doubt, EndpointId, Failure, Hash, Name, Opinion, Outcome, Payload, StepInput,
    TimeMs, tagged,
};
use althing_workflow::first_run;

use crate::conduct::Finding;
use crate::port::{Assignment, Blobs, LedgerAccess, Secrets};
use crate::runtime::{TaskRun, VerifyRun};
use crate::{Unusable, Work, applications};

/// Most applications that are remembered as compiled.
const APPLICATIONS_MAX: usize = 256;
/// Most rounds in which a survey finds more to read: one for each level of nesting, and one more.
const ROUNDS_MAX: usize = 16;

type Payloads = BTreeMap<Hash, Vec<u8>>;

/// What an evaluation reads.
struct Here {
    blobs: Payloads,
    secrets: Secrets,
}

impl althing_application::Payloads for Here {
    fn bytes(&self, blob: &BlobRef) -> Option<&[u8]> {
        self.blobs.get(&blob.hash).map(Vec::as_slice)
    }

    fn secret(&self, name: &Name) -> Option<&str> {
        self.secrets.value(name)
    }
}

/// Why a step's task is not run, or its result not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// Its condition is false.
    Declined,
    /// In a way that every node reproduces.
    Failed(Failure),
    /// This node cannot tell.
    Doubt(Doubt),
}

impl Stopped {
    fn outcome(self) -> Outcome {
        match self {
            Self::Declined => Outcome::Declined,
            Self::Failed(failure) => Outcome::Failed(failure),
            Self::Doubt(doubt) => Outcome::Inconclusive(doubt),
        }
    }
}

impl From<NoValue> for Stopped {
    fn from(error: NoValue) -> Self {
        match error {
            NoValue::Missing(_) => Self::Doubt(Doubt::InputUnavailable),
            NoValue::Secret(_) => Self::Doubt(Doubt::SecretUnavailable),
            NoValue::Bad(_) => Self::Failed(Failure::BadExpression),
        }
    }
}

/// A step that takes place.
struct Evaluated {
    application: Arc<Compiled>,
    here: Here,
    input: Vec<u8>,
}

impl Evaluated {
    /// The keys that an output of the step carries for later waits.
    fn keys(&self, step: &StepInput, output: &[u8]) -> Result<Vec<Hash>, Stopped> {
        Ok(self.application.parsed().keys(step, output, &self.here)?)
    }
}

/// What is left to do for a step that was evaluated.
#[derive(Debug)]
pub enum Begun {
    /// Nothing: no service is asked.
    Known(Finding),
    /// Its task is to be run.
    Run(Box<ToRun>),
    /// Its executor's answer is to be judged.
    Judge(Box<ToJudge>),
}

/// A step whose task is to be run.
pub struct ToRun {
    /// What the service is given.
    pub assignment: Assignment,
    step: StepInput,
    evaluated: Evaluated,
}

impl std::fmt::Debug for ToRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToRun").field("assignment", &self.assignment).finish_non_exhaustive()
    }
}

impl ToRun {
    /// What the node claims once the task was run.
    #[must_use]
    pub fn finish(&self, run: TaskRun) -> Finding {
        let Ok(returned) = &run.result else { return Finding::of_task(run, Vec::new()) };
        match self.evaluated.keys(&self.step, &returned.output) {
            Ok(keys) => Finding::of_task(run, keys),
            Err(stopped) => Finding::bare(Claim::Outcome(stopped.outcome())),
        }
    }
}

/// A step whose answer is to be judged by the service.
#[derive(Debug)]
pub struct ToJudge {
    /// What the executor's service was given.
    pub assignment: Assignment,
    /// What it returned.
    pub status: Name,
    /// With these bytes.
    pub output: Vec<u8>,
}

impl ToJudge {
    /// What the node claims once the answer was judged.
    #[must_use]
    pub const fn finish(&self, run: &VerifyRun) -> Finding {
        Finding::bare(Claim::Opinion(run.opinion))
    }
}

/// Evaluates the steps that the node is drawn for.
pub struct Steps<L> {
    ledger: Arc<L>,
    blobs: Arc<dyn Blobs>,
    /// By application and document.
    known: Mutex<BTreeMap<(Hash, Hash), Arc<Compiled>>>,
}

impl<L> std::fmt::Debug for Steps<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

impl<L: LedgerAccess> Steps<L> {
    /// Without knowledge of any application.
    pub fn new(ledger: Arc<L>, blobs: Arc<dyn Blobs>) -> Self {
        Self { ledger, blobs, known: Mutex::default() }
    }

    /// As [`survey`](Self::survey), if that can be told without waiting for the disk: the application
    /// is known and reads no other's document.
    pub fn survey_at_once(&self, execution: &Execution) -> Option<Result<Vec<BlobRef>, Unusable>> {
        let Origin::Step(step) = &execution.origin else { return None };
        let nests = |payload: &Payload| match payload {
            Payload::Given(_) | Payload::Returned { .. } => true,
            Payload::Blob(_) | Payload::Event { .. } => false,
        };
        let outputs = step.outputs.iter().map(|output| &output.output);
        let mut payloads = [&step.event].into_iter().chain(&step.awaited).chain(outputs);
        if payloads.any(nests) {
            return None;
        }
        let application = self.known(step)?;
        Some(Ok(application.parsed().needs(step, &Payloads::new())))
    }

    /// The payloads that a step reads; its documents are here.
    ///
    /// # Errors
    ///
    /// [`Unusable`] if its application cannot be followed.
    pub fn survey(&self, execution: &Execution) -> Result<Vec<BlobRef>, Unusable> {
        let Origin::Step(step) = &execution.origin else { return Ok(Vec::new()) };
        let of = applications(execution);
        let application = self.application(step, &of)?;
        let mut documents = Payloads::new();
        self.load_documents(step, &of, &mut documents)?;
        Ok(application.parsed().needs(step, &documents))
    }

    /// Whether a step can be evaluated without waiting for the disk.
    pub fn is_at_hand(&self, execution: &Execution) -> bool {
        match self.survey_at_once(execution) {
            Some(Ok(needs)) => {
                let of = applications(execution);
                needs.iter().all(|blob| self.blobs.at_hand(blob, &of))
            }
            Some(Err(_)) | None => false,
        }
    }

    /// Whether the application of a step is not known, or not any more.
    pub fn is_forgotten(&self, execution: &Execution) -> bool {
        matches!(&execution.origin, Origin::Step(step) if self.known(step).is_none())
    }

    /// Where the secrets are that the step of an execution is given; `None` if it is given none. The
    /// application was compiled when its needs were surveyed.
    pub fn home_of_secrets(&self, execution: &Execution) -> Option<EndpointId> {
        let Origin::Step(step) = &execution.origin else { return None };
        let application = self.known(step)?;
        if application.parsed().secrets_of(step.step).is_empty() {
            return None;
        }
        let state = self.ledger.newest().ok()?.state;
        let record = query::application(&state, &step.application).ok().flatten()?;
        Some(record.terms.home)
    }

    /// Evaluates a step from what is here, and tells what is left to do.
    ///
    /// `secrets` are those that the executor was given; whoever judges is given none.
    pub fn begin(&self, execution: &Execution, work: Work, secrets: Secrets) -> Begun {
        match work {
            Work::Task => self.begin_task(execution, secrets),
            Work::Verify => self.begin_verify(execution),
        }
    }

    fn begin_task(&self, execution: &Execution, secrets: Secrets) -> Begun {
        let outcome = |outcome| Begun::Known(Finding::bare(Claim::Outcome(outcome)));
        let Origin::Step(step) = &execution.origin else {
            return outcome(Outcome::Inconclusive(Doubt::InputUnavailable));
        };
        match self.evaluate(step, &applications(execution), secrets) {
            Ok(evaluated) => {
                let assignment = assignment(execution, step, &evaluated);
                Begun::Run(Box::new(ToRun { assignment, step: step.clone(), evaluated }))
            }
            Err(stopped) => outcome(stopped.outcome()),
        }
    }

    /// What is asked for is whether an honest executor could have answered this: its condition, its
    /// keys and its output.
    fn begin_verify(&self, execution: &Execution) -> Begun {
        let opinion = |opinion| Begun::Known(Finding::bare(Claim::Opinion(opinion)));
        let (Origin::Step(step), Some((_, answer))) = (&execution.origin, execution.answer())
        else {
            return opinion(Opinion::Inconclusive);
        };
        let of = applications(execution);
        let evaluated = match (self.evaluate(step, &of, Secrets::default()), answer) {
            (Ok(evaluated), _) => evaluated,
            (Err(Stopped::Doubt(_)), _) => return opinion(Opinion::Inconclusive),
            (Err(Stopped::Declined), Outcome::Declined) => return opinion(Opinion::Valid),
            (Err(Stopped::Declined | Stopped::Failed(_)), _) => return opinion(Opinion::Invalid),
        };
        let Outcome::Returned { status, output, keys } = answer else {
            return opinion(Opinion::Invalid);
        };
        let Some(bytes) = self.blobs.local(output, &of).ok().flatten() else {
            return opinion(Opinion::Unavailable);
        };
        match evaluated.keys(step, &bytes) {
            Ok(expected) if expected == *keys => {}
            Ok(_) | Err(Stopped::Declined | Stopped::Failed(_)) => {
                return opinion(Opinion::Invalid);
            }
            Err(Stopped::Doubt(_)) => return opinion(Opinion::Inconclusive),
        }
        let assignment = assignment(execution, step, &evaluated);
        Begun::Judge(Box::new(ToJudge { assignment, status: status.clone(), output: bytes }))
    }

    /// Evaluates a step from what is here for it.
    fn evaluate(
        &self,
        step: &StepInput,
        of: &[Hash],
        secrets: Secrets,
    ) -> Result<Evaluated, Stopped> {
        let unusable = |_| Stopped::Doubt(Doubt::ServiceUnavailable);
        let application = self.application(step, of).map_err(unusable)?;
        let mut here = Here { blobs: Payloads::new(), secrets };
        for _ in 0..ROUNDS_MAX {
            let needs = application.parsed().needs(step, &here);
            if needs.is_empty() {
                break;
            }
            for blob in needs {
                let bytes = self.blobs.local(&blob, of).ok().flatten();
                let missing = Stopped::Doubt(Doubt::InputUnavailable);
                here.blobs.insert(blob.hash, bytes.ok_or(missing)?);
            }
        }
        let evaluated = application.parsed().evaluate(step, &here).inspect_err(|error| {
            tracing::info!(run = %step.run, step = step.step, %error, "a step has no input");
        });
        match evaluated? {
            Value::Declined => Err(Stopped::Declined),
            Value::Run { input } => Ok(Evaluated { application, here, input }),
        }
    }

    fn known(&self, step: &StepInput) -> Option<Arc<Compiled>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(step.application, step.document.hash)).cloned()
    }

    /// A step's application, compiled and held to the ledger: no work is done for a plan that does
    /// not follow from its document.
    fn application(&self, step: &StepInput, of: &[Hash]) -> Result<Arc<Compiled>, Unusable> {
        if let Some(known) = self.known(step) {
            return Ok(known);
        }
        let bytes = self.document(&step.document, of)?;
        let application = step.application;
        let compiled = Compiled::from_document(&bytes).map_err(|error| {
            tracing::warn!(%application, %error, "the application is not followed");
            Unusable::Refused
        })?;
        let state = self.ledger.newest().map_err(|_| Unusable::Unavailable)?.state;
        let record = query::application(&state, &application);
        let record = record.ok().flatten().ok_or(Unusable::Unavailable)?;
        if record.terms.document != step.document || record.terms.plan != *compiled.plan() {
            tracing::warn!(%application, "the application's plan does not follow from its document");
            return Err(Unusable::Refused);
        }
        let compiled = Arc::new(compiled);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= APPLICATIONS_MAX {
            known.clear();
        }
        known.insert((application, step.document.hash), Arc::clone(&compiled));
        Ok(compiled)
    }

    /// The documents of all applications in a step's input; the depth is bounded where inputs are
    /// decoded.
    fn load_documents(
        &self,
        step: &StepInput,
        of: &[Hash],
        found: &mut Payloads,
    ) -> Result<(), Unusable> {
        let outputs = step.outputs.iter().map(|output| &output.output);
        for payload in [&step.event].into_iter().chain(&step.awaited).chain(outputs) {
            if let Payload::Given(context) | Payload::Returned { context, .. } = payload {
                self.application(context, of)?;
                if let Entry::Vacant(place) = found.entry(context.document.hash) {
                    place.insert(self.document(&context.document, of)?);
                }
                self.load_documents(context, of, found)?;
            }
        }
        Ok(())
    }

    fn document(&self, blob: &BlobRef, of: &[Hash]) -> Result<Vec<u8>, Unusable> {
        let bytes = self.blobs.local(blob, of).map_err(|_| Unusable::Unavailable)?;
        bytes.ok_or(Unusable::Unavailable)
    }
}

fn assignment(execution: &Execution, step: &StepInput, evaluated: &Evaluated) -> Assignment {
    let Execution { id, service, task, .. } = execution;
    Assignment {
        execution: *id,
        key: key(step),
        since: since(execution.created_at, step),
        service: *service,
        task: task.clone(),
        input: evaluated.input.clone(),
        is_secret: !evaluated.application.parsed().secrets_of(step.step).is_empty(),
    }
}

/// Equal for all attempts of a step and of the steps that use its application, and on all nodes.
fn key(step: &StepInput) -> Hash {
    tagged("althing step key", &[&first_run(step).0, &step.step.to_be_bytes()])
}

/// Before this, nothing was asked for under the step's key: it is the beginning of the execution, `created_at`.
/// Where the step, or one that uses its application, was attempted before, that was within the run of the
/// outermost such step.
fn since(created_at: TimeMs, step: &StepInput) -> TimeMs {
    let mut since = created_at;
    let mut level = Some(step);
    while let Some(step) = level {
        if step.attempt > 0 {
            since = step.started_at;
        }
        level = match &step.event {
            Payload::Given(user) => Some(user),
            Payload::Blob(_) | Payload::Event { .. } | Payload::Returned { .. } => None,
        };
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(started_at: u64, attempt: u16, event: Payload) -> StepInput {
        StepInput {
            application: Hash([1; 32]),
            document: BlobRef::of(b"document"),
            run: Hash([2; 32]),
            started_at: TimeMs(started_at),
            step: 0,
            attempt,
            event,
            awaited: None,
            outputs: vec![],
        }
    }

    #[test]
    fn a_key_is_no_older_than_the_run_of_the_outermost_step_that_was_attempted_before() {
        let created = TimeMs(90);
        // The attempts of a step, of the one that uses its application, and of the one that uses that.
        let of = |attempts: [u16; 3]| {
            let outermost = step(10, attempts[2], Payload::Blob(BlobRef::of(b"event")));
            let middle = step(20, attempts[1], Payload::Given(Box::new(outermost)));
            since(created, &step(30, attempts[0], Payload::Given(Box::new(middle)))).0
        };
        assert_eq!(of([0, 0, 0]), 90, "all for the first time");
        assert_eq!(of([1, 0, 0]), 30);
        assert_eq!(of([0, 1, 0]), 20);
        assert_eq!(of([5, 0, 2]), 10);
    }
}
