//! The endpoint: accepts, dials, and hands sessions to the port.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use althing_network::{BoxFuture, Handlers, Inbound, Kind, Lane, Network, NetworkError, Peers};
use althing_types::{Eip712, EndpointId, canonical};
use bytes::Bytes;
use iroh::endpoint::{
    BindError, Connection, ConnectionError, IdleTimeout, QuicTransportConfig, VarInt, presets,
};
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey, TransportAddr};
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::time::timeout;

use crate::hello::{HELLO_BYTES_MAX, Hello, PROTOCOL, Reason, Record, WireAddress};
use crate::metrics::{Metrics, add};
use crate::session::Session;
use crate::table::Table;
use crate::{Config, Error, Event, PeerAddress};

const ALPN: &[u8] = b"althing/1";

/// A killed process sends no goodbye: its peers notice after this silence.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// From the start of a connection to the end of its hellos.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that may be saying hello at a time.
const HELLOS_MAX: usize = 64;

/// What a stranger may have in flight before its hello, and a peer after it, in bytes.
const STRANGER_WINDOW: u32 = 64 << 10;
const PEER_WINDOW: u32 = 64 << 20;

/// Requests that a peer may have under way, and one-way streams, of which it needs one a lane.
const REQUESTS_MAX: u32 = 64;
const LANES_MAX: u32 = 8;

/// Records in one answer to a question for peers.
const RECORDS_MAX: usize = 64;

/// Events that may wait for their reader.
const EVENTS_MAX: usize = 64;

/// Shared by the port and all tasks.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) handlers: Handlers,
    pub(crate) metrics: Arc<Metrics>,
    endpoint: Endpoint,
    own: EndpointId,
    eip712: Eip712,
    hello: Hello,
    table: Mutex<Table>,
    /// Held while a session begins or ends, so that handlers hear of peers in the order of events.
    changing: Mutex<()>,
    events: broadcast::Sender<Event>,
    book_changed: Notify,
    closing: watch::Sender<bool>,
    told_from: AtomicUsize,
}

fn ours(endpoint: iroh::EndpointId) -> EndpointId {
    EndpointId(*endpoint.as_bytes())
}

/// Why a connection came to no session.
enum Failure {
    /// This node refused the peer.
    Refused(Reason),
    /// The peer refused this node, or the connection broke.
    Broken(Option<Reason>),
}

/// The reason that the other side gave for closing.
fn reason_of(error: &ConnectionError) -> Option<Reason> {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            Reason::from_code(close.error_code.into_inner())
        }
        _ => None,
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody needs to listen.
    fn tell(&self, event: Event) {
        self.events.send(event).ok();
    }

    /// Closes a connection of a peer that broke a rule.
    pub(crate) fn refuse(&self, connection: &Connection, peer: EndpointId, reason: Reason) {
        connection.close(reason.code(), reason.text().as_bytes());
        if !matches!(reason, Reason::Crossed | Reason::Shutdown) {
            add(&self.metrics.refused, 1);
            tracing::info!(%peer, reason = reason.text(), "peer refused");
            self.tell(Event::Refused { peer, reason, by_peer: false });
        }
    }

    /// What this node tells of others.
    pub(crate) fn records(&self) -> Vec<u8> {
        let from = self.told_from.fetch_add(RECORDS_MAX, Ordering::Relaxed);
        canonical::encode(&self.table().records(from, RECORDS_MAX))
    }

    /// Takes what a peer tells of others; only what their accounts have signed.
    pub(crate) fn learn(&self, bytes: &[u8]) {
        let bytes_max = Kind::Peers.response_bytes_max();
        let records: Result<Vec<Record>, _> = canonical::decode(bytes, bytes_max, "peers");
        for record in records.unwrap_or_default().into_iter().take(RECORDS_MAX) {
            let Some(address) = record.dialled_at(None) else { continue };
            if record.is_signed(&self.eip712, &*self.config.signatures) {
                self.table().learn(record.endpoint, address, false);
            }
        }
        self.book_changed.notify_one();
    }

    fn begin(&self, session: &Arc<Session>) -> Result<(), Reason> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.table().install(session)?;
        if let Some((old, reason)) = replaced {
            old.connection.close(reason.code(), reason.text().as_bytes());
        }
        self.handlers.peer_up(session.peer);
        Ok(())
    }

    fn end(&self, session: &Arc<Session>) -> bool {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.table().remove(session);
        if current {
            self.handlers.peer_down(session.peer);
        }
        self.book_changed.notify_one();
        current
    }

    /// Says hello on a connection and uses it until it ends; returns how it ended.
    async fn serve(self: &Arc<Self>, connection: Connection, dialled: bool) -> Result<(), Failure> {
        let peer = ours(connection.remote_id());
        let greeted = timeout(HELLO_TIMEOUT, self.greet(&connection, peer, dialled)).await;
        let record = match greeted.unwrap_or(Err(Failure::Refused(Reason::NoHello))) {
            Ok(record) => record,
            Err(Failure::Refused(reason)) => {
                self.refuse(&connection, peer, reason);
                return Err(Failure::Refused(reason));
            }
            Err(Failure::Broken(_)) => {
                // The peer's own reason comes with the end of the connection.
                let reason = connection.close_reason().as_ref().and_then(reason_of);
                connection.close(Reason::NoHello.code(), Reason::NoHello.text().as_bytes());
                return Err(Failure::Broken(reason));
            }
        };
        connection.set_receive_window(VarInt::from_u32(PEER_WINDOW));
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(REQUESTS_MAX));
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(LANES_MAX));

        let address = record.dialled_at(remote_ip(&connection));
        let session = Session::new(peer, connection, dialled, record, address, self);
        let session = Arc::new(session);
        if let Err(reason) = self.begin(&session) {
            self.refuse(&session.connection, peer, reason);
            return Err(Failure::Refused(reason));
        }
        if let Some(address) = address {
            self.table().learn(peer, address, true);
        }
        add(&self.metrics.connections, 1);
        tracing::info!(%peer, dialled, "connected");
        let ended = session.run(self).await;
        tracing::info!(%peer, reason = %ended, "disconnected");
        let current = self.end(&session);
        let reason = reason_of(&ended);
        if current && reason == Some(Reason::Replaced) {
            self.suspect(peer);
        }
        if let Some(reason) = reason.filter(|reason| reason.is_lasting()) {
            self.tell(Event::Refused { peer, reason, by_peer: true });
        }
        match reason {
            Some(reason) if reason.is_lasting() => Err(Failure::Broken(Some(reason))),
            _ => Ok(()),
        }
    }

    fn suspect(&self, peer: EndpointId) {
        let seen_by = self.table().suspect(peer);
        if let Some(seen_by) = seen_by {
            tracing::error!(code = crate::DUPLICATE_IDENTITY, "another node has this node's key");
            self.tell(Event::DuplicateIdentity { seen_by });
        }
    }

    async fn greet(
        &self,
        connection: &Connection,
        peer: EndpointId,
        dialled: bool,
    ) -> Result<Record, Failure> {
        let broken = || Failure::Broken(None);
        let (mut send, mut receive) = if dialled {
            let (mut send, receive) = connection.open_bi().await.map_err(|_| broken())?;
            send.write_all(&self.hello.encode()).await.map_err(|_| broken())?;
            send.finish().ok();
            (send, receive)
        } else {
            connection.accept_bi().await.map_err(|_| broken())?
        };
        let bytes = receive.read_to_end(HELLO_BYTES_MAX).await.map_err(|error| match error {
            iroh::endpoint::ReadToEndError::TooLong => Failure::Refused(Reason::NoHello),
            iroh::endpoint::ReadToEndError::Read(_) => broken(),
        })?;
        let theirs = Hello::decode(&bytes).map_err(|_| Failure::Refused(Reason::NoHello))?;
        let judged = theirs.judge(peer, &self.hello, &self.eip712, &*self.config.signatures);
        judged.map_err(Failure::Refused)?;
        if !dialled {
            send.write_all(&self.hello.encode()).await.map_err(|_| broken())?;
            send.finish().ok();
        }
        Ok(theirs.record)
    }

    async fn accept(self: Arc<Self>) {
        let greeting = Arc::new(Semaphore::new(HELLOS_MAX + self.config.limits.peers_max));
        while let Some(incoming) = self.endpoint.accept().await {
            let Ok(permit) = greeting.clone().try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let shared = self.clone();
            tokio::spawn(async move {
                let Ok(accepting) = incoming.accept() else { return };
                let Ok(Ok(connection)) = timeout(HELLO_TIMEOUT, accepting).await else { return };
                let peer = ours(connection.remote_id());
                if peer == shared.own {
                    shared.refuse(&connection, peer, Reason::Duplicate);
                    shared.tell(Event::DuplicateIdentity { seen_by: vec![peer] });
                    return;
                }
                shared.serve(connection, false).await.ok();
                drop(permit);
            });
        }
    }

    async fn dial(self: Arc<Self>, peer: EndpointId, address: SocketAddr) {
        let (worked, refused) = match self.dial_once(peer, address).await {
            Ok(()) => (true, None),
            Err(Failure::Refused(reason)) => (false, Some(reason)),
            Err(Failure::Broken(reason)) => {
                if let Some(reason) = reason.filter(|reason| reason.is_lasting()) {
                    self.tell(Event::Refused { peer, reason, by_peer: true });
                }
                (false, reason)
            }
        };
        self.table().dialled(&peer, worked, refused);
        self.book_changed.notify_one();
    }

    async fn dial_once(
        self: &Arc<Self>,
        peer: EndpointId,
        address: SocketAddr,
    ) -> Result<(), Failure> {
        // Not every 32 bytes are a key.
        let id = iroh::EndpointId::from_bytes(&peer.0).map_err(|_| Failure::Broken(None))?;
        let target = EndpointAddr::from_parts(id, [TransportAddr::Ip(address)]);
        let connection = timeout(HELLO_TIMEOUT, self.endpoint.connect(target, ALPN)).await;
        let Ok(Ok(connection)) = connection else {
            tracing::debug!(%peer, %address, "not reached");
            return Err(Failure::Broken(None));
        };
        self.serve(connection, true).await
    }

    /// Dials whom the address book says, until the end.
    async fn keep(self: Arc<Self>) {
        let mut closing = self.closing.subscribe();
        loop {
            let (due, next) = self.table().due(std::time::Instant::now());
            for (peer, address) in due {
                tokio::spawn(self.clone().dial(peer, address));
            }
            let closes = async { closing.wait_for(|closing| *closing).await.is_ok() };
            let closes = tokio::select! {
                () = self.book_changed.notified() => false,
                () = tokio::time::sleep_until(next.into()) => false,
                closes = closes => closes,
            };
            if closes {
                self.table().closing = true;
                self.endpoint.close().await;
                return;
            }
        }
    }
}

fn remote_ip(connection: &Connection) -> Option<IpAddr> {
    let paths = connection.paths();
    let mut addresses = paths.iter().filter_map(|path| match path.remote_addr() {
        TransportAddr::Ip(address) => Some(address.ip()),
        _ => None,
    });
    addresses.next().map(|ip| ip.to_canonical())
}

/// The network of one node.
///
/// Call [`shutdown`](Self::shutdown) at the end, so that peers are told; dropping it only begins that.
pub struct IrohNetwork {
    shared: Arc<Shared>,
    keeper: Mutex<Option<tokio::task::JoinHandle<()>>>,
    address: SocketAddr,
    /// For the first who asks: what happened since the start.
    first_events: Mutex<Option<broadcast::Receiver<Event>>>,
}

impl fmt::Debug for IrohNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, address) = (self.shared.own, self.address);
        f.debug_struct("IrohNetwork").field("id", &id).field("address", &address).finish()
    }
}

impl Drop for IrohNetwork {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

impl IrohNetwork {
    /// Listens, and begins to dial.
    ///
    /// # Errors
    ///
    /// [`Error`] if the address cannot be listened on, or the own hello is not signed.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let own = crate::endpoint_of(&config.secret);
        let eip712 = Eip712::new(config.chain);
        let endpoint = listen(&config).await?;
        let bound = endpoint.bound_sockets().first().copied().unwrap_or(config.listen);
        let address = SocketAddr::new(config.listen.ip(), bound.port());
        let record = Record {
            endpoint: own,
            account: config.account,
            address: WireAddress::from(address),
            signature: config.hello,
        };
        if !record.is_signed(&eip712, &*config.signatures) {
            endpoint.close().await;
            return Err(Error::BadHello { account: config.account });
        }
        let (chain, genesis) = (config.chain, config.genesis);
        let hello = Hello { protocol: PROTOCOL, chain, genesis, record };
        let mut table = Table::new(own, config.limits.peers_max);
        for PeerAddress { endpoint, address } in &config.bootstrap {
            table.learn(*endpoint, *address, true);
        }
        let (events, first_events) = broadcast::channel(EVENTS_MAX);
        let shared = Arc::new(Shared {
            config,
            handlers: Handlers::default(),
            metrics: Arc::default(),
            endpoint,
            own,
            eip712,
            hello,
            table: Mutex::new(table),
            changing: Mutex::new(()),
            events,
            book_changed: Notify::new(),
            closing: watch::Sender::new(false),
            told_from: AtomicUsize::new(0),
        });
        tokio::spawn(shared.clone().accept());
        let keeper = Mutex::new(Some(tokio::spawn(shared.clone().keep())));
        Ok(Self { shared, keeper, address, first_events: Mutex::new(Some(first_events)) })
    }

    /// Where this node listens, with the port that it got.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// This node as others dial it.
    #[must_use]
    pub fn peer_address(&self) -> PeerAddress {
        PeerAddress { endpoint: self.shared.own, address: self.address }
    }

    /// What somebody should know of: since the start for the first who asks, from now on for others.
    /// A slow reader misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.shared.events.subscribe())
    }

    /// Names the peers that find a place even when others have taken all: the youngest connection of
    /// another peer then ends. Call it again when they change.
    pub fn prefer(&self, peers: BTreeSet<EndpointId>) {
        self.shared.table().prefer(peers);
        self.shared.book_changed.notify_one();
    }

    /// Counters.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        self.shared.metrics.clone()
    }

    /// Tells all peers, and returns when the endpoint is closed. A second call waits for nothing.
    pub async fn shutdown(&self) {
        self.shared.closing.send_replace(true);
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            keeper.await.ok();
        }
    }
}

async fn listen(config: &Config) -> Result<Endpoint, Error> {
    let address = config.listen;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Bind { address, source };
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).map_err(|error| failed(error.into()))?;
    let quic = QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .default_path_max_idle_timeout(IDLE_TIMEOUT)
        .keep_alive_interval(KEEP_ALIVE)
        .default_path_keep_alive_interval(KEEP_ALIVE)
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .build();
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&config.secret))
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .transport_config(quic)
        .clear_ip_transports()
        .bind_addr(address)
        .map_err(|error| failed(error.into()))?;
    builder.bind().await.map_err(|error| match error {
        BindError::Sockets { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            Error::AddressInUse { address, source }
        }
        error => failed(error.into()),
    })
}

impl Network for IrohNetwork {
    fn id(&self) -> EndpointId {
        self.shared.own
    }

    fn broadcast(&self, lane: Lane, payload: Bytes) {
        if payload.len() > lane.frame_bytes_max() {
            tracing::warn!(?lane, bytes = payload.len(), "frame too large, not sent");
            return;
        }
        for session in self.shared.table().sessions() {
            session.push(lane, payload.clone(), &self.shared.metrics);
        }
    }

    fn send(&self, peer: EndpointId, lane: Lane, payload: Bytes) {
        if payload.len() > lane.frame_bytes_max() {
            tracing::warn!(?lane, bytes = payload.len(), "frame too large, not sent");
            return;
        }
        let session = self.shared.table().session(&peer);
        if let Some(session) = session {
            session.push(lane, payload, &self.shared.metrics);
        }
    }

    fn request(
        &self,
        peer: EndpointId,
        kind: Kind,
        body: Bytes,
    ) -> BoxFuture<Result<Bytes, NetworkError>> {
        let session = self.shared.table().session(&peer);
        let metrics = self.shared.metrics.clone();
        Box::pin(async move {
            let session = session.ok_or(NetworkError::NotConnected { peer })?;
            add(&metrics.requests_made, 1);
            session.request(kind, body).await
        })
    }

    fn watch_peers(&self) -> watch::Receiver<Peers> {
        self.shared.handlers.watch_peers()
    }

    fn subscribe(&self, lanes: &[Lane], kinds: &[Kind], handler: Arc<dyn Inbound>) {
        self.shared.handlers.subscribe(lanes, kinds, handler);
    }
}
