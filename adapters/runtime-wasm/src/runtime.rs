//! The runtime: prepared services, and calls of their functions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use althing_manifest::{Limits, Manifest, Schemas, Violation};
use althing_types::{BlobRef, Doubt, Failure, Hash, Name, Opinion, Verification};
use althing_work::{Refusal, Returned, Runtime, TaskRun, Unfinished, VerifyRun};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower,
};
use wasmtime::{Engine, Store};

use crate::cache::{Cache, CacheError};
use crate::inspect::{self, Exports};
use crate::profile;
use crate::sandbox::{self, Call, WireOutcome, WireVerdict};
use crate::ticker::Ticker;

/// Most services that are ready at once; the one that was used longest ago gives way.
const SERVICES_MAX: usize = 256;

/// Fills bytes with entropy; false if there is none.
pub type Entropy = dyn Fn(&mut [u8]) -> bool + Send + Sync;

/// The runtime cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The compiler does not work on this processor.
    #[error("the WebAssembly compiler cannot be set up on this machine: {0}")]
    Engine(String),
    /// No thread for the limits of time.
    #[error("cannot start the thread that limits services' time")]
    Ticker(#[source] std::io::Error),
    /// The folder for compiled components.
    #[error("the cache of compiled services cannot be used")]
    Cache(#[from] CacheError),
}

/// Runs services with wasmtime.
pub struct WasmRuntime {
    engine: Engine,
    linker: Linker<Call>,
    cache: Cache,
    entropy: Arc<Entropy>,
    ticker: Ticker,
    services: RwLock<BTreeMap<Hash, Arc<Service>>>,
    /// Counts uses, to find the service that was used longest ago.
    uses: AtomicU64,
}

struct Service {
    manifest: Manifest,
    schemas: Schemas,
    instance: InstancePre<Call>,
    exports: Exports,
    used: AtomicU64,
}

impl WasmRuntime {
    /// Starts a runtime that keeps compiled services in `folder` and draws entropy from `entropy`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] if the machine or the folder is unfit.
    pub fn open(folder: &Path, entropy: Arc<Entropy>) -> Result<Self, RuntimeError> {
        let unfit = |error: wasmtime::Error| RuntimeError::Engine(format!("{error:#}"));
        let engine = profile::engine().map_err(unfit)?;
        Ok(Self {
            linker: sandbox::linker(&engine).map_err(unfit)?,
            cache: Cache::open(folder, &engine)?,
            ticker: Ticker::start(&engine).map_err(RuntimeError::Ticker)?,
            engine,
            entropy,
            services: RwLock::new(BTreeMap::new()),
            uses: AtomicU64::new(0),
        })
    }

    /// Drops what was prepared; the cache on disk stays.
    pub fn forget(&self, service: &Hash) {
        self.services.write().unwrap_or_else(PoisonError::into_inner).remove(service);
    }

    fn service(&self, service: &Hash) -> Option<Arc<Service>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let service = Arc::clone(services.get(service)?);
        service.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(service)
    }

    fn compile(&self, module: &Hash, bytes: &[u8]) -> Result<Component, Refusal> {
        if let Some(component) = self.cache.load(&self.engine, module) {
            return Ok(component);
        }
        let component = Component::new(&self.engine, bytes)
            .map_err(|error| Refusal::DoesNotCompile { reason: brief(&format!("{error:#}")) })?;
        // Without the cache the next start compiles again: slower, and right all the same.
        drop(self.cache.keep(module, &component));
        Ok(component)
    }

    fn insert(&self, id: Hash, service: Service) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        if services.len() >= SERVICES_MAX && !services.contains_key(&id) {
            let oldest =
                services.iter().min_by_key(|(_, service)| service.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                services.remove(&oldest);
            }
        }
        services.insert(id, Arc::new(service));
    }

    fn call<P, R>(
        &self,
        service: &Service,
        limits: &Limits,
        verification: Verification,
        function: impl FnOnce(&Exports) -> ComponentExportIndex,
        parameters: P,
    ) -> Finished<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let entropy = match verification {
            Verification::Deterministic | Verification::None => None,
            Verification::Method => Some(Arc::clone(&self.entropy)),
        };
        let started = Instant::now();
        let mut store = sandbox::store(&self.engine, limits, entropy);
        let running = self.ticker.running();
        let result = invoke(service, &mut store, &function(&service.exports), parameters);
        drop(running);
        let result = result.map_err(|error| sandbox::unfinished(&mut store, &error));
        let fuel_left = store.get_fuel().unwrap_or_default();
        Finished {
            result,
            fuel_used: limits.fuel.saturating_sub(fuel_left),
            duration: started.elapsed(),
            log: store.into_data().into_log(),
        }
    }
}

/// A call that has ended.
struct Finished<R> {
    result: Result<R, Unfinished>,
    fuel_used: u64,
    duration: Duration,
    log: Vec<String>,
}

fn invoke<P, R>(
    service: &Service,
    store: &mut Store<Call>,
    function: &ComponentExportIndex,
    parameters: P,
) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift + 'static,
{
    let instance = service.instance.instantiate(&mut *store)?;
    instance.get_typed_func::<P, R>(&mut *store, function)?.call(store, parameters)
}

impl Runtime for WasmRuntime {
    fn prepare(
        &self,
        service: &Hash,
        component: &[u8],
        manifest: &Manifest,
    ) -> Result<(), Refusal> {
        if self.service(service).is_some() {
            return Ok(());
        }
        inspect::check_bytes(component)?;
        let module = BlobRef::of(component);
        if manifest.module != Some(module) {
            return Err(Refusal::OtherModule);
        }
        let schemas = Schemas::compile(manifest)
            .map_err(|error| Refusal::Schemas { reason: brief(&error.to_string()) })?;
        let compiled = self.compile(&module.hash, component)?;
        let by_method = |task: &althing_manifest::Task| task.verification == Verification::Method;
        let exports =
            inspect::check_type(&self.engine, &compiled, manifest.tasks.iter().any(by_method))?;
        let instance = self
            .linker
            .instantiate_pre(&compiled)
            .map_err(|error| Refusal::DoesNotCompile { reason: brief(&format!("{error:#}")) })?;
        let manifest = manifest.clone();
        let used = AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed));
        self.insert(*service, Service { manifest, schemas, instance, exports, used });
        Ok(())
    }

    fn task(&self, service: &Hash, task: &Name, input: &[u8]) -> TaskRun {
        let started = Instant::now();
        let without_call = |result: Unfinished, why: String| TaskRun {
            result: Err(result),
            fuel_used: 0,
            duration_us: microseconds(started.elapsed()),
            log: vec![why],
        };
        let Some(service) = self.service(service) else {
            let doubt = Unfinished::Inconclusive(Doubt::ServiceUnavailable);
            return without_call(doubt, "the service is not prepared".into());
        };
        let input = match service.schemas.check_input(task, input) {
            Ok(input) => input,
            Err(violation) => {
                return without_call(
                    Unfinished::Failed(Failure::BadInput),
                    tell("input", &violation),
                );
            }
        };
        let terms = service.manifest.task(task).expect("a task with schemas is in the manifest");
        let parameters = (task.as_str(), input.as_bytes());
        let finished: Finished<(Result<WireOutcome, String>,)> = self.call(
            &service,
            &terms.limits,
            terms.verification,
            |exports| exports.task,
            parameters,
        );
        let mut log = finished.log;
        let result = match finished.result {
            Err(unfinished) => Err(unfinished),
            Ok((Err(reason),)) => {
                log.push(format!("gave up: {}", brief(&reason)));
                Err(Unfinished::Failed(Failure::GaveUp))
            }
            Ok((Ok(outcome),)) => {
                match service.schemas.check_output(task, &outcome.status, &outcome.outputs) {
                    Ok((status, output)) => Ok(Returned { status, output: output.into_bytes() }),
                    Err(violation) => {
                        log.push(tell("output", &violation));
                        Err(Unfinished::Failed(Failure::BadOutput))
                    }
                }
            }
        };
        let duration_us = microseconds(finished.duration);
        TaskRun { result, fuel_used: finished.fuel_used, duration_us, log }
    }

    fn verify(
        &self,
        service: &Hash,
        task: &Name,
        input: &[u8],
        status: &Name,
        output: &[u8],
    ) -> VerifyRun {
        let started = Instant::now();
        let without_call = |opinion: Opinion, reason: String| VerifyRun {
            opinion,
            reason,
            fuel_used: 0,
            duration_us: microseconds(started.elapsed()),
            log: Vec::new(),
        };
        let Some(service) = self.service(service) else {
            return without_call(Opinion::Inconclusive, "the service is not prepared".into());
        };
        let input = match service.schemas.check_input(task, input) {
            Ok(input) => input,
            // A task with such an input fails; whoever says that it returned something is wrong.
            Err(violation) => return without_call(Opinion::Invalid, tell("input", &violation)),
        };
        let output = match service.schemas.check_output(task, status.as_str(), output) {
            Ok((_, canonical)) if canonical.as_bytes() == output => canonical,
            Ok(_) => return without_call(Opinion::Invalid, "the output is not canonical".into()),
            Err(violation) => return without_call(Opinion::Invalid, tell("output", &violation)),
        };
        let terms = service.manifest.task(task).expect("a task with schemas is in the manifest");
        let parameters = (task.as_str(), input.as_bytes(), status.as_str(), output.as_bytes());
        let finished: Finished<(WireVerdict,)> = self.call(
            &service,
            &terms.limits,
            terms.verification,
            |exports| exports.verify,
            parameters,
        );
        let (opinion, reason) = match finished.result {
            Ok((WireVerdict::Valid,)) => (Opinion::Valid, String::new()),
            Ok((WireVerdict::Invalid(reason),)) => (Opinion::Invalid, brief(&reason)),
            Err(Unfinished::Failed(failure)) => {
                (Opinion::Invalid, format!("verify failed: {failure:?}"))
            }
            Err(Unfinished::Inconclusive(doubt)) => {
                (Opinion::Inconclusive, format!("verify did not end: {doubt:?}"))
            }
        };
        let duration_us = microseconds(finished.duration);
        VerifyRun { opinion, reason, fuel_used: finished.fuel_used, duration_us, log: finished.log }
    }
}

impl fmt::Debug for WasmRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("WasmRuntime").field("services", &services).finish_non_exhaustive()
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn tell(what: &str, violation: &Violation) -> String {
    let cause = std::error::Error::source(violation).map(|cause| format!(": {cause}"));
    format!("{} bad {what}: {violation}{}", violation.code(), brief(&cause.unwrap_or_default()))
}

/// The first words of a text that a stranger may have written.
fn brief(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
