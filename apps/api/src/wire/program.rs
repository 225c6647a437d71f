//! Programs behind native services: their connections, and the events that they post.
//!
//! Source: `docs/native-services.md`; CloudEvents 1.0, structured JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text::{EndpointText, HashText, NameText};

/// Where a service's program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The address to which the node posts tasks, such as `http://127.0.0.1:7101/`.
    pub url: String,
}

/// What a program needs to know to work for a node. It is told once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// The service.
    pub service: HashText,
    /// The address to which the node posts tasks.
    pub url: String,
    /// The secret under which the node signs what it posts (Standard Webhooks), `whsec_…`.
    pub secret: String,
    /// What the program shows when it posts events.
    pub token: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("service", &self.service)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A connection without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connected {
    /// The service.
    pub service: HashText,
    /// The address to which the node posts tasks.
    pub url: String,
}

/// An event as a program posts it: CloudEvents 1.0 in structured JSON. Extensions are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
    pub specversion: String,
    /// Names this occurrence for ever.
    pub id: String,
    /// Who says so.
    pub source: String,
    /// One of the service's events.
    #[serde(rename = "type")]
    pub kind: NameText,
    /// What it carries, as the event's schema says.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
}

/// An observation that will reach the ledger, whatever crashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Observed {
    /// Names the event.
    pub event: HashText,
    /// Whether this node had observed it before.
    pub duplicate: bool,
    /// The node that took it, if it is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<EndpointText>,
}
