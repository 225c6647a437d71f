//! JSON Schemas of strangers: what a node agrees to compile.
//!
//! A schema decides how much work its validation is, so it is bounded before it is compiled: its
//! length, its depth, and its size once every reference is followed. References lead into `$defs`
//! of the same schema and never in a circle; patterns are regular expressions of linear time.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use crate::json;

/// Longest schema in canonical bytes.
pub const SCHEMA_BYTES_MAX: usize = 32 << 10;
/// Deepest nesting of a schema, references followed.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Most values in a schema, references followed.
const NODES_MAX: usize = 10_000;
/// Largest compiled pattern in bytes.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Keywords that make a schema mean something outside of itself, or that move references.
const FOREIGN: [&str; 7] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema that a node refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BadSchema {
    /// What is wrong.
    pub reason: String,
    /// A JSON pointer to it.
    pub pointer: String,
}

impl BadSchema {
    fn at(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), pointer: pointer.into() }
    }
}

/// Compiles a schema within the bounds of this module.
///
/// # Errors
///
/// [`BadSchema`] for one that a node refuses.
pub fn compile(schema: &Value) -> Result<Validator, BadSchema> {
    let bytes = json::write(schema).len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(BadSchema::at(
            "",
            format!("the schema has {bytes} bytes, at most {SCHEMA_BYTES_MAX} are allowed"),
        ));
    }
    Bounds { root: schema, nodes_left: NODES_MAX }.check(schema, &mut String::new(), 0)?;
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX),
        )
        .should_validate_formats(false)
        .offline()
        .build(schema)
        .map_err(|error| BadSchema::at(error.instance_path().as_str(), brief(&error.to_string())))
}

struct Bounds<'s> {
    root: &'s Value,
    nodes_left: usize,
}

impl<'s> Bounds<'s> {
    /// Walks the schema as validation would; a circle of references ends at the depth's bound.
    fn check(
        &mut self,
        value: &'s Value,
        pointer: &mut String,
        depth: usize,
    ) -> Result<(), BadSchema> {
        self.nodes_left = self.nodes_left.saturating_sub(1);
        if self.nodes_left == 0 {
            return Err(BadSchema::at(
                pointer.as_str(),
                format!("with its references followed the schema has more than {NODES_MAX} values"),
            ));
        }
        if depth > SCHEMA_DEPTH_MAX {
            return Err(BadSchema::at(
                pointer.as_str(),
                format!(
                    "the schema is nested deeper than {SCHEMA_DEPTH_MAX}, or its references go in a circle"
                ),
            ));
        }
        let length = pointer.len();
        let inside = |bounds: &mut Self, part: &str, value: &'s Value, pointer: &mut String| {
            pointer.push('/');
            pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
            bounds.check(value, pointer, depth + 1)?;
            pointer.truncate(length);
            Ok(())
        };
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if let Some(foreign) = FOREIGN.iter().find(|foreign| **foreign == key.as_str())
                    {
                        return Err(BadSchema::at(
                            format!("{pointer}/{foreign}"),
                            format!("'{foreign}' is not allowed: a schema stands for itself"),
                        ));
                    }
                    match (key.as_str(), value) {
                        ("$schema", dialect)
                            if dialect.as_str().map(|text| text.trim_end_matches('#'))
                                != Some(DIALECT) =>
                        {
                            return Err(BadSchema::at(
                                format!("{pointer}/$schema"),
                                format!("schemas are of {DIALECT}"),
                            ));
                        }
                        ("$ref", Value::String(target)) => {
                            let target = self.resolve(target).ok_or_else(|| {
                                BadSchema::at(
                                    format!("{pointer}/$ref"),
                                    format!("'{target}' is not in this schema's '$defs'"),
                                )
                            })?;
                            self.check(target, pointer, depth + 1)?;
                        }
                        _ => inside(self, key, value, pointer)?,
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    inside(self, &index.to_string(), item, pointer)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    fn resolve(&self, reference: &str) -> Option<&'s Value> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.starts_with("/$defs/") { self.root.pointer(pointer) } else { None }
    }
}

/// The schema of an object with exactly these properties.
#[must_use]
pub fn object(properties: Map<String, Value>, required: Vec<String>) -> Value {
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// The words of the short form.
pub const WORDS: [&str; 7] = ["any", "boolean", "decimal", "integer", "number", "object", "string"];

/// The schema for `word`, `word[]` and so on; `None` for another word.
#[must_use]
pub fn from_word(word: &str) -> Option<Value> {
    if let Some(items) = word.strip_suffix("[]") {
        let items = from_word(items)?;
        return Some(json!({ "type": "array", "items": items }));
    }
    match word {
        "any" => Some(json!({})),
        // JSON's numbers are binary: money and other exact numbers are texts.
        "decimal" => Some(json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" })),
        _ if WORDS.contains(&word) => Some(json!({ "type": word })),
        _ => None,
    }
}

/// What is worth telling of a message that may repeat a whole payload.
pub(crate) fn brief(message: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    let mut brief: String = message.chars().take(CHARACTERS_MAX).collect();
    if brief.len() < message.len() {
        brief.push('…');
    }
    brief
}
