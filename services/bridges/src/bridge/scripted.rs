//! `scripted`: any simulated technology, for examples and tests.
//!
//! Settings: `{"tasks": {"mark_cart": {"status": "ok", "output": {"cart": "{cart}"}}}}`; `{name}` in a
//! text stands for a property of the input, `{#}` for a number that counts up. Every task that was
//! done is a line of `done.jsonl`, shown under `/done`. `POST /emit` with `{type, id, data}` is an event.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

pub(super) struct Scripted {
    tasks: Map<String, Value>,
    file: PathBuf,
    /// How many tasks were done.
    done: Mutex<u64>,
}

impl Scripted {
    pub(super) fn open(setup: &Setup) -> Result<Self> {
        let tasks = setup.config.0.get("tasks").and_then(Value::as_object).cloned();
        let file = setup.folder.join("done.jsonl");
        let lines = std::fs::read_to_string(&file).unwrap_or_default().lines().count();
        let done = Mutex::new(u64::try_from(lines)?);
        Ok(Self { tasks: tasks.unwrap_or_default(), file, done })
    }
}

#[async_trait]
impl Bridge for Scripted {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        let script = self.tasks.get(&task.name);
        let script =
            script.ok_or_else(|| Trouble::Never(format!("no script for '{}'", task.name)))?;
        let status = script.get("status").and_then(Value::as_str).unwrap_or("ok");
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let marked = format!("{{\"key\":\"{}\"", task.key);
        let known = std::fs::read_to_string(&self.file).unwrap_or_default();
        let before = known.lines().position(|line| line.starts_with(&marked));
        // A repetition gets the number of the first time.
        let number = before.map_or(*done, |line| u64::try_from(line).unwrap_or(u64::MAX));
        let output = script.get("output").cloned().unwrap_or_else(|| json!({}));
        let output = filled(output, &task.input, number);
        if before.is_none() {
            let what = json!({ "task": task.name, "input": task.input, "output": output });
            let line = format!("{marked},\"done\":{what}}}\n");
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.file)
                .and_then(|mut file| file.write_all(line.as_bytes()))
                .map_err(|error| Trouble::Again(error.to_string()))?;
            *done += 1;
        }
        Ok(Answer::new(status, output))
    }

    fn routes(self: Arc<Self>, outbox: Outbox) -> Router {
        Router::new()
            .route(
                "/done",
                get(async move || {
                    let text = std::fs::read_to_string(&self.file).unwrap_or_default();
                    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
                    axum::Json(lines.collect::<Vec<Value>>())
                }),
            )
            .route("/emit", post(emit))
            .with_state(outbox)
    }
}

#[derive(Deserialize)]
struct Emitted {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    data: Value,
}

async fn emit(State(outbox): State<Outbox>, emitted: axum::Json<Emitted>) -> Response {
    let axum::Json(Emitted { kind, id, data }) = emitted;
    match outbox.add(Sighting { kind, id, data }).await {
        Ok(fresh) => {
            (StatusCode::ACCEPTED, axum::Json(json!({ "duplicate": !fresh }))).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// A script's output with the input's properties in their places.
fn filled(value: Value, input: &Value, number: u64) -> Value {
    match value {
        Value::String(text) => {
            let whole = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            if let Some(found) = whole.and_then(|name| input.get(name)) {
                return found.clone();
            }
            let mut text = text.replace("{#}", &number.to_string());
            for (name, part) in input.as_object().into_iter().flatten() {
                let part = part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                text = text.replace(&format!("{{{name}}}"), &part);
            }
            Value::String(text)
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| filled(item, input, number)).collect())
        }
        Value::Object(map) => Value::Object(
            map.into_iter().map(|(name, item)| (name, filled(item, input, number))).collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripts_output_takes_the_inputs_properties() {
        let output = json!({ "parcel": "p-{cart}-{#}", "kwh": "{kwh}", "n": 1 });
        let input = json!({ "cart": "c1", "kwh": 7 });
        assert_eq!(filled(output, &input, 3), json!({ "parcel": "p-c1-3", "kwh": 7, "n": 1 }));
    }
}
