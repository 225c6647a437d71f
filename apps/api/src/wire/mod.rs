//! What travels: JSON forms of the core's types, which know no JSON themselves.
//!
//! - Shapes: bytes are hexadecimal with `0x`, amounts are texts in tokens (`"12.5"`), heights,
//!   nonces and times are numbers, enums are tagged.
//! - Units: times in milliseconds since 1970, shares in hundredths of a percent.
//! - Invariant: what can be submitted (operations, transactions, a genesis) converts both ways
//!   without loss, and refuses unknown fields.

mod application;
mod block;
mod execution;
mod genesis;
mod label;
mod mirror;
mod node;
mod observation;
mod operation;
mod outcome;
mod program;
mod run;
mod secret;
mod service;
mod text;
mod typed_data;

pub use application::{
    Action, After, Application, ApplicationState, ApplicationTerms, End, EventName, Filter, Join,
    KeySource, Payload, Plan, Retry, ReturnPlan, StepInput, StepOutput, StepPlan, StepStatus,
    Trigger, Visibility, Wait,
};
pub use block::{
    Block, Certificate, CommitSignature, Header, IdentifiedHeader, IdentifiedTransaction, SetMember,
};
pub use execution::{
    Candidate, Conclusion, Draw, Execution, ExplainedDraw, Explanation, Hop, Member, MemberState,
    Offence, Origin, Phase, Reason, Role,
};
pub use genesis::{Endowment, Genesis, GenesisValidator, Parameters};
pub use label::{Label, LabelCondition};
pub use node::{
    Account, Event, OperationResult, Page, Status, Step, Submitted, Totals, TransactionReceipt,
    Unbonding, Validator, ValidatorStatus, Validators,
};
pub use observation::{
    Absentee, EventState, EventStep, Observation, Occurrence, Refusal, Standing,
};
pub use operation::{
    Answer, Bond, Call, Cancel, Collect, Deploy, Evidence, Grant, MakeOffer, Observe, Operation,
    Pause, Publish, Remove, Repeat, Restart, Resume, Reveal, Seal, SignedTransaction, SignedVote,
    Transaction, Transfer, Unbond, Unjail, VoteKind, Withdraw,
};
pub use outcome::{BlobRef, Claim, Doubt, Failure, Opening, Opinion, Outcome};
pub use program::{CloudEvent, Connect, Connected, Connection, Observed};
pub use run::{
    Branch, BranchStatus, Parent, Run, RunHistory, RunMoment, RunStatus, RunStep, StepPhase,
    StepState,
};
pub use secret::SecretName;
pub use service::{
    Emitters, EventTerms, MeasuredTerms, Offer, OfferStatus, Service, ServiceTerms, Tally,
    TaskTerms, Verification,
};
pub use text::{
    AddressText, AliasText, AmountText, BeaconKeyText, BeaconProofText, Described, EndpointText,
    HashText, NameText, PublicKeyText, SignatureText, Text, VoteSignatureText,
};
pub use typed_data::{TypedData, typed_data};
