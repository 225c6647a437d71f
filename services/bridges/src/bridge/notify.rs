//! `notify`: a message to an address, signed by Standard Webhooks.
//!
//! Settings: `{"url": "https://…", "secret": "whsec_…"}`. The idempotency key is the `webhook-id`, by
//! which the receiver drops repetitions, so repeating is safe. The twin keeps messages in
//! `messages.jsonl` and shows them under `/messages`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use serde_json::json;
use standardwebhooks::Webhook;

use crate::lines::Lines;
use crate::{Answer, Bridge, Outbox, Setup, Task, Trouble};

const POST_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Notify {
    way: Way,
}

enum Way {
    Out { url: String, secret: Box<Webhook>, agent: ureq::Agent },
    Twin(Lines),
}

impl Notify {
    pub(super) fn open(setup: &Setup) -> Result<Self> {
        if setup.twin {
            let lines = Lines::open(&setup.folder.join("messages.jsonl"), "key")?;
            return Ok(Self { way: Way::Twin(lines) });
        }
        let url = setup.config.text("url").context("the settings name no `url`")?.to_owned();
        let secret = setup.config.text("secret").context("the settings name no `secret`")?;
        let secret = Box::new(Webhook::new(secret).context("the secret is not a webhook's")?);
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(POST_TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self { way: Way::Out { url, secret, agent } })
    }
}

#[async_trait]
impl Bridge for Notify {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        if task.name != "push" {
            return Err(Trouble::Never(format!("notify has no task '{}'", task.name)));
        }
        match &self.way {
            Way::Out { url, secret, agent } => {
                let body = task.input.to_string();
                let stamp = jiff::Timestamp::now().as_second();
                let signature = secret
                    .sign(&task.key, stamp, body.as_bytes())
                    .map_err(|error| Trouble::Never(error.to_string()))?;
                let request = agent
                    .post(url)
                    .header("content-type", "application/json")
                    .header("webhook-id", &task.key)
                    .header("webhook-timestamp", stamp.to_string())
                    .header("webhook-signature", signature);
                tokio::task::spawn_blocking(move || said(request.send(&body)))
                    .await
                    .map_err(|_| Trouble::Again("the thread panicked".to_owned()))?
            }
            Way::Twin(lines) => {
                let line = |_| json!({ "message": task.input });
                let kept = lines.add(&task.key, line);
                kept.map_err(|error| Trouble::Again(error.to_string()))?;
                Ok(Answer::new("sent", json!({})))
            }
        }
    }

    fn routes(self: Arc<Self>, _outbox: Outbox) -> Router {
        let shown = async move || match &self.way {
            Way::Twin(lines) => axum::Json(lines.all()),
            Way::Out { .. } => axum::Json(Vec::new()),
        };
        Router::new().route("/messages", get(shown))
    }
}

fn said(reply: Result<axum::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, Trouble> {
    let reply = reply.map_err(|error| Trouble::Again(error.to_string()))?;
    match reply.status().as_u16() {
        200..=299 => Ok(Answer::new("sent", json!({}))),
        code @ (429 | 500..=599) => Err(Trouble::Again(format!("the receiver answered {code}"))),
        code => Ok(Answer::new("refused", json!({ "code": code }))),
    }
}
