//! What a bridge is asked and what it says.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use serde_json::Value;

use crate::Outbox;

/// One task that a node posts.
#[derive(Clone, Debug)]
pub struct Task {
    /// The manifest's name of it.
    pub name: String,
    /// Equal for every attempt and node: the effect happens once under it.
    pub key: String,
    /// Satisfies the manifest's schema; the node has checked it.
    pub input: Value,
    /// An earlier attempt under this key began and left no answer, or one so long ago that it is forgotten:
    /// it may have had its effect.
    pub begun: bool,
}

impl Task {
    /// A text of the input; empty if it is absent.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.input.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What a task came to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// A status of the manifest.
    pub status: String,
    /// Satisfies the status's schema.
    pub output: Value,
}

impl Answer {
    /// A status with its output.
    #[must_use]
    pub fn new(status: &str, output: Value) -> Self {
        Self { status: status.to_owned(), output }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The technology does not answer now; nothing has happened.
    #[error("the technology does not answer: {0}")]
    Again(String),
    /// Asking again is of no use.
    #[error("{0}")]
    Never(String),
}

/// What a bridge says of another node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the answer holds.
    pub valid: bool,
    /// Why not; empty if it does.
    pub reason: String,
}

/// One technology.
#[async_trait]
pub trait Bridge: Send + Sync + 'static {
    /// Does a task.
    async fn task(&self, task: Task) -> Result<Answer, Trouble>;

    /// Looks whether another node's answer holds.
    async fn verify(&self, _task: Task, _answer: Answer) -> Result<Judgement, Trouble> {
        Err(Trouble::Never("the service has no method to verify".to_owned()))
    }

    /// Begins to watch the technology; what it sees goes into the outbox.
    fn watch(self: Arc<Self>, _outbox: Outbox) {}

    /// What is served beside the tasks: a receiver of webhooks, a look at a twin.
    fn routes(self: Arc<Self>, _outbox: Outbox) -> Router {
        Router::new()
    }
}
