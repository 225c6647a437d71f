//! Secrets of nodes and people, and the signatures made and checked with them.
//!
//! ```text
//!   Keystore (people) ──unlock──► AccountKey ──► transactions, votes, hellos
//!   node.key (a node) ──load────► NodeKeys { account, endpoint, beacon } ──► beacon proofs
//!                                 Secp256k1: the core's port `Signatures`, which checks them all
//! ```
//!
//! - Shapes: an account is a secp256k1 scalar; a beacon secret is a ristretto255 seed; an endpoint
//!   is an ed25519 seed. `node.key` is JSON with a version; people's accounts are Ethereum keystore
//!   files, version 3.
//! - Errors: [`KeyError`], each with a code and a page in `docs/errors`.
//! - Invariants: a secret is wiped when it is dropped, is never printed, and is never read from a
//!   file that others may read. No file with a secret is ever overwritten.
//! - Source: `docs/adr/0001-canonical-bytes-and-typed-data.md`, `docs/adr/0003-beacon.md`; EIP-2,
//!   EIP-712; the Web3 Secret Storage Definition, version 3.

mod account;
mod beacon;
mod error;
mod files;
mod keystore;
mod node;
mod signatures;

pub use account::AccountKey;
pub use beacon::BeaconSecret;
pub use error::KeyError;
pub use keystore::{Keystore, Work};
pub use node::NodeKeys;
pub use signatures::Secp256k1;
