//! The receipt as a file: JSON for people, around canonical bytes for verifiers.
//!
//! ```text
//!   { "format", "execution" | "event" | "run" | "transaction": what it says, "block": who signed it, "proof": "0x…" }
//!                        ▲                                                             │
//!                        └──────────── rendered again from the proof, and compared ◄───┘
//! ```
//!
//! - Errors: [`FileError`], each with a code and a page in `docs/errors/`.
//! - Invariant: a proof has one file, byte for byte. So no byte that somebody reads can be changed,
//!   though only the proof is signed.

use althing_ledger::{
    Conclusion, Execution, Member, MemberState, Offence, OperationResult, Reason, Receipt as Leaf,
    Role, TransactionReceipt,
};
use althing_light::{LightError, PROOF_BYTES_MAX, Receipt, Verified, verify};
use althing_types::{Claim, Doubt, Failure, Hash, Opinion, Outcome, Signatures};
use serde::{Deserialize, Serialize};

use crate::event_words::EventWords;
use crate::run_words::RunWords;

const FORMAT: &str = "althing receipt 1";
/// Largest file in bytes: the proof in hexadecimal, and the words about it.
const FILE_BYTES_MAX: usize = 4 * PROOF_BYTES_MAX;

/// Why a file is no receipt, or proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is too large, no JSON, or has no proof.
    #[error("not a receipt file")]
    NotAReceipt,
    /// What people read is not what the proof says.
    #[error("the file was altered: its words are not what its proof says")]
    Altered,
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] LightError),
}

impl FileError {
    /// The documented code; `docs/errors/` has a page for each.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAReceipt => "RCP-0013",
            Self::Altered => "RCP-0014",
            Self::Proof(error) => error.code(),
        }
    }
}

/// The file's text.
///
/// # Errors
///
/// [`LightError::Malformed`] if the leaf is no receipt of the ledger.
pub fn render(receipt: &Receipt) -> Result<String, LightError> {
    let leaf = receipt.claim()?;
    let about = match &leaf {
        Leaf::Execution(execution) => About::Execution(ExecutionWords::of(execution)),
        Leaf::Event(event) => About::Event(EventWords::of(event)),
        Leaf::Run(run) => About::Run(RunWords::of(run)),
        Leaf::Transaction(transaction) => About::Transaction(TransactionWords::of(transaction)),
    };
    let header = &receipt.decision.header;
    let signers = receipt.decision.certificate.signatures.iter();
    let file = File {
        format: FORMAT,
        about,
        block: BlockWords {
            chain: header.chain.0,
            genesis: receipt.trail.genesis.hash().to_string(),
            height: header.height.0,
            id: header.id().to_string(),
            time_ms: header.time.0,
            signers: signers.map(|signature| signature.validator.to_string()).collect(),
            validator_set_changes: receipt.trail.changes.len(),
        },
        proof: format!("0x{}", hex::encode(receipt.encode())),
    };
    Ok(file.text())
}

/// Verifies a file against the hash of a genesis: its proof, and that every byte is as rendered.
///
/// # Errors
///
/// [`FileError`]: nothing in the file is to be believed then.
pub fn verify_file(
    text: &str,
    trusted: &Hash,
    signatures: &dyn Signatures,
) -> Result<Verified, FileError> {
    let receipt = parse(text)?;
    let verified = verify(&receipt, trusted, signatures)?;
    if render(&receipt)? != text {
        return Err(FileError::Altered);
    }
    Ok(verified)
}

/// The proof in a file; neither verified nor compared with the file's words.
fn parse(text: &str) -> Result<Receipt, FileError> {
    /// Everything else is rendered again and compared, so it need not be read.
    #[derive(Deserialize)]
    struct Proof<'a> {
        #[serde(borrow)]
        proof: &'a str,
    }
    if text.len() > FILE_BYTES_MAX {
        return Err(FileError::NotAReceipt);
    }
    let Proof { proof } = serde_json::from_str(text).map_err(|_| FileError::NotAReceipt)?;
    let digits = proof.strip_prefix("0x").ok_or(FileError::NotAReceipt)?;
    let bytes = hex::decode(digits).map_err(|_| FileError::NotAReceipt)?;
    Ok(Receipt::decode(&bytes)?)
}

#[derive(Serialize)]
struct File {
    format: &'static str,
    #[serde(flatten)]
    about: About,
    block: BlockWords,
    proof: String,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum About {
    Execution(ExecutionWords),
    Event(EventWords),
    Run(RunWords),
    Transaction(TransactionWords),
}

impl File {
    fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("texts and numbers are JSON");
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct BlockWords {
    chain: u64,
    genesis: String,
    height: u64,
    id: String,
    time_ms: u64,
    signers: Vec<String>,
    validator_set_changes: usize,
}

#[derive(Serialize)]
struct ExecutionWords {
    id: String,
    service: String,
    task: String,
    input: String,
    payer: String,
    outcome: String,
    checkers: u16,
    quorum: u16,
    rounds: u64,
    created_at_height: u64,
    paid_in: String,
    refunded: String,
    members: Vec<MemberWords>,
}

#[derive(Serialize)]
struct MemberWords {
    node: String,
    role: &'static str,
    round: u32,
    said: String,
    offence: Option<&'static str>,
    fine: String,
    earned: String,
}

#[derive(Serialize)]
struct TransactionWords {
    hash: String,
    account: String,
    nonce: u64,
    fee: String,
    results: Vec<String>,
}

impl ExecutionWords {
    fn of(execution: &Execution) -> Self {
        let outcome = match &execution.conclusion {
            Some(Conclusion::Accepted(outcome)) => format!("accepted: {}", outcome_words(outcome)),
            Some(Conclusion::Failed(reason)) => format!("failed: {}", reason_words(*reason)),
            None => "open".to_owned(),
        };
        Self {
            id: execution.id.to_string(),
            service: execution.service.to_string(),
            task: execution.task.to_string(),
            input: execution.input.hash.to_string(),
            payer: execution.payer.to_string(),
            outcome,
            checkers: execution.checkers,
            quorum: execution.quorum,
            rounds: u64::from(execution.round).saturating_add(1),
            created_at_height: execution.created.0,
            paid_in: execution.paid_in.to_string(),
            refunded: execution.refunded.to_string(),
            members: execution.members.iter().map(MemberWords::of).collect(),
        }
    }
}

impl MemberWords {
    fn of(member: &Member) -> Self {
        Self {
            node: member.node.to_string(),
            role: match member.role {
                Role::Executor => "executor",
                Role::Checker => "checker",
            },
            round: member.round,
            said: state_words(&member.state),
            offence: member.offence.map(offence_words),
            fine: member.fine.to_string(),
            earned: member.earned.to_string(),
        }
    }
}

impl TransactionWords {
    fn of(receipt: &TransactionReceipt) -> Self {
        let words = |result: &OperationResult| match result {
            OperationResult::Done => "done".to_owned(),
            OperationResult::Created(id) => format!("created {id}"),
            OperationResult::Rejected(rejection) => {
                format!("rejected, {}: {rejection}", rejection.code())
            }
        };
        Self {
            hash: receipt.transaction.to_string(),
            account: receipt.account.to_string(),
            nonce: receipt.nonce.0,
            fee: receipt.fee.to_string(),
            results: receipt.results.iter().map(words).collect(),
        }
    }
}

fn state_words(state: &MemberState) -> String {
    match state {
        MemberState::Standby | MemberState::Assigned => "nothing yet".to_owned(),
        MemberState::Sealed(seal) => format!("sealed {seal}"),
        MemberState::Opened(claim) => claim_words(claim),
        MemberState::Absent => "nothing in time".to_owned(),
        MemberState::Withheld(seal) => format!("sealed {seal}, never opened it"),
        MemberState::Forged { commitment, opening } => {
            format!("sealed {commitment}, opened it with {}", claim_words(&opening.claim))
        }
        MemberState::Released => "was not needed".to_owned(),
    }
}

fn claim_words(claim: &Claim) -> String {
    match claim {
        Claim::Outcome(outcome) => outcome_words(outcome),
        Claim::Opinion(Opinion::Valid) => "valid".to_owned(),
        Claim::Opinion(Opinion::Invalid) => "invalid".to_owned(),
        Claim::Opinion(Opinion::Unavailable) => "output unavailable".to_owned(),
        Claim::Opinion(Opinion::Inconclusive) => "inconclusive".to_owned(),
    }
}

fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Returned { status, output, .. } => format!("{status}, output {}", output.hash),
        Outcome::Declined => "declined: the condition was false".to_owned(),
        Outcome::Failed(failure) => match failure {
            Failure::BadInput => "the input does not satisfy the schema",
            Failure::BadOutput => "the output does not satisfy the schema",
            Failure::GaveUp => "the service gave up",
            Failure::OutOfFuel => "out of fuel",
            Failure::OverMemory => "over memory",
            Failure::Trap => "trapped",
            Failure::BadExpression => "an expression could not be evaluated",
            Failure::BadAnswer => "the service's program answered what is no answer",
        }
        .to_owned(),
        Outcome::Inconclusive(doubt) => match doubt {
            Doubt::InputUnavailable => "could not tell: input unavailable",
            Doubt::ServiceUnavailable => "could not tell: service unavailable",
            Doubt::OverTime => "could not tell: over time",
            Doubt::StackOverflow => "could not tell: stack overflow",
            Doubt::SecretUnavailable => "could not tell: secret unavailable",
        }
        .to_owned(),
    }
}

const fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::NoCandidates => "nobody could be drawn in time",
        Reason::TooFewMembers => "too few members took part",
        Reason::NoQuorum => "the members disagreed",
        Reason::Inconclusive => "most members could not tell",
        Reason::NoValidAnswer => "no answer passed its check",
    }
}

pub(crate) const fn offence_words(offence: Offence) -> &'static str {
    match offence {
        Offence::WrongResult => "wrong result",
        Offence::WrongCheck => "wrong check",
        Offence::ForgedSeal => "forged seal",
        Offence::Withheld => "withheld",
        Offence::Absence => "absence",
        Offence::WrongObservation => "wrong observation",
    }
}
