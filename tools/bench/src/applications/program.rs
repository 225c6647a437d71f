//! A native service's program whose tasks take as long as their names say.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A `quick` task.
pub(crate) const QUICK: Duration = Duration::from_millis(1);
/// Any other task.
pub(crate) const SLOW: Duration = Duration::from_secs(60);

/// The service, with an event for each of its tasks.
pub(crate) const SERVICE: &str = "service: bench/timing@1.0.0
summary: Tasks that take a known time.
runtime: native
environment: { time_ms: 120000 }
tasks:
  quick:
    summary: Takes a millisecond.
    verification: deterministic
    price: 0.001
    limits: { time_ms: 2000 }
    inputs: { order: string }
    statuses: { ok: { order: string } }
  slow:
    summary: Takes a minute.
    verification: deterministic
    price: 0.001
    limits: { time_ms: 120000 }
    inputs: { order: string }
    statuses: { ok: { order: string } }
events:
  hurried: { data: { order: string }, keys: [order], emitters: 1 }
  begun: { data: { order: string }, keys: [order], emitters: 1 }
";

/// A running program; it ends with the runtime.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) url: String,
    /// How many slow tasks are open.
    open: watch::Receiver<usize>,
}

impl Program {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await.context("opening a port for the program")?;
        let url = format!("http://{}/", listener.local_addr()?);
        let (sender, open) = watch::channel(0);
        let router = axum::Router::new().fallback(answer).with_state(Arc::new(sender));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, open })
    }

    /// Waits until so many slow tasks are open.
    pub(crate) async fn until_open(&self, count: usize) -> Result<()> {
        let mut open = self.open.clone();
        open.wait_for(|open| *open >= count).await.context("the program has ended")?;
        Ok(())
    }
}

async fn answer(State(open): State<Arc<watch::Sender<usize>>>, body: Json<Value>) -> Json<Value> {
    let Json(body) = body;
    if body.get("subject").is_some_and(|task| task == "quick") {
        tokio::time::sleep(QUICK).await;
    } else {
        open.send_modify(|open| *open += 1);
        tokio::time::sleep(SLOW).await;
        open.send_modify(|open| *open -= 1);
    }
    let order = body.pointer("/data/input/order").cloned().unwrap_or_default();
    Json(json!({ "status": "ok", "output": { "order": order } }))
}
