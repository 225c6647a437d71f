//! The Malachite engine, driven for the replica over the network port.
//!
//! ```text
//!   peers ─► Network port ─► Hub ─► consensus, sync ─► Host ─► Application (the replica)
//!                             └─► Assembly ─► bodies ───┘         │
//!   peers ◄─ Network port ◄─ NetworkActor ◄─ consensus            └─ durable before it answers
//!                                            └─► Log (what this node has said)
//! ```
//!
//! The engine's actors are used as they are, apart from three that are ours: the network, the log and
//! the host. [`spawn`] starts them; [`Handle`] watches and stops them.
//!
//! - Errors: [`Error`] at the start. Later, a [`Fault`] of the application or of the log stops the engine
//!   and comes out of [`Handle::stopped`]; nothing panics.
//! - Invariants: a vote leaves the node only once it is in the log; a block is durable before the engine
//!   hears of it; state, block and certificate are durable before the engine hears that a height is done.
//! - Source: `docs/adr`; the engine's own documentation for the order of its effects.
mod codec;
mod desk;
mod gate;
mod halt;
mod host;
mod network;
mod pace;
mod parts;
mod signing;
pub mod stepped;
mod wal;
mod wal_actor;
pub mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use althing_network::{Kind, Lane, Network};
use althing_replica::application::{Application, Fault};
use althing_replica::context::{Chain, Members, Voter};
use althing_types::{ChainId, Eip712, Height, Signatures};
use malachite_app::app::config::{ConsensusConfig, ValuePayload, ValueSyncConfig};
use malachite_app::app::metrics::{Metrics as EngineMetrics, SharedRegistry};
use malachite_app::app::spawn::{spawn_consensus_actor, spawn_node_actor, spawn_sync_actor};
use malachite_engine::util::events::TxEvent;
use malachite_engine::util::output_port::{OutputPort, OutputPortSubscriberTrait as _};
use malachite_types::LinearTimeouts;
use ractor::{Actor, ActorCell};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::codec::Borsh;
use crate::halt::Halt;
use crate::host::{Host, HostActor, State};
pub use crate::network::Metrics;
use crate::network::{BODIES_QUEUED_MAX, Hub, NetworkActor};
use crate::pace::Pace;
use crate::parts::Expectation;
pub use crate::signing::ConsensusSigner;
use crate::signing::{Checker, EngineSigner};
use crate::wal::Log;
pub use crate::wal::WalError;
use crate::wal_actor::WalActor;

/// How consensus is run on this node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The chain; part of every signed digest.
    pub chain: ChainId,
    /// The file of what this node has said. One file a validator key, on a disk that keeps what it syncs.
    pub wal: PathBuf,
    /// How long others wait for a proposer before they go on without it: some ten times the network's
    /// delay, plus the time that a block takes to build.
    pub propose_timeout: Duration,
    /// The least time from one height's start to the next.
    pub min_block: Duration,
    /// The time from one height's start to the next when nobody has anything to decide.
    pub idle_block: Duration,
}

impl Config {
    /// Half a second for a proposer, one block a second when idle, and no other limit.
    #[must_use]
    pub fn new(chain: ChainId, wal: PathBuf) -> Self {
        Self {
            chain,
            wal,
            propose_timeout: Duration::from_millis(500),
            min_block: Duration::ZERO,
            idle_block: Duration::from_secs(1),
        }
    }

    fn timeouts(&self) -> LinearTimeouts {
        let propose = self.propose_timeout;
        LinearTimeouts {
            propose,
            propose_delta: propose / 2,
            prevote: propose / 2,
            prevote_delta: propose / 4,
            precommit: propose / 2,
            precommit_delta: propose / 4,
            rebroadcast: Duration::from_secs(2).max(propose),
            max_timeout: Duration::from_secs(30).max(propose),
        }
    }
}

/// Why consensus cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log of what this node has said.
    #[error("the consensus log cannot be used")]
    Wal(#[from] WalError),
    /// The engine's actors.
    #[error("the consensus engine does not start: {reason}")]
    Engine {
        /// As the engine says it.
        reason: String,
    },
}

impl Error {
    fn engine(reason: impl fmt::Display) -> Self {
        Self::Engine { reason: reason.to_string() }
    }

    /// The code of this error's page in `docs/errors/`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Wal(error) => error.code(),
            Self::Engine { .. } => "CON-0003",
        }
    }
}

/// How far consensus is on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last height that was decided since the start; zero before the first.
    pub decided: Height,
    /// The height under way.
    pub deciding: Height,
    /// Its round.
    pub round: u32,
    /// Heights that came from peers by sync.
    pub synced: u64,
    /// Rounds after the first of a height: absent proposers, mostly.
    pub extra_rounds: u64,
}

/// Consensus as it runs. Dropping the handle stops it.
#[derive(Debug)]
pub struct Handle {
    progress: watch::Receiver<Progress>,
    metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    end: Option<oneshot::Receiver<Option<Fault>>>,
}

impl Handle {
    /// Follows how far consensus is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// What was seen of peers.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits until consensus stops by itself: the node must stop too. Never returns otherwise.
    ///
    /// Cancelling it is safe.
    pub async fn stopped(&mut self) -> Fault {
        let fault = match &mut self.end {
            Some(end) => end.await,
            None => std::future::pending().await,
        };
        self.end = None;
        match fault {
            Ok(Some(fault)) => fault,
            Ok(None) => Fault::new("running the consensus engine", "it was stopped"),
            Err(_) => Fault::new("running the consensus engine", "its thread has panicked"),
        }
    }

    /// Stops consensus, and returns when every part of it has ended.
    pub async fn shutdown(mut self) {
        drop(self.stop.take());
        if let Some(end) = self.end.take() {
            end.await.ok();
        }
    }
}

/// Starts consensus, on a thread of its own.
///
/// A height is some fifty messages among the engine's actors, most of which wait for one another:
/// on one thread they wake nobody, and what blocks for the disk holds up nothing but consensus
/// (`docs/adr/0009-speed-of-runs.md`).
///
/// `work` is true while there is something to put into a block: the next height then begins at once.
///
/// # Errors
///
/// [`Error`] when the log cannot be opened, or the engine does not start.
pub async fn spawn<A: Application>(
    config: Config,
    application: Arc<Mutex<A>>,
    network: Arc<dyn Network>,
    signer: Arc<dyn ConsensusSigner>,
    signatures: Arc<dyn Signatures + Send + Sync>,
    work: watch::Receiver<bool>,
) -> Result<Handle, Error> {
    let (started, starting) = oneshot::channel();
    let (stop, stopped) = oneshot::channel();
    let (ended, end) = oneshot::channel();
    let run = async move {
        let parts = (application, network, signer, signatures, work);
        match Running::start(config, parts).await {
            Ok((running, watched)) => {
                // Whoever does not wait for it any more has dropped `stop` too.
                started.send(Ok(watched)).ok();
                running.run(stopped).await
            }
            Err(error) => {
                started.send(Err(error)).ok();
                None
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::engine)?;
    let thread = move || {
        let fault = runtime.block_on(run);
        // Nobody may hear of the end while something still holds the log or the store.
        drop(runtime);
        ended.send(fault).ok();
    };
    std::thread::Builder::new().name("consensus".into()).spawn(thread).map_err(Error::engine)?;
    let gone = |_| Error::engine("its thread ended at once");
    let (progress, metrics) = starting.await.map_err(gone)??;
    Ok(Handle { progress, metrics, stop: Some(stop), end: Some(end) })
}

/// What consensus is made of beside its settings.
type Parts<A> = (
    Arc<Mutex<A>>,
    Arc<dyn Network>,
    Arc<dyn ConsensusSigner>,
    Arc<dyn Signatures + Send + Sync>,
    watch::Receiver<bool>,
);

/// Consensus on its own thread.
struct Running {
    engine: Engine,
    hub: Arc<Hub>,
    bodies: JoinHandle<()>,
    fault: oneshot::Receiver<Fault>,
}

impl Running {
    async fn start<A: Application>(
        config: Config,
        (application, network, signer, signatures, work): Parts<A>,
    ) -> Result<(Self, (watch::Receiver<Progress>, Arc<Metrics>)), Error> {
        let log = Log::open(&config.wal)?;
        let (halt, fault) = Halt::new();
        let checker = Checker::new(Eip712::new(config.chain), signatures);
        let expectation = {
            let application = application.lock().unwrap_or_else(PoisonError::into_inner);
            let members = Members::new(application.validators());
            Expectation { next: application.next_height(), members }
        };
        let (bodies, queued_bodies) = mpsc::channel(BODIES_QUEUED_MAX);
        let hub = Arc::new(Hub::new(checker.clone(), expectation, bodies));
        let (min_block, idle_block) = (config.min_block, config.idle_block);
        let host = Arc::new(Host {
            application,
            network: network.clone(),
            hub: hub.clone(),
            signer: signer.clone(),
            checker: checker.clone(),
            timeouts: config.timeouts(),
            pace: Pace { min_block, idle_block, work, called: hub.called() },
            halt: halt.clone(),
            progress: watch::Sender::default(),
            consensus: OnceLock::new(),
            complete: watch::Sender::new(false),
            state: Mutex::new(State::default()),
        });
        let wal = WalActor { halt, hub: hub.clone(), network: network.clone(), signer };
        let engine = Engine::start(&host, wal, log).await?;
        network.subscribe(&[Lane::Votes, Lane::Bodies], &[Kind::Sync], hub.clone());
        host.complete.send_replace(true);

        let watched = (host.progress.subscribe(), hub.metrics.clone());
        let bodies = tokio::spawn(receive_bodies(host, queued_bodies));
        Ok((Self { engine, hub, bodies, fault }, watched))
    }

    /// Waits for the end, whatever brings it, and stops everything.
    async fn run(self, stopped: oneshot::Receiver<()>) -> Option<Fault> {
        let Self { mut engine, hub, bodies, fault } = self;
        let fault = tokio::select! {
            biased;
            Ok(fault) = fault => Some(fault),
            // The handle was dropped, or asks for the end.
            _ = stopped => None,
            _ = &mut engine.supervised => {
                Some(Fault::new("running the consensus engine", "one of its actors has failed"))
            }
        };
        bodies.abort();
        bodies.await.ok();
        engine.stop().await;
        hub.close();
        fault
    }
}

/// Hands complete bodies to the application, one at a time.
async fn receive_bodies<A: Application>(
    host: Arc<Host<A>>,
    mut bodies: mpsc::Receiver<parts::Body>,
) {
    while let Some(body) = bodies.recv().await {
        if let Err(fault) = host.receive(&body) {
            host.halt.stop(fault);
            return;
        }
    }
}

/// The engine's actors, linked to one supervisor that ends when one of them fails.
struct Engine {
    /// In the order in which they are stopped.
    actors: Vec<ActorCell>,
    supervisor: ActorCell,
    supervised: JoinHandle<()>,
}

impl Engine {
    async fn start<A: Application>(
        host: &Arc<Host<A>>,
        wal: WalActor,
        log: Log,
    ) -> Result<Self, Error> {
        // One registry a node: several may live in one process.
        let name = host.network.id().to_string();
        let registry = SharedRegistry::new(Default::default(), Some(name));
        let metrics = EngineMetrics::register(&registry);
        let supervisor = spawn_node_actor(metrics.clone()).await.map_err(Error::engine)?;
        let (supervisor, supervised) = supervisor;
        let mut engine = Self { actors: Vec::new(), supervisor: supervisor.get_cell(), supervised };

        let actor = NetworkActor { hub: host.hub.clone(), network: host.network.clone() };
        let network = Actor::spawn(None, actor, ()).await.map_err(Error::engine)?.0;
        engine.link(network.get_cell());
        let wal = Actor::spawn(None, wal, log).await.map_err(Error::engine)?.0;
        engine.link(wal.get_cell());
        let actor = HostActor(host.clone());
        let host_actor = Actor::spawn(None, actor, ()).await.map_err(Error::engine)?.0;
        engine.link(host_actor.get_cell());

        let value_payload = ValuePayload::ProposalAndParts;
        let consensus = ConsensusConfig { value_payload, ..ConsensusConfig::default() };
        let (checker, signer) = (host.checker.clone(), host.signer.clone());
        let address = Voter(signer.address());
        let sync_port = Arc::new(OutputPort::new());
        let consensus = spawn_consensus_actor(
            Chain,
            address,
            consensus,
            Box::new(checker.clone()),
            Some(Box::new(EngineSigner { signer, checker })),
            network.clone(),
            host_actor.clone(),
            wal,
            sync_port.clone(),
            metrics,
            TxEvent::new(),
            supervisor,
        );
        let consensus = consensus.await.map_err(Error::engine)?;
        engine.link(consensus.get_cell());
        host.consensus.set(consensus.clone()).ok();

        let config = sync_config();
        let sync =
            spawn_sync_actor(Chain, network, host_actor, consensus, Borsh, &config, &registry);
        if let Some(sync) = sync.await.map_err(Error::engine)? {
            engine.link(sync.get_cell());
            sync.subscribe_to_port(&sync_port);
        }
        Ok(engine)
    }

    fn link(&mut self, actor: ActorCell) {
        actor.link(self.supervisor.clone());
        self.actors.push(actor);
    }

    async fn stop(self) {
        // The supervisor first: it would take the others' ends for failures.
        self.supervisor.kill_and_wait(None).await.ok();
        for actor in self.actors.iter().rev() {
            actor.kill_and_wait(None).await.ok();
        }
    }
}

/// Catches up in large steps: a thousand heights are a few round trips.
fn sync_config() -> ValueSyncConfig {
    ValueSyncConfig {
        status_update_interval: Duration::from_secs(1),
        request_timeout: Duration::from_secs(5),
        parallel_requests: 4,
        batch_size: 100,
        ..ValueSyncConfig::default()
    }
}
