//! Calls tasks, once or for every file of a folder, and follows the calls to their end.
//!
//! ```text
//!   inputs ─► checked against the schema ─► blobs on the node ─► Call operations, many a transaction
//!                                                                      │
//!   outputs ◄── blobs ◄── conclusions ◄── wait until all are settled ◄─┘
//! ```
//!
//! - Bounds: 1,000 inputs, each as long as a task's input may be; [`CALLS_MAX`] calls a transaction.
//! - Units: tokens. What a call costs is what was paid in less what came back, which can be less than
//!   nothing when members were fined.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_api::wire::{
    Conclusion, Execution, OperationResult, Outcome, Service, TaskTerms, Verification,
};
use althing_manifest::{CanonicalJson, Schemas};
use althing_types::{Address, Amount, BlobRef, Call as CallOperation, Hash, Name, Operation};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::commands::{execution, service};
use crate::cost::Cost;
use crate::duration::Span;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, table};
use crate::patience::{Patience, pause};
use crate::sign::{Fee, Signer, rejection};

/// How many nodes check a call, unless it is said or nobody can.
const CHECKERS: u16 = 3;
/// Most inputs of one command.
const INPUTS_MAX: usize = 1_000;
/// Most calls in one transaction.
const CALLS_MAX: usize = 250;
/// How long one question waits for the end of an execution.
const POLL: Duration = Duration::from_secs(20);

/// Call a task of a service.
#[derive(Debug, Args)]
pub(crate) struct Call {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
    /// One of its tasks.
    task: Name,
    #[command(flatten)]
    inputs: Inputs,
    /// How many nodes check the one that executes: the trust dial [default: 3, or 0 if nobody can
    /// check the task].
    #[arg(long, value_name = "K")]
    checkers: Option<u16>,
    /// How many of them, the executor counted in, must agree [default: the majority].
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "Q")]
    quorum: u16,
    /// Only these nodes may be drawn.
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS,…")]
    nodes: Vec<Address>,
    /// The most that one call may cost, in tokens [default: its price].
    #[arg(long, value_name = "TOKENS")]
    max_price: Option<Amount>,
    /// Wait until everything is settled, and fetch the outputs.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, default_value = "30m", value_name = "TIME")]
    timeout: Span,
    #[command(flatten)]
    fee: Fee,
}

/// With what the task is called.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Inputs {
    /// The input: JSON, or @FILE.
    #[arg(long, value_name = "JSON|@FILE")]
    input: Option<String>,
    /// Call once for every *.json in this folder, by name.
    #[arg(long, value_name = "DIR")]
    each: Option<PathBuf>,
}

/// One input, before it is called with.
struct Prepared {
    name: String,
    json: Vec<u8>,
}

/// One call under way.
struct Pending {
    name: String,
    execution: Hash,
}

/// What became of all calls.
#[derive(Serialize)]
struct Report {
    executions: Vec<Called>,
    /// Sum of what they cost.
    paid: Cost,
}

/// What became of one call.
#[derive(Debug, Serialize)]
struct Called {
    input: String,
    execution: String,
    /// `accepted`, `failed`, or null while it is not settled.
    conclusion: Option<&'static str>,
    /// The status that was returned.
    status: Option<String>,
    /// Why there is no status.
    reason: Option<Value>,
    output: Option<Value>,
    members: Vec<Member>,
    paid: Cost,
    /// In words, for people.
    #[serde(skip)]
    told: String,
}

#[derive(Debug, Serialize)]
struct Member {
    node: String,
    role: Value,
    round: u32,
    state: Value,
    offence: Option<Value>,
    fine: String,
    earned: String,
}

impl Call {
    pub(crate) fn run(mut self, home: &Home, output: Output) -> Result<ExitCode> {
        let (client, patience) = (home.client()?, Patience::short());
        let service = patience.ask(|| client.service(&self.service))?;
        let terms = task(&service, &self.task)?.clone();
        let usual = if terms.verification == Verification::None { 0 } else { CHECKERS };
        let checkers = *self.checkers.get_or_insert(usual);
        let inputs = self.prepare(&client, &service)?;
        let price_max = self.price(&terms, checkers, inputs.len(), output)?;
        let home_node = patience.ask(|| client.status())?.endpoint.0;
        let signer = Signer::new(&client, home.signer()?, self.fee)?;
        let asked = CallOperation {
            service: service.id.0,
            task: self.task.clone(),
            input: BlobRef::of(&[]),
            home: home_node,
            checkers,
            quorum: self.quorum,
            nodes: self.nodes(),
            price_max,
        };
        let pending = Self::call(&client, &signer, &asked, inputs)?;
        let called =
            if self.wait { self.follow(&client, pending, output)? } else { unsettled(pending) };
        let failed = called
            .iter()
            .any(|called| called.conclusion != Some("accepted") || called.status.is_none());
        let one = self.inputs.each.is_none();
        let report =
            Report { paid: Cost::sum(called.iter().map(|called| called.paid)), executions: called };
        output.print(&report, if one { one_text } else { many_text })?;
        Ok(if one && self.wait && failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Reads all inputs and holds them against the task's schema, before anything is paid.
    fn prepare(&self, client: &Client, service: &Service) -> Result<Vec<Prepared>> {
        let raw = match (&self.inputs.input, &self.inputs.each) {
            (Some(text), _) => vec![single(text)?],
            (None, Some(folder)) => folder_inputs(folder)?,
            (None, None) => Vec::new(),
        };
        let schemas = service::manifest(client, service)?
            .and_then(|manifest| Schemas::compile(&manifest).ok());
        let check = |prepared: Prepared| -> Result<Prepared> {
            let canonical = match &schemas {
                Some(schemas) => {
                    schemas.check_input(&self.task, &prepared.json).map_err(|violation| {
                        Failure::new(
                            violation.code(),
                            format!("{}: {violation}", prepared.name),
                            violation.hint(),
                        )
                    })?
                }
                // The nodes have the manifest, and will look.
                None => CanonicalJson::parse(&prepared.json).map_err(|error| {
                    Failure::new(
                        "CLI-0024",
                        format!("{} is no JSON: {error}", prepared.name),
                        JSON_HINT,
                    )
                })?,
            };
            Ok(Prepared { json: canonical.into_bytes(), ..prepared })
        };
        raw.into_iter().map(check).collect()
    }

    /// The most that one call may cost; says what all of them will.
    fn price(
        &self,
        terms: &TaskTerms,
        checkers: u16,
        count: usize,
        output: Output,
    ) -> Result<Amount> {
        let checks = terms.check_price.checked_mul(u64::from(checkers)).unwrap_or_default();
        let price = terms.price.saturating_add(checks);
        let most = self.max_price.unwrap_or(price);
        if price > most {
            let message = format!("a call costs {price} tokens, --max-price allows {most}");
            return Err(Failure::new(
                "CLI-0025",
                message,
                "allow more, or ask for fewer --checkers",
            )
            .into());
        }
        let all = price.checked_mul(u64::try_from(count).unwrap_or(u64::MAX)).unwrap_or_default();
        let total = if count == 1 { String::new() } else { format!("; {count} calls cost {all}") };
        output.say(&format!("{} with {checkers} checkers costs {price} tokens{total}", terms.name));
        Ok(most)
    }

    /// Who may be drawn, as the ledger wants it.
    fn nodes(&self) -> Vec<Address> {
        let mut nodes = self.nodes.clone();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Uploads the inputs, and calls with them, as is asked, in as few transactions as will do.
    fn call(
        client: &Client,
        signer: &Signer,
        asked: &CallOperation,
        inputs: Vec<Prepared>,
    ) -> Result<Vec<Pending>> {
        let patience = Patience::short();
        let mut under_way = Vec::new();
        let mut inputs = inputs.into_iter().peekable();
        while inputs.peek().is_some() {
            let (mut names, mut operations) = (Vec::new(), Vec::new());
            for input in inputs.by_ref().take(calls_in_one(asked.nodes.len())) {
                patience.ask(|| client.put_blob(&input.json))?;
                names.push(input.name);
                let input = BlobRef::of(&input.json);
                operations.push(Operation::Call(CallOperation { input, ..asked.clone() }));
            }
            under_way.push((names, signer.submit(operations, false)?));
        }
        let mut pending = Vec::new();
        for (names, submitted) in under_way {
            let receipt = signer.wait(&submitted)?;
            for (name, result) in names.into_iter().zip(&receipt.results) {
                match (result, rejection(result)) {
                    (OperationResult::Created { id }, _) => {
                        pending.push(Pending { name, execution: id.0 });
                    }
                    (_, Some(rejected)) => return Err(rejected.into()),
                    (_, None) => return Err(nothing_created(&name)),
                }
            }
        }
        Ok(pending)
    }

    /// Waits until all are settled.
    fn follow(
        &self,
        client: &Client,
        pending: Vec<Pending>,
        output: Output,
    ) -> Result<Vec<Called>> {
        let deadline = Instant::now() + Duration::from_millis(self.timeout.ms);
        let count = pending.len();
        let mut called = Vec::new();
        for (index, pending) in pending.into_iter().enumerate() {
            let settled = settle(client, &pending.execution, deadline, self.timeout)?;
            let one = Called::of(client, pending.name, &settled, deadline)?;
            if self.inputs.each.is_some() {
                output.say(&format!("{:>4}/{count}  {}  {}", index + 1, one.input, one.told));
            }
            called.push(one);
        }
        Ok(called)
    }
}

/// So many calls fit into a transaction, each naming so many nodes.
fn calls_in_one(nodes: usize) -> usize {
    /// Longer than a call without nodes is.
    const CALL_BYTES: usize = 256;
    const ADDRESS_BYTES: usize = 20;
    let room = althing_types::TRANSACTION_BYTES_MAX - 1024;
    (room / (CALL_BYTES + ADDRESS_BYTES * nodes)).clamp(1, CALLS_MAX)
}

const JSON_HINT: &str = "an input is JSON, such as '{\"name\": \"Ada\"}', or @FILE";

fn task<'a>(service: &'a Service, name: &Name) -> Result<&'a TaskTerms> {
    service.terms.tasks.iter().find(|task| task.name.0 == *name).ok_or_else(|| {
        let tasks: Vec<String> =
            service.terms.tasks.iter().map(|task| task.name.to_string()).collect();
        let message = format!("{} has no task {name}", service.terms.alias);
        Failure::new("CLI-0026", message, format!("its tasks are: {}", tasks.join(", "))).into()
    })
}

fn single(text: &str) -> Result<Prepared> {
    match text.strip_prefix('@') {
        Some(path) => {
            Ok(Prepared { name: file_name(Path::new(path)), json: read(Path::new(path))? })
        }
        None => Ok(Prepared { name: "input".to_owned(), json: text.as_bytes().to_vec() }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        let message = format!("the input {} cannot be read: {error}", path.display());
        Failure::new("CLI-0027", message, JSON_HINT).into()
    })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Every *.json of a folder, by name.
fn folder_inputs(folder: &Path) -> Result<Vec<Prepared>> {
    let failed = |message: String| {
        Failure::new("CLI-0027", message, "name a folder with 1 to 1,000 files *.json")
    };
    let entries = std::fs::read_dir(folder).map_err(|error| {
        failed(format!("the folder {} cannot be read: {error}", folder.display()))
    })?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.is_empty() || files.len() > INPUTS_MAX {
        return Err(
            failed(format!("{} holds {} files *.json", folder.display(), files.len())).into()
        );
    }
    files.sort();
    files.iter().map(|path| Ok(Prepared { name: file_name(path), json: read(path)? })).collect()
}

fn nothing_created(name: &str) -> anyhow::Error {
    anyhow::anyhow!("the call with {name} was carried out and created no execution")
}

/// Waits for one execution to be settled.
fn settle(client: &Client, id: &Hash, deadline: Instant, timeout: Span) -> Result<Execution> {
    let patience = Patience::following(deadline);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let execution = patience.ask(|| client.execution(id, POLL.min(left)))?;
        if execution.conclusion.is_some() {
            return Ok(execution);
        }
        if left.is_zero() {
            let message = format!("{id} is not settled after {timeout}");
            let hint = "it goes on without you: `althing execution show` tells how far it is";
            return Err(Failure::new("CLI-0028", message, hint).into());
        }
        pause(Duration::from_millis(20));
    }
}

/// Calls that are not waited for.
fn unsettled(pending: Vec<Pending>) -> Vec<Called> {
    let called = |pending: Pending| Called {
        input: pending.name,
        execution: pending.execution.to_string(),
        conclusion: None,
        status: None,
        reason: None,
        output: None,
        members: Vec::new(),
        paid: Cost::default(),
        told: "called".to_owned(),
    };
    pending.into_iter().map(called).collect()
}

impl Called {
    fn of(client: &Client, input: String, settled: &Execution, deadline: Instant) -> Result<Self> {
        let (mut status, mut output, mut reason) = (None, None, None);
        match &settled.conclusion {
            Some(Conclusion::Accepted {
                outcome: Outcome::Returned { status: returned, output: blob, .. },
            }) => {
                status = Some(returned.to_string());
                output = fetch(client, &blob.hash, deadline)?;
            }
            Some(Conclusion::Accepted { outcome: Outcome::Declined }) => {
                reason = Some("declined".into());
            }
            Some(Conclusion::Accepted { outcome: Outcome::Failed { failure } }) => {
                reason = Some(serde_json::to_value(failure)?);
            }
            Some(Conclusion::Accepted { outcome: Outcome::Inconclusive { doubt } }) => {
                reason = Some(serde_json::to_value(doubt)?);
            }
            Some(Conclusion::Failed { reason: why }) => reason = Some(serde_json::to_value(why)?),
            None => {}
        }
        Ok(Self {
            input,
            execution: settled.id.to_string(),
            conclusion: settled.conclusion.as_ref().map(|conclusion| match conclusion {
                Conclusion::Accepted { .. } => "accepted",
                Conclusion::Failed { .. } => "failed",
            }),
            status,
            reason,
            output,
            members: settled.members.iter().map(Member::of).collect::<Result<_>>()?,
            paid: Cost::of(settled.paid_in.0, settled.refunded.0),
            told: settled.conclusion.as_ref().map(execution::conclusion).unwrap_or_default(),
        })
    }
}

impl Member {
    fn of(member: &althing_api::wire::Member) -> Result<Self> {
        Ok(Self {
            node: member.node.to_string(),
            role: serde_json::to_value(member.role)?,
            round: member.round,
            state: serde_json::to_value(&member.state)?["state"].clone(),
            offence: member.offence.map(serde_json::to_value).transpose()?,
            fine: member.fine.to_string(),
            earned: member.earned.to_string(),
        })
    }
}

/// An output; `None` if nobody who is there has it.
fn fetch(client: &Client, hash: &Hash, deadline: Instant) -> Result<Option<Value>> {
    /// Whoever made it may be reachable a little later.
    const TRIES: u32 = 5;
    for tried in 0..TRIES {
        match Patience::following(deadline).ask(|| client.blob(hash)) {
            Ok(bytes) => {
                return Ok(Some(serde_json::from_slice(&bytes).context("reading an output")?));
            }
            Err(error) if error.is_not_found() => pause(Duration::from_millis(100) * tried),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn one_text(report: &Report) -> String {
    let Some(called) = report.executions.first() else { return String::new() };
    let mut text = format!("{}\n  {}\n", called.execution, called.told);
    if let Some(output) = &called.output {
        text.push_str(&format!("  {output}\n"));
    }
    if called.conclusion.is_some() {
        text.push_str(&format!(
            "  for {} tokens; `althing explain` says who did what\n",
            called.paid
        ));
    }
    text
}

fn many_text(report: &Report) -> String {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for called in &report.executions {
        match groups.iter_mut().find(|(told, _)| *told == called.told) {
            Some((_, count)) => *count += 1,
            None => groups.push((&called.told, 1)),
        }
    }
    let rows: Vec<Vec<String>> =
        groups.iter().map(|(told, count)| vec![(*told).to_owned(), count.to_string()]).collect();
    format!(
        "{}{} calls for {} tokens",
        table(&["conclusion", "calls"], &rows),
        report.executions.len(),
        report.paid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(told: &str) -> Called {
        Called {
            input: "a.json".to_owned(),
            execution: Hash([1; 32]).to_string(),
            conclusion: Some("accepted"),
            status: Some("ok".to_owned()),
            reason: None,
            output: None,
            members: Vec::new(),
            paid: Cost::of(Amount::from_base_units(40_000), Amount::ZERO),
            told: told.to_owned(),
        }
    }

    #[test]
    fn many_calls_are_told_by_conclusion() {
        let executions =
            vec![called("accepted: ok"), called("accepted: unreadable"), called("accepted: ok")];
        let report =
            Report { paid: Cost::sum(executions.iter().map(|called| called.paid)), executions };
        assert_eq!(
            many_text(&report),
            "conclusion            calls\naccepted: ok          2\naccepted: unreadable  1\n3 calls for 0.12 tokens"
        );
    }

    #[test]
    fn a_transaction_full_of_calls_is_never_too_long() {
        use althing_keys::AccountKey;
        use althing_types::{
            ChainId, EndpointId, Height, Nonce, TRANSACTION_BYTES_MAX, Transaction,
        };

        let key = AccountKey::from_bytes(&[1; 32]).unwrap();
        for nodes in [0, 1, 128] {
            let call = Operation::Call(CallOperation {
                service: Hash([1; 32]),
                task: "t".repeat(64).parse().unwrap(),
                input: BlobRef::of(b"{}"),
                home: EndpointId([1; 32]),
                checkers: 1,
                quorum: 1,
                nodes: vec![Address([1; 20]); nodes],
                price_max: Amount::ZERO,
            });
            let transaction = Transaction {
                chain: ChainId(1),
                account: key.address(),
                nonce: Nonce(0),
                expires: Height(0),
                atomic: false,
                fee_limit: Amount::ZERO,
                operations: vec![call; calls_in_one(nodes)],
            };
            assert!(key.sign_transaction(transaction).encode().len() <= TRANSACTION_BYTES_MAX);
        }
    }

    #[test]
    fn inputs_of_a_folder_come_by_name_and_without_others() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", "a.csv"] {
            std::fs::write(folder.path().join(name), "{}").unwrap();
        }
        let inputs = folder_inputs(folder.path()).unwrap();
        assert_eq!(
            inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>(),
            ["a.json", "b.json"]
        );
        std::fs::remove_file(folder.path().join("a.json")).unwrap();
        std::fs::remove_file(folder.path().join("b.json")).unwrap();
        assert!(folder_inputs(folder.path()).is_err());
    }
}
