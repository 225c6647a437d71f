//! `scripted`: any simulated technology, for examples and tests.
//!
//! Settings: `{"tasks": {"mark_cart": {"status": "ok", "output": {"cart": "{cart}"}}}}`; `{name}` in a
//! text stands for a property of the input, `{#}` for a number that counts up. Every task that was
//! done is a line of `done.jsonl`, shown under `/done`. `POST /emit` with `{type, id, data}` is an event.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::lines::Lines;
use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

pub(super) struct Scripted {
    tasks: Map<String, Value>,
    /// The tasks that were done.
    done: Lines,
}

impl Scripted {
    pub(super) fn open(setup: &Setup) -> Result<Self> {
        let tasks = setup.config.0.get("tasks").and_then(Value::as_object).cloned();
        let done = Lines::open(&setup.folder.join("done.jsonl"), "key")?;
        Ok(Self { tasks: tasks.unwrap_or_default(), done })
    }
}

#[async_trait]
impl Bridge for Scripted {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        let script = self.tasks.get(&task.name);
        let script =
            script.ok_or_else(|| Trouble::Never(format!("no script for '{}'", task.name)))?;
        let status = script.get("status").and_then(Value::as_str).unwrap_or("ok");
        let template = script.get("output").cloned().unwrap_or_else(|| json!({}));
        let output = |number: usize| filled(template.clone(), &task.input, number);
        let line = |number| {
            let (name, input) = (&task.name, &task.input);
            json!({ "done": { "task": name, "input": input, "output": output(number) } })
        };
        // A repetition gets the number of the first time.
        let number =
            self.done.add(&task.key, line).map_err(|error| Trouble::Again(error.to_string()))?;
        Ok(Answer::new(status, output(number)))
    }

    fn routes(self: Arc<Self>, outbox: Outbox) -> Router {
        Router::new()
            .route("/done", get(async move || axum::Json(self.done.all())))
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
fn filled(value: Value, input: &Value, number: usize) -> Value {
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
