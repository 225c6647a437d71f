//! Why a decision is not taken, each with its code.

use althing_types::Address;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// What is said to who wants to decide.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// There is none of this key.
    #[error("there is no such question")]
    Unknown,
    /// The body is not a decision.
    #[error("not a decision: {0}")]
    Malformed(&'static str),
    /// The account was not asked.
    #[error("{0} was not asked")]
    NotAsked(Address),
    /// The signature is not the account's for this question and answer on this chain.
    #[error("the signature is not that of {0} for this question and answer")]
    Forged(Address),
    /// A question is decided once.
    #[error("it is decided: {0}")]
    Decided(String),
    /// Its time is over.
    #[error("the question is not open any more")]
    Over,
    /// The bridge cannot tell now.
    #[error("the bridge cannot tell now; try again")]
    Unavailable,
}

impl Refusal {
    /// A cause that is for the log alone.
    #[expect(clippy::needless_pass_by_value, reason = "it is the argument of `map_err`")]
    pub(super) fn unavailable(error: anyhow::Error) -> Self {
        tracing::warn!(error = format!("{error:#}"), "a decision was not taken");
        Self::Unavailable
    }

    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "ASK-0001",
            Self::Malformed(_) => "ASK-0002",
            Self::NotAsked(_) => "ASK-0003",
            Self::Forged(_) => "ASK-0004",
            Self::Decided(_) => "ASK-0005",
            Self::Over => "ASK-0006",
            Self::Unavailable => "ASK-0007",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Malformed(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotAsked(_) | Self::Forged(_) => StatusCode::FORBIDDEN,
            Self::Decided(_) => StatusCode::CONFLICT,
            Self::Over => StatusCode::GONE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "code": self.code(), "error": self.to_string() });
        (self.status(), Json(body)).into_response()
    }
}
