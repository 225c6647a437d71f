//! The port's side: services that are ready, tasks and judgements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use althing_manifest::{Manifest, Schemas, Task, Violation};
use althing_types::{Address, ChainId, Doubt, Failure, Hash, Name, Opinion};
use althing_work::port::{Assignment, BoxFuture, Native};
use althing_work::{Returned, TaskRun, Unfinished, Unusable, VerifyRun};
use reqwest::redirect::Policy;
use tokio::time::Instant;

use crate::answer;
use crate::connections::Connections;
use crate::post::{Message, Posted, post};

/// Most services that are ready at once; the one that was used longest ago gives way.
const SERVICES_MAX: usize = 1_024;
/// What an answer may have beside its output, in bytes.
const ANSWER_BYTES_BESIDE: usize = 4 << 10;
/// Longest answer to a judgement, in bytes.
const JUDGEMENT_BYTES_MAX: usize = 16 << 10;
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections that are kept for one program.
const IDLE_MAX: usize = 256;

/// What programs are told of the node, and its clock.
#[derive(Clone)]
pub struct Config {
    /// The chain.
    pub chain: ChainId,
    /// The node.
    pub node: Address,
    /// Seconds since 1970.
    pub now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain, node, now_s: _ } = self;
        f.debug_struct("Config").field("chain", chain).field("node", node).finish_non_exhaustive()
    }
}

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be set up on this machine")]
pub struct ProgramsError(#[source] reqwest::Error);

/// The programs that are connected to a node.
#[derive(Clone)]
pub struct Programs(Arc<Inner>);

struct Inner {
    config: Config,
    connections: Arc<Connections>,
    client: reqwest::Client,
    services: RwLock<BTreeMap<Hash, Arc<Service>>>,
    uses: AtomicU64,
}

struct Service {
    manifest: Manifest,
    schemas: Schemas,
    used: AtomicU64,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Programs {
    /// Posts to whatever `connections` has at the time.
    ///
    /// # Errors
    ///
    /// [`ProgramsError`] if the machine has no roots of trust.
    pub fn new(config: Config, connections: Arc<Connections>) -> Result<Self, ProgramsError> {
        // Another part of the process may have chosen one already: the same, or as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .tcp_nodelay(true)
            .user_agent("althing")
            .build()
            .map_err(ProgramsError)?;
        let (services, uses) = (RwLock::default(), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { config, connections, client, services, uses })))
    }
}

impl Inner {
    fn service(&self, service: &Hash) -> Option<Arc<Service>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let service = Arc::clone(services.get(service)?);
        service.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(service)
    }

    fn insert(&self, id: Hash, service: Service) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        if services.len() >= SERVICES_MAX && !services.contains_key(&id) {
            let used = |service: &Service| service.used.load(Ordering::Relaxed);
            let oldest = services.iter().min_by_key(|(_, service)| used(service));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                services.remove(&oldest);
            }
        }
        services.insert(id, Arc::new(service));
    }

    /// A CloudEvent about an assignment; `data` is JSON.
    fn message(
        &self,
        assignment: &Assignment,
        kind: &str,
        data: &str,
        answer_bytes_max: usize,
    ) -> Message {
        let Config { chain, node, now_s: _ } = &self.config;
        let Assignment { execution, task, .. } = assignment;
        let (id, chain) = (execution.to_string(), chain.0);
        let body = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"althing://{chain}/{node}","type":"{kind}","subject":"{task}","datacontenttype":"application/json","data":{data}}}"#
        );
        Message { id, body, answer_bytes_max }
    }

    async fn posted(&self, service: &Hash, task: &Task, message: &Message) -> Posted {
        let until = Instant::now() + Duration::from_millis(u64::from(task.limits.time_ms));
        match self.connections.find(service) {
            Some(connection) => {
                post(&self.client, &connection, message, until, &*self.config.now_s).await
            }
            None => Posted::Silence("no program is connected".into()),
        }
    }

    async fn task(&self, assignment: Assignment) -> TaskRun {
        let Assignment { service: id, task, input, key, since, .. } = &assignment;
        let Some(service) = self.service(id).filter(|_| self.connections.find(id).is_some()) else {
            return TaskRun::unavailable("no program is connected");
        };
        let input = match service.schemas.check_input(task, input) {
            Ok(input) => input,
            Err(violation) => {
                return TaskRun::not_begun(
                    Unfinished::Failed(Failure::BadInput),
                    tell("input", &violation),
                );
            }
        };
        let terms = service.manifest.task(task).expect("a task with schemas is in the manifest");
        let (since_s, input) = (since.0 / 1_000, text(input.as_bytes()));
        let data = format!(r#"{{"key":"{key}","since":{since_s},"input":{input}}}"#);
        let bytes_max = terms.limits.output_bytes().saturating_add(ANSWER_BYTES_BESIDE);
        let message = self.message(&assignment, "althing.task", &data, bytes_max);
        let bad = |why: String| (Err(Unfinished::Failed(Failure::BadAnswer)), why);
        let (result, why) = match self.posted(id, terms, &message).await {
            Posted::Answered(body) => match answer::task(&body) {
                Ok(answer) => {
                    match service.schemas.check_output(task, &answer.status, &answer.output) {
                        Ok((status, output)) => {
                            let output = output.into_bytes();
                            (Ok(Returned { status, output }), String::new())
                        }
                        Err(violation) => {
                            let failed = Unfinished::Failed(Failure::BadOutput);
                            (Err(failed), tell("output", &violation))
                        }
                    }
                }
                Err(why) => bad(format!("bad answer: {}", brief(&why))),
            },
            Posted::Refused(why) => bad(format!("bad answer: {why}")),
            Posted::Silence(why) => (Err(Unfinished::Inconclusive(Doubt::OverTime)), why),
        };
        let log = if why.is_empty() { Vec::new() } else { vec![why] };
        TaskRun { result, fuel_used: 0, duration_us: 0, log }
    }

    async fn verify(&self, assignment: Assignment, status: Name, output: Vec<u8>) -> VerifyRun {
        let Assignment { service: id, task, input, .. } = &assignment;
        let Some(service) = self.service(id) else {
            return VerifyRun::inconclusive("no program is connected");
        };
        let invalid = |reason: String| VerifyRun::without_call(Opinion::Invalid, reason);
        let input = match service.schemas.check_input(task, input) {
            Ok(input) => input,
            // A task with such an input fails; whoever says that it returned something is wrong.
            Err(violation) => return invalid(tell("input", &violation)),
        };
        let output = match service.schemas.check_output(task, status.as_str(), &output) {
            Ok((_, canonical)) if canonical.as_bytes() == output => canonical,
            Ok(_) => return invalid("the output is not canonical".into()),
            Err(violation) => return invalid(tell("output", &violation)),
        };
        let terms = service.manifest.task(task).expect("a task with schemas is in the manifest");
        let (input, output) = (text(input.as_bytes()), text(output.as_bytes()));
        let data = format!(r#"{{"input":{input},"status":"{status}","output":{output}}}"#);
        let message = self.message(&assignment, "althing.verify", &data, JUDGEMENT_BYTES_MAX);
        // What this node's own program does wrong says nothing about the other node's answer.
        match self.posted(id, terms, &message).await {
            Posted::Answered(body) => match answer::judgement(&body) {
                Ok(judgement) if judgement.valid => {
                    VerifyRun::without_call(Opinion::Valid, String::new())
                }
                Ok(judgement) => invalid(brief(&judgement.reason)),
                Err(why) => VerifyRun::inconclusive(format!("bad answer: {}", brief(&why))),
            },
            Posted::Refused(why) | Posted::Silence(why) => VerifyRun::inconclusive(why),
        }
    }
}

impl Native for Programs {
    fn prepare(&self, service: &Hash, manifest: &Manifest) -> Result<(), Unusable> {
        if self.0.connections.find(service).is_none() {
            tracing::info!(%service, "the node offers a native service without a program");
            return Err(Unusable::Unavailable);
        }
        if self.0.service(service).is_some() {
            return Ok(());
        }
        let schemas = Schemas::compile(manifest).map_err(|error| {
            tracing::warn!(%service, %error, "the service is not run");
            Unusable::Refused
        })?;
        let used = AtomicU64::new(self.0.uses.fetch_add(1, Ordering::Relaxed));
        self.0.insert(*service, Service { manifest: manifest.clone(), schemas, used });
        Ok(())
    }

    fn task(&self, assignment: Assignment) -> BoxFuture<TaskRun> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let started = Instant::now();
            let run = inner.task(assignment).await;
            TaskRun { duration_us: microseconds(started), ..run }
        })
    }

    fn verify(
        &self,
        assignment: Assignment,
        status: Name,
        output: Vec<u8>,
    ) -> BoxFuture<VerifyRun> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let started = Instant::now();
            let run = inner.verify(assignment, status, output).await;
            VerifyRun { duration_us: microseconds(started), ..run }
        })
    }
}

fn microseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn text(json: &[u8]) -> &str {
    std::str::from_utf8(json).expect("canonical JSON is UTF-8")
}

fn tell(what: &str, violation: &Violation) -> String {
    format!("{} bad {what}: {}", violation.code(), brief(&violation.to_string()))
}

/// The first words of a text that a stranger may have written.
fn brief(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
