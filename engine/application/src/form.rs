//! The canonical JSON of a document: what is hashed, deployed and read by every node.
//!
//! A value with expressions is told from one without by its key: `is` a value, `cel` an expression,
//! `text` parts of a text, `list` and `map` what has such values inside. A form that no file leads to
//! is refused, so that a document has one form only.

use std::collections::BTreeSet;

use althing_manifest::CanonicalJson;
use althing_types::{
    Action, Address, After, Amount, End, EventName, Hash, Join, KEYS_MAX, LabelCondition, Name,
    Retry, STEPS_MAX, StepStatus, YIELDS_MAX, are_label_conditions,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::document::{
    BadDocument, DOCUMENT_BYTES_MAX, Document, EventUse, Measured, Return, Step, WaitFor, When,
    Where, WhereValue,
};
use crate::expression::Expression;
use crate::template::{Part, Template, TemplateKind};

/// Version of the form; another form gets another number.
const FORM: u32 = 1;
/// Most `returns`.
pub const RETURNS_MAX: usize = 32;
/// Most ends that one step hangs on.
pub const ENDS_MAX: usize = 64;
/// Most nodes that a step names.
pub const NODES_MAX: usize = 64;
/// Most expressions in an application.
pub const EXPRESSIONS_MAX: usize = 512;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    form: u32,
    config: Json,
    when: FormWhen,
    steps: Vec<FormStep>,
    returns: Vec<FormReturn>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormWhen {
    event: Option<FormEvent>,
    schema: Json,
    r#where: Vec<FormWhere>,
    r#if: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormEvent {
    service: String,
    name: String,
    measured: Vec<(String, u8, bool)>,
    decimals: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormWhere {
    key: u8,
    value: FormValue,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormValue {
    Constant(Json),
    Trigger(u8),
    Yielded(u16, u8),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormStep {
    id: String,
    r#do: FormAction,
    after: FormAfter,
    r#await: Option<FormWait>,
    with: Json,
    decimals: Vec<String>,
    yields: Vec<String>,
    checkers: u16,
    quorum: u16,
    nodes: Vec<String>,
    /// Left out where nothing is asked, as it was before there were labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<(String, Vec<String>)>,
    price_max: String,
    retries: u16,
    backoff_ms: u64,
    timeout_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormAction {
    Task(String, String),
    Application(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormAfter {
    All(Vec<FormEnd>),
    Any(Vec<FormEnd>),
}

#[derive(Serialize, Deserialize)]
struct FormEnd(u16, FormStatus);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormStatus {
    Returned(String),
    Error,
    Timeout,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormWait {
    event: FormEvent,
    r#where: Vec<FormWhere>,
    r#if: Option<String>,
    timeout_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormReturn {
    name: String,
    from: FormEnd,
    data: Json,
    schema: Json,
}

impl Document {
    /// The canonical bytes; their hash names the application's graph.
    ///
    /// # Errors
    ///
    /// [`BadDocument`] if a literal has a number that JSON loses digits of, or it becomes too long.
    pub fn canonical(&self) -> Result<Vec<u8>, BadDocument> {
        let form = serde_json::to_value(Form::of(self)).map_err(BadDocument::because)?;
        let bytes = CanonicalJson::of(form).map_err(BadDocument::because)?.into_bytes();
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(BadDocument::because(format_args!(
                "it has {} bytes, at most {DOCUMENT_BYTES_MAX} are allowed",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// Reads what [`canonical`](Self::canonical) writes.
    ///
    /// # Errors
    ///
    /// [`BadDocument`] for anything else.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, BadDocument> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(BadDocument::because("it is too long"));
        }
        let json = CanonicalJson::read(bytes).map_err(BadDocument::because)?;
        let form: Form =
            serde_json::from_value(json.value().clone()).map_err(BadDocument::because)?;
        let document = form.into_document()?;
        document.check()?;
        if document.canonical()? != bytes {
            return Err(BadDocument::because("a value is not written in its canonical way"));
        }
        Ok(document)
    }

    /// What the ledger and evaluation rely on.
    fn check(&self) -> Result<(), BadDocument> {
        let no = |reason: &str| Err(BadDocument::because(reason));
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX || self.returns.len() > RETURNS_MAX
        {
            return no("there are none or too many steps, or too many returns");
        }
        if !self.config.is_object() {
            return no("its configuration is no object");
        }
        let ids: BTreeSet<&Name> = self.steps.iter().map(|step| &step.id).collect();
        let names: BTreeSet<&Name> = self.returns.iter().map(|end| &end.name).collect();
        if ids.len() < self.steps.len() || names.len() < self.returns.len() {
            return no("a name is there twice");
        }
        if self.when.filter.iter().any(|key| !matches!(key.value, WhereValue::Constant(_))) {
            return no("the first event is compared with constants only");
        }
        let mut filters = vec![(0, &self.when.filter)];
        for (index, step) in self.steps.iter().enumerate() {
            let is_first = index == 0;
            let earlier = |end: &End| usize::from(end.step) < index;
            let ends = &step.after.ends;
            if is_first != ends.is_empty() || ends.len() > ENDS_MAX || !ends.iter().all(earlier) {
                return no("the first step hangs on the event, others on earlier steps");
            }
            if is_first && step.wait.is_some() {
                return no("the first step waits for no other event");
            }
            if step.yields.len() > YIELDS_MAX || step.nodes.len() > NODES_MAX {
                return no("a step has too many keys or nodes");
            }
            if !are_label_conditions(&step.labels) {
                return no("what a step asks of labels is too much, or not ascending");
            }
            if step.nodes.windows(2).any(|pair| matches!(pair, [a, b] if a >= b)) {
                return no("the nodes of a step are not ascending");
            }
            if !step.may_have_its_secrets() {
                return no("a step with secrets is a task, unchecked, of nodes that are named");
            }
            if let Some(wait) = &step.wait {
                filters.push((index, &wait.filter));
            }
        }
        let last = self.steps.len();
        if self.returns.iter().any(|end| usize::from(end.from.step) >= last) {
            return no("a return comes from no step");
        }
        if self.returns.iter().any(|end| !end.data.secrets().is_empty()) {
            return no("a return has a secret");
        }
        for (index, filter) in filters {
            let known = |key: &Where| match key.value {
                WhereValue::Constant(_) => true,
                WhereValue::Trigger(key) => {
                    usize::from(key) < KEYS_MAX && self.when.event.is_some()
                }
                WhereValue::Yielded { step, index: key } => {
                    usize::from(step) < index
                        && self
                            .steps
                            .get(usize::from(step))
                            .is_some_and(|step| usize::from(key) < step.yields.len())
                }
            };
            if filter.len() > KEYS_MAX
                || !filter.iter().all(|key| usize::from(key.key) < KEYS_MAX && known(key))
            {
                return no("a key is compared with what nobody knows");
            }
        }
        let mut expressions = 0_usize;
        let mut count = |_: &Expression| expressions += 1;
        for step in &self.steps {
            step.with.expressions(&mut count);
            step.yields.iter().for_each(&mut count);
        }
        self.returns.iter().for_each(|end| end.data.expressions(&mut count));
        if expressions > EXPRESSIONS_MAX {
            return no("there are too many expressions");
        }
        Ok(())
    }
}

impl Form {
    fn of(document: &Document) -> Self {
        let Document { config, when, steps, returns } = document;
        Self {
            form: FORM,
            config: config.clone(),
            when: FormWhen {
                event: when.event.as_ref().map(FormEvent::of),
                schema: when.schema.clone(),
                r#where: when.filter.iter().map(FormWhere::of).collect(),
                r#if: source_of(when.condition.as_ref()),
            },
            steps: steps.iter().map(FormStep::of).collect(),
            returns: returns
                .iter()
                .map(|end| FormReturn {
                    name: end.name.to_string(),
                    from: FormEnd::of(&end.from),
                    data: template_to_json(&end.data),
                    schema: end.schema.clone(),
                })
                .collect(),
        }
    }

    fn into_document(self) -> Result<Document, BadDocument> {
        let Self { form, config, when, steps, returns } = self;
        if form != FORM {
            return Err(BadDocument::because(format_args!(
                "its form is {form}, this node reads {FORM}"
            )));
        }
        let returns = returns.into_iter().map(|end| {
            Ok(Return {
                name: name(&end.name)?,
                from: end.from.into_end()?,
                data: template_from_json(&end.data)?,
                schema: end.schema,
            })
        });
        Ok(Document {
            config,
            when: When {
                event: when.event.map(FormEvent::into_event).transpose()?,
                schema: when.schema,
                filter: when.r#where.into_iter().map(FormWhere::into_where).collect(),
                condition: when.r#if.as_deref().map(expression).transpose()?,
            },
            steps: steps.into_iter().map(FormStep::into_step).collect::<Result<_, _>>()?,
            returns: returns.collect::<Result<_, BadDocument>>()?,
        })
    }
}

impl FormEvent {
    fn of(event: &EventUse) -> Self {
        Self {
            service: event.name.service.to_string(),
            name: event.name.event.to_string(),
            measured: event
                .measured
                .iter()
                .map(|m| (m.field.clone(), m.decimals, m.is_text))
                .collect(),
            decimals: event.decimals.clone(),
        }
    }

    fn into_event(self) -> Result<EventUse, BadDocument> {
        let measured = self.measured.into_iter().map(|(field, decimals, is_text)| Measured {
            field,
            decimals,
            is_text,
        });
        Ok(EventUse {
            name: EventName { service: hash(&self.service)?, event: name(&self.name)? },
            measured: measured.collect(),
            decimals: self.decimals,
        })
    }
}

impl FormWhere {
    fn of(key: &Where) -> Self {
        let value = match &key.value {
            WhereValue::Constant(json) => FormValue::Constant(json.clone()),
            WhereValue::Trigger(key) => FormValue::Trigger(*key),
            WhereValue::Yielded { step, index } => FormValue::Yielded(*step, *index),
        };
        Self { key: key.key, value }
    }

    fn into_where(self) -> Where {
        let value = match self.value {
            FormValue::Constant(json) => WhereValue::Constant(json),
            FormValue::Trigger(key) => WhereValue::Trigger(key),
            FormValue::Yielded(step, index) => WhereValue::Yielded { step, index },
        };
        Where { key: self.key, value }
    }
}

impl FormStep {
    fn of(step: &Step) -> Self {
        Self {
            id: step.id.to_string(),
            r#do: match &step.action {
                Action::Task { service, task } => {
                    FormAction::Task(service.to_string(), task.to_string())
                }
                Action::Application { application } => {
                    FormAction::Application(application.to_string())
                }
            },
            after: {
                let ends = step.after.ends.iter().map(FormEnd::of).collect();
                match step.after.mode {
                    Join::All => FormAfter::All(ends),
                    Join::Any => FormAfter::Any(ends),
                }
            },
            r#await: step.wait.as_ref().map(|wait| FormWait {
                event: FormEvent::of(&wait.event),
                r#where: wait.filter.iter().map(FormWhere::of).collect(),
                r#if: source_of(wait.condition.as_ref()),
                timeout_ms: wait.timeout_ms,
            }),
            with: template_to_json(&step.with),
            decimals: step.decimals.clone(),
            yields: step.yields.iter().map(|key| key.source().to_owned()).collect(),
            checkers: step.checkers,
            quorum: step.quorum,
            nodes: step.nodes.iter().map(ToString::to_string).collect(),
            labels: step
                .labels
                .iter()
                .map(|condition| {
                    let values = condition.values.iter().map(ToString::to_string).collect();
                    (condition.name.to_string(), values)
                })
                .collect(),
            price_max: step.price_max.base_units().to_string(),
            retries: step.retry.max,
            backoff_ms: step.retry.backoff_ms,
            timeout_ms: step.timeout_ms,
        }
    }

    fn into_step(self) -> Result<Step, BadDocument> {
        let (mode, ends) = match self.after {
            FormAfter::All(ends) => (Join::All, ends),
            FormAfter::Any(ends) => (Join::Any, ends),
        };
        let wait = self.r#await.map(|wait| {
            Ok(WaitFor {
                event: wait.event.into_event()?,
                filter: wait.r#where.into_iter().map(FormWhere::into_where).collect(),
                condition: wait.r#if.as_deref().map(expression).transpose()?,
                timeout_ms: wait.timeout_ms,
            })
        });
        let nodes =
            self.nodes.iter().map(|node| node.parse::<Address>().map_err(BadDocument::because));
        let units: u128 = self.price_max.parse().map_err(BadDocument::because)?;
        Ok(Step {
            id: name(&self.id)?,
            action: match self.r#do {
                FormAction::Task(service, task) => {
                    Action::Task { service: hash(&service)?, task: name(&task)? }
                }
                FormAction::Application(id) => Action::Application { application: hash(&id)? },
            },
            after: After {
                mode,
                ends: ends.into_iter().map(FormEnd::into_end).collect::<Result<_, _>>()?,
            },
            wait: wait.transpose()?,
            with: template_from_json(&self.with)?,
            decimals: self.decimals,
            yields: self.yields.iter().map(|key| expression(key)).collect::<Result<_, _>>()?,
            checkers: self.checkers,
            quorum: self.quorum,
            nodes: nodes.collect::<Result<_, _>>()?,
            labels: self
                .labels
                .iter()
                .map(|(label, values)| {
                    let values = values.iter().map(|value| name(value));
                    let values = values.collect::<Result<_, _>>()?;
                    Ok(LabelCondition { name: name(label)?, values })
                })
                .collect::<Result<_, BadDocument>>()?,
            price_max: Amount::from_base_units(units),
            retry: Retry { max: self.retries, backoff_ms: self.backoff_ms },
            timeout_ms: self.timeout_ms,
        })
    }
}

impl FormEnd {
    fn of(end: &End) -> Self {
        let status = match &end.status {
            StepStatus::Returned(name) => FormStatus::Returned(name.to_string()),
            StepStatus::Error => FormStatus::Error,
            StepStatus::Timeout => FormStatus::Timeout,
        };
        Self(end.step, status)
    }

    fn into_end(self) -> Result<End, BadDocument> {
        let status = match self.1 {
            FormStatus::Returned(status) => StepStatus::Returned(name(&status)?),
            FormStatus::Error => StepStatus::Error,
            FormStatus::Timeout => StepStatus::Timeout,
        };
        Ok(End { step: self.0, status })
    }
}

fn source_of(expression: Option<&Expression>) -> Option<String> {
    expression.map(|expression| expression.source().to_owned())
}

fn name(text: &str) -> Result<Name, BadDocument> {
    text.parse().map_err(BadDocument::because)
}

fn hash(text: &str) -> Result<Hash, BadDocument> {
    text.parse().map_err(BadDocument::because)
}

fn expression(source: &str) -> Result<Expression, BadDocument> {
    Expression::parse(source).map_err(|error| BadDocument::because(error.reason))
}

fn single(key: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), value)]))
}

fn cel(expression: &Expression) -> Json {
    single("cel", expression.source().into())
}

fn template_to_json(template: &Template) -> Json {
    match &template.kind {
        TemplateKind::Literal(json) => single("is", json.clone()),
        TemplateKind::Expression(expression) => cel(expression),
        TemplateKind::Text(parts) => {
            let parts = parts.iter().map(|part| match part {
                Part::Text(text) => Json::from(text.as_str()),
                Part::Expression(expression) => cel(expression),
            });
            single("text", parts.collect())
        }
        TemplateKind::List(items) => single("list", items.iter().map(template_to_json).collect()),
        TemplateKind::Map(entries) => {
            let entries =
                entries.iter().map(|(key, template)| (key.clone(), template_to_json(template)));
            single("map", Json::Object(entries.collect()))
        }
        TemplateKind::Secret(name) => single("secret", name.to_string().into()),
    }
}

fn template_from_json(json: &Json) -> Result<Template, BadDocument> {
    let bad = || BadDocument::because("a value is neither a literal nor an expression");
    let entry = json.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
    let (key, value) = entry.ok_or_else(bad)?;
    let source = |json: &Json| json.as_str().ok_or_else(bad).and_then(expression);
    let kind = match (key.as_str(), value) {
        ("is", json) => TemplateKind::Literal(json.clone()),
        ("cel", json) => TemplateKind::Expression(source(json)?),
        ("text", Json::Array(parts)) => {
            let parts = parts.iter().map(|part| match part {
                Json::String(text) => Ok(Part::Text(text.clone())),
                other => other.get("cel").ok_or_else(bad).and_then(source).map(Part::Expression),
            });
            TemplateKind::Text(parts.collect::<Result<_, _>>()?)
        }
        ("list", Json::Array(items)) => {
            TemplateKind::List(items.iter().map(template_from_json).collect::<Result<_, _>>()?)
        }
        ("map", Json::Object(map)) => {
            let entries =
                map.iter().map(|(key, json)| Ok((key.clone(), template_from_json(json)?)));
            TemplateKind::Map(entries.collect::<Result<_, BadDocument>>()?)
        }
        ("secret", Json::String(secret)) => TemplateKind::Secret(name(secret)?),
        _ => return Err(bad()),
    };
    Ok(Template::of(kind))
}
