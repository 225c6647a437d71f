//! What a program's answer says, if it is one.

use althing_manifest::CanonicalJson;
use serde_json::{Map, Value};

/// The answer to a task.
#[derive(Debug, PartialEq)]
pub(crate) struct TaskAnswer {
    pub(crate) status: String,
    pub(crate) output: Vec<u8>,
}

/// The answer to a judgement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) valid: bool,
    pub(crate) reason: String,
}

/// Why an answer is none.
pub(crate) type NoAnswer = String;

fn object(body: &[u8]) -> Result<Map<String, Value>, NoAnswer> {
    let json = CanonicalJson::parse(body).map_err(|error| format!("no JSON: {error}"))?;
    match json.value() {
        Value::Object(map) => Ok(map.clone()),
        _ => Err("not an object".into()),
    }
}

fn unknown(map: &Map<String, Value>) -> Result<(), NoAnswer> {
    match map.keys().next() {
        Some(key) => Err(format!("an unknown field {key:?}")),
        None => Ok(()),
    }
}

/// Reads `{ "status": …, "output": … }`.
pub(crate) fn task(body: &[u8]) -> Result<TaskAnswer, NoAnswer> {
    let mut map = object(body)?;
    let status = match map.remove("status") {
        Some(Value::String(status)) => status,
        Some(_) => return Err("the status is not one name".into()),
        None => return Err("no status".into()),
    };
    let output = map.remove("output").ok_or("no output")?;
    unknown(&map)?;
    let output = CanonicalJson::of(output).map_err(|error| error.to_string())?;
    Ok(TaskAnswer { status, output: output.into_bytes() })
}

/// Reads `{ "valid": …, "reason": … }`.
pub(crate) fn judgement(body: &[u8]) -> Result<Judgement, NoAnswer> {
    let mut map = object(body)?;
    let Some(Value::Bool(valid)) = map.remove("valid") else {
        return Err("'valid' is neither true nor false".into());
    };
    let reason = match map.remove("reason") {
        Some(Value::String(reason)) => reason,
        Some(_) => return Err("the reason is not a text".into()),
        None => String::new(),
    };
    unknown(&map)?;
    Ok(Judgement { valid, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_status_and_one_output_are_an_answer() {
        let answer = task(br#"{ "status": "ok", "output": { "b": 1, "a": [] } }"#).unwrap();
        let output = br#"{"a":[],"b":1}"#.to_vec();
        assert_eq!(answer, TaskAnswer { status: "ok".into(), output });
    }

    #[test]
    fn anything_else_is_none() {
        for body in [
            "",
            "ok",
            "[]",
            "null",
            r#"{"output":{}}"#,
            r#"{"status":"ok"}"#,
            r#"{"status":["ok","late"],"output":{}}"#,
            r#"{"status":"ok","status":"late","output":{}}"#,
            r#"{"status":"ok","output":{},"also":1}"#,
            r#"{"status":"ok","output":{"a":1,"a":2}}"#,
            r#"{"status":"ok","output":1e300}"#,
            r#"{"status":"ok","output":{}} {}"#,
        ] {
            assert!(task(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_judgement_is_true_or_false() {
        let no = judgement(br#"{"valid":false,"reason":"gone"}"#).unwrap();
        assert_eq!(no, Judgement { valid: false, reason: "gone".into() });
        assert!(judgement(br#"{"valid":true}"#).unwrap().valid);
        for body in ["{}", r#"{"valid":"yes"}"#, r#"{"valid":true,"valid":false}"#] {
            assert!(judgement(body.as_bytes()).is_err(), "{body}");
        }
    }
}
