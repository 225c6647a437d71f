//! A process file to `app.yaml`: a trigger, then tasks one after the other, with maps and filters between.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use althing_manifest::document::{Content, Node};
use serde_json::{Map, Value as Json};

use super::yaml::{flow, key};
use super::{
    Imported, ImportedKind, NAMESPACE, Notes, entries, get, json_of, slug, text_of, variable,
};

/// What a step of the process hands to the next one.
#[derive(Clone)]
enum Output {
    /// What this path of an expression stands for.
    Path(String),
    /// What a map has put together.
    Values(BTreeMap<String, Json>),
}

struct Process {
    notes: Notes,
    /// Aliases by what the process calls the instance.
    services: Vec<(String, String, String)>,
    ids: Vec<String>,
    config: Vec<String>,
    outputs: BTreeMap<String, Output>,
    previous: Output,
    conditions: Vec<String>,
    when: Option<String>,
    steps: Vec<String>,
}

pub(super) fn import(root: &Node) -> Imported {
    let mut process = Process {
        notes: Notes(Vec::new()),
        services: Vec::new(),
        ids: Vec::new(),
        config: Vec::new(),
        outputs: BTreeMap::new(),
        previous: Output::Path("event".to_owned()),
        conditions: Vec::new(),
        when: None,
        steps: Vec::new(),
    };
    let steps = match get(root, "steps").map(|node| &node.value) {
        Some(Content::List(steps)) => steps.as_slice(),
        _ => &[],
    };
    for (index, step) in steps.iter().enumerate() {
        let place = format!("steps[{index}]");
        if !process.step(step, &place) {
            let rest = steps.len() - index - 1;
            if rest > 0 {
                process.notes.add(place, "the steps after it", "what they hang on could not be carried over: without it they would run when they should not");
            }
            break;
        }
    }
    let called = text_of(root, "key").or_else(|| text_of(root, "name")).unwrap_or("unnamed");
    process.written(&slug(called, '-'))
}

impl Process {
    /// `false` if the steps after this one cannot be carried over.
    fn step(&mut self, step: &Node, place: &str) -> bool {
        let kind = text_of(step, "type").unwrap_or_default();
        match kind {
            "trigger" => self.trigger(step, place),
            "task" => self.task(step, place),
            "filter" => self.filter(step, place),
            "map" => self.map(step, place),
            other => {
                let what = format!("a step of type '{other}'");
                self.notes.add(place, what, "there are trigger, task, map and filter");
                false
            }
        }
    }

    fn trigger(&mut self, step: &Node, place: &str) -> bool {
        if self.when.is_some() || !self.steps.is_empty() {
            self.notes.add(place, "a second trigger", "an application hangs on exactly one event: let a step `await` the other, or make two applications");
            return false;
        }
        let Some(event) = text_of(step, "eventKey") else {
            self.notes.add(place, "a trigger by the result of a task", "an application hangs on an event: begin with the event that led to the task, or let the service emit one");
            return false;
        };
        let alias = self.service(step, place);
        self.when = Some(format!("{alias}.{}", slug(event, '_')));
        self.remember(step, Output::Path("event".to_owned()));
        true
    }

    fn task(&mut self, step: &Node, place: &str) -> bool {
        let Some(task) = text_of(step, "taskKey") else {
            self.notes.add(place, "a task without `taskKey`", "it names nothing to do");
            return false;
        };
        let alias = self.service(step, place);
        let id = variable(text_of(step, "key").unwrap_or(task), &self.ids);
        let with = match get(step, "inputs") {
            Some(inputs) => entries(Some(inputs))
                .map(|(name, node)| {
                    (name.to_owned(), self.value(node, &format!("{place}.inputs.{name}")))
                })
                .collect(),
            None => self.everything(place),
        };
        self.ids.push(id.clone());
        let mut text = format!("  - id: {id}\n    do: {alias}.{}\n", slug(task, '_'));
        if !with.is_empty() {
            text.push_str("    with:\n");
        }
        for (name, value) in &with {
            let _ = writeln!(text, "      {}: {}", key(name), flow(value));
        }
        self.steps.push(text);
        self.remember(step, Output::Path(id));
        true
    }

    /// The inputs of a task that takes what the step before it gave.
    fn everything(&mut self, place: &str) -> Map<String, Json> {
        match &self.previous {
            Output::Values(values) => values.clone().into_iter().collect(),
            Output::Path(path) => {
                let why = format!(
                    "the process does not say which: write each as `name: \"${{ {path}.name }}\"` under `with`"
                );
                self.notes.add(place, "the inputs, which were all outputs of the step before", why);
                Map::new()
            }
        }
    }

    fn filter(&mut self, step: &Node, place: &str) -> bool {
        let follows_event = self.steps.is_empty();
        if !follows_event {
            self.notes.add(place, "a filter between tasks", "only the first event and awaited ones have an `if`: let the task before it return a status for each case, and hang the next step on one");
            return false;
        }
        let mut conditions = Vec::new();
        match get(step, "conditions").map(|node| &node.value) {
            Some(Content::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let place = format!("{place}.conditions[{index}]");
                    match self.condition(item, &place) {
                        Some(condition) => conditions.push(condition),
                        None => return false,
                    }
                }
            }
            _ => {
                for (name, node) in entries(get(step, "conditions")) {
                    let wanted = self.text(json_of(node), place);
                    let wanted = expression_of(&wanted);
                    conditions
                        .push(format!("{} == {wanted}", self.reference(None, Some(name), place)));
                }
            }
        }
        self.conditions.extend(conditions);
        true
    }

    fn condition(&mut self, item: &Node, place: &str) -> Option<String> {
        let path = match get(item, "ref") {
            Some(reference) => {
                let from = text_of(reference, "nodeKey").or_else(|| text_of(reference, "stepKey"));
                self.reference(from, text_of(reference, "key"), place)
            }
            None => self.reference(text_of(item, "stepKey"), text_of(item, "key"), place),
        };
        let value = get(item, "value").map_or(Json::Null, json_of);
        let value = self.text(value, place);
        let value = expression_of(&value);
        let predicate = text_of(item, "predicate").unwrap_or("EQ");
        Some(match predicate {
            "EQ" => format!("{path} == {value}"),
            "NEQ" => format!("{path} != {value}"),
            "GT" => format!("{path} > {value}"),
            "GTE" => format!("{path} >= {value}"),
            "LT" => format!("{path} < {value}"),
            "LTE" => format!("{path} <= {value}"),
            "CONTAINS" => format!("{value} in {path}"),
            other => {
                let what = format!("the predicate '{other}'");
                self.notes.add(place, what, "there are EQ, NEQ, GT, GTE, LT, LTE and CONTAINS");
                return None;
            }
        })
    }

    fn map(&mut self, step: &Node, place: &str) -> bool {
        let mut values = BTreeMap::new();
        match get(step, "outputs").map(|node| &node.value) {
            Some(Content::List(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let place = format!("{place}.outputs[{index}]");
                    let Some(name) = text_of(item, "key") else { continue };
                    let value = match (
                        get(item, "ref"),
                        get(item, "constant").or_else(|| get(item, "value")),
                    ) {
                        (Some(reference), _) => self.value(reference, &place),
                        (None, Some(constant)) => self.text(json_of(constant), &place),
                        (None, None) => Json::Null,
                    };
                    values.insert(name.to_owned(), value);
                }
            }
            _ => {
                for (name, node) in entries(get(step, "outputs")) {
                    let value = self.value(node, &format!("{place}.outputs.{name}"));
                    values.insert(name.to_owned(), value);
                }
            }
        }
        self.remember(step, Output::Values(values));
        true
    }

    fn remember(&mut self, step: &Node, output: Output) {
        if let Some(name) = text_of(step, "key") {
            self.outputs.insert(name.to_owned(), output.clone());
        }
        self.previous = output;
    }

    /// The alias of an instance.
    fn service(&mut self, step: &Node, place: &str) -> String {
        let instance = get(step, "instance");
        let named = instance
            .and_then(|instance| text_of(instance, "src").or_else(|| text_of(instance, "service")));
        let hash = text_of(step, "instanceHash");
        let called = named.or(hash).unwrap_or("unnamed");
        if let Some((_, alias, _)) = self.services.iter().find(|(known, ..)| known == called) {
            return alias.clone();
        }
        let last = called.trim_end_matches('/').rsplit('/').next().unwrap_or(called);
        let short = if named.is_none() {
            let digits: String = last.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
            format!("service-{}", digits.to_ascii_lowercase())
        } else {
            slug(last.trim_end_matches(".git").trim_start_matches("service-"), '-')
        };
        let taken: Vec<String> = self.services.iter().map(|(_, alias, _)| alias.clone()).collect();
        let alias = variable(&short, &taken);
        let reference = format!("{NAMESPACE}/{short}@1");
        let why = format!(
            "it is expected as `{reference}`: write the name under which it is published here"
        );
        self.notes.add(place, format!("the instance '{called}'"), why);
        if instance.and_then(|instance| get(instance, "env")).is_some() {
            self.notes.add(
                place,
                "environment variables of the instance",
                "they belong to the node that runs the service, not to an application",
            );
        }
        self.services.push((called.to_owned(), alias.clone(), reference));
        alias
    }

    /// A constant, a reference to an output, or a mapping or list of such.
    fn value(&mut self, node: &Node, place: &str) -> Json {
        match &node.value {
            Content::Map(fields) => {
                let is_reference = !fields.is_empty()
                    && fields.iter().all(|(name, node)| {
                        matches!(name.value.as_str(), "key" | "stepKey" | "nodeKey")
                            && matches!(node.value, Content::Text(_))
                    });
                if is_reference {
                    let from = text_of(node, "stepKey").or_else(|| text_of(node, "nodeKey"));
                    return self.referenced(from, text_of(node, "key"), place);
                }
                let fields = fields.iter().map(|(name, node)| {
                    (name.value.clone(), self.value(node, &format!("{place}.{}", name.value)))
                });
                Json::Object(fields.collect())
            }
            Content::List(items) => items.iter().map(|item| self.value(item, place)).collect(),
            Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => {
                self.text(json_of(node), place)
            }
        }
    }

    /// A constant; `$(env:NAME)` in a text becomes a configured value.
    fn text(&mut self, value: Json, place: &str) -> Json {
        let Json::String(text) = value else { return value };
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("$(env:") {
            let Some((name, after)) = after.split_once(')') else { break };
            out.push_str(&before.replace("${", "$${"));
            let _ = write!(out, "${{ config.{} }}", self.configured(name, place));
            rest = after;
        }
        out.push_str(&rest.replace("${", "$${"));
        Json::String(out)
    }

    fn configured(&mut self, name: &str, place: &str) -> String {
        let ours = slug(&name.to_ascii_lowercase(), '_');
        if !self.config.contains(&ours) {
            self.config.push(ours.clone());
            let secret =
                ["key", "secret", "token", "password"].iter().any(|word| ours.contains(word));
            if secret {
                let why = "a document is read by every node that works for the application: keep it with the node that runs the service";
                self.notes.add(place, format!("`config.{ours}` looks like a secret"), why);
            }
        }
        ours
    }

    fn referenced(&mut self, from: Option<&str>, path: Option<&str>, place: &str) -> Json {
        let output = self.output(from, place);
        if let Output::Values(values) = &output {
            let Some(path) = path else {
                return Json::Object(values.clone().into_iter().collect());
            };
            if let Some(value) = values.get(path) {
                return value.clone();
            }
        }
        Json::String(format!("${{ {} }}", self.reference(from, path, place)))
    }

    fn output(&mut self, from: Option<&str>, place: &str) -> Output {
        let Some(from) = from else { return self.previous.clone() };
        self.outputs.get(from).cloned().unwrap_or_else(|| {
            let what = format!("a reference to '{from}'");
            self.notes.add(place, what, "no step before it is called so");
            Output::Path(variable(from, &[]))
        })
    }

    /// A reference as an expression.
    fn reference(&mut self, from: Option<&str>, path: Option<&str>, place: &str) -> String {
        let mut expression = match self.output(from, place) {
            Output::Path(root) => root,
            Output::Values(values) => {
                let (name, rest) = path.map_or(("", None), |path| match path.split_once('.') {
                    Some((name, rest)) => (name, Some(rest)),
                    None => (path, None),
                });
                let value = values.get(name).cloned().unwrap_or(Json::Null);
                let base = expression_of(&value);
                return rest.map_or_else(|| base.clone(), |rest| selected(base.clone(), rest));
            }
        };
        if let Some(path) = path {
            expression = selected(expression, path);
        }
        expression
    }

    fn written(self, app: &str) -> Imported {
        let mut out = format!("app: {app}\nversion: 1.0.0\n");
        out.push_str("services:\n");
        for (_, alias, reference) in &self.services {
            let _ = writeln!(out, "  {alias}: {reference}");
        }
        if !self.config.is_empty() {
            out.push_str("config:\n");
            for name in &self.config {
                let _ = writeln!(out, "  {name}: {{ type: string }}");
            }
        }
        match (self.when, self.conditions.as_slice()) {
            (Some(event), []) => {
                let _ = writeln!(out, "when: {event}");
            }
            (Some(event), conditions) => {
                let condition = Json::from(format!("${{ {} }}", conditions.join(" && ")));
                let _ = writeln!(out, "when:\n  event: {event}\n  if: {condition}");
            }
            (None, _) => {
                out.push_str("# when: the event that starts it could not be carried over\n");
            }
        }
        out.push_str("then:\n");
        self.steps.iter().for_each(|step| out.push_str(step));
        if self.steps.is_empty() {
            out.push_str("  []\n");
        }
        Imported { kind: ImportedKind::Application, text: out, notes: self.notes.0 }
    }
}

fn selected(mut expression: String, path: &str) -> String {
    for part in path.split('.') {
        let (part, places) = indexed(part);
        let is_word = part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_word {
            let _ = write!(expression, ".{part}");
        } else {
            let _ = write!(expression, "[{}]", Json::from(part));
        }
        expression.push_str(places);
    }
    expression
}

/// `lines[0][1]` as `lines` and `[0][1]`: places in lists.
fn indexed(part: &str) -> (&str, &str) {
    let Some((name, places)) = part.find('[').and_then(|at| part.split_at_checked(at)) else {
        return (part, "");
    };
    let inner = places.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_place = |text: &str| {
        (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let are_places = !name.is_empty() && inner.is_some_and(|all| all.split("][").all(is_place));
    if are_places { (name, places) } else { (part, "") }
}

/// A value as an expression: one that is written as such, or a literal.
fn expression_of(value: &Json) -> String {
    match value {
        Json::String(text) => {
            let whole = text.strip_prefix("${ ").and_then(|rest| rest.strip_suffix(" }"));
            match whole.filter(|inner| !inner.contains("${")) {
                Some(inner) => inner.to_owned(),
                None => Json::from(text.replace("$${", "${")).to_string(),
            }
        }
        other => other.to_string(),
    }
}
