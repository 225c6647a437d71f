//! Checks a file against the services that it names, and compiles it.
//!
//! ```text
//!   file ─► services resolved ─► configuration ─► when ─► each step: do, after, await, with ─► returns
//!                                                                └ keys for waits: yielded by earlier steps
//!        ─► unreachable steps, statuses nobody handles ─► document ─► plan
//! ```

mod ends;
mod inputs;
mod keys;
mod names;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use althing_manifest::read::Reader;
use althing_manifest::{Event, Task};
use althing_types::{
    Action, After, End, EventName, Hash, Join, Name, Retry, StepStatus, Verification,
};
use serde_json::{Map, Value as Json};
use types::{carried, event_use};

use crate::document::{Compiled, Document, Interface, Return, SECRETS_MAX, Step, WaitFor, When};
use crate::file::{ApplicationFile, EventText, StepText, WhenText};
use crate::graph::Past;
use crate::infer::Scope;
use crate::mistake::{Mistake, MistakeKind, Mistakes};
use crate::read::map_of;
use crate::schema::{Property, Type, decimals_of};
use crate::services::{Resolved, Services};
use crate::template::{Template, TemplateKind};

/// A file that agrees with its services.
#[derive(Debug)]
pub struct Checked {
    /// What is deployed.
    pub compiled: Compiled,
    /// What is allowed and may be an oversight.
    pub warnings: Option<Mistakes>,
}

impl ApplicationFile {
    /// Checks the file against its services and compiles it with these configured values.
    ///
    /// # Errors
    ///
    /// [`Mistakes`], each with its place, a code and a hint.
    pub fn check(
        &self,
        services: &impl Services,
        config: &Map<String, Json>,
    ) -> Result<Checked, Mistakes> {
        let mut checker = Checker {
            file: self,
            reader: Reader::new(&self.text),
            services: BTreeMap::new(),
            steps: Vec::new(),
            pasts: Vec::new(),
            known: Vec::new(),
            warnings: Vec::new(),
        };
        let document = checker.document(services, config);
        let Checker { reader, mut warnings, .. } = checker;
        reader.finish(&self.file)?;
        let document = document.expect("a file without mistakes compiles");
        let compiled = Compiled::from_parts(&document).map_err(|error| {
            let mistake = Mistake {
                kind: MistakeKind::TooLong,
                message: format!("nodes would refuse this application: {error}"),
                hint: "make it smaller: fewer steps, shorter texts".into(),
                label: "in here".into(),
                at: 0..0,
            };
            Mistakes::new(&self.file, &self.text, mistake, Vec::new())
        })?;
        let warnings = (!warnings.is_empty()).then(|| {
            let first = warnings.remove(0);
            Mistakes::new(&self.file, &self.text, first, warnings)
        });
        Ok(Checked { compiled, warnings })
    }
}

struct Checker<'f> {
    file: &'f ApplicationFile,
    reader: Reader<'f, MistakeKind>,
    /// What each alias stands for.
    services: BTreeMap<&'f str, Resolved>,
    /// Those that were compiled so far.
    steps: Vec<Step>,
    /// What lies before each step that was compiled so far.
    pasts: Vec<Past>,
    /// What is known of each of them.
    known: Vec<KnownStep>,
    warnings: Vec<Mistake>,
}

/// What others must know of a step.
struct KnownStep {
    /// Declared statuses with the types of their outputs, the main one first.
    statuses: Vec<(Name, Type)>,
    /// Whether a time is set that may run out.
    may_time_out: bool,
    /// Statuses that something hangs on.
    handled: BTreeSet<StepStatus>,
}

/// An event that was found in a manifest.
struct FoundEvent<'m> {
    name: EventName,
    event: &'m Event,
}

impl<'f> Checker<'f> {
    fn mistake(
        &mut self,
        kind: MistakeKind,
        at: Range<usize>,
        label: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.reader.mistake(kind, at, label, message, hint);
    }

    fn document(
        &mut self,
        services: &impl Services,
        values: &Map<String, Json>,
    ) -> Option<Document> {
        self.resolve(services);
        let config = self.config(values);
        let config_type = self.config_type(&config);
        let when = self.when(&config, &config_type);
        let event_type = when.as_ref().map_or(Type::Any, |when| Type::of(&when.schema));
        let trigger_keys = self.trigger_keys();
        let mut complete = true;
        for index in 0..self.file.steps.len() {
            let step = self.step(index, &config, &config_type, &event_type, &trigger_keys);
            complete &= step.is_some();
            // A step that is wrong still has its place, so that others are checked.
            self.steps.push(step.unwrap_or_else(|| self.stand_in(index)));
        }
        let returns = self.returns(&config_type, &event_type);
        self.unhandled();
        if !complete {
            return None;
        }
        Some(Document {
            config: Json::Object(config),
            when: when?,
            steps: std::mem::take(&mut self.steps),
            returns: returns?,
        })
    }

    fn when(&mut self, config: &Map<String, Json>, config_type: &Type) -> Option<When> {
        let text = match &self.file.when {
            WhenText::Used(schema) => {
                return Some(When {
                    event: None,
                    schema: schema.clone(),
                    filter: Vec::new(),
                    condition: None,
                });
            }
            WhenText::Event(text) => text,
        };
        let services = self.services.clone();
        let found = self.find_event(&services, &text.event)?;
        let schema = carried(found.event);
        let scope = self.scope(config_type, &Type::of(&schema), &Past::default());
        let filter = self.constant_keys(text, found.event, config);
        let condition = self.condition(text, &scope);
        Some(When {
            event: Some(event_use(&found)),
            schema,
            filter: filter?,
            condition: condition?,
        })
    }

    fn step(
        &mut self,
        index: usize,
        config: &Map<String, Json>,
        config_type: &Type,
        event_type: &Type,
        trigger_keys: &[String],
    ) -> Option<Step> {
        let text = &self.file.steps[index];
        let services = self.services.clone();
        let action = self.action(&services, text);
        let after = self.after(text, index);
        let past = after.as_ref().map(|after| Past::before(after, &self.pasts)).unwrap_or_default();
        self.reachable(text, after.as_ref(), &past);
        let statuses = action.as_ref().map(|(_, target)| target.statuses()).unwrap_or_default();
        self.known.push(KnownStep {
            statuses: statuses
                .iter()
                .map(|(name, schema)| (name.clone(), Type::of(schema)))
                .collect(),
            may_time_out: text.timeout_ms > 0
                || text.wait.as_ref().is_some_and(|wait| wait.timeout_ms > 0),
            handled: BTreeSet::new(),
        });
        let mut scope = self.scope(config_type, event_type, &past);
        let wait = match &text.wait {
            Some(wait) => {
                self.wait(wait, &services, &mut scope, &past, config, trigger_keys).map(Some)
            }
            None => Some(None),
        };
        self.pasts.push(past);
        let (action, target) = action?;
        match target {
            Target::Application(_) => self.application_only(text, index),
            Target::Task(task) => self.checkable(text, task),
        }
        let with = self.with(text, &target.inputs(), &scope);
        self.secrets(text, &target);
        let mut decimals: Vec<String> =
            statuses.iter().flat_map(|(_, schema)| decimals_of(schema)).collect();
        decimals.sort_unstable();
        decimals.dedup();
        Some(Step {
            id: text.id.value.clone(),
            action,
            after: after?,
            wait: wait?,
            with: with?,
            decimals,
            yields: Vec::new(),
            checkers: text.verify.checkers,
            quorum: text.verify.quorum,
            nodes: text.nodes.clone(),
            labels: text.labels.clone(),
            price_max: text.price_max,
            retry: Retry { max: text.retry_max, backoff_ms: text.backoff_ms },
            timeout_ms: text.timeout_ms,
        })
    }

    fn stand_in(&self, index: usize) -> Step {
        Step {
            id: self.file.steps[index].id.value.clone(),
            action: Action::Task { service: Hash::default(), task: ends::unknown_status() },
            after: After { mode: Join::All, ends: Vec::new() },
            wait: None,
            with: Template::of(TemplateKind::Literal(Json::Null)),
            decimals: Vec::new(),
            yields: Vec::new(),
            checkers: 0,
            quorum: 0,
            nodes: Vec::new(),
            labels: Vec::new(),
            price_max: althing_types::Amount::ZERO,
            retry: Retry { max: 0, backoff_ms: 0 },
            timeout_ms: 0,
        }
    }

    fn action<'m>(
        &mut self,
        services: &'m BTreeMap<&'f str, Resolved>,
        text: &StepText,
    ) -> Option<(Action, Target<'m>)> {
        let at = text.action.at.clone();
        let (alias, task) = match text.action.value.split_once('.') {
            Some((alias, task)) => (alias, Some(task)),
            None => (text.action.value.as_str(), None),
        };
        match (self.service(services, alias, at.clone())?, task) {
            (Resolved::Service { id, manifest }, Some(task)) => {
                let found = manifest.tasks.iter().find(|found| found.name.as_str() == task);
                if found.is_none() {
                    let known: Vec<&str> =
                        manifest.tasks.iter().map(|task| task.name.as_str()).collect();
                    self.unknown(at, alias, "task", task, &known);
                }
                let found = found?;
                let action = Action::Task { service: *id, task: found.name.clone() };
                Some((action, Target::Task(found)))
            }
            (Resolved::Service { manifest, .. }, None) => {
                let known: Vec<String> =
                    manifest.tasks.iter().map(|task| format!("{alias}.{}", task.name)).collect();
                let message = format!("`{alias}` is a service: name one of its tasks");
                let hint = format!("it may be one of: {}", known.join(", "));
                self.mistake(MistakeKind::UnknownName, at, "no task", message, hint);
                None
            }
            (Resolved::Application { id, interface }, None) => {
                Some((Action::Application { application: *id }, Target::Application(interface)))
            }
            (Resolved::Application { .. }, Some(task)) => {
                let message = format!("`{alias}` is an application: it has no task `{task}`");
                self.mistake(
                    MistakeKind::UnknownName,
                    at,
                    "no task",
                    message,
                    format!("write `do: {alias}`"),
                );
                None
            }
        }
    }

    /// A secret goes to nodes that the owner trusts with it: to those that are named, and to nobody
    /// who would have to see it to check them.
    fn secrets(&mut self, text: &StepText, target: &Target<'_>) {
        let asked: BTreeSet<&Name> =
            text.with.iter().flat_map(|(_, template)| template.secrets()).collect();
        let Some(name) = asked.first() else { return };
        let of = format!("the step `{}` is given the secret `{name}`", text.id.value);
        let at = text.with_at.clone();
        let (message, hint) = if matches!(target, Target::Application(_)) {
            let message = format!("{of}, but it uses an application, which others evaluate too");
            (message, "give the secret to a task")
        } else if text.verify.checkers > 0 {
            let message = format!("{of}: its checkers would have to be given it too");
            (message, "remove `verify`: who is given the secret is trusted")
        } else if text.nodes.is_empty() {
            let message = format!("{of}, but any node could be drawn for it and would be given it");
            (message, "say whom you trust with it: `nodes: { allow: [0x…] }`")
        } else if asked.len() > SECRETS_MAX {
            let message = format!("{of} and {} more", asked.len().saturating_sub(1));
            (message, "a step is given at most 16 secrets")
        } else {
            return;
        };
        self.mistake(MistakeKind::Secret, at, "a secret", message, hint);
    }

    /// Nobody is drawn to check what nobody can check.
    fn checkable(&mut self, text: &StepText, task: &Task) {
        if task.verification == Verification::None && text.verify.checkers > 0 {
            let action = &text.action.value;
            let message = format!("nobody can check `{action}`: its `verification` is `none`");
            let hint = "remove `verify`: whoever is drawn is trusted; `nodes` says who may be";
            let at = text.action.at.clone();
            self.mistake(MistakeKind::Uncheckable, at, "cannot be checked", message, hint);
        }
    }

    /// An application's steps have their own settings, and nobody executes it to decide anything.
    fn application_only(&mut self, text: &StepText, index: usize) {
        let at = text.action.at.clone();
        let is_plain = text.verify.checkers == 0 && text.nodes.is_empty() && text.labels.is_empty();
        if !is_plain {
            let message = format!(
                "`{}` is an application: `verify` and `nodes` are settings of its own steps",
                text.id.value
            );
            self.mistake(
                MistakeKind::Rule,
                at.clone(),
                "an application",
                message,
                "remove them here",
            );
        }
        let first = match &self.file.when {
            WhenText::Event(when) if index == 0 => when.condition.is_some(),
            _ => false,
        };
        if first || text.wait.as_ref().is_some_and(|wait| wait.condition.is_some()) {
            let message = format!(
                "`{}` is an application: nobody executes it to decide an `if`",
                text.id.value
            );
            self.mistake(
                MistakeKind::Rule,
                at,
                "an application",
                message,
                "put a task before it that decides",
            );
        }
    }

    fn wait(
        &mut self,
        text: &EventText,
        services: &BTreeMap<&'f str, Resolved>,
        scope: &mut Scope,
        past: &Past,
        config: &Map<String, Json>,
        trigger_keys: &[String],
    ) -> Option<WaitFor> {
        let found = self.find_event(services, &text.event)?;
        let filter = self.wait_keys(text, found.event, scope, past, config, trigger_keys);
        scope.elsewhere.remove("awaited");
        scope.variables.insert("awaited".into(), Type::of(&carried(found.event)));
        let condition = self.condition(text, scope);
        Some(WaitFor {
            event: event_use(&found),
            filter: filter?,
            condition: condition?,
            timeout_ms: text.timeout_ms,
        })
    }

    fn returns(&mut self, config: &Type, event: &Type) -> Option<Vec<Return>> {
        let file = self.file;
        let returns: Vec<_> = file
            .returns
            .iter()
            .map(|text| {
                if let name @ ("error" | "timeout") = text.name.value.as_str() {
                    let message = format!(
                        "a return cannot be called `{name}`: every step has that status anyway"
                    );
                    self.mistake(
                        MistakeKind::Name,
                        text.name.at.clone(),
                        "taken",
                        message,
                        "give it another name",
                    );
                    return None;
                }
                let ends = self.ends(&text.from, file.steps.len())?;
                let from = ends.into_iter().next()?;
                let past = Past::behind(&from, &self.pasts);
                self.handle(&from);
                let scope = self.scope(config, event, &past);
                let mut fields = BTreeMap::new();
                for (name, template) in &text.data {
                    let r#type = self.template(template, &scope)?;
                    fields.insert(name.value.clone(), Property { r#type, required: true });
                }
                let entries =
                    text.data.iter().map(|(name, template)| (name.value.clone(), template.clone()));
                let data = Template::of(map_of(entries.collect()));
                let schema = Type::Map(fields, false).to_schema();
                Some(Return { name: text.name.value.clone(), from, data, schema })
            })
            .collect();
        returns.into_iter().collect()
    }

    fn handle(&mut self, end: &End) {
        if let Some(known) = self.known.get_mut(usize::from(end.step)) {
            known.handled.insert(end.status.clone());
        }
    }

    /// Warns of statuses that end a branch without anybody having said so.
    fn unhandled(&mut self) {
        for (known, text) in self.known.iter().zip(&self.file.steps) {
            let others =
                known.statuses.iter().skip(1).map(|(name, _)| StepStatus::Returned(name.clone()));
            let timeout = known.may_time_out.then_some(StepStatus::Timeout);
            let lost: Vec<String> = others
                .chain(timeout)
                .filter(|status| !known.handled.contains(status))
                .map(|status| format!("`{status}`"))
                .collect();
            if lost.is_empty() {
                continue;
            }
            let id = &text.id.value;
            self.warnings.push(Mistake {
                kind: MistakeKind::Unhandled,
                message: format!("nothing hangs on {} of `{id}`", lost.join(", ")),
                hint: format!(
                    "its branch ends there; a step with `after: {id}.status` would go on"
                ),
                label: "ends its branch".into(),
                at: text.id.at.clone(),
            });
        }
    }
}

/// What a step uses.
enum Target<'m> {
    Task(&'m Task),
    Application(&'m Interface),
}

impl Target<'_> {
    fn inputs(&self) -> Json {
        match self {
            Self::Task(task) => task.inputs.clone(),
            Self::Application(interface) => interface.inputs.clone(),
        }
    }

    fn statuses(&self) -> Vec<(Name, Json)> {
        match self {
            Self::Task(task) => task
                .statuses
                .iter()
                .map(|status| (status.name.clone(), status.outputs.clone()))
                .collect(),
            Self::Application(interface) => interface.returns.clone(),
        }
    }
}
