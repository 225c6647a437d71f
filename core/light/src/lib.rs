//! What a light client needs: from the hash of a genesis to a proven receipt, without a node.
//!
//! ```text
//!   trusted hash ─► Genesis ─► set 0 ─► SetChange ─► set 1 ─► … ─► set n
//!                                    (certified by set 0)            │ certifies
//!                                                                    ▼
//!                 leaf ◄── list proof ── receipts root ◄────────── Header
//!                value ◄── proof ──────── state root   ◄─────────────┘
//! ```
//!
//! - Shapes: [`Receipt`] and [`StateProof`] have canonical bytes of at most [`PROOF_BYTES_MAX`].
//! - Units: power in whole tokens, times in milliseconds since 1970.
//! - Errors: [`LightError`], each with a code and a page in `docs/errors/`.
//! - Invariants: nothing in a proof is believed for another reason than the trusted hash and the
//!   signatures of more than two thirds of a validator set that follows from it; a changed byte
//!   leaves no valid proof of the same claim.
//! - Source: `DESIGN.md` §3, *Receipt*; Buchman et al., *Tendermint* (arXiv:1807.04938), for the two
//!   thirds. Deviation from Tendermint's light client: every change of the set is followed, none is
//!   skipped, and there is no trusting period: a set that held a height could later sign another
//!   block of that height, which its slashing makes dear but no proof can exclude.
#![no_std]
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
extern crate alloc;

mod certificate;
mod error;
mod receipt;
mod state;
mod trail;

pub use certificate::verify_certificate;
pub use error::LightError;
pub use receipt::{Receipt, Verified, verify};
pub use state::{StateProof, VerifiedState, verify_state};
pub use trail::{CHANGES_MAX, Decision, SetChange, Trail};

/// Largest proof in bytes.
pub const PROOF_BYTES_MAX: usize = 1 << 20;
