//! Evaluates steps of runs: what they read, whether they take place, what their tasks are given.
//!
//! A document is compiled and held to the ledger once; what was deployed never changes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use althing_application::{Compiled, Evaluated as Value, NoValue};
use althing_ledger::query;
use althing_types::{BlobRef, Doubt, Failure, Hash, Outcome, Payload, StepInput};

use crate::Unusable;
use crate::port::{Blobs, LedgerAccess};

/// Most applications that are remembered as compiled.
const APPLICATIONS_MAX: usize = 256;
/// Most rounds in which a survey finds more to read: one for each level of nesting, and one more.
const ROUNDS_MAX: usize = 16;

type Payloads = BTreeMap<Hash, Vec<u8>>;

/// Why a step's task is not run, or its result not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Its condition is false.
    Declined,
    /// In a way that every node reproduces.
    Failed(Failure),
    /// This node cannot tell.
    Doubt(Doubt),
}

impl Stopped {
    pub(super) fn outcome(self) -> Outcome {
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
            NoValue::Bad(_) => Self::Failed(Failure::BadExpression),
        }
    }
}

/// A step that takes place.
pub(super) struct Evaluated {
    application: Arc<Compiled>,
    payloads: Payloads,
    input: Vec<u8>,
}

impl Evaluated {
    /// What the task is given: canonical JSON.
    pub(super) fn input(&self) -> &[u8] {
        &self.input
    }

    /// The keys that an output of the step carries for later waits.
    pub(super) fn keys(&self, step: &StepInput, output: &[u8]) -> Result<Vec<Hash>, Stopped> {
        Ok(self.application.parsed().keys(step, output, &self.payloads)?)
    }
}

pub(super) struct Steps<L> {
    ledger: Arc<L>,
    blobs: Arc<dyn Blobs>,
    /// By application and document.
    known: Mutex<BTreeMap<(Hash, Hash), Arc<Compiled>>>,
}

impl<L: LedgerAccess> Steps<L> {
    pub(super) fn new(ledger: Arc<L>, blobs: Arc<dyn Blobs>) -> Self {
        Self { ledger, blobs, known: Mutex::default() }
    }

    /// As [`survey`](Self::survey), if the application is known and reads no other's document.
    pub(super) fn survey_at_once(
        &self,
        step: &StepInput,
    ) -> Option<Result<Vec<BlobRef>, Unusable>> {
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
    pub(super) fn survey(&self, step: &StepInput) -> Result<Vec<BlobRef>, Unusable> {
        let application = self.application(step)?;
        let mut documents = Payloads::new();
        self.load_documents(step, &mut documents)?;
        Ok(application.parsed().needs(step, &documents))
    }

    /// Whether a step can be evaluated without waiting for the disk.
    pub(super) fn is_at_hand(&self, step: &StepInput) -> bool {
        match self.survey_at_once(step) {
            Some(Ok(needs)) => needs.iter().all(|blob| self.blobs.at_hand(blob)),
            Some(Err(_)) | None => false,
        }
    }

    /// Evaluates a step from what is here.
    pub(super) fn evaluate(&self, step: &StepInput) -> Result<Evaluated, Stopped> {
        let unusable = |_| Stopped::Doubt(Doubt::ServiceUnavailable);
        let application = self.application(step).map_err(unusable)?;
        let mut payloads = Payloads::new();
        for _ in 0..ROUNDS_MAX {
            let needs = application.parsed().needs(step, &payloads);
            if needs.is_empty() {
                break;
            }
            for blob in needs {
                let bytes = self.blobs.local(&blob).ok().flatten();
                let missing = Stopped::Doubt(Doubt::InputUnavailable);
                payloads.insert(blob.hash, bytes.ok_or(missing)?);
            }
        }
        let evaluated = application.parsed().evaluate(step, &payloads).inspect_err(|error| {
            tracing::info!(run = %step.run, step = step.step, %error, "a step has no input");
        });
        match evaluated? {
            Value::Declined => Err(Stopped::Declined),
            Value::Run { input } => Ok(Evaluated { application, payloads, input }),
        }
    }

    fn known(&self, step: &StepInput) -> Option<Arc<Compiled>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(step.application, step.document.hash)).cloned()
    }

    /// A step's application, compiled and held to the ledger: no work is done for a plan that does
    /// not follow from its document.
    fn application(&self, step: &StepInput) -> Result<Arc<Compiled>, Unusable> {
        if let Some(known) = self.known(step) {
            return Ok(known);
        }
        let bytes = self.document(&step.document)?;
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
    fn load_documents(&self, step: &StepInput, found: &mut Payloads) -> Result<(), Unusable> {
        let outputs = step.outputs.iter().map(|output| &output.output);
        for payload in [&step.event].into_iter().chain(&step.awaited).chain(outputs) {
            if let Payload::Given(context) | Payload::Returned { context, .. } = payload {
                self.application(context)?;
                if let Entry::Vacant(place) = found.entry(context.document.hash) {
                    place.insert(self.document(&context.document)?);
                }
                self.load_documents(context, found)?;
            }
        }
        Ok(())
    }

    fn document(&self, blob: &BlobRef) -> Result<Vec<u8>, Unusable> {
        let bytes = self.blobs.local(blob).map_err(|_| Unusable::Unavailable)?;
        bytes.ok_or(Unusable::Unavailable)
    }
}
