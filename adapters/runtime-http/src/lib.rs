//! Has the tasks of native services done by programs that are connected over HTTP.
//!
//! ```text
//!   Connections ── url, secret ──► Programs ── signed CloudEvent ──► program
//!   (private file)                    │  ◄── 200 { status, output } ──┘
//!                                     └─ repeated until answered or the time limit ends ─► TaskRun
//! ```
//!
//! - Shapes: CloudEvents 1.0 in structured JSON, signed as Standard Webhooks are; an answer is at most
//!   as long as the task's largest output and a little more.
//! - Units: milliseconds of the monotonic clock; timestamps in seconds since 1970.
//! - Errors: [`ConnectionError`] of who connects. Whatever a program does is an outcome.
//! - Invariants: nothing is posted unsigned or to where a program redirects to; a secret is never
//!   printed; the file of connections is whole and private, or absent.
//! - Source: `docs/native-services.md`.

mod answer;
mod connections;
mod post;
mod programs;

pub use connections::{Connection, ConnectionError, Connections, Entropy};
pub use programs::{Config, Programs, ProgramsError};
