//! Networks that run applications: services published and offered, a program connected, events
//! posted over HTTP and runs followed to their end.
//!
//! ```text
//!   Senders ──HTTP: event──► node process ──its commits, a socket──► Followed: this run has ended
//!   (connections, one run each)   └──HTTP: task──► Program (where a benchmark has native tasks)
//! ```

pub(crate) mod followed;
pub(crate) mod program;
pub(crate) mod rig;
pub(crate) mod senders;
