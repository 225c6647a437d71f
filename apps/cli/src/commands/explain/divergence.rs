//! Where two results of one execution part: their kind, their status, the first value or byte that
//! differs, or the keys that they yield. Pure.

use std::collections::BTreeMap;

use althing_api::wire::Outcome;
use althing_types::Hash;
use serde::Serialize;
use serde_json::Value;

/// An output as a node still has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    /// If it is JSON, as an honest one is.
    pub(super) value: Option<Value>,
}

impl From<Vec<u8>> for Kept {
    fn from(bytes: Vec<u8>) -> Self {
        Self { value: serde_json::from_slice(&bytes).ok(), bytes }
    }
}

/// Outputs by their hash.
pub(super) type Outputs = BTreeMap<Hash, Kept>;

/// The first difference, in the order in which a result is compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "differs", rename_all = "snake_case")]
pub(super) enum Divergence {
    /// One returned, the other did not; or they failed in different ways.
    Kind,
    /// They returned, with different statuses.
    Status { one: String, other: String },
    /// At this place of the output; a side without a value has none there.
    Value { path: String, one: Option<Value>, other: Option<Value> },
    /// At this byte, counted from zero, of outputs that are not the same JSON.
    Byte { offset: usize, one: Option<u8>, other: Option<u8> },
    /// The outputs differ, and nobody who was asked has both any more.
    Lost,
    /// The outputs are the same, the keys for later waits are not: this one, counted from zero.
    Key { index: usize },
}

/// Where two outcomes part; `None` if they are the same.
pub(super) fn first(one: &Outcome, other: &Outcome, outputs: &Outputs) -> Option<Divergence> {
    if one == other {
        return None;
    }
    let (
        Outcome::Returned { status, output, keys },
        Outcome::Returned { status: other_status, output: other_output, keys: other_keys },
    ) = (one, other)
    else {
        return Some(Divergence::Kind);
    };
    if status != other_status {
        return Some(Divergence::Status {
            one: status.to_string(),
            other: other_status.to_string(),
        });
    }
    if output.hash != other_output.hash {
        let both = outputs.get(&output.hash.0).zip(outputs.get(&other_output.hash.0));
        return Some(both.map_or(Divergence::Lost, |(one, other)| of_outputs(one, other)));
    }
    let pairs = keys.iter().zip(other_keys);
    let index = pairs.take_while(|(one, other)| one == other).count();
    Some(Divergence::Key { index })
}

fn of_outputs(one: &Kept, other: &Kept) -> Divergence {
    if let (Some(one), Some(other)) = (&one.value, &other.value)
        && let Some((path, one, other)) = of_values("$", Some(one), Some(other))
    {
        return Divergence::Value { path, one: one.cloned(), other: other.cloned() };
    }
    let pairs = one.bytes.iter().zip(&other.bytes);
    let offset = pairs.take_while(|(one, other)| one == other).count();
    let byte = |of: &Kept| of.bytes.get(offset).copied();
    Divergence::Byte { offset, one: byte(one), other: byte(other) }
}

type Found<'a> = (String, Option<&'a Value>, Option<&'a Value>);

/// The first place that differs, as a path from the root: properties in the order of their names, then
/// elements in theirs. Outputs nest only as deep as their parser allows.
fn of_values<'a>(
    path: &str,
    one: Option<&'a Value>,
    other: Option<&'a Value>,
) -> Option<Found<'a>> {
    if one == other {
        return None;
    }
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().find_map(|name| {
                of_values(&format!("{path}{}", step(name)), one.get(name), other.get(name))
            })
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => (0..one.len().max(other.len()))
            .find_map(|index| {
                of_values(&format!("{path}[{index}]"), one.get(index), other.get(index))
            }),
        _ => Some((path.to_owned(), one, other)),
    }
}

/// A property in a path.
fn step(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(plain) {
        format!(".{name}")
    } else {
        format!("[{}]", Value::from(name))
    }
}

#[cfg(test)]
mod tests {
    use althing_api::wire::{BlobRef, Failure, Text};
    use serde_json::json;

    use super::*;

    fn returned(status: &str, output: u8, keys: &[u8]) -> Outcome {
        Outcome::Returned {
            status: status.parse().unwrap(),
            output: BlobRef { hash: Text(Hash([output; 32])), bytes: 20 },
            keys: keys.iter().map(|key| Text(Hash([*key; 32]))).collect(),
        }
    }

    /// Where outputs with these texts part.
    fn parted(one: &str, other: &str) -> Divergence {
        let kept = |text: &str| Kept::from(text.as_bytes().to_vec());
        let outputs = BTreeMap::from([(Hash([1; 32]), kept(one)), (Hash([2; 32]), kept(other))]);
        first(&returned("ok", 1, &[]), &returned("ok", 2, &[]), &outputs).unwrap()
    }

    fn value(path: &str, one: Option<Value>, other: Option<Value>) -> Divergence {
        Divergence::Value { path: path.to_owned(), one, other }
    }

    #[test]
    fn results_are_compared_by_kind_status_output_and_keys_in_this_order() {
        let (one, nothing) = (returned("ok", 1, &[1, 2]), BTreeMap::new());
        let failed = Outcome::Failed { failure: Failure::Trap };
        assert_eq!(first(&one, &one.clone(), &nothing), None);
        assert_eq!(first(&one, &failed, &nothing), Some(Divergence::Kind));
        let status = Divergence::Status { one: "ok".to_owned(), other: "bad".to_owned() };
        assert_eq!(first(&one, &returned("bad", 2, &[]), &nothing), Some(status));
        assert_eq!(first(&one, &returned("ok", 2, &[]), &nothing), Some(Divergence::Lost));
        let key = Divergence::Key { index: 1 };
        assert_eq!(first(&one, &returned("ok", 1, &[1, 3]), &nothing), Some(key));
        let shorter = Divergence::Key { index: 2 };
        assert_eq!(first(&one, &returned("ok", 1, &[1, 2, 3]), &nothing), Some(shorter));
    }

    #[test]
    fn the_first_value_that_differs_is_named_by_its_path() {
        let one = r#"{"a":1,"lines":[{"sum":"1.0"},{"sum":"2.0"}],"z":1}"#;
        let other = r#"{"a":1,"lines":[{"sum":"1.0"},{"sum":"2.1"}],"z":2}"#;
        assert_eq!(
            parted(one, other),
            value("$.lines[1].sum", Some(json!("2.0")), Some(json!("2.1")))
        );
        assert_eq!(parted(r#"{"a":1}"#, r#"{"b":1}"#), value("$.a", Some(json!(1)), None));
        assert_eq!(parted("[1]", "[1,2]"), value("$[1]", None, Some(json!(2))));
        assert_eq!(
            parted(r#"{"a b":1}"#, r#"{"a b":2}"#),
            value(r#"$["a b"]"#, Some(json!(1)), Some(json!(2)))
        );
        assert_eq!(parted("1", "{}"), value("$", Some(json!(1)), Some(json!({}))));
    }

    #[test]
    fn bytes_that_are_no_json_or_the_same_one_part_at_a_byte() {
        let byte = |offset, one, other| Divergence::Byte { offset, one, other };
        assert_eq!(parted("{\"a\":1}", "{\"a\": 1}"), byte(5, Some(b'1'), Some(b' ')));
        assert_eq!(parted("abc", "ab"), byte(2, Some(b'c'), None));
    }
}
