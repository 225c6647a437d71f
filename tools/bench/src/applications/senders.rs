//! Connections over which events are posted, each with one run under way at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::followed::Followed;
use super::rig::{Deployed, Rig, Source};
use crate::cost::quantile;

/// How long an event may take to be acknowledged, and a run to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// After which a busy node is asked again.
const BUSY: Duration = Duration::from_millis(50);

/// What a measurement came to.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// p50 and p99 from the event's post to the run's end.
    pub(crate) run_ms: (f64, f64),
    /// p50 and p99 from the event's post to its acknowledgement.
    pub(crate) acknowledged_ms: (f64, f64),
    /// CPU time of all nodes for one run.
    pub(crate) cpu_ms: f64,
    pub(crate) heights_per_second: f64,
}

/// One event of many.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Where it is posted.
    pub(crate) source: Source,
    /// Whose event of the same id has started the run: the same source, unless the run waits.
    pub(crate) started_by: Source,
    pub(crate) application: Deployed,
    /// Makes the ids of this measurement different from all others.
    pub(crate) prefix: String,
}

impl Order {
    /// Events of this source, each of which starts a run.
    pub(crate) fn new(source: &Source, application: &Deployed, prefix: &str) -> Self {
        let (source, application) = (source.clone(), application.clone());
        Self { started_by: source.clone(), source, application, prefix: prefix.to_owned() }
    }
}

/// For how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// What is not counted: connections, caches and queues fill.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

#[derive(Clone, Copy)]
struct Sample {
    sent: Instant,
    acknowledged: Instant,
    ended: Instant,
}

/// A connection to a node.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    pub(crate) async fn open(api: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(api).await.context("connecting to the node")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: api.to_string() })
    }

    /// Posts an event; returns when it is acknowledged.
    pub(crate) async fn post(&mut self, source: &Source, body: String) -> Result<()> {
        let taken = self.offer(source, body).await?;
        ensure!(taken, "an event was not taken: the node has as many in line as fit");
        Ok(())
    }

    /// Posts an event; false if the node is busy.
    async fn offer(&mut self, source: &Source, body: String) -> Result<bool> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&source.path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {}", source.token))
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = timeout(PATIENCE, self.sender.send_request(request)).await??;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(
            matches!(status, StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE),
            "an event was not taken: {status}, {}",
            String::from_utf8_lossy(&body)
        );
        Ok(status == StatusCode::ACCEPTED)
    }

    async fn run(&mut self, order: &Order, followed: &Followed, number: u64) -> Result<Sample> {
        let id = format!("{}-{number}", order.prefix);
        let run = order.application.run(&order.started_by.key(&id));
        let body = order.source.body(&id, &format!(r#"{{"order":"{id}"}}"#));
        let end = followed.expect(run);
        let sent = Instant::now();
        self.post(&order.source, body).await?;
        let acknowledged = Instant::now();
        let ended = timeout(PATIENCE, end).await;
        let ended = ended.with_context(|| format!("the run of {id} does not end"))??;
        Ok(Sample { sent, acknowledged, ended })
    }
}

/// Sends events over `connections`, each as soon as the run of the one before has ended.
pub(crate) async fn measure(
    rig: &Rig,
    order: Order,
    connections: usize,
    time: Time,
) -> Result<Measured> {
    let (order, next) = (Arc::new(order), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now() + time.warm_up;
    let until = begin + time.measured;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(order.source.api).await?;
        let (order, next, followed) = (order.clone(), next.clone(), rig.followed.clone());
        tasks.spawn(async move {
            let mut samples = Vec::new();
            while Instant::now() < until {
                let number = next.fetch_add(1, Ordering::Relaxed);
                samples.push(connection.run(&order, &followed, number).await?);
            }
            anyhow::Ok(samples)
        });
    }
    tokio::time::sleep_until(begin.into()).await;
    let (cpu, far, start) = (rig.cpu()?, rig.followed.far(), Instant::now());
    tokio::time::sleep_until(until.into()).await;
    let (cpu, end) = (rig.cpu()? - cpu, Instant::now());
    let heights = rig.followed.far().height - far.height;
    let seconds = (end - start).as_secs_f64();
    let mut samples = Vec::new();
    while let Some(done) = tasks.join_next().await {
        samples.extend(done??);
    }
    samples.retain(|sample| (start..end).contains(&sample.ended));
    ensure!(!samples.is_empty(), "no run has ended");
    let count = samples.len() as f64;
    let of = |moment: fn(&Sample) -> Instant| {
        let mut ms: Vec<f64> =
            samples.iter().map(|it| (moment(it) - it.sent).as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        (quantile(&ms, 0.5), quantile(&ms, 0.99))
    };
    Ok(Measured {
        per_second: count / seconds,
        run_ms: of(|sample| sample.ended),
        acknowledged_ms: of(|sample| sample.acknowledged),
        cpu_ms: cpu.as_secs_f64() * 1e3 / count,
        heights_per_second: heights as f64 / seconds,
    })
}

/// Posts `count` events over `connections`, and waits for their acknowledgements only; one for which a
/// busy node has no room is posted again.
pub(crate) async fn pour(order: Order, count: u64, connections: usize) -> Result<()> {
    let (order, next) = (Arc::new(order), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(order.source.api).await?;
        let (order, next) = (order.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                let id = format!("{}-{number}", order.prefix);
                let body = order.source.body(&id, &format!(r#"{{"order":"{id}"}}"#));
                let begun = Instant::now();
                while !connection.offer(&order.source, body.clone()).await? {
                    ensure!(begun.elapsed() < PATIENCE, "the node has no room for {id}");
                    tokio::time::sleep(BUSY).await;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
