//! Proofs that anyone verifies offline.

use std::path::PathBuf;
use std::process::ExitCode;

use althing_keys::Secp256k1;
use althing_ledger::{Conclusion, EventRecord, EventState, Execution, Receipt as Leaf};
use althing_light::Verified;
use althing_node::genesis_file;
use althing_replica::receipt_file::verify_file;
use althing_types::{Hash, Outcome};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::words;

/// Proofs that anyone verifies offline.
#[derive(Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Fetch the receipt of a settled execution: one file that proves itself.
    Get(Get),
    /// Verify a receipt; needs no node and no network.
    Verify(Verify),
}

impl Receipt {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<ExitCode> {
        match self {
            Self::Get(command) => command.run(home, output)?,
            Self::Verify(command) => command.run(output)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Fetch the receipt of a settled execution: one file that proves itself.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The execution.
    id: Hash,
    /// Where to put it [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written {
    execution: String,
    file: PathBuf,
    bytes: usize,
}

impl Get {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let receipt = home.client()?.receipt(&self.id)?;
        let Some(file) = self.out else { return output.bytes(&receipt) };
        std::fs::write(&file, &receipt).with_context(|| format!("writing {}", file.display()))?;
        let written = Written { execution: self.id.to_string(), file, bytes: receipt.len() };
        output.print(&written, |written| {
            format!("{}: {} bytes", written.file.display(), written.bytes)
        })
    }
}

/// Verify a receipt; needs no node and no network.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The receipt.
    file: PathBuf,
    /// What you trust: the hash of the chain's genesis, or the genesis as a file.
    #[arg(long, value_name = "HASH|FILE")]
    genesis: String,
}

#[derive(Serialize)]
struct Proven {
    valid: bool,
    height: u64,
    time: u64,
    block: String,
    signers: Vec<String>,
    power: u64,
    total_power: u64,
    draws_replayed: usize,
    /// In words.
    says: String,
}

impl Verify {
    fn run(self, output: Output) -> Result<()> {
        let trusted = trusted(&self.genesis)?;
        let bytes = std::fs::read(&self.file).map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.file.display());
            Failure::new(
                "CLI-0017",
                message,
                "name the file that `althing receipt get --out` has written",
            )
        })?;
        // What is no text is no receipt either; the verifier says so with its code.
        let text = String::from_utf8_lossy(&bytes);
        let verified = verify_file(&text, &trusted, &Secp256k1).map_err(|error| {
            let hint = match error.code() {
                "RCP-0002" => {
                    "this receipt is of another chain, or the hash of the genesis is not right"
                }
                _ => "do not believe this file; fetch it again with `althing receipt get`",
            };
            Failure::new(error.code(), format!("the receipt is refused: {error}"), hint)
        })?;
        output.print(&proven(&verified), text_of)
    }
}

/// The hash itself, or that of the genesis in the file.
fn trusted(text: &str) -> Result<Hash> {
    if let Ok(hash) = text.parse() {
        return Ok(hash);
    }
    let path = PathBuf::from(text);
    let genesis = genesis_file::read(&path).map_err(|error| {
        let failure = Failure::new(
            "CLI-0018",
            format!("{text} is neither the hash of a genesis nor a genesis file"),
            "the hash is 0x and 64 digits; `althing chain status` shows it",
        );
        error.context(failure)
    })?;
    Ok(genesis.hash())
}

fn proven(verified: &Verified) -> Proven {
    Proven {
        valid: true,
        height: verified.height.0,
        time: verified.time.0,
        block: verified.block.to_string(),
        signers: verified.signers.iter().map(ToString::to_string).collect(),
        power: verified.power,
        total_power: verified.total_power,
        draws_replayed: verified.draws_replayed,
        says: match &verified.leaf {
            Leaf::Execution(execution) => says(execution),
            Leaf::Event(event) => says_event(event),
            Leaf::Run(run) => format!(
                "run {} of application {} has ended after {} steps and cost {}",
                run.id,
                run.application,
                run.run.steps.len(),
                run.spent
            ),
            Leaf::Transaction(receipt) => {
                format!(
                    "transaction {} of {} cost a fee of {}",
                    receipt.transaction, receipt.account, receipt.fee
                )
            }
        },
    }
}

fn says_event(event: &EventRecord) -> String {
    let ended = match event.state {
        EventState::Open => "not ended",
        EventState::Valid => "valid",
        EventState::Contradicted => "contradicted: the emitters did not agree",
        EventState::Expired => "expired: too few emitters observed it in time",
    };
    let mut text = format!(
        "event {} {} of service {}: {ended}; {} of {} emitters in office took part",
        event.name.event,
        event.key,
        event.name.service,
        event.observations.len(),
        event.office.len()
    );
    for said in &event.observations {
        if let Some(offence) = said.offence {
            let offence = words::offence(offence.into());
            text.push_str(&format!("\n  {} was fined {} for {offence}", said.node, said.fine));
        }
    }
    for absent in &event.absent {
        text.push_str(&format!("\n  {} was fined {} for absence", absent.node, absent.fine));
    }
    text
}

fn says(execution: &Execution) -> String {
    let ended = match &execution.conclusion {
        Some(Conclusion::Accepted(Outcome::Returned { status, output, .. })) => {
            format!(
                "accepted with status {status}, output {} of {} bytes",
                output.hash, output.bytes
            )
        }
        Some(Conclusion::Accepted(Outcome::Declined)) => format!("accepted: {}", words::DECLINED),
        Some(Conclusion::Accepted(Outcome::Failed(failure))) => {
            format!("accepted: {}", words::failure((*failure).into()))
        }
        Some(Conclusion::Accepted(Outcome::Inconclusive(doubt))) => {
            format!("accepted: {}", words::doubt((*doubt).into()))
        }
        Some(Conclusion::Failed(reason)) => format!("failed: {}", words::reason((*reason).into())),
        None => "not ended".to_owned(),
    };
    let mut text = format!(
        "execution {} of task {}, {} checkers, input {}: {ended}; {} paid, {} refunded",
        execution.id,
        execution.task,
        execution.checkers,
        execution.input.hash,
        execution.paid_in,
        execution.refunded
    );
    for member in &execution.members {
        if let Some(offence) = member.offence {
            let offence = words::offence(offence.into());
            text.push_str(&format!("\n  {} was fined {} for {offence}", member.node, member.fine));
        }
    }
    text
}

fn text_of(proven: &Proven) -> String {
    format!(
        "valid: {}\n  proven by {} of {} votes in block {} at height {}, signed by {} validators\n  draws that were repeated with the same result: {}",
        proven.says,
        proven.power,
        proven.total_power,
        proven.block,
        proven.height,
        proven.signers.len(),
        proven.draws_replayed
    )
}
