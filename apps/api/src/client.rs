//! A blocking client of the interface, for the command line, the demo and the benchmark.
//!
//! - Bounds: answers up to 64 MiB; connecting 5 s; an answer 60 s.
//! - Errors: [`ClientError`] keeps the code and the hint that the node gave.

mod work;

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use althing_types::{Address, Hash, Height, SignedTransaction, Transaction};
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::port::{Cut, ExecutionFilter, ServiceKey, Viewing};
use crate::problem::Problem;
use crate::wire;

/// Longest answer in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The node answered that it cannot.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The node did not answer.
    #[error("the node at {url} does not answer")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// What answered is not a node of this version.
    #[error("the answer of {url} is not understood")]
    NotUnderstood {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ClientError {
    /// The most specific documented code.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => problem.most_specific_code(),
            Self::Unreachable { .. } => "API-0012",
            Self::NotUnderstood { .. } => "API-0013",
        }
    }

    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.hint,
            Self::Unreachable { .. } => "start the node, or name another one with --node",
            Self::NotUnderstood { .. } => {
                "check that the address is a node's and the versions agree"
            }
        }
    }

    /// True if nothing is there under that name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 404)
    }

    /// True if the same call may succeed later.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.status == 503)
    }
}

/// A way to a node. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    /// Shown with every question about what may be private.
    viewing: Option<String>,
}

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// A client of the node at `url`, such as `http://127.0.0.1:4901`. Connects when it is used.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .build()
            .into();
        let base = url.trim_end_matches('/');
        let scheme = if base.contains("://") { "" } else { "http://" };
        Self { agent, base: format!("{scheme}{base}"), viewing: None }
    }

    /// The same, asking as somebody who has signed that it may be shown what is private.
    #[must_use]
    pub fn viewing(&self, viewing: &Viewing) -> Self {
        let Viewing { account, until, signature } = viewing;
        Self { viewing: Some(format!("{account} {} {signature}", until.0)), ..self.clone() }
    }

    /// Where the node is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The node and its chain.
    ///
    /// # Errors
    ///
    /// [`ClientError`]. So for every method here.
    pub fn status(&self) -> Result<wire::Status> {
        self.get("/v1/status")
    }

    /// The chain's start.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn genesis(&self) -> Result<wire::Genesis> {
        self.get("/v1/genesis")
    }

    /// Where all tokens are.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn totals(&self) -> Result<wire::Totals> {
        self.get("/v1/totals")
    }

    /// Everybody who stakes on consensus.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn validators(&self) -> Result<wire::Validators> {
        self.get("/v1/validators")
    }

    /// A decided block; the last one for `None`.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn block(&self, height: Option<Height>) -> Result<wire::Block> {
        let height = height.map_or_else(|| "latest".to_owned(), |height| height.to_string());
        self.get(&format!("/v1/blocks/{height}"))
    }

    /// Up to `limit` headers from `from` on.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn headers(&self, from: Height, limit: usize) -> Result<Vec<wire::IdentifiedHeader>> {
        self.get(&format!("/v1/headers?from={from}&limit={limit}"))
    }

    /// An account.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn account(&self, address: &Address) -> Result<wire::Account> {
        self.get(&format!("/v1/accounts/{address}"))
    }

    /// Submits a signed transaction; returns its hash.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn submit(&self, transaction: &SignedTransaction) -> Result<Hash> {
        let body = serde_json::json!({ "bytes": hex::encode(transaction.encode()) });
        let submitted: wire::Submitted = self.post("/v1/transactions", &body.to_string())?;
        Ok(submitted.hash.0)
    }

    /// A transaction as typed data for a wallet.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn typed_data(&self, transaction: &Transaction) -> Result<wire::TypedData> {
        let body = to_json(&wire::Transaction::from(transaction.clone()));
        self.post("/v1/transactions/typed-data", &body)
    }

    /// What became of a transaction; waits up to `wait` for it to be in a block.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn transaction(&self, hash: &Hash, wait: Duration) -> Result<wire::TransactionReceipt> {
        self.get(&format!("/v1/transactions/{hash}?wait_ms={}", wait.as_millis()))
    }

    /// Services by ascending id.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn services(&self, cut: Cut) -> Result<wire::Page<wire::Service>> {
        self.get(&format!("/v1/services?{}", list(cut)))
    }

    /// A service.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn service(&self, service: &ServiceKey) -> Result<wire::Service> {
        self.get(&service_path(service))
    }

    /// The offers of a service.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn offers(&self, service: &ServiceKey) -> Result<Vec<wire::Offer>> {
        self.get(&(service_path(service) + "/offers"))
    }

    /// Executions, open and settled.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn executions(
        &self,
        filter: ExecutionFilter,
        cut: Cut,
    ) -> Result<wire::Page<wire::Execution>> {
        let mut path = format!("/v1/executions?{}", list(cut));
        let parts = [
            ("payer", filter.payer.map(|payer| payer.to_string())),
            ("node", filter.node.map(|node| node.to_string())),
            ("service", filter.service.map(|service| service.to_string())),
            ("phase", filter.phase.map(|phase| phase.to_string())),
        ];
        add(&mut path, parts);
        self.get(&path)
    }

    /// An execution; waits up to `wait` for it to be settled.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn execution(&self, id: &Hash, wait: Duration) -> Result<wire::Execution> {
        self.get(&format!("/v1/executions/{id}?wait_ms={}", wait.as_millis()))
    }

    /// Why an execution came out as it did.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn explain(&self, id: &Hash) -> Result<wire::Explanation> {
        self.get(&format!("/v1/executions/{id}/explanation"))
    }

    /// The portable receipt of an execution: the bytes of a JSON file.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn receipt(&self, id: &Hash) -> Result<Vec<u8>> {
        self.get_bytes(&format!("/v1/executions/{id}/receipt"))
    }

    /// Keeps a blob on the node.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn put_blob(&self, bytes: &[u8]) -> Result<wire::BlobRef> {
        self.put_bytes("/v1/blobs", bytes)
    }

    /// Keeps the document of the private application with this id on the node.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn put_blob_of(&self, of: &Hash, bytes: &[u8]) -> Result<wire::BlobRef> {
        self.put_bytes(&format!("/v1/blobs?of={of}"), bytes)
    }

    fn put_bytes(&self, path: &str, bytes: &[u8]) -> Result<wire::BlobRef> {
        let url = self.url_of(path);
        let request = self.agent.put(&url).header("content-type", "application/octet-stream");
        let response = self.sent(&url, request.send(bytes))?;
        understood(&url, response)
    }

    /// A blob that the node has.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn blob(&self, hash: &Hash) -> Result<Vec<u8>> {
        self.get_bytes(&format!("/v1/blobs/{hash}"))
    }

    /// A blob as a part of an application or an execution, which may be private.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn blob_of(&self, of: &Hash, hash: &Hash) -> Result<Vec<u8>> {
        self.get_bytes(&format!("/v1/blobs/{hash}?of={of}"))
    }

    /// The node's metrics as Prometheus text.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn metrics(&self) -> Result<String> {
        let url = self.url_of("/metrics");
        let bytes = self.get_bytes("/metrics")?;
        String::from_utf8(bytes)
            .map_err(|source| ClientError::NotUnderstood { url, source: source.into() })
    }

    /// What happens from now on; with `execution`, only changes of that one.
    ///
    /// The iterator blocks until something happens, and ends when the node stops.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub fn events(&self, execution: Option<&Hash>) -> Result<Events> {
        let filter = execution.map_or_else(String::new, |id| format!("?execution={id}"));
        self.stream(&format!("/v1/events{filter}"))
    }

    fn stream(&self, path: &str) -> Result<Events> {
        let url = self.url_of(path);
        let response = self.sent(&url, self.signed(self.agent.get(&url)).call())?;
        Ok(Events { url, lines: BufReader::new(response.into_body().into_reader()) })
    }

    fn signed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.viewing {
            Some(viewing) => request.header("althing-viewer", viewing),
            None => request,
        }
    }

    fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let url = self.url_of(path);
        let response = self.sent(&url, self.signed(self.agent.get(&url)).call())?;
        understood(&url, response)
    }

    fn get_bytes(&self, path: &str) -> Result<Vec<u8>> {
        let url = self.url_of(path);
        let response = self.sent(&url, self.signed(self.agent.get(&url)).call())?;
        read(&url, response)
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &str) -> Result<T> {
        let url = self.url_of(path);
        let request = self.agent.post(&url).header("content-type", "application/json");
        let response = self.sent(&url, request.send(body))?;
        understood(&url, response)
    }

    fn sent(
        &self,
        url: &str,
        result: std::result::Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>> {
        let response = result.map_err(|source| ClientError::Unreachable {
            url: self.base.clone(),
            source: Box::new(source),
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let problem: Problem = understood(url, response)?;
        Err(ClientError::Problem(Box::new(problem)))
    }
}

/// The stream of events.
pub struct Events {
    url: String,
    lines: BufReader<ureq::BodyReader<'static>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Longest line of the stream in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;

impl Iterator for Events {
    type Item = Result<wire::Event>;

    fn next(&mut self) -> Option<Result<wire::Event>> {
        use std::io::Read as _;

        let not_understood = |url: &str, source: Box<dyn std::error::Error + Send + Sync>| {
            Some(Err(ClientError::NotUnderstood { url: url.to_owned(), source }))
        };
        loop {
            let mut line = Vec::new();
            // An error here is the end of the connection, however it came about.
            let read = self.lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.unwrap_or(0) == 0 {
                return None;
            }
            // Each message carries its data on one line; names and comments are not needed.
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            match serde_json::from_slice(data) {
                Ok(event) => return Some(Ok(event)),
                Err(error) => return not_understood(&self.url, error.into()),
            }
        }
    }
}

fn read(url: &str, response: Response<Body>) -> Result<Vec<u8>> {
    let mut body = response.into_body();
    body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(|source| {
        ClientError::Unreachable { url: url.to_owned(), source: Box::new(source) }
    })
}

fn understood<T: DeserializeOwned>(url: &str, response: Response<Body>) -> Result<T> {
    let bytes = read(url, response)?;
    serde_json::from_slice(&bytes)
        .map_err(|source| ClientError::NotUnderstood { url: url.to_owned(), source: source.into() })
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("wire types have text keys only")
}

fn list(cut: Cut) -> String {
    let after = cut.after.map_or_else(String::new, |after| format!("&after={after}"));
    format!("limit={}{after}", cut.limit)
}

/// Adds those parameters that are set.
fn add<const N: usize>(path: &mut String, parts: [(&str, Option<String>); N]) {
    for (name, value) in parts {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    }
}

/// An id or an alias as one part of a path.
fn escaped(name: &str) -> String {
    name.replace('/', "%2F")
}

fn service_path(service: &ServiceKey) -> String {
    match service {
        ServiceKey::Id(id) => format!("/v1/services/{id}"),
        ServiceKey::Alias(alias) => {
            format!("/v1/aliases/{}/{}@{}", alias.namespace, alias.name, alias.version)
        }
    }
}
