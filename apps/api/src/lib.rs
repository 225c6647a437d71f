//! The HTTP interface of a node: wire types, routes, and a client.
//!
//! ```text
//!   curl, browser, Client ──HTTP/JSON──► routes ──► Node (port, implemented by the node) ──► ledger
//!                         ◄─events (SSE)──
//! ```
//!
//! - Shapes: [`wire`]; described by the interface itself at `/openapi.json`.
//! - Units: amounts in tokens as text, times in milliseconds since 1970.
//! - Errors: problem documents ([`Problem`]), each code with a page in `docs/errors`.
//! - Invariants: nothing that comes in makes the interface panic or take more memory than
//!   [`Config`] allows; the core's types stay free of JSON.
//! - Bounds: all in [`Config`]. By default it listens on loopback only, and browsers' pages of other
//!   origins cannot read it, since it sends no CORS headers.
//! - Source: RFC 9457 (problem details), `OpenAPI` 3.1, the HTML standard's server-sent events.

pub mod client;
mod config;
mod events;
mod host;
pub mod port;
mod problem;
mod request;
mod routes;
mod routes_secrets;
mod routes_work;
mod server;
mod viewer;
pub mod wire;

pub use config::Config;
pub use port::{
    Answer, ApplicationKey, Applications, Cut, EventFilter, ExecutionFilter, Node, NodeError,
    PAGE_MAX, Programs, RunFilter, Secrets, ServiceKey, VIEWING_MAX, Viewing,
};
pub use problem::{Kind, PROBLEM_JSON, Problem};
pub use request::transaction_in;
pub use routes::ROUTES;
pub use server::serve;

/// The description of the interface, as `/openapi.json` serves it.
#[must_use]
pub fn specification() -> utoipa::openapi::OpenApi {
    <routes::Specification as utoipa::OpenApi>::openapi()
}
