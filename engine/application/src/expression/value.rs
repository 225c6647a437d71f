//! Values of expressions.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

use super::{Failure, Meter};
use crate::number::Number;

/// What an expression can come to.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A number that is written as a text: money.
    Decimal(Number, Rc<str>),
    /// Text.
    Text(Rc<str>),
    /// A list.
    List(Rc<[Self]>),
    /// A mapping, by ascending keys.
    Map(Rc<BTreeMap<Rc<str>, Self>>),
}

/// Which texts of a payload are numbers, according to its schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decimals {
    here: bool,
    fields: BTreeMap<String, Self>,
    items: Option<Box<Self>>,
}

impl Decimals {
    /// Adds a path: names of properties, `*` for the items of a list.
    pub fn add(&mut self, path: &str) {
        let mut tree = self;
        for part in path.split('/').skip(1) {
            tree = if part == "*" {
                tree.items.get_or_insert_default()
            } else {
                tree.fields.entry(part.replace("~1", "/").replace("~0", "~")).or_default()
            };
        }
        tree.here = true;
    }
}

impl<'p> FromIterator<&'p str> for Decimals {
    fn from_iter<I: IntoIterator<Item = &'p str>>(paths: I) -> Self {
        let mut tree = Self::default();
        paths.into_iter().for_each(|path| tree.add(path));
        tree
    }
}

impl Value {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`] for a number that is out of range.
    pub fn from_json(json: &Json, decimals: Option<&Decimals>) -> Result<Self, Failure> {
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => Self::Number(Number::from_json(number).map_err(|_| {
                Failure::because(format!(
                    "the number {number} has too many digits to calculate with"
                ))
            })?),
            Json::String(text) => {
                let number = decimals.filter(|d| d.here).and_then(|_| text.parse().ok());
                match number {
                    Some(number) => Self::Decimal(number, text.as_str().into()),
                    None => Self::Text(text.as_str().into()),
                }
            }
            Json::Array(items) => {
                let decimals = decimals.and_then(|d| d.items.as_deref());
                let items = items.iter().map(|item| Self::from_json(item, decimals));
                Self::List(items.collect::<Result<_, _>>()?)
            }
            Json::Object(map) => {
                let entries = map.iter().map(|(key, json)| {
                    let decimals = decimals.and_then(|d| d.fields.get(key));
                    Ok((Rc::from(key.as_str()), Self::from_json(json, decimals)?))
                });
                Self::Map(Rc::new(entries.collect::<Result<_, Failure>>()?))
            }
        })
    }

    /// Writes JSON; shared parts are written as often as they are there.
    ///
    /// # Errors
    ///
    /// [`Failure`] if a number would lose digits, or the JSON would cost more than the meter has.
    pub fn to_json(&self, meter: &mut Meter) -> Result<Json, Failure> {
        meter.step()?;
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Number(number) => number.to_json().ok_or_else(|| {
                Failure::because(format!(
                    "the number {number} loses digits in JSON: write it as text, by string()"
                ))
            })?,
            Self::Decimal(_, text) | Self::Text(text) => {
                meter.bytes(text.len())?;
                Json::String(text.to_string())
            }
            Self::List(items) => {
                meter.items(items.len())?;
                Json::Array(items.iter().map(|item| item.to_json(meter)).collect::<Result<_, _>>()?)
            }
            Self::Map(map) => {
                meter.mapping(map.len())?;
                let mut json = Map::new();
                for (key, value) in map.iter() {
                    meter.bytes(key.len())?;
                    json.insert(key.to_string(), value.to_json(meter)?);
                }
                Json::Object(json)
            }
        })
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(items.into())
    }

    /// With its article, for messages.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Decimal(..) => "a decimal",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// As a number, be it written as a text.
    pub(crate) const fn number(&self) -> Option<Number> {
        match self {
            Self::Number(number) | Self::Decimal(number, _) => Some(*number),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// What it is inside of a longer text.
    pub(crate) fn to_text(&self, meter: &mut Meter) -> Result<Rc<str>, Failure> {
        Ok(match self {
            Self::Decimal(_, text) | Self::Text(text) => Rc::clone(text),
            Self::Number(number) => number.to_string().into(),
            Self::Bool(truth) => truth.to_string().into(),
            Self::Null => "null".into(),
            Self::List(_) | Self::Map(_) => {
                let json = self.to_json(meter)?;
                let json = althing_manifest::CanonicalJson::of(json)
                    .map_err(|error| Failure::because(error.to_string()))?;
                String::from_utf8_lossy(json.as_bytes()).into()
            }
        })
    }

    /// Whether they are equal: numbers by their value, however they are written.
    pub(crate) fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Failure> {
        meter.step()?;
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => {
                meter.bytes(a.len().min(b.len()))?;
                a == b
            }
            (Self::Decimal(number, _), Self::Text(text))
            | (Self::Text(text), Self::Decimal(number, _)) => text.parse() == Ok(*number),
            (Self::List(a), Self::List(b)) => {
                let mut equal = a.len() == b.len();
                for (a, b) in a.iter().zip(b.iter()) {
                    equal = equal && a.equals(b, meter)?;
                }
                equal
            }
            (Self::Map(a), Self::Map(b)) => {
                let mut equal = a.len() == b.len();
                for ((a_key, a), (b_key, b)) in a.iter().zip(b.iter()) {
                    equal = equal && a_key == b_key && a.equals(b, meter)?;
                }
                equal
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        })
    }
}
