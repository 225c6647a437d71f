//! `notify`: a message to an address, signed by Standard Webhooks.
//!
//! Settings: `{"url": "https://…", "secret": "whsec_…"}`. The idempotency key is the `webhook-id`, by
//! which the receiver drops repetitions, so repeating is safe. The twin keeps messages in
//! `messages.jsonl` and shows them under `/messages`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::{Answer, Bridge, Outbox, Setup, Task, Trouble};

const POST_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Notify {
    way: Way,
}

enum Way {
    Out { url: String, secret: Box<Webhook> },
    Twin { file: PathBuf, writing: Mutex<()> },
}

impl Notify {
    pub(super) fn open(setup: &Setup) -> Result<Self> {
        if setup.twin {
            let file = setup.folder.join("messages.jsonl");
            return Ok(Self { way: Way::Twin { file, writing: Mutex::new(()) } });
        }
        let url = setup.config.text("url").context("the settings name no `url`")?.to_owned();
        let secret = setup.config.text("secret").context("the settings name no `secret`")?;
        let secret = Box::new(Webhook::new(secret).context("the secret is not a webhook's")?);
        Ok(Self { way: Way::Out { url, secret } })
    }
}

#[async_trait]
impl Bridge for Notify {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        if task.name != "push" {
            return Err(Trouble::Never(format!("notify has no task '{}'", task.name)));
        }
        let body = task.input.to_string();
        match &self.way {
            Way::Out { url, secret } => {
                let stamp = jiff::Timestamp::now().as_second();
                let signature = secret
                    .sign(&task.key, stamp, body.as_bytes())
                    .map_err(|error| Trouble::Never(error.to_string()))?;
                let (url, key) = (url.clone(), task.key);
                tokio::task::spawn_blocking(move || send(&url, &key, stamp, &signature, &body))
                    .await
                    .map_err(|_| Trouble::Again("the thread panicked".to_owned()))?
            }
            Way::Twin { file, writing } => {
                let _one_at_a_time = writing.lock().unwrap_or_else(PoisonError::into_inner);
                let known = std::fs::read_to_string(file).unwrap_or_default();
                let mark = format!("{{\"key\":\"{}\"", task.key);
                if !known.lines().any(|line| line.starts_with(&mark)) {
                    let line = format!("{mark},\"message\":{body}}}\n");
                    std::fs::OpenOptions::new()
                        .create(true)
                        .append(true)
                        .open(file)
                        .and_then(|mut file| file.write_all(line.as_bytes()))
                        .map_err(|error| Trouble::Again(error.to_string()))?;
                }
                Ok(Answer::new("sent", json!({})))
            }
        }
    }

    fn routes(self: Arc<Self>, _outbox: Outbox) -> Router {
        Router::new().route(
            "/messages",
            get(async move || match &self.way {
                Way::Twin { file, .. } => {
                    let text = std::fs::read_to_string(file).unwrap_or_default();
                    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
                    axum::Json(lines.collect::<Vec<Value>>())
                }
                Way::Out { .. } => axum::Json(Vec::new()),
            }),
        )
    }
}

fn send(url: &str, key: &str, stamp: i64, signature: &str, body: &str) -> Result<Answer, Trouble> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(POST_TIMEOUT))
        .http_status_as_error(false)
        .build()
        .into();
    let reply = agent
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-id", key)
        .header("webhook-timestamp", stamp.to_string())
        .header("webhook-signature", signature)
        .send(body)
        .map_err(|error| Trouble::Again(error.to_string()))?;
    match reply.status().as_u16() {
        200..=299 => Ok(Answer::new("sent", json!({}))),
        code @ (429 | 500..=599) => Err(Trouble::Again(format!("the receiver answered {code}"))),
        code => Ok(Answer::new("refused", json!({ "code": code }))),
    }
}
