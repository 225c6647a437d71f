//! JSON Schemas as types: what can be known of a value before there is one.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// References are followed this deep at most.
const DEPTH_MAX: usize = 32;
/// How an exact number is written as a text, in a schema: the word `decimal`.
const DECIMAL: &str = "^-?[0-9]+(\\.[0-9]+)?$";

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Any,
    Null,
    Bool,
    Number,
    /// A number that is written as a text.
    Decimal,
    Text,
    List(Box<Self>),
    /// Properties, and whether there may be others.
    Map(BTreeMap<String, Property>, bool),
    /// This, or nothing.
    Maybe(Box<Self>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    pub(crate) r#type: Type,
    pub(crate) required: bool,
}

impl Type {
    pub(crate) fn of(schema: &Json) -> Self {
        Self::within(schema, schema, 0)
    }

    fn within(schema: &Json, root: &Json, depth: usize) -> Self {
        let Some(map) = schema.as_object().filter(|_| depth <= DEPTH_MAX) else { return Self::Any };
        if let Some(target) = map.get("$ref").and_then(Json::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            return target.map_or(Self::Any, |target| Self::within(target, root, depth + 1));
        }
        let word = match map.get("type") {
            Some(Json::String(word)) => word.as_str(),
            Some(_) => return Self::Any,
            None if map.contains_key("properties") => "object",
            None => return map.get("const").map_or(Self::Any, Self::of_value),
        };
        match word {
            "null" => Self::Null,
            "boolean" => Self::Bool,
            "integer" | "number" => Self::Number,
            "string" if map.get("pattern").and_then(Json::as_str) == Some(DECIMAL) => Self::Decimal,
            "string" => Self::Text,
            "array" => {
                let items = map
                    .get("items")
                    .map_or(Self::Any, |items| Self::within(items, root, depth + 1));
                Self::List(Box::new(items))
            }
            "object" => {
                let empty = Map::new();
                let properties = map.get("properties").and_then(Json::as_object).unwrap_or(&empty);
                let required = required(map);
                let fields = properties.iter().map(|(name, schema)| {
                    let r#type = Self::within(schema, root, depth + 1);
                    (name.clone(), Property { r#type, required: required.contains(&name.as_str()) })
                });
                let open = map.get("additionalProperties") != Some(&Json::Bool(false));
                Self::Map(fields.collect(), open)
            }
            _ => Self::Any,
        }
    }

    /// Of a value that is known.
    pub(crate) fn of_value(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Number(_) => Self::Number,
            Json::String(_) => Self::Text,
            Json::Array(items) => {
                let types = items.iter().map(Self::of_value);
                Self::List(Box::new(types.reduce(Self::or).unwrap_or(Self::Any)))
            }
            Json::Object(map) => {
                let fields = map.iter().map(|(name, value)| {
                    (name.clone(), Property { r#type: Self::of_value(value), required: true })
                });
                Self::Map(fields.collect(), false)
            }
        }
    }

    /// Either of them.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, Self::Maybe(b)) | (Self::Maybe(b), Self::Null) => Self::Maybe(b),
            (Self::Null, b) | (b, Self::Null) => Self::Maybe(Box::new(b)),
            (Self::Maybe(a), Self::Maybe(b)) => Self::Maybe(Box::new((*a).or(*b))),
            (Self::Maybe(a), b) | (b, Self::Maybe(a)) => Self::Maybe(Box::new((*a).or(b))),
            (Self::Decimal, Self::Text) | (Self::Text, Self::Decimal) => Self::Text,
            (Self::List(a), Self::List(b)) => Self::List(Box::new((*a).or(*b))),
            (Self::Map(a, a_open), Self::Map(mut b, b_open)) => {
                let mut both = BTreeMap::new();
                for (name, property) in a {
                    let merged = match b.remove(&name) {
                        Some(other) => Property {
                            r#type: property.r#type.or(other.r#type),
                            required: property.required && other.required,
                        },
                        None => Property { required: false, ..property },
                    };
                    both.insert(name, merged);
                }
                both.extend(
                    b.into_iter()
                        .map(|(name, property)| (name, Property { required: false, ..property })),
                );
                Self::Map(both, a_open || b_open)
            }
            _ => Self::Any,
        }
    }

    /// Without the possibility that it is not there.
    pub(crate) fn present(self) -> Self {
        match self {
            Self::Maybe(inner) => *inner,
            other => other,
        }
    }

    /// With its article, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Decimal => "a decimal",
            Self::Text => "text",
            Self::List(_) => "a list",
            Self::Map(..) => "a mapping",
            Self::Maybe(_) => "a value that may be missing",
        }
    }

    /// Whether a value of this type may be one of `other`.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Text, Self::Decimal) | (Self::Decimal, Self::Text) => true,
            (Self::List(a), Self::List(b)) => a.fits(b),
            (Self::Map(a, open), Self::Map(b, _)) => {
                b.iter().all(|(name, wanted)| match a.get(name) {
                    Some(found) => found.r#type.fits(&wanted.r#type),
                    None => !wanted.required || *open,
                })
            }
            (Self::Maybe(a), Self::Maybe(b)) => a.fits(b),
            (a, Self::Maybe(b)) => *a == Self::Null || a.fits(b),
            (a, b) => a == b,
        }
    }

    /// As a JSON Schema that says no more than is known.
    pub(crate) fn to_schema(&self) -> Json {
        match self {
            Self::Any => json!({}),
            Self::Null => json!({ "type": "null" }),
            Self::Bool => json!({ "type": "boolean" }),
            Self::Number => json!({ "type": "number" }),
            Self::Decimal => json!({ "type": "string", "pattern": DECIMAL }),
            Self::Text => json!({ "type": "string" }),
            Self::List(items) => json!({ "type": "array", "items": items.to_schema() }),
            Self::Map(fields, open) => {
                let required: Vec<&String> =
                    fields.iter().filter(|(_, p)| p.required).map(|(name, _)| name).collect();
                let properties: Map<String, Json> =
                    fields.iter().map(|(name, p)| (name.clone(), p.r#type.to_schema())).collect();
                let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": open });
                if !required.is_empty()
                    && let Some(map) = schema.as_object_mut()
                {
                    map.insert("required".into(), json!(required));
                }
                schema
            }
            Self::Maybe(inner) => json!({ "anyOf": [inner.to_schema(), { "type": "null" }] }),
        }
    }

    fn decimals(&self, path: &mut String, found: &mut Vec<String>) {
        let length = path.len();
        match self {
            Self::Decimal => found.push(path.clone()),
            Self::List(items) => {
                path.push_str("/*");
                items.decimals(path, found);
            }
            Self::Map(fields, _) => {
                for (name, property) in fields {
                    // A property that is called '*' would be taken for items.
                    if name == "*" {
                        continue;
                    }
                    path.push('/');
                    path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                    property.r#type.decimals(path, found);
                    path.truncate(length);
                }
            }
            Self::Maybe(inner) => inner.decimals(path, found),
            Self::Any | Self::Null | Self::Bool | Self::Number | Self::Text => {}
        }
        path.truncate(length);
    }
}

pub(crate) fn required(schema: &Map<String, Json>) -> Vec<&str> {
    let required = schema.get("required").and_then(Json::as_array);
    required.into_iter().flatten().filter_map(Json::as_str).collect()
}

/// Where a payload of this schema has texts that count as numbers; ascending.
pub(crate) fn decimals_of(schema: &Json) -> Vec<String> {
    let mut found = Vec::new();
    Type::of(schema).decimals(&mut String::new(), &mut found);
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_found_wherever_they_are() {
        let decimal = json!({ "type": "string", "pattern": DECIMAL });
        let schema = json!({
            "type": "object",
            "properties": { "price": decimal, "items": { "type": "array", "items": { "$ref": "#/$defs/item" } } },
            "$defs": { "item": { "properties": { "a/b": decimal, "name": { "type": "string" } } } },
        });
        assert_eq!(decimals_of(&schema), ["/items/*/a~1b", "/price"]);
    }

    #[test]
    fn the_word_of_the_manifest_is_the_pattern_that_is_known_here() {
        let schema = althing_manifest::schema::from_word("decimal").unwrap();
        assert_eq!(Type::of(&schema), Type::Decimal);
        assert_eq!(Type::of(&Type::Decimal.to_schema()), Type::Decimal);
    }
}
