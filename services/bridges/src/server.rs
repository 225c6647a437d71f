//! Where the node posts tasks.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::memory::{Asked, Known, now_s};
use crate::{Answer, Bridge, Memory, Outbox, Setup, Task, Trouble};

/// Largest task in bytes: an input of 1 MiB with what is around it.
const TASK_BYTES_MAX: usize = 2 << 20;
/// How long one task may take, whatever the node's patience is.
const TASK_TIMEOUT: Duration = Duration::from_secs(600);

struct Server {
    bridge: Arc<dyn Bridge>,
    memory: Memory,
    /// One for each node's secret.
    webhooks: Vec<Webhook>,
    /// One task at a time under one key.
    under_way: Mutex<HashMap<String, Weak<Mutex<()>>>>,
}

/// Serves a bridge until the process ends.
///
/// # Errors
///
/// If the address is taken, the folder cannot be used or the secret is not one.
pub async fn serve(setup: &Setup, bridge: Arc<dyn Bridge>, memory: Memory) -> Result<()> {
    let outbox = Outbox::start(memory.clone(), setup);
    let webhooks = setup
        .nodes
        .iter()
        .map(|node| Webhook::new(&node.secret).context("the secret is not a webhook's secret"))
        .collect::<Result<_>>()?;
    let server =
        Server { bridge: Arc::clone(&bridge), memory, webhooks, under_way: Mutex::default() };
    Arc::clone(&bridge).watch(outbox.clone());
    let app = Router::new()
        .route("/", post(take))
        .with_state(Arc::new(server))
        .merge(bridge.routes(outbox))
        .layer(DefaultBodyLimit::max(TASK_BYTES_MAX));
    let listener = TcpListener::bind(setup.listen)
        .await
        .with_context(|| format!("listening on {}", setup.listen))?;
    // Whoever starts a bridge on any free port learns here which one it is.
    let mut output = std::io::stdout();
    writeln!(output, "listening on http://{}/", listener.local_addr()?)?;
    output.flush()?;
    axum::serve(listener, app).await.context("serving")
}

/// What a node posts.
#[derive(Deserialize)]
struct Posted {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    key: Option<String>,
    /// Seconds since 1970: no task under the key was posted before. Absent: this is the first.
    since: Option<i64>,
    input: Value,
    status: Option<String>,
    output: Option<Value>,
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "error": why }))).into_response()
}

async fn take(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let signed = |webhook: &Webhook| webhook.verify(&body, &headers).is_ok();
    if !server.webhooks.iter().any(signed) {
        return refused(StatusCode::UNAUTHORIZED, "the signature is not the node's");
    }
    let Ok(posted) = serde_json::from_slice::<Posted>(&body) else {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "not a task");
    };
    let key = posted.data.key.unwrap_or_else(|| posted.id.clone());
    let now_s = now_s();
    let asked = Asked { since_s: posted.data.since.unwrap_or(now_s), now_s };
    let task = Task { name: posted.subject, key, input: posted.data.input, begun: false };
    let done = match posted.kind.as_str() {
        "althing.task" => tokio::time::timeout(TASK_TIMEOUT, server.perform(task, asked)).await,
        "althing.verify" => {
            let (Some(status), Some(output)) = (posted.data.status, posted.data.output) else {
                return refused(StatusCode::UNPROCESSABLE_ENTITY, "there is no answer to verify");
            };
            let judged = server.bridge.verify(task, Answer { status, output });
            tokio::time::timeout(TASK_TIMEOUT, judged).await.map(|judged| {
                judged.map(|judged| json!({ "valid": judged.valid, "reason": judged.reason }))
            })
        }
        _ => return refused(StatusCode::UNPROCESSABLE_ENTITY, "neither a task nor a check"),
    };
    match done {
        Ok(Ok(value)) => axum::Json(value).into_response(),
        Ok(Err(Trouble::Again(why))) => refused(StatusCode::SERVICE_UNAVAILABLE, &why),
        Ok(Err(Trouble::Never(why))) => refused(StatusCode::UNPROCESSABLE_ENTITY, &why),
        Err(_) => refused(StatusCode::GATEWAY_TIMEOUT, "the technology is too slow"),
    }
}

impl Server {
    /// Does a task once: a key that has an answer gets that answer.
    async fn perform(&self, mut task: Task, asked: Asked) -> Result<Value, Trouble> {
        let turn = self.turn(&task.key).await;
        let _turn = turn.lock().await;
        let key = task.key.clone();
        let memory = |error: anyhow::Error| Trouble::Again(format!("the memory fails: {error}"));
        match self.memory.begin(&key, asked).map_err(memory)? {
            Known::Answered(answer) => return Ok(json!(answer)),
            Known::Begun => task.begun = true,
            Known::New => {}
        }
        let begun = task.begun;
        match self.bridge.task(task).await {
            Ok(answer) => {
                self.memory.keep(&key, &answer).map_err(memory)?;
                Ok(json!(answer))
            }
            Err(trouble) => {
                // An earlier attempt may have had its effect: only a first one is taken back.
                if !begun {
                    self.memory.forget(&key).map_err(memory)?;
                }
                Err(trouble)
            }
        }
    }

    async fn turn(&self, key: &str) -> Arc<Mutex<()>> {
        let mut under_way = self.under_way.lock().await;
        if let Some(turn) = under_way.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        under_way.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Mutex::new(()));
        under_way.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}
