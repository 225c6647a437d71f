//! Problem documents (RFC 9457): every failure of the API, with a code that has a page.

use std::fmt;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where the pages are.
const PAGES: &str = "https://github.com/althing-network/althing/blob/main/docs/errors";

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The code's page.
    #[serde(rename = "type")]
    pub page: String,
    /// The same for every occurrence of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// The code of this interface.
    pub code: String,
    /// What can be done about it.
    pub hint: String,
    /// The code of the rule behind a rejection, such as `TXN-0006`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Problem {
    /// The most specific code: that of the cause, if there is one.
    #[must_use]
    pub fn most_specific_code(&self) -> &str {
        self.cause.as_deref().unwrap_or(&self.code)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The body is not the JSON that is expected.
    MalformedJson,
    /// The body is longer than allowed.
    TooLarge,
    /// There is nothing at this path.
    UnknownRoute,
    /// The path is right, and what it names does not exist.
    NotFound,
    /// The bytes are not a canonical transaction.
    MalformedTransaction,
    /// The transaction cannot get into a block.
    Rejected,
    /// The node has as much to do as it can take.
    Busy,
    /// The path is right, the method is not.
    MethodNotAllowed,
    /// A parameter of the path or the query is not what it should be.
    BadParameter,
    /// The answer took longer than allowed.
    TimedOut,
    /// The node failed.
    Internal,
    /// The caller has not shown that it may.
    NotAllowed,
    /// An event is not what its service declares.
    NotAnEvent,
    /// The request is addressed to a name that is not the node's.
    ForeignHost,
    /// A program cannot be connected to the node.
    NotConnected,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::MalformedJson,
        Self::TooLarge,
        Self::UnknownRoute,
        Self::NotFound,
        Self::MalformedTransaction,
        Self::Rejected,
        Self::Busy,
        Self::MethodNotAllowed,
        Self::BadParameter,
        Self::TimedOut,
        Self::Internal,
        Self::NotAllowed,
        Self::NotAnEvent,
        Self::ForeignHost,
        Self::NotConnected,
    ];

    /// Code, status, title and hint.
    const fn row(self) -> (&'static str, StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (
                "API-0001",
                StatusCode::BAD_REQUEST,
                "malformed JSON",
                "compare the body with the schema in /openapi.json",
            ),
            Self::TooLarge => (
                "API-0002",
                StatusCode::PAYLOAD_TOO_LARGE,
                "body too large",
                "send less at once; put large inputs into blobs",
            ),
            Self::UnknownRoute => {
                ("API-0003", StatusCode::NOT_FOUND, "unknown route", "GET / lists the routes")
            }
            Self::NotFound => (
                "API-0004",
                StatusCode::NOT_FOUND,
                "not found",
                "check the id; a node that is behind may not have it yet",
            ),
            Self::MalformedTransaction => (
                "API-0005",
                StatusCode::BAD_REQUEST,
                "malformed transaction",
                "send canonical bytes as {\"bytes\": \"0x…\"}, or {\"transaction\": …, \"signature\": …}",
            ),
            Self::Rejected => (
                "API-0006",
                StatusCode::UNPROCESSABLE_ENTITY,
                "transaction rejected",
                "the page of the cause says what to change",
            ),
            Self::Busy => (
                "API-0007",
                StatusCode::SERVICE_UNAVAILABLE,
                "node busy",
                "wait a second and try again",
            ),
            Self::MethodNotAllowed => (
                "API-0008",
                StatusCode::METHOD_NOT_ALLOWED,
                "method not allowed",
                "the header `allow` lists the methods; GET / lists the routes",
            ),
            Self::BadParameter => (
                "API-0009",
                StatusCode::BAD_REQUEST,
                "bad parameter",
                "/openapi.json describes every parameter",
            ),
            Self::TimedOut => (
                "API-0010",
                StatusCode::GATEWAY_TIMEOUT,
                "timed out",
                "a transaction may have been accepted all the same: look it up before sending it again",
            ),
            Self::Internal => (
                "API-0011",
                StatusCode::INTERNAL_SERVER_ERROR,
                "node failure",
                "see the node's log; `althing doctor` checks the node",
            ),
            Self::NotAllowed => (
                "API-0014",
                StatusCode::UNAUTHORIZED,
                "not allowed",
                "show a program's token, or sign `althing-viewer` with the account that may",
            ),
            Self::NotAnEvent => (
                "API-0015",
                StatusCode::UNPROCESSABLE_ENTITY,
                "not an event",
                "compare the event with the service's manifest",
            ),
            Self::ForeignHost => (
                "API-0016",
                StatusCode::MISDIRECTED_REQUEST,
                "foreign host",
                "use the node's IP address or `localhost`, or add the name to `api_hosts` in node.json",
            ),
            Self::NotConnected => (
                "API-0017",
                StatusCode::UNPROCESSABLE_ENTITY,
                "program not connected",
                "the page of the cause says what to change",
            ),
        }
    }

    /// The documented code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// A refusal of this kind.
    pub(crate) fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal { kind: self, detail: detail.into(), cause: None }
    }
}

/// A problem before it is written: what differs from one occurrence to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    pub(crate) cause: Option<&'static str>,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (code, status, title, hint) = refusal.kind.row();
        Self {
            page: format!("{PAGES}/{code}.md"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: refusal.detail,
            code: code.to_owned(),
            hint: hint.to_owned(),
            cause: refusal.cause.map(str::to_owned),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.kind.row().1;
        let body = serde_json::to_vec(&Problem::from(self)).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
