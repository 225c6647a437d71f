//! Reading requests: every failure is a [`Refusal`].

use std::fmt::Display;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use althing_types::{Hash, SignedTransaction, TRANSACTION_BYTES_MAX};
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::port::{Cut, PAGE_MAX};
use crate::problem::{Kind, Refusal};
use crate::wire;

/// How much of a body that is too large is read on, in bytes, and for how long.
const DRAIN_BYTES_MAX: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Entries of a page, unless the caller says otherwise.
const PAGE_DEFAULT: usize = 100;

/// The parameters of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// The last id of the page before.
    pub(crate) after: Option<String>,
    /// Entries of the page: 1 to 1,000; 100 unless given.
    pub(crate) limit: Option<String>,
}

impl ListQuery {
    pub(crate) fn cut(&self) -> Result<Cut, Refusal> {
        let after = self.after.as_deref().map(|text| parse("after", text)).transpose()?;
        Ok(Cut { after, limit: limit(self.limit.as_deref())? })
    }
}

pub(crate) fn limit(text: Option<&str>) -> Result<usize, Refusal> {
    let limit = text.map_or(Ok(PAGE_DEFAULT), |text| parse("limit", text))?;
    if limit == 0 || limit > PAGE_MAX {
        return Err(bad("limit", "from 1 to 1000 is allowed"));
    }
    Ok(limit)
}

/// How long to wait for a change.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Milliseconds to wait for the end, at most; 0 unless given, 30,000 at most.
    pub(crate) wait_ms: Option<String>,
}

impl WaitQuery {
    pub(crate) fn wait(&self, max: Duration) -> Result<Duration, Refusal> {
        let text = self.wait_ms.as_deref();
        let wait = Duration::from_millis(text.map_or(Ok(0), |text| parse("wait_ms", text))?);
        if wait > max {
            return Err(bad("wait_ms", format!("at most {} is allowed", max.as_millis())));
        }
        Ok(wait)
    }
}

fn bad(name: &str, what: impl Display) -> Refusal {
    Kind::BadParameter.because(format!("`{name}`: {what}"))
}

/// Reads a parameter.
pub(crate) fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error| bad(name, error))
}

/// The parts of the path.
pub(crate) fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Refusal> {
    path.map(|Path(parts)| parts).map_err(|error| bad("path", error.body_text()))
}

/// The query.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    query.map(|Query(query)| query).map_err(|error| bad("query", error.body_text()))
}

/// The whole body, if it is not longer than `bytes_max`.
pub(crate) async fn body(body: Body, bytes_max: usize) -> Result<Bytes, Refusal> {
    let too_large = || Kind::TooLarge.because(format!("at most {bytes_max} bytes are allowed"));
    // Told by its length before it is read, or by counting.
    let announced = body.size_hint().lower();
    if usize::try_from(announced).is_ok_and(|announced| announced > bytes_max) {
        tokio::spawn(tokio::time::timeout(DRAIN_TIMEOUT, drain(body)));
        return Err(too_large());
    }
    to_bytes(body, bytes_max).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.to_string().contains("length limit")) {
            too_large()
        } else {
            Kind::MalformedJson.because("the body broke off")
        }
    })
}

/// Reads on what is refused, and keeps nothing of it: a client that is still writing when the connection
/// closes sees a broken pipe, and never the refusal.
async fn drain(mut body: Body) {
    let mut bytes = 0;
    while bytes < DRAIN_BYTES_MAX
        && let Some(Ok(frame)) =
            std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// JSON of a known shape.
pub(crate) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Kind::MalformedJson.because(error.to_string()))
}

/// Canonical bytes of a signed transaction.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the body, as `Submission` does")]
pub(crate) struct EncodedTransaction {
    /// In hexadecimal.
    bytes: String,
}

/// A transaction to submit: canonical bytes, or its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body; `submission` reads it with better messages")]
pub(crate) enum Submission {
    /// Canonical bytes.
    Bytes(EncodedTransaction),
    /// Transaction and signature.
    Parts(wire::SignedTransaction),
}

/// Reads a transaction in either of its two forms.
pub(crate) fn submission(bytes: &[u8]) -> Result<SignedTransaction, Refusal> {
    let wrong = |detail: String| Kind::MalformedTransaction.because(detail);
    let value: Value = json(bytes)?;
    let Some(encoded) = value.get("bytes") else {
        let parts: wire::SignedTransaction =
            serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        return Ok(parts.into());
    };
    let text = encoded.as_str().ok_or_else(|| wrong("`bytes` is not a text".to_owned()))?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() > 2 * TRANSACTION_BYTES_MAX {
        return Err(wrong(format!("at most {TRANSACTION_BYTES_MAX} bytes are allowed")));
    }
    let bytes = hex::decode(digits).map_err(|error| wrong(format!("`bytes`: {error}")))?;
    SignedTransaction::decode(&bytes).map_err(|error| wrong(error.to_string()))
}

/// The transaction in the body of a submission, in either of its two forms; `None` if the interface
/// would refuse the body.
#[must_use]
pub fn transaction_in(body: &[u8]) -> Option<SignedTransaction> {
    submission(body).ok()
}

/// An id in the path.
pub(crate) fn id(text: &str) -> Result<Hash, Refusal> {
    parse("id", text)
}
