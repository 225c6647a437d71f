//! Imports what was written for MESG: services and processes of both generations.
//!
//! ```text
//!   mesg.yml     outputs by status, or flat ─► service.yml ┐
//!   process.yml  trigger, task, map, filter ─► app.yaml    ├─ and what could not be carried over, and why
//! ```
//!
//! What is left out is never left out silently, and a step whose condition is lost is left out with
//! it: running it without would mean something else.
//!
//! - Source: MESG's documentation of service and process files.

mod process;
mod service;
mod yaml;

use althing_manifest::document::{Content, Node};
use serde_json::Value as Json;

/// A file of ours, made of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// What it is.
    pub kind: ImportedKind,
    /// Its text.
    pub text: String,
    /// What could not be carried over, or wants a look.
    pub notes: Vec<Note>,
}

/// What a file became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedKind {
    /// An `app.yaml`.
    Application,
    /// A `service.yml`.
    Service,
}

/// Something that is different now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where in the original: `steps[2]`.
    pub place: String,
    /// What was not carried over, or how.
    pub what: String,
    /// Why, and what to do.
    pub why: String,
}

/// A text that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this cannot be imported: {reason}")]
pub struct NotImportable {
    /// Why.
    pub reason: String,
}

impl NotImportable {
    /// The page in `docs/errors`.
    pub const CODE: &'static str = "APP-0032";

    fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Imports a service or process file of MESG.
///
/// # Errors
///
/// [`NotImportable`] for a text that is neither.
pub fn import(text: &str) -> Result<Imported, NotImportable> {
    let root = yaml::read(text)?;
    let Content::Map(entries) = &root.value else {
        return Err(NotImportable::because("it is no mapping"));
    };
    let has = |key: &str| entries.iter().any(|(name, _)| name.value == key);
    if has("steps") {
        return Ok(process::import(&root));
    }
    if has("source") && has("tasks") {
        return Err(NotImportable::because(
            "it is a workflow of the prototype, whose functions and lists of allowed nodes have no \
             counterpart",
        ));
    }
    if has("tasks") || has("events") {
        return Ok(service::import(&root));
    }
    Err(NotImportable::because(
        "it has no `steps`, as a process has, and no `tasks` or `events`, as a service has",
    ))
}

/// Where services are expected that were imported too.
const NAMESPACE: &str = "mesg";

struct Notes(Vec<Note>);

impl Notes {
    fn add(&mut self, place: impl Into<String>, what: impl Into<String>, why: impl Into<String>) {
        self.0.push(Note { place: place.into(), what: what.into(), why: why.into() });
    }
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Content::Map(entries) = &node.value else { return None };
    entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node)
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    let entries = match node.map(|node| &node.value) {
        Some(Content::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, node)| (key.value.as_str(), node))
}

fn text_of<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    match get(node, key).map(|node| &node.value) {
        Some(Content::Text(text)) => Some(text),
        _ => None,
    }
}

/// As JSON; a number that JSON cannot keep becomes a text.
fn json_of(node: &Node) -> Json {
    match &node.value {
        Content::List(items) => items.iter().map(json_of).collect(),
        Content::Map(entries) => Json::Object(
            entries.iter().map(|(key, node)| (key.value.clone(), json_of(node))).collect(),
        ),
        scalar @ (Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_)) => {
            scalar.to_json().unwrap_or_else(|number| Json::String(number.to_string()))
        }
    }
}

/// Words of small letters: `taskX` with '_' becomes `task_x`, `ERC20 Transfer` with '-' `erc20-transfer`.
fn slug(text: &str, separator: char) -> String {
    let mut slug = String::new();
    let mut after_small = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            if c.is_ascii_uppercase() && after_small {
                slug.push(separator);
            }
            after_small = c.is_ascii_lowercase() || c.is_ascii_digit();
            slug.push(c.to_ascii_lowercase());
        } else {
            after_small = false;
            if !slug.is_empty() && !slug.ends_with(separator) {
                slug.push(separator);
            }
        }
        if slug.len() >= 48 {
            break;
        }
    }
    let slug = slug.trim_end_matches(separator);
    if slug.is_empty() { "unnamed".to_owned() } else { slug.to_owned() }
}

/// A slug that a variable can have, and that is not in `taken`.
fn variable(text: &str, taken: &[String]) -> String {
    let mut base = slug(text, '_');
    if !base.starts_with(|c: char| c.is_ascii_lowercase()) {
        base.insert_str(0, "s_");
    }
    let is_free = |name: &str| {
        !taken.iter().any(|other| other == name)
            && !crate::read::VARIABLES.contains(&name)
            && !["true", "false", "null", "in", "has"].contains(&name)
    };
    if is_free(&base) {
        return base;
    }
    (2..).map(|n| format!("{base}_{n}")).find(|name| is_free(name)).expect("numbers do not end")
}
