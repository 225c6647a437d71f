//! Evaluates steps: from the payloads that a [`StepInput`] names to a task's input.
//!
//! ```text
//!   StepInput ──needs──► blobs ──fetched──► (again, while nested documents ask for more)
//!       └──evaluate──► Declined | Run { input }        after the task: ──keys──► hashes for later waits
//! ```

use std::collections::BTreeMap;
use std::rc::Rc;

use althing_manifest::{Agree, AgreeBy, CanonicalJson, Event, INPUT_BYTES_MAX};
use althing_types::{
    Amount, BlobRef, Emitters, Hash, MeasuredTerms, Name, Payload, StepInput, key_hash,
};
use serde_json::{Map, Value as Json, json};

use crate::document::{Document, EventUse, Step, hash_of};
use crate::expression::{Decimals, Expression, Failure, Meter, Value, Variables};
use crate::schema::decimals_of;
use crate::template::Template;

/// Most bytes of payloads that one evaluation reads.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// Blobs that were fetched.
pub trait Payloads {
    /// The bytes of a blob, if they are here.
    fn bytes(&self, blob: &BlobRef) -> Option<&[u8]>;

    /// A secret of the application whose step is evaluated, if it was given to this node.
    fn secret(&self, name: &Name) -> Option<&str> {
        let _given_none = name;
        None
    }
}

impl Payloads for BTreeMap<Hash, Vec<u8>> {
    fn bytes(&self, blob: &BlobRef) -> Option<&[u8]> {
        self.get(&blob.hash).map(Vec::as_slice)
    }
}

/// What a step comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluated {
    /// Its condition is false: the task is not executed.
    Declined,
    /// The task is executed.
    Run {
        /// Canonical JSON.
        input: Vec<u8>,
    },
}

/// Why a step has no input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// This node has not fetched what is needed: no opinion of anybody's.
    #[error("the payload {} is not here", .0.hash)]
    Missing(BlobRef),
    /// This node was not given a secret.
    #[error("the secret '{0}' is not here")]
    Secret(Name),
    /// The same on every node.
    #[error(transparent)]
    Bad(#[from] BadExpression),
}

/// An expression without a value, the same on every node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} has no value: {reason}")]
pub struct BadExpression {
    /// Which expression: `with of 'pay'`.
    pub place: String,
    /// Why.
    pub reason: String,
}

impl BadExpression {
    /// The page in `docs/errors`.
    pub const CODE: &'static str = "APP-0031";

    fn of(place: impl Into<String>, failure: &Failure) -> Self {
        Self { place: place.into(), reason: failure.to_string() }
    }
}

impl Document {
    /// What has yet to be fetched before the step can be evaluated and its keys be taken.
    ///
    /// A nested document tells what it needs once it is here: fetch and ask again until nothing is
    /// needed. Each round goes one application deeper, so there are few.
    #[must_use]
    pub fn needs(&self, input: &StepInput, payloads: &impl Payloads) -> Vec<BlobRef> {
        let mut needs = Vec::new();
        if let Some(step) = self.steps.get(usize::from(input.step)) {
            let mut names = self.names_for(step, input);
            step.yields.iter().for_each(|key| add_names(&mut names, key));
            self.collect(input, &names, payloads, &mut needs);
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// Evaluates the condition of a step, if it has one, and its input.
    ///
    /// # Errors
    ///
    /// [`NoValue`]: a payload is missing here, or an expression has no value anywhere.
    pub fn evaluate(
        &self,
        input: &StepInput,
        payloads: &impl Payloads,
    ) -> Result<Evaluated, NoValue> {
        let step = self.step(input)?;
        let mut evaluation =
            Evaluation { payloads, meter: Meter::full(), bytes_left: PAYLOAD_BYTES_MAX };
        let mut variables = evaluation.variables(self, input, &self.names_for(step, input))?;
        if let Some((place, condition)) = self.condition(step, input) {
            let value = condition.evaluate(&variables, &mut evaluation.meter);
            match value.map_err(|failure| BadExpression::of(place, &failure))? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(Evaluated::Declined),
                _ => {
                    let failure = Failure::because("it is neither true nor false");
                    return Err(BadExpression::of(place, &failure).into());
                }
            }
        }
        // Of the step's own task alone: what an application is given is evaluated by others too.
        for name in step.with.secrets() {
            let value = payloads.secret(name).ok_or_else(|| NoValue::Secret(name.clone()))?;
            variables.set_secret(name.clone(), value);
        }
        let input = evaluation.json(&step.with, &variables, || format!("with of '{}'", step.id))?;
        Ok(Evaluated::Run { input: input.into_bytes() })
    }

    /// The keys that a step's result carries, from its output.
    ///
    /// A key that this output does not lead to is the hash of no value, which no event matches.
    ///
    /// # Errors
    ///
    /// [`NoValue`]: a payload is missing here, or is no JSON.
    pub fn keys(
        &self,
        input: &StepInput,
        output: &[u8],
        payloads: &impl Payloads,
    ) -> Result<Vec<Hash>, NoValue> {
        let step = self.step(input)?;
        if step.yields.is_empty() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        step.yields.iter().for_each(|key| add_names(&mut names, key));
        names.retain(|name| *name != step.id.as_str());
        let mut evaluation =
            Evaluation { payloads, meter: Meter::full(), bytes_left: PAYLOAD_BYTES_MAX };
        let mut variables = evaluation.variables(self, input, &names)?;
        let own = evaluation.parse(output, step.id.as_str())?;
        let decimals = step.decimals.iter().map(String::as_str).collect();
        let own = evaluation.value(&own, &decimals, step.id.as_str())?;
        variables.set(step.id.as_str(), own);
        let keys = step.yields.iter().map(|key| {
            let json = key
                .evaluate(&variables, &mut evaluation.meter)
                .and_then(|v| v.to_json(&mut evaluation.meter));
            match json {
                Ok(Json::Null) | Err(_) => key_hash(&[]),
                Ok(json) => hash_of(&json).unwrap_or_else(|_| key_hash(&[])),
            }
        });
        Ok(keys.collect())
    }

    fn step(&self, input: &StepInput) -> Result<&Step, BadExpression> {
        let step = self.steps.get(usize::from(input.step));
        step.ok_or_else(|| {
            BadExpression::of("the input", &Failure::because("the application has no such step"))
        })
    }

    /// The condition that is decided when the step is executed.
    fn condition<'d>(
        &'d self,
        step: &'d Step,
        input: &StepInput,
    ) -> Option<(&'static str, &'d Expression)> {
        if input.step == 0 {
            return self.when.condition.as_ref().map(|condition| ("if of when", condition));
        }
        step.wait.as_ref()?.condition.as_ref().map(|condition| ("if of await", condition))
    }

    fn names_for<'d>(&'d self, step: &'d Step, input: &StepInput) -> Vec<&'d str> {
        let mut names = Vec::new();
        step.with.expressions(&mut |expression| add_names(&mut names, expression));
        if let Some((_, condition)) = self.condition(step, input) {
            add_names(&mut names, condition);
        }
        names
    }

    /// The payload that a name stands for, unless it is the run or the configuration.
    fn payload<'i>(&self, input: &'i StepInput, name: &str) -> Option<&'i Payload> {
        match name {
            "event" => Some(&input.event),
            "awaited" => input.awaited.as_ref(),
            _ => {
                let index = self.steps.iter().position(|step| step.id.as_str() == name)?;
                let output =
                    input.outputs.iter().find(|output| usize::from(output.step) == index)?;
                Some(&output.output)
            }
        }
    }

    fn collect(
        &self,
        input: &StepInput,
        names: &[&str],
        payloads: &impl Payloads,
        needs: &mut Vec<BlobRef>,
    ) {
        for name in names {
            let Some(payload) = self.payload(input, name) else { continue };
            match payload {
                Payload::Blob(blob) => need(blob, payloads, needs),
                Payload::Event { base, .. } => need(base, payloads, needs),
                Payload::Given(context) => {
                    let Some(document) = nested(context, payloads, needs) else { continue };
                    let Some(step) = document.steps.get(usize::from(context.step)) else {
                        continue;
                    };
                    let mut names = Vec::new();
                    step.with.expressions(&mut |expression| add_names(&mut names, expression));
                    document.collect(context, &names, payloads, needs);
                }
                Payload::Returned { context, index } => {
                    let Some(document) = nested(context, payloads, needs) else { continue };
                    let Some(end) = document.returns.get(usize::from(*index)) else { continue };
                    let mut names = Vec::new();
                    end.data.expressions(&mut |expression| add_names(&mut names, expression));
                    document.collect(context, &names, payloads, needs);
                }
            }
        }
    }
}

fn need(blob: &BlobRef, payloads: &impl Payloads, needs: &mut Vec<BlobRef>) {
    if payloads.bytes(blob).is_none() {
        needs.push(*blob);
    }
}

/// The document of a nested context; what is no document needs nothing, and has no value later on.
fn nested(
    context: &StepInput,
    payloads: &impl Payloads,
    needs: &mut Vec<BlobRef>,
) -> Option<Document> {
    let Some(bytes) = payloads.bytes(&context.document) else {
        needs.push(context.document);
        return None;
    };
    Document::from_canonical(bytes).ok()
}

fn add_names<'e>(names: &mut Vec<&'e str>, expression: &'e Expression) {
    for (name, _) in expression.variables() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

struct Evaluation<'p, P> {
    payloads: &'p P,
    meter: Meter,
    bytes_left: usize,
}

impl<P: Payloads> Evaluation<'_, P> {
    fn variables(
        &mut self,
        document: &Document,
        input: &StepInput,
        names: &[&str],
    ) -> Result<Variables, NoValue> {
        let mut variables = Variables::default();
        for name in names {
            let value = match *name {
                "config" => self.value(&document.config, &Decimals::default(), name)?,
                "run" => {
                    // The first attempt's, so that a later one asks for the same thing.
                    let id = althing_workflow::first_run(input).to_string();
                    let run = json!({ "id": id, "started_at": input.started_at.0 });
                    self.value(&run, &Decimals::default(), name)?
                }
                _ => self.named(document, input, name)?,
            };
            variables.set(*name, value);
        }
        Ok(variables)
    }

    fn named(
        &mut self,
        document: &Document,
        input: &StepInput,
        name: &str,
    ) -> Result<Value, NoValue> {
        let Some(payload) = document.payload(input, name) else { return Ok(Value::Null) };
        let wait = document.steps.get(usize::from(input.step)).and_then(|step| step.wait.as_ref());
        let (event, decimals) = match name {
            "event" => (document.when.event.as_ref(), decimals_of(&document.when.schema)),
            "awaited" => {
                let event = wait.map(|wait| &wait.event);
                (event, event.map(|event| event.decimals.clone()).unwrap_or_default())
            }
            _ => {
                let step = document.steps.iter().find(|step| step.id.as_str() == name);
                (None, step.map(|step| step.decimals.clone()).unwrap_or_default())
            }
        };
        let json = self.resolve(payload, event, name)?;
        self.value(&json, &decimals.iter().map(String::as_str).collect(), name)
    }

    /// Puts a payload together.
    fn resolve(
        &mut self,
        payload: &Payload,
        event: Option<&EventUse>,
        name: &str,
    ) -> Result<Json, NoValue> {
        match payload {
            Payload::Blob(blob) => self.blob(blob, name),
            Payload::Event { name: event_name, base, measured } => {
                let bytes = self.payloads.bytes(base).ok_or(NoValue::Missing(*base))?;
                let event = event.filter(|event| event.name == *event_name);
                let bytes = compose(event, bytes, measured)
                    .map_err(|failure| BadExpression::of(name, &failure))?;
                Ok(self.parse(&bytes, name)?)
            }
            Payload::Given(context) => {
                let document = self.document(context, name)?;
                let step = document.step(context)?;
                let mut names = Vec::new();
                step.with.expressions(&mut |expression| add_names(&mut names, expression));
                let variables = self.variables(&document, context, &names)?;
                let json =
                    self.json(&step.with, &variables, || format!("with of '{}'", step.id))?;
                Ok(json.value().clone())
            }
            Payload::Returned { context, index } => {
                let document = self.document(context, name)?;
                let end = document.returns.get(usize::from(*index)).ok_or_else(|| {
                    BadExpression::of(
                        name,
                        &Failure::because("the application returns nothing like it"),
                    )
                })?;
                let mut names = Vec::new();
                end.data.expressions(&mut |expression| add_names(&mut names, expression));
                let variables = self.variables(&document, context, &names)?;
                let json =
                    self.json(&end.data, &variables, || format!("data of '{}'", end.name))?;
                Ok(json.value().clone())
            }
        }
    }

    fn document(&mut self, context: &StepInput, name: &str) -> Result<Rc<Document>, NoValue> {
        let bytes =
            self.payloads.bytes(&context.document).ok_or(NoValue::Missing(context.document))?;
        self.meter.bytes(bytes.len()).map_err(|failure| BadExpression::of(name, &failure))?;
        let document = Document::from_canonical(bytes)
            .map_err(|error| BadExpression::of(name, &Failure::because(error.to_string())))?;
        Ok(Rc::new(document))
    }

    fn blob(&mut self, blob: &BlobRef, name: &str) -> Result<Json, NoValue> {
        let bytes = self.payloads.bytes(blob).ok_or(NoValue::Missing(*blob))?;
        Ok(self.parse(bytes, name)?)
    }

    fn parse(&mut self, bytes: &[u8], name: &str) -> Result<Json, BadExpression> {
        let left = self.bytes_left.checked_sub(bytes.len());
        self.bytes_left = left.ok_or_else(|| BadExpression::of(name, &Failure::Exhausted))?;
        let json = CanonicalJson::parse(bytes)
            .map_err(|error| BadExpression::of(name, &Failure::because(error.to_string())))?;
        Ok(json.value().clone())
    }

    fn value(&self, json: &Json, decimals: &Decimals, name: &str) -> Result<Value, NoValue> {
        Value::from_json(json, Some(decimals))
            .map_err(|failure| BadExpression::of(name, &failure).into())
    }

    fn json(
        &mut self,
        template: &Template,
        variables: &Variables,
        place: impl Fn() -> String,
    ) -> Result<CanonicalJson, BadExpression> {
        let bad = |failure: &Failure| BadExpression::of(place(), failure);
        let value =
            template.evaluate(variables, &mut self.meter).map_err(|failure| bad(&failure))?;
        let json = value.to_json(&mut self.meter).map_err(|failure| bad(&failure))?;
        let json =
            CanonicalJson::of(json).map_err(|error| bad(&Failure::because(error.to_string())))?;
        let bytes = json.as_bytes().len();
        if bytes > INPUT_BYTES_MAX {
            let reason = format!("it has {bytes} bytes, at most {INPUT_BYTES_MAX} are allowed");
            return Err(bad(&Failure::because(reason)));
        }
        Ok(json)
    }
}

/// The part that all emitters agreed on, with the agreed values put in.
fn compose(event: Option<&EventUse>, base: &[u8], measured: &[i64]) -> Result<Vec<u8>, Failure> {
    let event =
        event.ok_or_else(|| Failure::because("the application knows no such event here"))?;
    let agree = event.measured.iter().map(|measured| Agree {
        property: measured.field.clone(),
        by: AgreeBy::Value(MeasuredTerms { decimals: measured.decimals, tolerance: None }),
    });
    let types = event.measured.iter().map(|measured| {
        let word = if measured.is_text { "string" } else { "number" };
        (measured.field.clone(), json!({ "type": word }))
    });
    // As much of the manifest's event as its composition asks for.
    let event = Event {
        name: event.name.event.clone(),
        summary: String::new(),
        data: json!({ "properties": types.collect::<Map<String, Json>>() }),
        id: None,
        keys: Vec::new(),
        window_ms: 0,
        emitters: Emitters::One,
        agree: agree.collect(),
        price: Amount::ZERO,
    };
    event.compose(base, measured).map_err(|violation| Failure::because(violation.to_string()))
}
