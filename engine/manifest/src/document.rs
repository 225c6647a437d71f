//! YAML as a tree in which every value knows where it was written.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use crate::json;

/// A value and its place.
pub type Node = Spanned<Content>;

/// What YAML has, ordered as written.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number.
    Number(Number),
    /// Text, in quotes or not.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys, each there once, and their values.
    Map(Vec<(Spanned<String>, Node)>),
}

/// A text that is no YAML, or uses more than a manifest may.
#[derive(Debug)]
pub(crate) struct Unparsable {
    pub(crate) reason: String,
    pub(crate) at: Range<usize>,
}

/// Reads one YAML document.
pub(crate) fn parse(text: &str) -> Result<Node, Unparsable> {
    let options = serde_saphyr::options! {
        // A manifest is a page or two: whatever needs more than this is an attack.
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_anchors: 0,
            max_depth: 48,
            max_documents: 1,
            max_events: 50_000,
            max_nodes: 20_000,
        },
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        // `on` and `no` are words here.
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Unparsable {
        at: error.location().map_or(0..0, |location| place_in(text, &location)),
        reason: reason(&error),
    })
}

/// What the parser says, without the place, which the label shows, and without its own options.
fn reason(error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    let line = message.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or_default();
    line.split(", set DuplicateKeyPolicy").next().unwrap_or_default().to_owned()
}

/// The scanner's errors know line and column only.
fn place_in(text: &str, location: &serde_saphyr::Location) -> Range<usize> {
    if location.span().byte_offset().is_some() {
        return range(location);
    }
    let before = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    let lines = text.split_inclusive('\n').take(before(location.line()));
    let start_of_line: usize = lines.map(str::len).sum();
    let line = text.get(start_of_line..).unwrap_or_default();
    let column: usize = line.chars().take(before(location.column())).map(char::len_utf8).sum();
    let start = start_of_line + column;
    start..start
}

/// Where a value stands, in bytes.
#[must_use]
pub fn place<T>(spanned: &Spanned<T>) -> Range<usize> {
    range(&spanned.referenced)
}

fn range(location: &serde_saphyr::Location) -> Range<usize> {
    let span = location.span();
    let bytes = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let start = bytes(span.byte_offset());
    start..start + bytes(span.byte_len())
}

impl Content {
    /// With its article, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// The same as JSON.
    ///
    /// # Errors
    ///
    /// The first number that JSON cannot keep.
    pub fn to_json(&self) -> Result<Value, Number> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Number(number) if json::is_exact(number) => Value::Number(number.clone()),
            Self::Number(number) => return Err(number.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) => Value::Array(
                items.iter().map(|item| item.value.to_json()).collect::<Result<_, _>>()?,
            ),
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, node) in entries {
                    map.insert(key.value.clone(), node.value.to_json()?);
                }
                Value::Object(map)
            }
        })
    }

    /// Where the value named by a JSON pointer stands, or the deepest part of it that exists.
    #[must_use]
    pub fn locate(&self, pointer: &str) -> Option<Range<usize>> {
        let mut found = None;
        let mut content = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            content = match content {
                Self::Map(entries) => {
                    let Some((key, node)) = entries.iter().find(|(key, _)| key.value == part)
                    else {
                        break;
                    };
                    let is_scalar = !matches!(node.value, Self::Map(_) | Self::List(_));
                    found = Some(if is_scalar { place(node) } else { place(key) });
                    &node.value
                }
                Self::List(items) => {
                    let Some(node) = part.parse().ok().and_then(|n: usize| items.get(n)) else {
                        break;
                    };
                    found = Some(place(node));
                    &node.value
                }
                Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => break,
            };
        }
        found
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Content, E> {
        Ok(Content::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Content, E> {
        Ok(Content::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Content, E> {
        Ok(Content::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Content, E> {
        let number =
            Number::from_f64(number).ok_or_else(|| E::custom("a number must be finite"))?;
        Ok(Content::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut map: Vec<(Spanned<String>, Node)> = Vec::new();
        while let Some((key, node)) = entries.next_entry::<Spanned<String>, Node>()? {
            if map.iter().any(|(other, _)| other.value == key.value) {
                return Err(A::Error::custom(format_args!(
                    "the key '{}' is there twice",
                    key.value
                )));
            }
            map.push((key, node));
        }
        Ok(Content::Map(map))
    }
}
