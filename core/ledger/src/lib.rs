//! The ledger's state transition function.
//!
//! ```text
//!   Ledger::begin(state, block) ──► due deadlines, draws        (clock and beacon of the block)
//!          │ apply(transaction) ──► one file per operation      (rejections go into the receipt)
//!          ▼ finish() ──► Executed { writes, receipts, validator set, changes }
//! ```
//!
//! - State: see [`keys`] for the layout; every value is a canonical record of [`record`] or
//!   [`execution`].
//! - Units: [`Amount`](althing_types::Amount) in base units; deadlines in milliseconds of block time.
//! - Errors: [`Invalid`] if a transaction must not be in the block at all, [`Rejection`] if it is
//!   there and changes nothing but its fee, [`Fault`](althing_state::Fault) if the state cannot be
//!   trusted.
//! - Invariants: tokens are conserved, asserted at the end of every block in every build; every
//!   state of an execution has a deadline and a successor; equal states and blocks give equal
//!   writes and receipts, byte for byte.
//! - Source: `DESIGN.md` §2–4; paper B §3–5; `docs/adr/0005-verdicts-fines-and-fees.md`.
#![no_std]
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]
extern crate alloc;

pub mod agreement;
mod application;
mod authenticated;
mod books;
mod committee;
mod consensus_set;
mod draw;
mod emitters;
mod event;
mod execution;
mod fine;
mod genesis;
pub mod keys;
mod ledger;
mod operation;
mod order;
mod owed;
pub mod query;
mod receipt;
mod record;
mod rejection;
mod reputation;
mod run;
mod settlement;
mod standstill;
mod verdict;

pub use agreement::Agreement;
pub use application::{ApplicationRecord, Stamp, Usage};
pub use authenticated::{Authenticated, Invalid};
pub use books::{Pot, Totals, audit};
pub use draw::{Candidate, Restriction, Roster, draw, draw_seed};
pub use event::{
    Absentee, EventChange, EventRecord, EventState, EventStep, HOMES_MAX, Happened, OFFICE_MAX,
    Observation, Standing, Statement,
};
pub use execution::{
    Change, Conclusion, DrawRecord, Execution, Member, MemberState, Offence, Origin, Phase, Reason,
    Role, Step,
};
pub use fine::{dilution, fine};
pub use genesis::{GenesisError, genesis_writes};
pub use ledger::{Applied, BlockContext, Executed, Ledger};
pub use receipt::{OperationResult, Receipt, TransactionReceipt};
pub use record::{
    Account, OfferRecord, OfferStatus, ServiceRecord, Unbonding, ValidatorRecord, ValidatorStatus,
};
pub use rejection::Rejection;
pub use reputation::{Tally, weight};
pub use run::{Parent, RunChange, RunRecord, RunStep};
