//! Events: what emitters agree on, and how an event's data is taken apart for it and put together
//! again.
//!
//! ```text
//!   data ─split─► id, key hashes, measured values ─► the ledger: Observe
//!            └──► identical part (canonical JSON) ─► a blob      │ agreed values
//!                        └───────────────compose◄────────────────┘
//! ```
//!
//! - Units: measured values in units of their last decimal; half a unit is rounded away from zero.
//! - Invariants: a property is identical, measured or ignored; the id and the keys are identical;
//!   what [`Event::split`] takes apart [`Event::compose`] puts together, without the ignored
//!   properties and with the values rounded.
//! - Source: paper B §3.1; `docs/adr/0008-applications-on-the-ledger.md`.

use althing_types::{
    Amount, Emitters, EventTerms, Hash, MeasuredTerms, Name, Observe, key_hash, tagged,
};
use serde_json::{Map, Value};

use crate::decimal::{self, NotDecimal};
use crate::json;
use crate::schemas::{Schemas, Violation};

/// Most keys of an event.
pub const KEYS_MAX: usize = althing_types::KEYS_MAX;
/// Most properties of an event that are not identical.
pub const AGREED_MAX: usize = 16;
/// Most decimals of a measured value.
pub const DECIMALS_MAX: u8 = 18;
/// Decimals of a measured value where the manifest says nothing.
pub const DECIMALS_DEFAULT: u8 = 6;

/// Something that the service observes outside of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique within the service.
    pub name: Name,
    /// One sentence for people.
    pub summary: String,
    /// JSON Schema 2020-12 of what it carries.
    pub data: Value,
    /// The property of `data` that names an occurrence for ever; `None` if its program names it.
    pub id: Option<String>,
    /// Properties of `data` by which workflows find the event.
    pub keys: Vec<String>,
    /// How long emitters may take to agree on it.
    pub window_ms: u32,
    /// Whose word counts.
    pub emitters: Emitters,
    /// Properties of `data` that need not be identical everywhere.
    pub agree: Vec<Agree>,
    /// What an application pays for a run that it starts or a wait that it ends.
    pub price: Amount,
}

/// How emitters agree on one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agree {
    /// The property.
    pub property: String,
    /// How.
    pub by: AgreeBy,
}

/// Ways to agree without being identical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgreeBy {
    /// On the median of the values.
    Value(MeasuredTerms),
    /// Not at all: the property is left out of the event.
    Ignore,
}

/// What an event's data comes apart into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Names the occurrence, as text for people: the id's canonical JSON.
    pub id: String,
    /// Hash of the id.
    pub id_hash: Hash,
    /// Hashes of the keys.
    pub keys: Vec<Hash>,
    /// Canonical JSON of what is identical everywhere.
    pub base: Vec<u8>,
    /// The measured values.
    pub measured: Vec<i64>,
}

/// The hash by which the ledger knows an id.
#[must_use]
pub fn id_hash(canonical_json: &[u8]) -> Hash {
    tagged("althing event id", &[canonical_json])
}

impl Event {
    /// The observation of an event with this data, and the bytes of its identical part.
    ///
    /// `id` is what the program calls the occurrence; where the manifest names a property, that one
    /// counts.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the data is not what the manifest says.
    pub fn split(
        &self,
        schemas: &Schemas,
        service: Hash,
        id: &str,
        data: &Value,
    ) -> Result<(Observe, Vec<u8>), Violation> {
        let json = schemas.check_event(&self.name, &json::write(data))?;
        let Parts { id_hash, keys, base, measured, .. } = self.take_apart(id, json.value())?;
        let data = althing_types::BlobRef::of(&base);
        let event = self.name.clone();
        Ok((Observe { service, event, id: id_hash, keys, data, measured }, base))
    }

    /// Takes data apart that satisfies the event's schema.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the id, a key or a measured value is not there, or is none.
    pub fn take_apart(&self, id: &str, data: &Value) -> Result<Parts, Violation> {
        let Value::Object(data) = data else { return Err(Violation::NotAnObject) };
        let property = |name: &String| {
            data.get(name).ok_or_else(|| Violation::MissingProperty { property: name.clone() })
        };
        let id = match &self.id {
            Some(name) => json::write(property(name)?),
            None => json::write(&Value::from(id)),
        };
        let keys = self
            .keys
            .iter()
            .map(|name| Ok(key_hash(&json::write(property(name)?))))
            .collect::<Result<_, Violation>>()?;
        let mut measured = Vec::new();
        let mut base = data.clone();
        for agree in &self.agree {
            if let AgreeBy::Value(terms) = &agree.by {
                let value = property(&agree.property)?;
                measured.push(measure(&agree.property, value, terms.decimals)?);
            }
            base.remove(&agree.property);
        }
        Ok(Parts {
            id_hash: id_hash(&id),
            id: text_of(id),
            keys,
            base: json::write(&Value::Object(base)),
            measured,
        })
    }

    /// The event's data: the identical part, with the agreed values put in.
    ///
    /// # Errors
    ///
    /// [`Violation`] if these are not the parts of such an event.
    pub fn compose(&self, base: &[u8], measured: &[i64]) -> Result<Vec<u8>, Violation> {
        let json = json::CanonicalJson::read(base)?;
        let Value::Object(mut data) = json.value().clone() else {
            return Err(Violation::NotAnObject);
        };
        if measured.len() != self.measured().count() {
            return Err(Violation::WrongParts);
        }
        if self.agree.iter().any(|agree| data.contains_key(&agree.property)) {
            return Err(Violation::WrongParts);
        }
        for ((property, terms), value) in self.measured().zip(measured) {
            let text = decimal::to_text(*value, terms.decimals);
            let value = if self.is_text(property) {
                Value::from(text)
            } else if decimal::fits_a_number(*value) {
                serde_json::from_str(&text).map_err(|_| Violation::WrongParts)?
            } else {
                return Err(Violation::OutOfRange { property: property.to_owned() });
            };
            data.insert(property.to_owned(), value);
        }
        Ok(json::write(&Value::Object(data)))
    }

    /// What the ledger needs to know.
    #[must_use]
    pub fn terms(&self) -> EventTerms {
        EventTerms {
            name: self.name.clone(),
            keys: u8::try_from(self.keys.len()).expect("a manifest has at most eight keys"),
            window_ms: self.window_ms,
            emitters: self.emitters,
            measured: self.measured().map(|(_, terms)| *terms).collect(),
            price: self.price,
        }
    }

    fn measured(&self) -> impl Iterator<Item = (&str, &MeasuredTerms)> {
        self.agree.iter().filter_map(|agree| match &agree.by {
            AgreeBy::Value(terms) => Some((agree.property.as_str(), terms)),
            AgreeBy::Ignore => None,
        })
    }

    /// Whether the schema asks for a text where the value stands.
    fn is_text(&self, property: &str) -> bool {
        type_of(&self.data, property) == Some("string")
    }

    /// What is wrong with the event as a whole, and with which property.
    pub(crate) fn contradiction(&self) -> Option<(String, String)> {
        let properties = properties(&self.data);
        let has = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
        let agreed = |name: &str| self.agree.iter().any(|agree| agree.property == name);
        let named = self.id.iter().chain(&self.keys).chain(self.agree.iter().map(|a| &a.property));
        for name in named {
            if !has(name) {
                return Some((name.clone(), format!("the event's data has no property '{name}'")));
            }
        }
        for name in self.id.iter().chain(&self.keys) {
            if agreed(name) {
                let message = format!("'{name}' is the id or a key, so it must be identical");
                return Some((name.clone(), message));
            }
        }
        for (name, terms) in self.measured() {
            let number = matches!(type_of(&self.data, name), Some("number" | "integer" | "string"));
            if !number || terms.decimals > DECIMALS_MAX {
                let message = format!("'{name}' is not declared as a number or a decimal");
                return Some((name.to_owned(), message));
            }
        }
        None
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn type_of<'s>(schema: &'s Value, property: &str) -> Option<&'s str> {
    properties(schema)?.get(property)?.get("type")?.as_str()
}

/// Canonical JSON as a text.
fn text_of(json: Vec<u8>) -> String {
    String::from_utf8(json).expect("JSON is UTF-8")
}

fn measure(property: &str, value: &Value, decimals: u8) -> Result<i64, Violation> {
    let property = || property.to_owned();
    let (text, written) = match value {
        Value::Number(_) => {
            let text = json::write(value);
            (text_of(text), false)
        }
        Value::String(text) => (text.clone(), true),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Violation::NotANumber { property: property() });
        }
    };
    match decimal::parse(&text, decimals) {
        Ok(value) if written || decimal::fits_a_number(value) => Ok(value),
        Ok(_) | Err(NotDecimal::Range) => Err(Violation::OutOfRange { property: property() }),
        Err(NotDecimal::Syntax | NotDecimal::Inexact) => {
            Err(Violation::NotANumber { property: property() })
        }
    }
}
