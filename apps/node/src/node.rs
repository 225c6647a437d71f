//! One node: started from a folder, stopped as a whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use althing_api::wire;
use althing_consensus_malachite as consensus;
use althing_keys::{NodeKeys, Secp256k1};
use althing_net_iroh::{DUPLICATE_IDENTITY, Event, IrohNetwork, PeerAddress};
use althing_network::Network;
use althing_replica::application::Fault;
use althing_replica::{
    Committed, Config as ReplicaConfig, OpenError, Ports, ReadError, Reader, Replica, SubmitError,
};
use althing_runtime_http::{Connections, Programs};
use althing_runtime_wasm::WasmRuntime;
use althing_store_redb::RedbStore;
use althing_types::{Address, Eip712, EndpointId, Hash, Signatures, tagged};
use althing_work::{Conduct, Secret};
use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::blobs::BlobStore;
use crate::chain::Chain;
use crate::emitting::{self, Emitting};
use crate::exchange::Exchange;
use crate::folder::{Folder, Settings};
use crate::journal::FileJournal;
use crate::observations::Observatory;
use crate::ports::{Account, Beacon, Mailbox, State};
use crate::retention::Retention;
use crate::secrets::{Confidant, SecretStore};
use crate::services::Services;
use crate::settled::Settled;
use crate::view::NodeView;
use crate::{StartError, clock, commits, genesis_file, gossip, parameters, places, worker};

/// How many events a slow listener may lag behind.
const EVENTS_BUFFERED: usize = 4_096;

/// A running node.
///
/// Dropping it stops it too, but without waiting and without telling its peers.
#[derive(Debug)]
pub struct Node {
    address: Address,
    endpoint: EndpointId,
    api: SocketAddr,
    chain: Arc<Chain>,
    network: Arc<IrohNetwork>,
    consensus: consensus::Handle,
    worker: worker::Handle,
    /// Gossip, commits: tasks that end when they are aborted.
    helpers: JoinSet<()>,
    stop_api: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

/// Everything that is read before anything runs.
struct Prepared {
    settings: Settings,
    keys: NodeKeys,
    genesis: althing_types::Genesis,
}

fn prepare(folder: &Folder) -> Result<Prepared, StartError> {
    let unusable = |source| StartError::Folder { folder: folder.path().to_owned(), source };
    let settings = folder.settings().map_err(unusable)?;
    let genesis = genesis_file::read(&folder.genesis_file()).map_err(unusable)?;
    let keys = NodeKeys::load(folder.path())?;
    let wanted = genesis.parameters.wasm_engine.as_str();
    if wanted != parameters::WASM_ENGINE {
        let found = parameters::WASM_ENGINE;
        return Err(StartError::Engine { wanted: wanted.to_owned(), found });
    }
    Ok(Prepared { settings, keys, genesis })
}

fn peers(folder: &Folder, settings: &Settings) -> Result<Vec<PeerAddress>, StartError> {
    let parse = |text: &String| {
        let (endpoint, address) =
            text.split_once('@').with_context(|| format!("{text:?} is not endpoint@address"))?;
        let endpoint = endpoint.parse().map_err(|error| anyhow!("{endpoint:?}: {error}"))?;
        let address = address.parse().with_context(|| format!("{address:?} is not an address"))?;
        Ok(PeerAddress { endpoint, address })
    };
    let peers: anyhow::Result<Vec<PeerAddress>> = settings.peers.iter().map(parse).collect();
    peers.map_err(|source| StartError::Folder { folder: folder.path().to_owned(), source })
}

fn open_replica(
    folder: &Folder,
    config: ReplicaConfig,
    beacon: Beacon,
) -> Result<Replica, StartError> {
    let path = folder.data("chain");
    let chain_error =
        |source: OpenError| StartError::Chain { folder: folder.path().to_owned(), source };
    std::fs::create_dir_all(&path).map_err(|error| StartError::Worker(Box::new(error)))?;
    let store = RedbStore::open(&path).map_err(|error| chain_error(error.into()))?;
    let ports = Ports {
        store: Arc::new(store),
        signatures: Arc::new(Secp256k1),
        beacon: Some(Box::new(beacon)),
        clock: Box::new(clock::now),
    };
    Replica::open(config, ports).map_err(chain_error)
}

impl Node {
    /// Starts the node whose folder this is; it goes about its work as `conduct` says.
    ///
    /// # Errors
    ///
    /// [`StartError`], each with a documented code.
    pub async fn start(folder: &Folder, conduct: Box<dyn Conduct>) -> Result<Self, StartError> {
        let prepared = prepare(folder)?;
        let Prepared { settings, keys, genesis: start } = prepared;
        let NodeKeys { account, endpoint: secret, beacon } = keys;
        let account = Arc::new(Account(account));
        let address = account.0.address();
        // The API's port first: it is the cheapest way to notice that the node runs already.
        let listener = TcpListener::bind(settings.api).await.map_err(|source| {
            StartError::Port { address: settings.api, purpose: "the API", source: Box::new(source) }
        })?;
        let api = listener.local_addr().unwrap_or(settings.api);
        let config = ReplicaConfig::new(start, address);
        let beacon = Beacon(beacon);
        let replica = tokio::task::block_in_place(|| open_replica(folder, config, beacon))?;
        let (chain, outgoing) = Chain::new(replica);
        let settled = Settled::rebuild(&chain.reader).map_err(|error| StartError::Chain {
            folder: folder.path().to_owned(),
            source: match error {
                ReadError::Store(error) => error.into(),
                _ => OpenError::Damaged { what: "a decided block" },
            },
        })?;
        let settled = Arc::new(settled);
        let blobs = BlobStore::open(&folder.data("blobs"), settings.blob_bytes_max)
            .map_err(|error| StartError::Worker(Box::new(error)))?;
        let blobs = Arc::new(blobs);

        let secrets = SecretStore::open(&folder.secrets_file()).map_err(|error| {
            StartError::Folder { folder: folder.path().to_owned(), source: error.into() }
        })?;

        let bootstrap = peers(folder, &settings)?;
        let network = join_network(&chain.reader, &account, *secret, &settings, bootstrap).await?;
        let network = Arc::new(network);
        let port: Arc<dyn Network> = network.clone();
        let endpoint = port.id();
        let exchange = Arc::new(Exchange::start(blobs.clone(), port.clone(), chain.reader.clone()));
        let (events, _) = broadcast::channel::<wire::Event>(EVENTS_BUFFERED);
        let secrets = Arc::new(secrets);
        let (port_of, read) = (port.clone(), chain.reader.clone());
        let vault = Arc::new(Confidant::start(secrets.clone(), blobs.clone(), port_of, read));

        let programs = open_programs(folder, &blobs);
        let started = programs.and_then(|programs| {
            let worker = start_worker(
                folder,
                &settings,
                &chain,
                (&exchange, vault),
                programs.clone(),
                account.clone(),
                conduct,
            )?;
            Ok((worker, programs))
        });
        let (worker, (connections, observatory)) = match started {
            Ok(started) => started,
            Err(error) => {
                network.shutdown().await;
                return Err(error);
            }
        };

        let config = consensus::Config {
            chain: chain.reader.genesis().chain,
            wal: folder.data("consensus.wal"),
            propose_timeout: Duration::from_millis(settings.propose_timeout_ms),
            min_block: Duration::from_millis(settings.min_block_ms),
            idle_block: Duration::from_millis(settings.idle_block_ms),
        };
        let signatures: Arc<dyn Signatures + Send + Sync> = Arc::new(Secp256k1);
        let (replica, work) = (chain.replica.clone(), chain.work());
        let started =
            consensus::spawn(config, replica, port.clone(), account, signatures, work).await;
        let consensus = match started {
            Ok(consensus) => consensus,
            Err(error) => {
                worker.shutdown().await;
                network.shutdown().await;
                return Err(error.into());
            }
        };

        let mut helpers = JoinSet::new();
        helpers.spawn(gossip::send(port.clone(), outgoing));
        helpers.spawn(gossip::receive(port.clone(), chain.clone()));
        helpers.spawn(gossip::repeat(chain.clone()));
        helpers.spawn(places::keep(network.clone(), chain.clone()));
        helpers.spawn(commits::follow(chain.clone(), settled.clone(), events.clone()));
        let retention = Retention {
            store: blobs.clone(),
            reader: chain.reader.clone(),
            observatory: observatory.clone(),
            keep: Duration::from_secs(u64::from(settings.blob_keep_hours.max(1)) * 3_600),
        };
        helpers.spawn(retention.run());

        let services = Arc::new(Services::new(chain.reader.clone(), exchange.clone()));
        let emitting = Arc::new(Emitting {
            reader: chain.reader.clone(),
            network: port.clone(),
            services,
            connections,
            observatory,
            address,
        });
        emitting::serve(&emitting);

        let view = NodeView {
            emitting,
            chain: chain.clone(),
            network: port,
            blobs,
            exchange,
            secrets,
            settled,
            events,
            address,
            endpoint,
        };
        let (stop_api, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, view, settings.api_hosts, stopped));
        Ok(Self {
            address,
            endpoint,
            api,
            chain,
            network,
            consensus,
            worker,
            helpers,
            stop_api: Some(stop_api),
            serving,
        })
    }

    /// The node's account.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The node's name on the network.
    #[must_use]
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }

    /// Where the API listens.
    #[must_use]
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// What is committed on this node.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.chain.reader.clone()
    }

    /// How far consensus is.
    #[must_use]
    pub fn progress(&self) -> consensus::Progress {
        *self.consensus.progress().borrow()
    }

    /// Follows commits: what each height settled. Who lags behind looks at the [`reader`](Self::reader).
    #[must_use]
    pub fn commits(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.chain.commits()
    }

    /// Takes an encoded transaction and passes it on, as the API does. Blocks for the time of a
    /// signature's verification and, at worst, of a block's execution.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] if it is not admitted.
    pub fn submit(&self, encoded: &[u8]) -> Result<Hash, SubmitError> {
        self.chain.submit(encoded)
    }

    /// Waits until the node cannot go on; it must then be shut down.
    pub async fn stopped(&mut self) -> Fault {
        let mut network = self.network.events();
        loop {
            tokio::select! {
                fault = self.consensus.stopped() => return fault,
                fault = self.worker.stopped() => return fault,
                event = network.recv() => match event {
                    Ok(Event::DuplicateIdentity { seen_by }) => {
                        let text = format!("{} others have seen this node's key in use elsewhere", seen_by.len());
                        return Fault::new("running alone with this node's key", text)
                            .with_code(DUPLICATE_IDENTITY);
                    }
                    Ok(event) => tracing::info!(?event, "network"),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => {
                        return Fault::new("being on the network", "it has ended");
                    }
                },
            }
        }
    }

    /// Stops everything, and returns when it has ended.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop_api.take() {
            stop.send(()).ok(); // it may have ended by itself
        }
        self.serving.await.ok();
        self.worker.shutdown().await;
        self.consensus.shutdown().await;
        self.helpers.shutdown().await;
        self.network.shutdown().await;
    }
}

async fn join_network(
    reader: &Reader,
    account: &Account,
    secret: [u8; 32],
    settings: &Settings,
    bootstrap: Vec<PeerAddress>,
) -> Result<IrohNetwork, StartError> {
    let endpoint = althing_net_iroh::endpoint_of(&secret);
    let chain = reader.genesis().chain;
    let config = althing_net_iroh::Config {
        secret,
        listen: settings.listen,
        chain,
        genesis: reader.genesis_hash(),
        account: account.0.address(),
        hello: account.0.sign_hello(&Eip712::new(chain), &endpoint.0),
        bootstrap,
        signatures: Arc::new(Secp256k1),
        limits: althing_net_iroh::Limits::default(),
    };
    IrohNetwork::bind(config).await.map_err(|error| match error {
        althing_net_iroh::Error::AddressInUse { address, .. } => {
            StartError::Port { address, purpose: "other nodes", source: Box::new(error) }
        }
        error => StartError::Network(Box::new(error)),
    })
}

/// Programs of native services, and the observations that they cause.
type ProgramParts = (Arc<Connections>, Arc<Observatory>);

fn open_programs(folder: &Folder, blobs: &Arc<BlobStore>) -> Result<ProgramParts, StartError> {
    let entropy = |bytes: &mut [u8]| getrandom::fill(bytes).is_ok();
    let connections = Connections::open(&folder.connections_file(), Arc::new(entropy))
        .map_err(StartError::Programs)?;
    let journal = folder.data("journal").join("observations.log");
    let observatory = Observatory::start(&journal, blobs.clone())
        .map_err(|error| StartError::Worker(Box::new(error)))?;
    Ok((Arc::new(connections), Arc::new(observatory)))
}

fn start_worker(
    folder: &Folder,
    settings: &Settings,
    chain: &Arc<Chain>,
    (exchange, vault): (&Arc<Exchange>, Arc<Confidant>),
    (connections, observatory): ProgramParts,
    signer: Arc<Account>,
    conduct: Box<dyn Conduct>,
) -> Result<worker::Handle, StartError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| StartError::Worker(error);
    let journal = FileJournal::open(&folder.data("journal").join("work.log"))
        .map_err(|error| failed(Box::new(error)))?;
    let entropy = |bytes: &mut [u8]| getrandom::fill(bytes).is_ok();
    let runtime = WasmRuntime::open(&folder.data("wasm"), Arc::new(entropy))
        .map_err(|error| failed(Box::new(error)))?;
    let config = althing_runtime_http::Config {
        chain: chain.reader.genesis().chain,
        node: signer.0.address(),
        now_s: Arc::new(|| i64::try_from(clock::wall().0 / 1_000).unwrap_or(i64::MAX)),
    };
    let programs = Programs::new(config, connections).map_err(|error| failed(Box::new(error)))?;
    // Known to this node alone, and the same after every restart: signatures are deterministic,
    // and this one is never shown.
    let signature = signer.0.sign_recoverable(&tagged("althing work secret", &[]));
    let secret = tagged("althing work secret", &[&signature.r_and_s]);
    Ok(worker::start(worker::Parts {
        chain: chain.clone(),
        exchange: exchange.clone(),
        vault,
        journal: Arc::new(journal),
        runtime: Arc::new(runtime),
        programs,
        observatory,
        state: Arc::new(State(chain.reader.clone())),
        mailbox: Arc::new(Mailbox(chain.clone())),
        signer,
        secret: Secret::new(secret.0),
        tasks_max: settings.tasks_max,
        conduct,
    }))
}

async fn serve(
    listener: TcpListener,
    view: NodeView,
    hosts: Vec<String>,
    stopped: oneshot::Receiver<()>,
) {
    let config = althing_api::Config { hosts, ..althing_api::Config::default() };
    let stop = async move {
        stopped.await.ok(); // dropped: stop too
    };
    if let Err(error) = althing_api::serve(listener, Arc::new(view), config, stop).await {
        tracing::error!(%error, "the API has ended");
    }
}
