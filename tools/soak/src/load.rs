//! The load: people who transfer and call at a steady pace, and do not give up.
//!
//! ```text
//!   Sender:  sign ─► any node that takes it ─► again after 3 s, the same bytes ─► its nonce is used
//!   Caller:  input to a node ─► call ─► receipt ─► conclusion
//! ```
//!
//! A node that takes a transaction promises to pass it on, not to have it on disk: one that is killed at
//! that moment forgets it. So every client keeps what it has signed until it is in a block, as the command
//! line does; the nonce makes sure that nothing is done twice.
//!
//! - Bounds: [`WINDOW`] transactions of a sender are on the way; a caller waits for its call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use althing_api::client::{Client, ClientError};
use althing_api::wire::{Conclusion, OperationResult, Outcome};
use althing_demo::invoices::{self, Expected, Invoice};
use althing_keys::AccountKey;
use althing_types::{
    Amount, BlobRef, Call, ChainId, Hash, Height, Name, Nonce, Operation, SignedTransaction,
    Transaction, Transfer,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use crate::network::{Network, PATIENCE, SENDERS, pause, sender};

/// Transactions of one sender that are on the way at most.
const WINDOW: usize = 64;
/// After so long without a block, the same bytes are handed in again.
const AGAIN: Duration = Duration::from_secs(3);
/// Between two looks at what has become of something.
const LOOK: Duration = Duration::from_millis(200);
/// How long one question waits at a node.
const POLL: Duration = Duration::from_secs(2);
/// The last accounts are callers', the others' are senders'.
const CALLERS: u64 = 2;
/// Inputs that the callers take turns with.
const INVOICES: u32 = 50;
/// Nodes that compute a call beside the executor.
const CHECKERS: u16 = 2;

/// How much, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Transfers a second, all senders together.
    pub transfers_per_second: u32,
    /// The service that is called, if any.
    pub service: Option<Hash>,
}

/// What the load has seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Transactions that a node took, by hash.
    pub accepted: Vec<Hash>,
    /// How often one had to be handed in again.
    pub resent: u64,
    /// What nodes refused although it was good.
    pub refused: Vec<String>,
    /// Executions that calls have created.
    pub executions: Vec<Hash>,
    /// How calls ended, and how often.
    pub conclusions: BTreeMap<String, u64>,
    /// Answers that are not the known ones.
    pub wrong: u64,
    /// The longest time from a transaction's signature to its block.
    pub slowest: Duration,
    /// What kept somebody from going on.
    pub stuck: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    chain: ChainId,
    clients: Vec<Client>,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks all nodes in turn, beginning with this one, until one answers.
    fn ask<T>(
        &self,
        first: usize,
        mut ask: impl FnMut(&Client) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut last = None;
            for client in self.clients.iter().cycle().skip(first).take(self.clients.len()) {
                match ask(client) {
                    Err(error) if is_passing(&error) => last = Some(error),
                    answer => return answer,
                }
            }
            if let Some(error) = last
                && Instant::now() > deadline
            {
                return Err(error);
            }
            pause(LOOK);
        }
    }

    /// Hands a transaction to some node; it may be in a block already.
    fn submit(&self, first: usize, signed: &SignedTransaction) {
        match self.ask(first, |client| client.submit(signed)) {
            Ok(_) => {}
            Err(error) if matches!(error.code(), "TXN-0006" | "POL-0004") => {}
            Err(error) => self.tally().refused.push(format!("{}: {error}", error.code())),
        }
    }

    fn signed(&self, key: &AccountKey, nonce: u64, operation: Operation) -> SignedTransaction {
        key.sign_transaction(Transaction {
            chain: self.chain,
            account: key.address(),
            nonce: Nonce(nonce),
            expires: Height(u64::MAX),
            atomic: true,
            fee_limit: Amount::from_tokens(1),
            operations: vec![operation],
        })
    }
}

/// Whether another node, or the same one later, may answer.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => problem.status >= 500,
        // A node that was killed in the middle of its answer.
        _ => true,
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    begun: Instant,
}

impl Load {
    /// Begins to send.
    #[must_use]
    pub fn begin(network: &Network, pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            chain: network.chain,
            clients: network.clients(),
            stop: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        let senders = SENDERS - CALLERS;
        let each = pace.transfers_per_second.max(1);
        let between = Duration::from_secs(1) * u32::try_from(senders).unwrap_or(1) / each;
        let mut threads = Vec::new();
        for n in 0..SENDERS {
            let shared = shared.clone();
            threads.push(match pace.service {
                Some(service) if n >= senders => std::thread::spawn(move || {
                    let mut caller = Caller::new(&shared, n, service);
                    if let Err(error) = caller.run() {
                        shared.tally().stuck.push(format!("a caller: {error:#}"));
                    }
                }),
                _ => std::thread::spawn(move || {
                    let mut sender = Sender::new(&shared, n);
                    if let Err(error) = sender.run(between) {
                        shared.tally().stuck.push(format!("a sender: {error:#}"));
                    }
                }),
            });
        }
        Self { shared, threads, begun: Instant::now() }
    }

    /// How many calls have ended so far.
    #[must_use]
    pub fn calls_ended(&self) -> u64 {
        self.shared.tally().conclusions.values().sum()
    }

    /// Stops sending, waits until everything on the way has arrived, and tells for how long was sent.
    #[must_use]
    pub fn end(self) -> (Tally, Duration) {
        let sent_for = self.begun.elapsed();
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            if thread.join().is_err() {
                self.shared.tally().stuck.push("a thread has panicked".to_owned());
            }
        }
        let tally = self.shared.tally().clone();
        (tally, sent_for)
    }
}

/// Somebody who transfers.
struct Sender<'a> {
    shared: &'a Shared,
    first: usize,
    key: AccountKey,
    nonce: u64,
    /// What is signed and not in a block: nonce, bytes, since when, last handed in.
    on_the_way: VecDeque<(u64, SignedTransaction, Instant, Instant)>,
}

impl<'a> Sender<'a> {
    fn new(shared: &'a Shared, n: u64) -> Self {
        let first = usize::try_from(n).unwrap_or(0);
        Self { shared, first, key: sender(n), nonce: 0, on_the_way: VecDeque::new() }
    }

    fn run(&mut self, between: Duration) -> Result<()> {
        let (mut due, mut look) = (Instant::now(), Instant::now());
        while !self.shared.stopped() {
            if Instant::now() >= look {
                self.look()?;
                look = Instant::now() + LOOK;
            }
            if self.on_the_way.len() < WINDOW {
                self.send();
            }
            // Who was held up does not make up for it.
            due = (due + between).max(Instant::now());
            pause(due.saturating_duration_since(Instant::now()).max(between));
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.on_the_way.is_empty() {
            ensure!(Instant::now() < deadline, "{} are not in a block", self.on_the_way.len());
            pause(LOOK);
            self.look()?;
        }
        Ok(())
    }

    fn send(&mut self) {
        let to = sender((self.nonce + 1) % SENDERS).address();
        let transfer = Transfer { to, amount: Amount::from_base_units(1) };
        let signed = self.shared.signed(&self.key, self.nonce, Operation::Transfer(transfer));
        self.shared.submit(self.first, &signed);
        self.shared.tally().accepted.push(signed.hash());
        let now = Instant::now();
        self.on_the_way.push_back((self.nonce, signed, now, now));
        self.nonce += 1;
    }

    /// Forgets what is in a block, and hands in again what should have been.
    fn look(&mut self) -> Result<()> {
        let address = self.key.address();
        let next = self.shared.ask(self.first, |client| client.account(&address))?.nonce;
        let now = Instant::now();
        while let Some((_, _, since, _)) = self.on_the_way.pop_front_if(|(nonce, ..)| *nonce < next)
        {
            let mut tally = self.shared.tally();
            tally.slowest = tally.slowest.max(now.duration_since(since));
        }
        let late = self.on_the_way.iter_mut();
        for (_, signed, _, last) in late.filter(|(.., last)| now.duration_since(*last) > AGAIN) {
            *last = now;
            self.shared.tally().resent += 1;
            self.shared.submit(self.first + 1, signed);
        }
        Ok(())
    }
}

/// Somebody who calls a task.
struct Caller<'a> {
    shared: &'a Shared,
    place: usize,
    key: AccountKey,
    service: Hash,
    invoices: Vec<Invoice>,
    calls: u64,
}

impl<'a> Caller<'a> {
    fn new(shared: &'a Shared, n: u64, service: Hash) -> Self {
        let place = usize::try_from(n).unwrap_or(0);
        let invoices = invoices::generate(INVOICES, n);
        Self { shared, place, key: sender(n), service, invoices, calls: 0 }
    }

    fn run(&mut self) -> Result<()> {
        while !self.shared.stopped() {
            let turn = usize::try_from(self.calls).unwrap_or(0) % self.invoices.len();
            let invoice = self.invoices.get(turn).context("an invoice")?.clone();
            self.call(&invoice)?;
            self.calls += 1;
            self.place += 1;
        }
        Ok(())
    }

    fn call(&mut self, invoice: &Invoice) -> Result<()> {
        let input = json!({ "csv": invoice.csv, "name": invoice.name }).to_string();
        let home = self.shared.ask(self.place, |client| {
            let home = client.status()?.endpoint.0;
            client.put_blob(input.as_bytes()).map(|_| home)
        })?;
        let task: Name = "total".parse().context("naming the task")?;
        let operation = Operation::Call(Call {
            service: self.service,
            task,
            input: BlobRef::of(input.as_bytes()),
            home,
            checkers: CHECKERS,
            quorum: 0,
            nodes: Vec::new(),
            price_max: Amount::from_tokens(10),
        });
        let signed = self.shared.signed(&self.key, self.calls, operation);
        let execution = self.created(&signed)?;
        self.shared.tally().executions.push(execution);
        let deadline = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < deadline, "execution {execution} does not end");
            let known = self.shared.ask(self.place, |client| client.execution(&execution, POLL));
            match known {
                // Another node may not have the block yet.
                Err(error) if error.is_not_found() => pause(LOOK),
                Err(error) => return Err(error).context("following a call"),
                Ok(execution) => {
                    if let Some(conclusion) = execution.conclusion {
                        self.concluded(&conclusion, &invoice.expected);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// The execution that the call's receipt names.
    fn created(&self, signed: &SignedTransaction) -> Result<Hash> {
        let hash = signed.hash();
        let begun = Instant::now();
        self.shared.submit(self.place, signed);
        self.shared.tally().accepted.push(hash);
        let mut last = begun;
        loop {
            let receipt = self.shared.ask(self.place, |client| client.transaction(&hash, POLL));
            match receipt {
                Ok(receipt) => {
                    let mut tally = self.shared.tally();
                    tally.slowest = tally.slowest.max(begun.elapsed());
                    return match receipt.results.first() {
                        Some(OperationResult::Created { id }) => Ok(id.0),
                        other => bail!("the call came to {other:?}"),
                    };
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error).context("waiting for a call's block"),
            }
            ensure!(begun.elapsed() < PATIENCE, "the call {hash} does not get into a block");
            if last.elapsed() > AGAIN {
                last = Instant::now();
                self.shared.tally().resent += 1;
                self.shared.submit(self.place + 1, signed);
            }
            pause(LOOK);
        }
    }

    fn concluded(&self, conclusion: &Conclusion, expected: &Expected) {
        let (word, wrong) = match conclusion {
            Conclusion::Accepted { outcome: Outcome::Returned { status, .. } } => {
                let right = match expected {
                    Expected::Total(_) => "ok",
                    Expected::Unreadable => "unreadable",
                };
                ("accepted".to_owned(), status.to_string() != right)
            }
            Conclusion::Accepted { outcome } => (format!("accepted as {outcome:?}"), true),
            Conclusion::Failed { reason } => (format!("refunded: {reason:?}"), false),
        };
        let mut tally = self.shared.tally();
        *tally.conclusions.entry(word).or_default() += 1;
        tally.wrong += u64::from(wrong);
    }
}
