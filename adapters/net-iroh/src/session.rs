//! One connection whose hello was accepted, until it ends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use althing_network::{Kind, Lane, NetworkError, Outbox, Reply};
use althing_types::EndpointId;
use bytes::Bytes;
use iroh::endpoint::{
    Connection, ConnectionError, ReadError, ReadExactError, ReadToEndError, RecvStream, SendStream,
    VarInt, WriteError,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::hello::{Reason, Record, WireAddress};
use crate::limit::{RateLimit, Verdict};
use crate::metrics::{Metrics, add};
use crate::network::Shared;

/// Between questions for addresses to one peer.
const PEERS_INTERVAL: Duration = Duration::from_secs(60);

/// The first byte of an answer.
const ANSWERED: u8 = 1;

/// How long an exchange may take.
fn time_limit(kind: Kind) -> Duration {
    match kind {
        Kind::Sync => Duration::from_secs(10),
        Kind::Blob => Duration::from_secs(60),
        Kind::Peers => Duration::from_secs(5),
        Kind::Observe => Duration::from_secs(15),
        Kind::Secrets => Duration::from_secs(5),
    }
}

/// A connection in use.
pub(crate) struct Session {
    pub(crate) peer: EndpointId,
    pub(crate) connection: Connection,
    /// True if this node began the connection.
    pub(crate) dialled: bool,
    pub(crate) since: Instant,
    record: Record,
    address: Option<SocketAddr>,
    outboxes: [Outbox; 3],
    limit: Mutex<RateLimit>,
}

/// Why a lane or request of a peer is read no further.
enum Misuse {
    /// The connection is broken anyway.
    Broken,
    /// The peer breaks the rules: the connection must end.
    Rules(Reason),
}

impl<E: std::error::Error> From<E> for Misuse {
    fn from(_: E) -> Self {
        Self::Broken
    }
}

impl Session {
    pub(crate) fn new(
        peer: EndpointId,
        connection: Connection,
        dialled: bool,
        record: Record,
        address: Option<SocketAddr>,
        shared: &Shared,
    ) -> Self {
        let limits = &shared.config.limits;
        let (bytes, frames) = (limits.bytes_per_second, limits.frames_per_second);
        Self {
            peer,
            connection,
            dialled,
            since: Instant::now(),
            record,
            address,
            outboxes: Lane::ALL.map(|lane| Outbox::new(lane.outbox_bytes_max())),
            limit: Mutex::new(RateLimit::new(bytes, frames, Instant::now())),
        }
    }

    /// What others are told of this peer.
    pub(crate) fn told(&self) -> Option<Record> {
        let address = WireAddress::from(self.address?);
        Some(Record { address, ..self.record.clone() })
    }

    /// Queues a frame. Never waits.
    pub(crate) fn push(&self, lane: Lane, payload: Bytes, metrics: &Metrics) {
        let Some(outbox) = self.outboxes.get(usize::from(lane as u8)) else { return };
        add(&metrics.frames_sent, 1);
        add(&metrics.bytes_sent, payload.len());
        let dropped = outbox.push(payload.len(), payload);
        add(&metrics.dropped_outgoing, dropped);
    }

    /// Uses the connection until it ends; returns why.
    pub(crate) async fn run(self: &Arc<Self>, shared: &Arc<Shared>) -> ConnectionError {
        let mut tasks = JoinSet::new();
        for (lane, priority) in Lane::ALL.into_iter().zip([2, 1, 0]) {
            tasks.spawn(self.clone().pump(lane, priority));
        }
        tasks.spawn(self.clone().ask_for_peers(shared.clone()));
        loop {
            tokio::select! {
                stream = self.connection.accept_uni() => match stream {
                    Ok(stream) => {
                        tasks.spawn(self.clone().read_lane(shared.clone(), stream));
                    }
                    Err(reason) => return reason,
                },
                stream = self.connection.accept_bi() => match stream {
                    Ok((send, receive)) => {
                        tasks.spawn(self.clone().answer(shared.clone(), send, receive));
                    }
                    Err(reason) => return reason,
                },
                // Reaps what has ended: the set is bounded by the streams that a peer may open.
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    fn end(&self, shared: &Shared, misuse: &Misuse) {
        if let Misuse::Rules(reason) = misuse {
            shared.refuse(&self.connection, self.peer, *reason);
        }
    }

    /// Sends one lane's frames.
    async fn pump(self: Arc<Self>, lane: Lane, priority: i32) {
        let Some(outbox) = self.outboxes.get(usize::from(lane as u8)) else { return };
        let sent: Result<(), WriteError> = async {
            let mut stream = self.connection.open_uni().await?;
            stream.set_priority(priority).ok();
            stream.write_all(&[lane as u8]).await?;
            loop {
                let frames = outbox.take_all().await;
                let mut chunks = Vec::with_capacity(frames.len() * 2);
                for payload in frames {
                    // Every frame was measured against its lane's limit, far below 4 GiB.
                    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                    chunks.push(Bytes::copy_from_slice(&length.to_be_bytes()));
                    chunks.push(payload);
                }
                stream.write_all_chunks(&mut chunks).await?;
            }
        }
        .await;
        if let Err(error) = sent {
            tracing::debug!(peer = %self.peer, ?lane, %error, "lane ended");
            // A peer that stops a lane would be told nothing any more.
            self.connection.close(Reason::BadFrame.code(), Reason::BadFrame.text().as_bytes());
        }
    }

    /// Judges something of this size, and counts it.
    fn admit(&self, bytes: usize, metrics: &Metrics) -> Result<bool, Misuse> {
        let now = Instant::now();
        let verdict = self.limit.lock().unwrap_or_else(PoisonError::into_inner).judge(bytes, now);
        match verdict {
            Verdict::Take => Ok(true),
            Verdict::Drop => {
                add(&metrics.dropped_incoming, 1);
                Ok(false)
            }
            Verdict::Disconnect => Err(Misuse::Rules(Reason::RateExceeded)),
        }
    }

    async fn read_lane(self: Arc<Self>, shared: Arc<Shared>, mut stream: RecvStream) {
        if let Err(misuse) = self.read_frames(&shared, &mut stream).await {
            self.end(&shared, &misuse);
        }
    }

    async fn read_frames(&self, shared: &Shared, stream: &mut RecvStream) -> Result<(), Misuse> {
        let mut lane = [0];
        stream.read_exact(&mut lane).await?;
        let [lane] = lane;
        let lane = Lane::from_byte(lane).ok_or(Misuse::Rules(Reason::BadFrame))?;
        loop {
            let mut length = [0; 4];
            match stream.read_exact(&mut length).await {
                Ok(()) => {}
                Err(ReadExactError::FinishedEarly(0)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if length > lane.frame_bytes_max() {
                return Err(Misuse::Rules(Reason::BadFrame));
            }
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await?;
            if self.admit(length, &shared.metrics)? {
                add(&shared.metrics.frames_received, 1);
                add(&shared.metrics.bytes_received, length);
                shared.handlers.frame(self.peer, lane, &payload.into());
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        shared: Arc<Shared>,
        mut send: SendStream,
        receive: RecvStream,
    ) {
        match self.read_request(&shared, receive).await {
            Ok(Some(answer)) => {
                let mut chunks = [Bytes::from_static(&[ANSWERED]), answer];
                if send.write_all_chunks(&mut chunks).await.is_ok() {
                    send.finish().ok();
                    // Keeps the stream, hence its place in the peer's limit, until it is delivered.
                    send.stopped().await.ok();
                }
            }
            Ok(None) => {
                send.reset(VarInt::from_u32(0)).ok();
            }
            Err(misuse) => self.end(&shared, &misuse),
        }
    }

    async fn read_request(
        &self,
        shared: &Shared,
        mut receive: RecvStream,
    ) -> Result<Option<Bytes>, Misuse> {
        let mut kind = [0];
        receive.read_exact(&mut kind).await?;
        let [kind] = kind;
        let kind = Kind::from_byte(kind).ok_or(Misuse::Rules(Reason::BadFrame))?;
        let body = match receive.read_to_end(kind.request_bytes_max()).await {
            Ok(body) => Bytes::from(body),
            Err(ReadToEndError::TooLong) => return Err(Misuse::Rules(Reason::BadFrame)),
            Err(error) => return Err(error.into()),
        };
        if !self.admit(body.len(), &shared.metrics)? {
            return Ok(None);
        }
        add(&shared.metrics.requests_taken, 1);
        if kind == Kind::Peers {
            return Ok(Some(shared.records().into()));
        }
        let (reply, answer) = Reply::channel();
        shared.handlers.request(self.peer, kind, body, reply);
        let answer = timeout(time_limit(kind), answer).await;
        let answer = answer.ok().and_then(Result::ok);
        Ok(answer.filter(|answer| answer.len() <= kind.response_bytes_max()))
    }

    /// Asks the peer.
    pub(crate) async fn request(&self, kind: Kind, body: Bytes) -> Result<Bytes, NetworkError> {
        let peer = self.peer;
        let (bytes, bytes_max) = (body.len(), kind.request_bytes_max());
        if bytes > bytes_max {
            return Err(NetworkError::TooLarge { bytes, bytes_max });
        }
        let exchange = async {
            let broken = |source: Box<dyn std::error::Error + Send + Sync>| NetworkError::Broken {
                peer,
                source,
            };
            let opened = self.connection.open_bi().await;
            let (mut send, mut receive) = opened.map_err(|error| broken(error.into()))?;
            let mut chunks = [Bytes::copy_from_slice(&[kind as u8]), body];
            let written = send.write_all_chunks(&mut chunks).await;
            written.map_err(|error| broken(error.into()))?;
            send.finish().ok();
            let answer = match receive.read_to_end(kind.response_bytes_max() + 1).await {
                Ok(answer) => Bytes::from(answer),
                Err(ReadToEndError::Read(ReadError::Reset(_))) => {
                    return Err(NetworkError::Refused { peer });
                }
                Err(error) => return Err(broken(error.into())),
            };
            match answer.first() {
                Some(&ANSWERED) => Ok(answer.slice(1..)),
                _ => Err(NetworkError::Refused { peer }),
            }
        };
        timeout(time_limit(kind), exchange).await.unwrap_or(Err(NetworkError::TimedOut { peer }))
    }

    async fn ask_for_peers(self: Arc<Self>, shared: Arc<Shared>) {
        loop {
            if let Ok(answer) = self.request(Kind::Peers, Bytes::new()).await {
                shared.learn(&answer);
            }
            tokio::time::sleep(PEERS_INTERVAL).await;
        }
    }
}
