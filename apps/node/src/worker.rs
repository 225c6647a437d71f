//! The worker as a part of the node: told of every commit, stopped with the node.

use std::sync::Arc;
use std::time::Duration;

use althing_replica::application::Fault;
use althing_replica::{Committed, Owed, OwnWork};
use althing_runtime_http::Programs;
use althing_runtime_wasm::WasmRuntime;
use althing_types::{Address, Operation};
use althing_work::driver::{OpenBlock, Opening, Ports, WorkFault, drive};
use althing_work::port::Blobs as _;
use althing_work::{Conduct, Config, Machine, News, OutboxConfig, Secret};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::chain::Chain;
use crate::exchange::Exchange;
use crate::journal::FileJournal;
use crate::observations::Observatory;
use crate::ports::{Account, Mailbox, State};
use crate::returning::come_back;
use crate::secrets::Confidant;

/// How many blocks the worker may lag behind before it looks at the whole state again.
const NEWS_BUFFERED: usize = 256;

/// How many operations of other parts of the node wait for the worker's outbox.
const REQUESTS_BUFFERED: usize = 1_024;
/// What an open block asks for that the worker has not come to.
const OPENINGS_BUFFERED: usize = 64;

/// What the worker is made of.
pub(crate) struct Parts {
    pub(crate) chain: Arc<Chain>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) vault: Arc<Confidant>,
    pub(crate) journal: Arc<FileJournal>,
    pub(crate) runtime: Arc<WasmRuntime>,
    pub(crate) programs: Programs,
    pub(crate) observatory: Arc<Observatory>,
    pub(crate) state: Arc<State>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) signer: Arc<Account>,
    pub(crate) secret: Secret,
    pub(crate) tasks_max: usize,
    pub(crate) conduct: Box<dyn Conduct>,
}

/// A running worker.
#[derive(Debug)]
pub(crate) struct Handle {
    stop: Option<oneshot::Sender<()>>,
    end: Option<JoinHandle<Result<(), WorkFault>>>,
    reporter: JoinHandle<()>,
    accuser: JoinHandle<()>,
    submitter: JoinHandle<()>,
    returner: JoinHandle<()>,
}

/// Starts the worker.
pub(crate) fn start(parts: Parts) -> Handle {
    let Parts { chain, exchange, vault, journal, runtime, state, mailbox, signer, .. } = parts;
    let (programs, observatory) = (parts.programs, parts.observatory);
    let node = signer.0.address();
    let config = Config::for_processors(parts.tasks_max);
    let machine = Machine::with_conduct(config, node, parts.secret, parts.conduct);
    let genesis = chain.reader.genesis();
    let outbox = OutboxConfig::new(genesis.chain, &genesis.parameters);
    let ports = Ports {
        ledger: state,
        blobs: exchange.clone(),
        runtime,
        native: Arc::new(programs),
        vault,
        journal,
        submit: mailbox,
        signer,
        observations: observatory.clone(),
    };
    let (news, heard) = broadcast::channel(NEWS_BUFFERED);
    // Subscribed before the worker reads the state: no block falls in between.
    let reporter = tokio::spawn(report(chain.commits(), node, news));
    let (ask, requests) = mpsc::channel(REQUESTS_BUFFERED);
    let submitter = tokio::spawn(observatory.clone().submit(ask.clone()));
    let returner = tokio::spawn(come_back(chain.reader.clone(), node, observatory, ask.clone()));
    let accuser = tokio::spawn(accuse(chain.clone(), ask));
    let (open, openings) = mpsc::channel(OPENINGS_BUFFERED);
    chain.lock().on_owed(Arc::new(Bench { open, exchange }));
    let (stop, stopped) = oneshot::channel();
    let stopped = async move {
        stopped.await.ok(); // dropped: stop too
    };
    let end = tokio::spawn(drive(machine, outbox, ports, heard, requests, openings, stopped));
    Handle { stop: Some(stop), end: Some(end), reporter, accuser, submitter, returner }
}

/// Tells the worker what each block means to it.
async fn report(
    mut commits: broadcast::Receiver<Arc<Committed>>,
    node: Address,
    news: broadcast::Sender<Arc<News>>,
) {
    loop {
        match commits.recv().await {
            Ok(committed) => match of(&committed, &node) {
                Ok(item) => {
                    news.send(Arc::new(item)).ok(); // the worker has stopped: the node will too
                }
                Err(fault) => {
                    tracing::error!(%fault, "a block cannot be understood");
                    return; // the worker's channel closes, and it stops
                }
            },
            Err(RecvError::Lagged(missed)) => {
                // Overfilling the worker's own channel makes it look at the whole state again.
                tracing::warn!(missed, "the worker lags behind the chain");
                for _ in 0..=NEWS_BUFFERED {
                    news.send(Arc::new(nothing())).ok();
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// The worker, as it answers the blocks that this node is building.
struct Bench {
    open: mpsc::Sender<Opening>,
    exchange: Arc<Exchange>,
}

impl OwnWork for Bench {
    fn ask(&self, owed: Owed) {
        let Owed { height, executions, alone } = owed;
        let open = OpenBlock { height, executions, alone };
        // What a worker does not take now, it answers once it is on the ledger.
        self.open.try_send(Opening::Asks(open)).ok();
    }

    fn answers(&self, within_ms: u64) {
        let (answered, wait) = std::sync::mpsc::sync_channel(1);
        if self.open.try_send(Opening::Waits(answered)).is_ok() {
            wait.recv_timeout(Duration::from_millis(within_ms)).ok();
        }
    }

    fn flush(&self) -> Result<(), Fault> {
        self.exchange.flush().map_err(|error| {
            // The same page as for the worker's journal: what to do is the same.
            Fault::new("making outputs durable", error).with_code("NOD-0006")
        })
    }
}

/// Takes what consensus has seen of double votes to the ledger.
async fn accuse(chain: Arc<Chain>, ask: mpsc::Sender<Operation>) {
    let mut commits = chain.commits();
    loop {
        match commits.recv().await {
            Ok(committed) if !committed.accuses => continue,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        let chain = chain.clone();
        let taken = tokio::task::spawn_blocking(move || chain.lock().take_evidence()).await;
        for evidence in taken.unwrap_or_default() {
            tracing::warn!(validator = %evidence.validator, "a validator has voted twice");
            if ask.send(Operation::Evidence(evidence)).await.is_err() {
                return; // the worker has ended
            }
        }
    }
}

fn of(committed: &Committed, node: &Address) -> Result<News, althing_state::Fault> {
    let header = &committed.header;
    News::of(node, (header.height, header.time), &committed.executed)
}

fn nothing() -> News {
    News {
        height: althing_types::Height(0),
        time: althing_types::TimeMs(0),
        executions: Vec::new(),
        receipts: Vec::new(),
        nonce: None,
    }
}

impl Handle {
    /// Waits until the worker cannot go on. Cancelling it is safe.
    pub(crate) async fn stopped(&mut self) -> Fault {
        const OPERATION: &str = "doing the node's work";
        let ended = match &mut self.end {
            Some(end) => end.await,
            None => std::future::pending().await,
        };
        self.end = None;
        match ended {
            Ok(Ok(())) => Fault::new(OPERATION, "it has ended"),
            Ok(Err(fault)) => coded(fault, OPERATION),
            Err(error) => Fault::new(OPERATION, error),
        }
    }

    /// Stops the worker, and returns when it has ended.
    pub(crate) async fn shutdown(mut self) {
        self.reporter.abort();
        self.accuser.abort();
        self.submitter.abort();
        self.returner.abort();
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok(); // it may have ended by itself
        }
        if let Some(end) = self.end.take() {
            end.await.ok();
        }
    }
}

/// The worker's end as the node's, with the page that says what to do.
fn coded(fault: WorkFault, operation: &'static str) -> Fault {
    let journal = matches!(fault, WorkFault::Journal(_));
    let fault = Fault::new(operation, fault);
    if journal { fault.with_code("NOD-0006") } else { fault }
}

#[cfg(test)]
mod tests {
    use althing_work::port::PortError;

    use super::*;

    #[test]
    fn a_journal_that_cannot_be_written_has_a_page() {
        let full = || PortError {
            operation: "writing the worker's journal",
            source: Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull)),
        };
        assert_eq!(coded(WorkFault::Journal(full()), "working").code, Some("NOD-0006"));
        assert_eq!(coded(WorkFault::Ledger(full()), "working").code, None);
    }
}
