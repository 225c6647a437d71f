//! Numbers that the network carries: what has more digits than every JSON reader keeps becomes text.

use serde_json::Value;

/// Beyond ±(2^53 − 1) a node refuses numbers.
const INTEGER_MAX: u64 = (1 << 53) - 1;
const FLOAT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// The value with such numbers written as text, so that an id of 64 bits arrives as it is.
pub(crate) fn carried(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let fits = match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => integer.unsigned_abs() <= INTEGER_MAX,
                (None, Some(float)) => float.abs() < FLOAT_LIMIT,
                (None, None) => false,
            };
            if fits { Value::Number(number) } else { Value::String(number.to_string()) }
        }
        Value::Array(items) => items.into_iter().map(carried).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, carried(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}

/// Whether a text that was read has lost digits: an integer of more than 64 bits is read as a float.
pub(crate) fn has_lost_digits(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() && number.as_f64().is_none_or(|float| float.abs() >= FLOAT_LIMIT)
        }
        Value::Array(items) => items.iter().any(has_lost_digits),
        Value::Object(map) => map.values().any(has_lost_digits),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_integer_of_64_bits_becomes_text_and_all_else_stays() {
        let value = json!({ "id": 820_982_911_946_154_508_i64, "n": [1, -9_007_199_254_740_991_i64, 2.5, u64::MAX] });
        assert_eq!(
            carried(value),
            json!({ "id": "820982911946154508", "n": [1, -9_007_199_254_740_991_i64, 2.5, "18446744073709551615"] })
        );
    }

    #[test]
    fn digits_that_were_lost_in_reading_are_noticed() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(has_lost_digits(&read(r#"{"a": [123456789012345678901234]}"#)));
        assert!(!has_lost_digits(&read(r#"{"a": [18446744073709551615, 0.1]}"#)));
    }
}
