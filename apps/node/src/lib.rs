//! The composition root: one node, assembled from its engines and adapters.
//!
//! ```text
//!              ┌──────────── Network (iroh) ────────────┐
//!        consensus (Malachite)    gossip    blobs     peers
//!              │                    │         │
//!              └──► Chain (Replica) ◄┘    Exchange ◄──┐
//!                     │ commits                       │
//!                     ├──► worker (Machine, wasm) ────┘
//!                     └──► events, lists ──► HTTP API
//! ```
//!
//! - Errors: [`StartError`] keeps a node from starting, each with a code; a
//!   [`Fault`](althing_replica::application::Fault) stops a running one.
//! - Invariant: a node that is started with [`Honest`](althing_work::Honest) conduct has no other;
//!   only who calls [`Node::start`] decides.

mod blob_folder;
mod blob_log;
mod blobs;
mod chain;
mod clock;
mod commits;
pub mod dev_network;
mod emitting;
mod error;
mod exchange;
pub mod folder;
mod framed;
pub mod frames;
pub mod genesis_file;
mod gossip;
mod history;
mod journal;
mod node;
mod observations;
pub mod parameters;
mod places;
mod ports;
mod privacy;
mod retention;
mod returning;
mod secrets;
mod services;
mod settled;
mod view;
mod view_programs;
mod view_secrets;
mod view_work;
mod worker;

pub use clock::{now, set_ahead};
pub use error::StartError;
pub use node::Node;
