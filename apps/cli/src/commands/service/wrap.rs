//! Makes a service of an HTTP endpoint that knows nothing of this network.
//!
//! ```text
//!   node ──signed task──► this program ──the input, as JSON──► endpoint
//!        ◄─ok | refused──             ◄──2xx | 4xx─────────────
//!        ◄─503, tried again─          ◄──5xx, nothing──────────
//! ```
//!
//! - Invariants: a task without the node's signature reaches nobody; the endpoint is told the
//!   idempotency key, and is trusted: nobody checks its answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_keys::NodeKeys;
use althing_manifest::{Manifest, ServiceFile};
use althing_types::{Alias, Amount, Label, Offer, Operation, Publish};
use anyhow::{Context as _, Result};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::commands::program::{self, Operated, Operator};
use crate::duration::Span;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::patience::Patience;
use crate::sign::{Fee, Signer};

/// Longest answer of an endpoint in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// Longest task in bytes: an input with what stands around it.
const TASK_BYTES_MAX: usize = 2 << 20;

/// Make a service of an existing HTTP endpoint, trusted first: publish, offer, connect, and pass
/// tasks on until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Wrap {
    /// The endpoint: inputs are posted to it as JSON.
    url: String,
    /// What to call the service: `namespace/name@version`.
    #[arg(long = "as", value_name = "ALIAS")]
    alias: Alias,
    /// What one call costs, in tokens.
    #[arg(long, default_value = "0.01", value_name = "TOKENS")]
    price: Amount,
    /// How long the endpoint may take.
    #[arg(long, default_value = "30s", value_name = "TIME")]
    time_limit: Span,
    /// Tokens that the node stakes on the service.
    #[arg(long, default_value = "10", value_name = "TOKENS")]
    stake: Amount,
    /// For how long the node offers it.
    #[arg(long, default_value = "30d", value_name = "TIME")]
    term: Span,
    /// Folder for the manifest, so that it can be changed later [default: the service's name].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the node finds this program.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    fee: Fee,
}

#[derive(Serialize)]
struct Wrapped {
    service: String,
    id: String,
    endpoint: String,
    url: String,
    manifest: PathBuf,
}

impl Wrap {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        if !(self.url.starts_with("http://") || self.url.starts_with("https://")) {
            let message = format!("{} is no address of an HTTP endpoint", self.url);
            let hint = "write it with http:// or https://";
            return Err(Failure::new("CLI-0034", message, hint).into());
        }
        let Operated { client, keys, labels } = self.operator.open(home)?;
        let (manifest, file) = self.manifest()?;
        self.publish(home, &client, (keys, labels), &manifest)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(self.listen))
            .with_context(|| format!("listening on {}", self.listen))?;
        let url = format!("http://{}/", listener.local_addr()?);
        let key = ServiceKey::Id(manifest.id());
        let connection = Patience::short().ask(|| client.connect(&key, &url))?;
        program::remember(home, &connection)?;
        let wrapped = Wrapped {
            service: manifest.service.to_string(),
            id: manifest.id().to_string(),
            endpoint: self.url.clone(),
            url,
            manifest: file,
        };
        if output.json {
            // One line: whoever started this process reads it and knows that the service is there.
            output.bytes(format!("{}\n", serde_json::to_string(&wrapped)?).as_bytes())?;
        } else {
            output.print(&wrapped, text)?;
        }
        let passer = Passer {
            webhook: Webhook::new(&connection.secret).context("reading the node's secret")?,
            endpoint: self.url,
            agent: ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_millis(self.time_limit.ms)))
                .build()
                .into(),
        };
        runtime.block_on(serve(listener, passer))
    }

    /// The manifest, written down so that it can be changed and published again.
    fn manifest(&self) -> Result<(Manifest, PathBuf)> {
        let folder = self.out.clone().unwrap_or_else(|| PathBuf::from(self.alias.name.as_str()));
        let path = folder.join("service.yml");
        let text = format!(
            "service: {}\nsummary: Calls an HTTP endpoint.\nruntime: native\n\
             tasks:\n  call:\n    summary: Posts the input as JSON and returns what comes back.\n    \
             verification: none\n    price: {}\n    limits: {{ time_ms: {}, output_kb: 4096 }}\n    \
             inputs: {{ schema: true }}\n    statuses:\n      ok: {{ schema: true }}\n      \
             refused: {{ code: integer, body: {{}} }}\n",
            self.alias, self.price, self.time_limit.ms
        );
        let manifest = ServiceFile::parse(&path.display().to_string(), &text)?.into_manifest(&[]);
        let there = std::fs::read_to_string(&path);
        if there.is_ok_and(|there| there != text) {
            let message = format!("{} holds another service", path.display());
            let hint = "name another folder with --out, or publish what is there";
            return Err(Failure::new("CLI-0035", message, hint).into());
        }
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok((manifest, path))
    }

    /// Publishes and offers the service, if that has not been done.
    fn publish(
        &self,
        home: &Home,
        client: &Client,
        (keys, labels): (NodeKeys, Vec<Label>),
        manifest: &Manifest,
    ) -> Result<()> {
        let patience = Patience::short();
        patience.ask(|| client.put_blob(&manifest.canonical()))?;
        let key = ServiceKey::Id(manifest.id());
        match patience.ask(|| client.service(&key)) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                let signer = Signer::new(client, home.signer()?, self.fee)?;
                signer.carry_out(Operation::Publish(Publish { terms: manifest.terms().into() }))?;
            }
            Err(error) => return Err(error.into()),
        }
        let me = keys.account.address();
        let offered = patience.ask(|| client.offers(&key))?;
        if offered.iter().any(|offer| offer.node.0 == me) {
            return Ok(());
        }
        let offer = Offer {
            service: manifest.id(),
            stake: self.stake,
            term_ms: self.term.ms,
            owner: me,
            endpoint: althing_net_iroh::endpoint_of(&keys.endpoint),
            labels,
        };
        Signer::new(client, keys.account, self.fee)?.carry_out(Operation::Offer(offer)).map(drop)
    }
}

fn text(wrapped: &Wrapped) -> String {
    format!(
        "{}\n  id        {}\n  endpoint  {}\n  manifest  {}\nIts answers are trusted: nobody checks them.\n\
         Ctrl-C stops passing tasks on.",
        wrapped.service,
        wrapped.id,
        wrapped.endpoint,
        wrapped.manifest.display()
    )
}

/// Passes tasks on.
struct Passer {
    webhook: Webhook,
    endpoint: String,
    agent: ureq::Agent,
}

async fn serve(listener: tokio::net::TcpListener, passer: Passer) -> Result<()> {
    let router = axum::Router::new()
        .route("/", axum::routing::post(take))
        .layer(axum::extract::DefaultBodyLimit::max(TASK_BYTES_MAX))
        .with_state(Arc::new(passer));
    let stop = async {
        // Without a way to notice Ctrl-C the system ends the program anyway.
        tokio::signal::ctrl_c().await.ok();
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await.context("serving the node")
}

async fn take(State(passer): State<Arc<Passer>>, headers: HeaderMap, body: Bytes) -> Response {
    if passer.webhook.verify(&body, &headers).is_err() {
        return (StatusCode::UNAUTHORIZED, "not signed by the node").into_response();
    }
    let Ok(task) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "no JSON").into_response();
    };
    let passed = tokio::task::spawn_blocking(move || passer.pass_on(&task)).await;
    match passed {
        Ok(Some(answer)) => axum::Json(answer).into_response(),
        // The node tries again.
        Ok(None) | Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

impl Passer {
    /// What the endpoint says; `None` if asking again may help.
    fn pass_on(&self, task: &Value) -> Option<Value> {
        let data = task.get("data")?;
        let key = data.get("key").and_then(Value::as_str).unwrap_or_default();
        let request = self
            .agent
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        let input = data.get("input").unwrap_or(&Value::Null).to_string();
        let response = request.send(&input).inspect_err(|error| {
            tracing::warn!(%error, "the endpoint does not answer");
        });
        let response = response.ok()?;
        let code = response.status();
        if code.is_server_error() || code == StatusCode::TOO_MANY_REQUESTS {
            tracing::warn!(%code, "the endpoint has no time");
            return None;
        }
        let mut body = response.into_body();
        let text = body.with_config().limit(ANSWER_BYTES_MAX).read_to_string().ok()?;
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(if code.is_success() {
            json!({ "status": "ok", "output": value })
        } else {
            json!({ "status": "refused", "output": { "code": code.as_u16(), "body": value } })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(folder: &std::path::Path) -> Wrap {
        Wrap {
            url: "http://127.0.0.1:1/search".to_owned(),
            alias: "acme/search@1.0.0".parse().unwrap(),
            price: "0.01".parse().unwrap(),
            time_limit: "30s".parse().unwrap(),
            stake: Amount::from_tokens(10),
            term: "30d".parse().unwrap(),
            out: Some(folder.join("search")),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            operator: Operator::default(),
            fee: Fee { fee_limit: Amount::from_tokens(1) },
        }
    }

    #[test]
    fn the_manifest_is_one_that_can_be_published_and_is_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, path) = wrap(folder.path()).manifest().unwrap();
        assert!(manifest.module.is_none());
        assert_eq!(manifest.tasks[0].statuses[0].name.as_str(), "ok");
        assert_eq!(wrap(folder.path()).manifest().unwrap().0, manifest);
        std::fs::write(path, "service: acme/other@1.0.0\n").unwrap();
        let error = crate::failure::render(&wrap(folder.path()).manifest().unwrap_err());
        assert!(error.starts_with("error[CLI-0035]"), "{error}");
    }

    #[test]
    fn an_endpoint_that_is_gone_is_asked_again() {
        let passer = Passer {
            webhook: Webhook::new("whsec_c2VjcmV0").unwrap(),
            endpoint: "http://127.0.0.1:1/".to_owned(),
            agent: ureq::Agent::new_with_defaults(),
        };
        assert_eq!(passer.pass_on(&json!({ "data": { "key": "0x1", "input": {} } })), None);
    }
}
