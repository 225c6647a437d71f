//! The server: limits around the routes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::port::Node;
use crate::problem::{Kind, Refusal};
use crate::{host, routes};

/// How long open connections may take to finish once the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// After a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) config: Config,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) counters: Counters,
}

/// Requests by the class of their answer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    succeeded: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn count(&self, response: &Response) {
        let counter = match response.status().as_u16() {
            500.. => &self.failed,
            400.. => &self.refused,
            _ => &self.succeeded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# HELP althing_api_requests_total Requests by the class of their answer.")?;
        writeln!(f, "# TYPE althing_api_requests_total counter")?;
        for (class, counter) in
            [("2xx", &self.succeeded), ("4xx", &self.refused), ("5xx", &self.failed)]
        {
            let count = counter.load(Ordering::Relaxed);
            writeln!(f, "althing_api_requests_total{{status=\"{class}\"}} {count}")?;
        }
        Ok(())
    }
}

/// Serves a node's interface on `listener` until `stop` resolves.
///
/// Requests that are under way then may finish; streams of events end.
///
/// # Errors
///
/// None at present: failures to accept are waited out.
pub async fn serve(
    listener: TcpListener,
    node: Arc<dyn Node>,
    config: Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(config.head_timeout);
    let service = TowerToHyperService::new(router(node, config, stopped.clone()));
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, place) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
            // Only to forget them; there is none to wait for at first.
            Some(_) = connections.join_next() => continue,
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        let stopped = stopped.clone();
        connections.spawn(async move {
            keep(connection, stopped).await;
            drop(place);
        });
    }
    stopping.send_replace(true);
    let farewell = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::debug!(open = connections.len(), "api.stop with open connections");
    }
    Ok(())
}

/// Serves a connection until it ends, or has answered what was under way when the server stopped.
async fn keep<S>(
    connection: http1::Connection<TokioIo<TcpStream>, S>,
    mut stopped: watch::Receiver<bool>,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = std::pin::pin!(connection);
    let stops = async move { drop(stopped.wait_for(|stopping| *stopping).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stops => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The other side's doing: it broke off, said no HTTP, or was too slow to say anything.
        tracing::debug!(%error, "api.connection ended");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it, small answers wait for an acknowledgement; an error costs only speed.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "api.accept without nodelay");
                }
                return (stream, place);
            }
            Err(error) => {
                // Of one connection, or for want of files: neither is a reason to end.
                tracing::debug!(%error, "api.accept failed");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn router(node: Arc<dyn Node>, config: Config, stopping: watch::Receiver<bool>) -> Router {
    let shared = Arc::new(Shared {
        requests: Arc::new(Semaphore::new(config.requests_max.min(Semaphore::MAX_PERMITS))),
        streams: Arc::new(Semaphore::new(config.streams_max.min(Semaphore::MAX_PERMITS))),
        counters: Counters::default(),
        node,
        config,
        stopping,
    });
    routes::routes()
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), addressed))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), limits))
        .with_state(shared)
}

async fn unknown_route(request: Request) -> Refusal {
    Kind::UnknownRoute.because(format!("there is nothing at {}", request.uri().path()))
}

async fn method_not_allowed(request: Request) -> Refusal {
    Kind::MethodNotAllowed.because(format!(
        "{} does not go with {}",
        request.method(),
        request.uri().path()
    ))
}

/// Refuses what is addressed to somebody else.
async fn addressed(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match host::foreign(&request, &shared.config.hosts) {
        Some(name) => Kind::ForeignHost
            .because(format!("the request is addressed to {name:?}, which is not this node"))
            .into_response(),
        None => next.run(request).await,
    }
}

/// Bounds how many requests there are and how long one takes, and counts them.
async fn limits(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let response = match shared.requests.try_acquire() {
        Ok(_place) => {
            let timeout = shared.config.request_timeout;
            tokio::time::timeout(timeout, next.run(request)).await.unwrap_or_else(|_| {
                let waited = timeout.as_millis();
                Kind::TimedOut.because(format!("no answer within {waited} ms")).into_response()
            })
        }
        Err(_) => Kind::Busy.because("too many requests are under way").into_response(),
    };
    shared.counters.count(&response);
    response
}
