//! `mesg.yml` to `service.yml`: outputs by status, or flat with one status.

use std::fmt::Write as _;

use althing_manifest::document::{Content, Node};
use serde_json::{Map, Value as Json, json};

use super::yaml::{flow, key};
use super::{Imported, ImportedKind, NAMESPACE, Note, Notes, entries, get, slug, text_of};

pub(super) fn import(root: &Node) -> Imported {
    let mut notes = Notes(Vec::new());
    let called = text_of(root, "sid").or_else(|| text_of(root, "name")).unwrap_or("unnamed");
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "service: {NAMESPACE}/{}@1.0.0",
        slug(called.trim_start_matches("service-"), '-')
    ));
    if let Some(summary) = text_of(root, "description") {
        let summary: String =
            summary.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
        line(format!("summary: {}", Json::from(summary)));
    }
    line("runtime: native".to_owned());
    notes.add(
        "",
        "the service is native: a program that each node connects",
        "MESG ran containers; docs/native-services.md says how a program becomes a service",
    );
    notes.add("", "prices are 0 and nobody checks tasks", "MESG's file has no prices and says nothing about how a result can be checked: set `price`, and `verification` where the program can tell");
    for (name, what) in [
        ("configuration", "the main container"),
        ("dependencies", "other containers"),
        ("repository", "the address of the source"),
        ("workflows", "workflows inside of a service"),
    ] {
        if get(root, name).is_some() {
            let why = if name == "workflows" {
                "applications are files of their own"
            } else {
                "how a program runs is its operator's concern and no part of what it offers"
            };
            notes.add(name, format!("{what} ({name})"), why);
        }
    }
    let mut tasks = entries(get(root, "tasks")).peekable();
    if tasks.peek().is_some() {
        line("tasks:".to_owned());
    }
    for (name, task) in tasks {
        line(format!("  {}:", renamed(name, "tasks", &mut notes)));
        describe(task, 4, &mut line);
        line("    verification: none".to_owned());
        line("    price: 0".to_owned());
        let place = format!("tasks.{name}");
        line(format!(
            "    inputs: {}",
            payload(get(task, "inputs"), &format!("{place}.inputs"), &mut notes)
        ));
        line("    statuses:".to_owned());
        for (status, outputs) in statuses(task) {
            let status_place = format!("{place}.outputs");
            let status = renamed(&status, &status_place, &mut notes);
            line(format!("      {status}: {}", payload(outputs, &status_place, &mut notes)));
        }
    }
    let mut events = entries(get(root, "events")).peekable();
    if events.peek().is_some() {
        line("events:".to_owned());
        notes.add("events", "no event has keys or an id of its own", "MESG had neither: name the properties by which applications find an event under `keys`, and the one that names an occurrence under `id`");
    }
    for (name, event) in events {
        line(format!("  {}:", renamed(name, "events", &mut notes)));
        describe(event, 4, &mut line);
        line(format!(
            "    data: {}",
            payload(get(event, "data"), &format!("events.{name}.data"), &mut notes)
        ));
    }
    Imported { kind: ImportedKind::Service, text: out, notes: notes.0 }
}

fn describe(node: &Node, indent: usize, line: &mut impl FnMut(String)) {
    if let Some(text) = text_of(node, "description") {
        let text: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
        line(format!("{}summary: {}", " ".repeat(indent), Json::from(text)));
    }
}

/// The first generation names statuses, each with its data; the second has outputs and one status.
fn statuses(task: &Node) -> Vec<(String, Option<&Node>)> {
    let outputs = get(task, "outputs");
    let is_flat = |node: &Node| get(node, "type").is_some();
    let all: Vec<(&str, &Node)> = entries(outputs).collect();
    if all.is_empty() || all.iter().any(|(_, node)| is_flat(node)) {
        return vec![("ok".to_owned(), outputs)];
    }
    all.into_iter().map(|(name, node)| (name.to_owned(), get(node, "data"))).collect()
}

/// A name of ours, with a note if it is another.
fn renamed(name: &str, place: &str, notes: &mut Notes) -> String {
    let ours = slug(name, '_');
    if ours != name {
        notes.add(
            place,
            format!("'{name}' is called '{ours}'"),
            "names are of small letters: programs that connect say them so",
        );
    }
    ours
}

/// Properties, as a line of our short form where that says it, else as JSON Schema.
fn payload(parameters: Option<&Node>, place: &str, notes: &mut Notes) -> String {
    let mut out = Vec::new();
    for (name, parameter) in entries(parameters) {
        let (schema, word) = schema(parameter, &format!("{place}.{name}"), notes);
        let optional =
            matches!(get(parameter, "optional").map(|node| &node.value), Some(Content::Bool(true)));
        let mut text = String::new();
        match word {
            Some(word) => {
                let word = if optional { format!("{word}?") } else { word };
                let _ = write!(text, "{}: {}", key(name), Json::from(word));
            }
            None if optional => {
                let _ = write!(text, "{}: {}", key(name), Json::from("any?"));
                notes.add(
                    format!("{place}.{name}"),
                    "an optional object takes any value",
                    "the short form of payloads has no optional objects: write a `schema`",
                );
            }
            None => {
                let _ = write!(text, "{}: {}", key(name), flow(&schema));
            }
        }
        out.push(text);
    }
    if out.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", out.join(", ")) }
}

/// What is inside of an object: under `object`, or, for a while, under `type` itself.
fn nested(parameter: &Node) -> Option<&Node> {
    let under_type = get(parameter, "type").filter(|kind| matches!(kind.value, Content::Map(_)));
    under_type.or_else(|| get(parameter, "object"))
}

/// The schema of a parameter, and the word of the short form that says the same.
fn schema(parameter: &Node, place: &str, notes: &mut Notes) -> (Json, Option<String>) {
    let repeated =
        matches!(get(parameter, "repeated").map(|node| &node.value), Some(Content::Bool(true)));
    let nested = nested(parameter);
    let kind = match nested {
        Some(_) => "object".to_owned(),
        None => text_of(parameter, "type").unwrap_or("Any").to_ascii_lowercase(),
    };
    let (item, word) = match kind.as_str() {
        "string" => (json!({ "type": "string" }), Some("string")),
        "number" => (json!({ "type": "number" }), Some("number")),
        "boolean" => (json!({ "type": "boolean" }), Some("boolean")),
        "object" if entries(nested).next().is_some() => {
            let mut properties = Map::new();
            let mut required = Vec::new();
            for (name, inner) in entries(nested) {
                let (inner_schema, _) = schema(inner, &format!("{place}.{name}"), notes);
                properties.insert(name.to_owned(), inner_schema);
                if !matches!(
                    get(inner, "optional").map(|node| &node.value),
                    Some(Content::Bool(true))
                ) {
                    required.push(Json::from(name));
                }
            }
            let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
            if let (Some(map), false) = (object.as_object_mut(), required.is_empty()) {
                map.insert("required".to_owned(), required.into());
            }
            (object, None)
        }
        "object" => (json!({ "type": "object" }), Some("object")),
        "any" => (json!({}), Some("any")),
        other => {
            notes.add(
                place,
                format!("the type '{other}' becomes 'string'"),
                "payloads are JSON: put the content, or where it is, into a text",
            );
            (json!({ "type": "string" }), Some("string"))
        }
    };
    if repeated {
        return (json!({ "type": "array", "items": item }), word.map(|word| format!("{word}[]")));
    }
    (item, word.map(str::to_owned))
}

/// What the notes say, for people.
impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}: {}", self.what, self.why)
    }
}
