//! `http`: a receiver of webhooks, and requests to hosts on an allow list.
//!
//! Settings: `{"hooks": {"shop": {"secret": "whsec_…"}, "open": {}}, "allow": ["api.example.org"]}`.
//! A hook with a secret takes only posts that are signed by Standard Webhooks, not older than five
//! minutes. What no node would take (more than 1 MiB, nested deeper than 100) is refused when it is
//! posted; integers of 64 bits become text. An event's id is `webhook-id`, else `idempotency-key`, else the hash of the body, so a
//! repeated delivery is the same event. A request that is more than a look, and whose answer is lost on
//! the way, ends as `uncertain`: it is not sent again. The twin answers requests by itself, with what
//! was sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use sha3::{Digest as _, Keccak256};
use standardwebhooks::Webhook;

use crate::numbers::has_lost_digits;
use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is handed on, in bytes.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Longest event that the node takes, in bytes, less what is around the body.
const EVENT_BYTES_MAX: usize = (1 << 20) - (4 << 10);
/// Deepest body: the node reads 128 levels, with those around it.
const DEPTH_MAX: usize = 100;

pub(super) struct Http {
    hooks: BTreeMap<String, Option<Webhook>>,
    allow: Vec<String>,
    /// None for the twin, which asks nobody.
    agent: Option<ureq::Agent>,
}

impl Http {
    pub(super) fn open(setup: &Setup) -> Result<Self> {
        let hooks = setup.config.0.get("hooks").and_then(Value::as_object);
        let hooks = hooks
            .into_iter()
            .flatten()
            .map(|(name, hook)| {
                let secret = hook.get("secret").and_then(Value::as_str);
                let secret = secret.map(Webhook::new).transpose();
                Ok((name.clone(), secret.with_context(|| format!("the secret of hook '{name}'"))?))
            })
            .collect::<Result<_>>()?;
        let agent = || {
            ureq::Agent::config_builder()
                .timeout_global(Some(REQUEST_TIMEOUT))
                .http_status_as_error(false)
                // A redirect could lead past the allow list.
                .max_redirects(0)
                .max_redirects_will_error(false)
                // One that the host has closed meanwhile would make a fresh request uncertain.
                .max_idle_connections(0)
                .build()
                .into()
        };
        let agent = (!setup.twin).then(agent);
        Ok(Self { hooks, allow: setup.config.texts("allow"), agent })
    }

    fn is_allowed(&self, uri: &Uri) -> bool {
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().map(|authority| authority.as_str().to_owned());
        let host = uri.host().unwrap_or_default();
        // A name with a port allows that port only; user names in addresses hide hosts from people.
        scheme
            && authority.as_ref().is_some_and(|authority| !authority.contains('@'))
            && self.allow.iter().any(|allowed| {
                allowed == host || authority.as_ref().is_some_and(|authority| authority == allowed)
            })
    }
}

#[async_trait]
impl Bridge for Http {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        if task.name != "request" {
            return Err(Trouble::Never(format!("http has no task '{}'", task.name)));
        }
        let method = match task.text("method") {
            "" => "GET",
            other => other,
        };
        let url = task.text("url");
        let refused = |why: &str| Ok(Answer::new("refused", json!({ "reason": why })));
        let Ok(uri) = url.parse::<Uri>() else { return refused("not an address") };
        let Some(agent) = self.agent.clone() else {
            let echo = json!({ "method": method, "url": url, "body": task.input.get("body") });
            return Ok(Answer::new("ok", json!({ "code": 200, "body": echo.to_string() })));
        };
        if !self.is_allowed(&uri) {
            return refused("the host is not on the allow list");
        }
        let looks_only = matches!(method, "GET" | "HEAD");
        // It may have had its effect, and nobody can tell.
        let uncertain = || Ok(Answer::new("uncertain", json!({})));
        if task.begun && !looks_only {
            return uncertain();
        }
        let body = task.input.get("body").map(Value::to_string);
        let request = axum::http::Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", "application/json")
            .header("idempotency-key", &task.key)
            .body(body.unwrap_or_default());
        let Ok(request) = request else { return refused("not a request") };
        let sent = tokio::task::spawn_blocking(move || send(&agent, request)).await;
        match sent.unwrap_or_else(|_| Sent::Lost("the thread panicked".to_owned())) {
            Sent::Answered { code, body } => {
                let status = if (200..300).contains(&code) { "ok" } else { "failed" };
                Ok(Answer::new(status, json!({ "code": code, "body": body })))
            }
            Sent::NotTaken(why) => Err(Trouble::Again(why)),
            Sent::Lost(why) if looks_only => Err(Trouble::Again(why)),
            Sent::Unreadable(why) if looks_only => Err(Trouble::Never(why)),
            Sent::Lost(_) | Sent::Unreadable(_) => uncertain(),
        }
    }

    fn routes(self: Arc<Self>, outbox: Outbox) -> Router {
        Router::new().route("/hooks/{name}", post(receive)).with_state((self, outbox))
    }
}

/// What became of a request.
enum Sent {
    Answered {
        code: u16,
        body: String,
    },
    /// The host never had it, or says that it has done nothing.
    NotTaken(String),
    /// The host may have done it; its answer did not come.
    Lost(String),
    /// The host has answered, and what it said cannot be handed on.
    Unreadable(String),
}

fn send(agent: &ureq::Agent, request: axum::http::Request<String>) -> Sent {
    let reply = match agent.run(request) {
        Ok(reply) => reply,
        Err(error) if never_left(&error) => return Sent::NotTaken(error.to_string()),
        Err(error) => return Sent::Lost(error.to_string()),
    };
    let code = reply.status().as_u16();
    match code {
        429 | 503 => return Sent::NotTaken(format!("the host answered {code}")),
        // A gateway says so of a host that may have had the request.
        502 | 504 => return Sent::Lost(format!("the host answered {code}")),
        _ => {}
    }
    let body = reply
        .into_body()
        .into_with_config()
        .limit(BODY_BYTES_MAX)
        .lossy_utf8(true)
        .read_to_string();
    match body {
        Ok(body) => Sent::Answered { code, body },
        Err(error) => Sent::Unreadable(format!("the answer cannot be read: {error}")),
    }
}

/// There was no connection that the request could have gone through.
fn never_left(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
        ),
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Tls(_) => true,
        _ => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

async fn receive(
    State((http, outbox)): State<(Arc<Http>, Outbox)>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let said = |status: StatusCode, text: Value| (status, axum::Json(text)).into_response();
    let Some(secret) = http.hooks.get(&name) else {
        return said(StatusCode::NOT_FOUND, json!({ "error": "there is no such hook" }));
    };
    if secret.as_ref().is_some_and(|secret| secret.verify(&body, &headers).is_err()) {
        let error = json!({ "error": "the signature is not the sender's, or too old" });
        return said(StatusCode::UNAUTHORIZED, error);
    }
    // Whatever the node would not take is refused here, where somebody can still do something about it.
    let Ok(data) = serde_json::from_slice::<Value>(&body) else {
        return said(StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": "the body is not JSON" }));
    };
    if has_lost_digits(&data) {
        let error =
            json!({ "error": "a number has more digits than 64 bits hold: send it as text" });
        return said(StatusCode::UNPROCESSABLE_ENTITY, error);
    }
    if depth(&data) > DEPTH_MAX {
        let error = json!({ "error": format!("the body is nested deeper than {DEPTH_MAX}") });
        return said(StatusCode::UNPROCESSABLE_ENTITY, error);
    }
    let named = ["webhook-id", "idempotency-key"]
        .iter()
        .find_map(|header| headers.get(*header)?.to_str().ok())
        .map(str::to_owned);
    let id = named.unwrap_or_else(|| hex::encode(Keccak256::digest(&body)));
    if data.to_string().len() + id.len() > EVENT_BYTES_MAX {
        let error = json!({ "error": format!("an event has at most {EVENT_BYTES_MAX} bytes") });
        return said(StatusCode::PAYLOAD_TOO_LARGE, error);
    }
    let sighting = Sighting {
        kind: "received".to_owned(),
        id: format!("{name} {id}"),
        data: json!({ "hook": name, "id": id, "body": data }),
    };
    match outbox.add(sighting).await {
        Ok(fresh) => said(StatusCode::ACCEPTED, json!({ "duplicate": !fresh })),
        Err(error) => {
            tracing::warn!(%error, "a webhook is refused");
            said(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": "not kept; post it again" }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_on_the_list_are_asked() {
        let http = Http {
            hooks: BTreeMap::new(),
            allow: vec!["api.example.org".to_owned(), "127.0.0.1:81".to_owned()],
            agent: None,
        };
        let allowed = |text: &str| text.parse().is_ok_and(|uri| http.is_allowed(&uri));
        assert!(allowed("https://api.example.org/v1"));
        assert!(allowed("http://127.0.0.1:81/"));
        for url in [
            "http://127.0.0.1:80/",
            "https://api.example.org.evil.net/",
            "https://api.example.org@evil.net/",
            "https://me@api.example.org/",
            "file:///etc/passwd",
            "/relative",
        ] {
            assert!(!allowed(url), "{url}");
        }
    }
}
