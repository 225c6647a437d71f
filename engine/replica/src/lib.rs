//! The replica: what a node decides about blocks, without sockets and clocks of its own. Threads
//! only share one computation: its result does not depend on them.
//!
//! ```text
//!   transactions ──► Mempool ──reap──► propose ─┐
//!                                               ├─► (consensus) ──► commit ──► Store
//!   blocks of others ──► receive ──check────────┘                     │
//!                                                                     ├──► Listener
//!                             API, worker ──► Reader ◄────────────────┘
//!                                               └──► Receipt, StateProof for light clients
//! ```
//!
//! - Ports, owned here: [`Store`](store::Store), [`BeaconSigner`], [`Clock`]; the core's
//!   [`Signatures`](althing_types::Signatures). Consensus drives the replica through
//!   [`Application`](application::Application).
//! - Units: times in milliseconds since 1970, sizes in bytes, heights in blocks.
//! - Errors: [`Fault`](application::Fault) stops the node; [`NotAdmitted`] is a transaction's,
//!   [`BadBlock`] a proposer's fault; [`OpenError`] keeps a node from starting.
//! - Invariants: nothing is proposed or voted for before its body is durable; state, block and
//!   certificate of a height become durable together; a value that is read is the one that was
//!   written, or the node stops; equal blocks give equal roots on every node.
//! - Source: `DESIGN.md` §2, §6; Tendermint's rules for proposals as the engine implements them.

pub mod application;
mod boot;
mod commit;
mod companions;
pub mod context;
mod event_words;
mod execute;
mod memory;
mod mempool;
mod own_work;
mod proofs;
mod proposal;
mod reader;
pub mod receipt_file;
mod replica;
mod rules;
mod run_words;
pub mod store;
mod verified;
mod view;

pub use boot::OpenError;
pub use memory::{FailedWrite, MemoryStore};
pub use mempool::{Limits, Mempool, NotAdmitted, Refusal};
pub use own_work::{Owed, OwnWork};
pub use proposal::{BadBlock, DRIFT_MS_MAX};
pub use reader::{Head, ReadError, Reader};
pub use replica::{Committed, Config, Listener, Next, Ports, Replica, SubmitError};
pub use rules::{Archived, BeaconSigner, Clock, Subject};
pub use view::CommittedView;
