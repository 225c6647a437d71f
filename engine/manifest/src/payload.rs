//! Reads the schema of a payload: a line for each property, or a JSON Schema.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::document::{Content, Node, place};
use crate::mistake::{Kind, MistakeKind};
use crate::read::Reader;
use crate::schema;

impl<K: Kind> Reader<'_, K> {
    /// The schema of inputs, outputs or data: `{ schema: … }`, or a line for each property.
    pub fn payload(&mut self, node: &Node, at: Range<usize>, what: &'static str) -> Option<Value> {
        let fields = self.mapping(node, at, what)?;
        if let (1, Some((full, at))) = (fields.entries().len(), fields.find("schema"))
            && let Content::Map(_) | Content::Bool(_) = full.value
        {
            return self.json_schema(full, &at);
        }
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for (key, node) in fields.entries() {
            let schema = match &node.value {
                Content::Map(_) => {
                    required.push(key.value.clone());
                    self.json_schema(node, &place(key))?
                }
                _ => {
                    let written = self.text(node, "a property")?;
                    let word = written.strip_suffix('?').unwrap_or(written);
                    if word == written {
                        required.push(key.value.clone());
                    }
                    self.schema_of_word(node, word)?
                }
            };
            properties.insert(key.value.clone(), schema);
        }
        let whole = schema::object(properties, required);
        let Err(error) = schema::compile(&whole) else { return Some(whole) };
        // Each property by itself can be used, and still not all of them in one schema.
        let name =
            error.pointer.strip_prefix("/properties/").and_then(|rest| rest.split('/').next());
        let at = name.and_then(|name| fields.find(name)).map_or(fields.at, |(_, at)| at);
        self.mistake(
            MistakeKind::Schema,
            at,
            "in this payload",
            format!("the payload's schema cannot be used: {}", error.reason),
            "a property has no '$defs' of its own: write the whole payload under 'schema'",
        );
        None
    }

    fn schema_of_word(&mut self, node: &Node, word: &str) -> Option<Value> {
        let schema = schema::from_word(word);
        if schema.is_none() {
            let base = Node {
                value: Content::Text(word.trim_end_matches("[]").to_owned()),
                ..node.clone()
            };
            self.word(&base, "a type", &schema::WORDS);
        }
        schema
    }

    /// A JSON Schema that a node compiles.
    pub fn json_schema(&mut self, node: &Node, at: &Range<usize>) -> Option<Value> {
        let hint = "schemas are JSON Schema 2020-12; see docs/service-manifest.md for what a node compiles";
        let schema = match node.value.to_json() {
            Ok(schema) => schema,
            Err(number) => {
                self.mistake(
                    MistakeKind::Schema,
                    at.clone(),
                    "in here",
                    format!("the number {number} loses digits in JSON"),
                    "numbers beyond 2^53 are written as strings",
                );
                return None;
            }
        };
        if let Err(error) = schema::compile(&schema) {
            let at = node.value.locate(&error.pointer).unwrap_or_else(|| at.clone());
            self.mistake(
                MistakeKind::Schema,
                at,
                "in this schema",
                format!("the schema cannot be used: {}", error.reason),
                hint,
            );
            return None;
        }
        Some(schema)
    }
}
