//! The authenticated state: values by key, one root over all of them, proofs of presence and absence.
//!
//! ```text
//!   transaction ──► Overlay ──writes──► Tree ──► state root ──► header
//!                     │ reads             │
//!                     ▼                   └──► Proof (one key), Snapshot (one height)
//!                   View  (a store, or MemoryState)
//!
//!   transactions, receipts ──► merkle::list_root ──► header ◄── merkle::Range ◄── earlier headers
//! ```
//!
//! - Shapes: keys and values are byte strings; a tree's leaf is found by the key's hash.
//! - Units: heights in blocks, depths in bits of a key's hash (at most 256).
//! - Errors: [`Fault`] when state cannot be trusted, and the node must stop; [`ImportError`] when
//!   a snapshot from elsewhere is not what it claims to be.
//! - Invariants: equal contents have equal roots, however they were reached; a proof has one
//!   encoding; nothing here reads a file, a clock or entropy.
//! - Source: `docs/adr/0002-state-tree.md`; RFC 6962 §2.1 for the shape of lists.
#![no_std]
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
extern crate alloc;

mod memory;
pub mod merkle;
mod overlay;
mod proof;
mod snapshot;
mod tree;
mod view;

pub use memory::MemoryState;
pub use overlay::{Overlay, Savepoint};
pub use proof::Proof;
pub use snapshot::{ImportError, Snapshot};
pub use tree::{Tree, key_hash, value_hash};
pub use view::{Entry, Fault, View};
