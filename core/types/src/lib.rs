//! The words that every part of Althing shares: ids, amounts, signatures, transactions, blocks.
//!
//! ```text
//!   Operation … ──► Transaction ──signed──► SignedTransaction ──► Block ──► Header ──► Certificate
//! ```
//!
//! - Shapes: everything that is hashed or stored has one canonical form, borsh without maps
//!   ([`canonical`]).
//! - Units: [`Amount`] in base units, [`TimeMs`] in milliseconds since 1970, [`Height`] in blocks.
//! - Errors: [`Malformed`] for bytes and texts that are not what they claim to be.
//! - Invariant: nothing here reads a clock, a file, a socket or entropy; signatures are verified
//!   through the port [`Signatures`].
//! - Source: `docs/adr/0001-canonical-bytes-and-typed-data.md`; EIP-712, EIP-2 (low s).
#![no_std]
extern crate alloc;

mod amount;
mod application;
mod block;
mod bytes;
pub mod canonical;
mod eip712;
mod genesis;
mod keccak;
mod label;
mod name;
mod operation;
mod outcome;
mod quantity;
mod service;
mod signature;
mod transaction;
mod validator;

pub use amount::{Amount, BASE_UNITS_PER_TOKEN, BasisPoints};
pub use application::{
    Action, After, ApplicationTerms, End, EventName, Filter, Join, KEYS_MAX, KeySource,
    NESTING_MAX, Payload, Plan, Retry, ReturnPlan, STEPS_MAX, StepInput, StepOutput, StepPlan,
    StepStatus, Trigger, Visibility, Wait, YIELDS_MAX, application_id, key_hash, purse,
};
pub use block::{
    BLOCK_BYTES_MAX, Block, BlockId, Certificate, CommitSignature, Header, SIGNATURES_SHOWN,
    beacon_input,
};
pub use bytes::{Address, BeaconKey, BeaconProof, EndpointId, Hash, PublicKey};
pub use canonical::Malformed;
pub use eip712::{Decision, Eip712, VoteKind};
pub use genesis::{Endowment, Genesis, GenesisValidator, Parameters};
pub use keccak::{Keccak, keccak, tagged};
pub use label::{
    LABEL_BYTES_MAX, LABEL_VALUES_MAX, LABELS_MAX, Label, LabelCondition, are_label_conditions,
    are_labels,
};
pub use name::{Alias, NAME_BYTES_MAX, Name};
pub use operation::{
    Answer, Bond, Call, Cancel, Collect, Deploy, Evidence, Grant, Observe, Offer, Operation, Pause,
    Publish, Remove, Repeat, Restart, Resume, Reveal, Seal, SignedVote, Transfer, Unbond, Unjail,
    Withdraw,
};
pub use outcome::{Claim, Doubt, Failure, Opening, Opinion, Outcome, commitment};
pub use quantity::{ChainId, Height, Nonce, Round, TimeMs};
pub use service::{
    BlobRef, Emitters, EventTerms, MeasuredTerms, STATUSES_MAX, ServiceTerms, TaskTerms,
    Verification, event_key,
};
pub use signature::{RecoverableSignature, Signatures, VoteSignature};
pub use transaction::{OPERATIONS_MAX, SignedTransaction, TRANSACTION_BYTES_MAX, Transaction};
pub use validator::{Validator, ValidatorSet};
