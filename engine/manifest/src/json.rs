//! Canonical JSON: RFC 8785, of texts without duplicate keys or numbers that lose digits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The largest integer that every JSON reader keeps exactly: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// JSON in its one canonical form, and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct CanonicalJson {
    value: Value,
    bytes: Vec<u8>,
}

/// A text that has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotCanonical {
    reason: String,
}

impl CanonicalJson {
    /// Reads any JSON and makes it canonical.
    ///
    /// # Errors
    ///
    /// [`NotCanonical`] for what is no JSON, repeats a key, nests deeper than 128, or has a number
    /// beyond ±(2^53 − 1), which belongs into a string.
    pub fn parse(text: &[u8]) -> Result<Self, NotCanonical> {
        let Strict(value) = serde_json::from_slice(text)
            .map_err(|error| NotCanonical { reason: error.to_string() })?;
        let bytes = write(&value);
        Ok(Self { value, bytes })
    }

    /// Reads JSON that is canonical already.
    ///
    /// # Errors
    ///
    /// [`NotCanonical`] for any other text.
    pub fn read(text: &[u8]) -> Result<Self, NotCanonical> {
        let json = Self::parse(text)?;
        if json.bytes != text {
            return Err(NotCanonical { reason: "the JSON is not in its canonical form".into() });
        }
        Ok(json)
    }

    /// The canonical form of a value.
    ///
    /// # Errors
    ///
    /// [`NotCanonical`] if a number in it loses digits in JSON.
    pub fn of(value: Value) -> Result<Self, NotCanonical> {
        let bytes = write(&value);
        if !is_exact_throughout(&value) {
            return Err(NotCanonical { reason: "a number loses digits in JSON".into() });
        }
        Ok(Self { value, bytes })
    }

    /// What it says.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The canonical bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The canonical bytes of a value whose numbers are in range.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("a JSON value has a JSON text")
}

/// Whether a number survives a reader that keeps 64-bit floats.
pub(crate) fn is_exact(number: &Number) -> bool {
    if let Some(integer) = number.as_i64() {
        return integer.unsigned_abs() <= INTEGER_MAX;
    }
    // What is above i64 is out of range; what is no integer is a float.
    number.as_u64().is_none() && number.as_f64().is_some_and(|float| float.abs() < FLOAT_LIMIT)
}

fn is_exact_throughout(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => is_exact(number),
        Value::Array(items) => items.iter().all(is_exact_throughout),
        Value::Object(map) => map.values().all(is_exact_throughout),
    }
}

/// 2^53: beyond it a float may stand for an integer that has lost digits.
const FLOAT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// A value read without tolerance.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

fn number<E: serde::de::Error>(number: Number) -> Result<Value, E> {
    if is_exact(&number) {
        return Ok(Value::Number(number));
    }
    Err(E::custom(format_args!("the number {number} loses digits in JSON: write it as a string")))
}

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        number(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        number(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let float = Number::from_f64(value).ok_or_else(|| E::custom("the number is not finite"))?;
        number(float)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key '{key}' is there twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(CanonicalJson::parse(text.as_bytes()).unwrap().into_bytes()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_8785_comes_out_as_printed_there() {
        let text = r#"{"numbers":[333333333.33333329,1E15,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1000000000000000,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(canonical(text), expected);
    }

    #[test]
    fn keys_are_ordered_by_utf_16_units() {
        assert_eq!(
            canonical("{\"\u{fb33}\":1,\"\u{1f600}\":2,\"é\":3}"),
            "{\"é\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn a_number_that_would_lose_digits_is_refused() {
        assert_eq!(
            canonical("[9007199254740991,-9007199254740991,-0.0,1.0]"),
            "[9007199254740991,-9007199254740991,0,1]"
        );
        for text in
            ["9007199254740992", "-9007199254740992", "18446744073709551616", "1e300", "1e400"]
        {
            assert!(CanonicalJson::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn texts_with_two_meanings_are_refused() {
        for text in [r#"{"a":1,"a":2}"#, "{}{}", "", "{", "\u{feff}{}", "NaN"] {
            assert!(CanonicalJson::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(CanonicalJson::parse(deep.as_bytes()).is_err());
        assert!(CanonicalJson::parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn only_the_canonical_text_reads_as_canonical() {
        assert!(CanonicalJson::read(br#"{"a":1,"b":2}"#).is_ok());
        for text in [r#"{"b":2,"a":1}"#, r#"{"a": 1}"#, "1.0", "1 "] {
            assert!(CanonicalJson::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            (-1e15_f64..1e15).prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_json_reads_back_as_itself(value in any_json()) {
            let bytes = write(&value);
            let again = CanonicalJson::read(&bytes).unwrap();
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }
}
