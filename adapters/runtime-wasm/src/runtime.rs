//! The runtime: prepared services, and calls of their functions.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use althing_manifest::{Limits, Manifest, Schemas, Violation};
use althing_types::{BlobRef, Doubt, Failure, Hash, Name, Opinion, Verification};
use althing_work::{Refusal, Returned, Runtime, TaskRun, Unfinished, VerifyRun};
use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Lift, Lower};

use crate::arena::{Arena, Ready, SLOTS};
use crate::cache::{Cache, CacheError};
use crate::inspect::{self, Exports};
use crate::sandbox::{self, WireOutcome, WireVerdict};
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
    /// `None` where the machine does not give the addresses that slots need.
    slots: Option<Arena>,
    fresh: Arena,
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
    chance_allowed: bool,
    /// Within the slots, if it fits there.
    in_slots: Option<Ready>,
    /// Outside of them; made when it is needed first.
    fresh: OnceLock<Option<Ready>>,
    used: AtomicU64,
}

impl WasmRuntime {
    /// Starts a runtime that keeps compiled services in `folder` and draws entropy from `entropy`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] if the machine or the folder is unfit.
    pub fn open(folder: &Path, entropy: Arc<Entropy>) -> Result<Self, RuntimeError> {
        Self::with_slots(folder, entropy, SLOTS)
    }

    /// The same with so many slots for memories that are used again; with none, every call has
    /// mappings of its own.
    ///
    /// # Errors
    ///
    /// [`RuntimeError`] if the machine or the folder is unfit.
    pub fn with_slots(
        folder: &Path,
        entropy: Arc<Entropy>,
        slots: u32,
    ) -> Result<Self, RuntimeError> {
        let unfit = |error: wasmtime::Error| RuntimeError::Engine(format!("{error:#}"));
        let (slots, fresh) = (
            (slots > 0).then(|| Arena::of_slots(slots).ok()).flatten(),
            Arena::fresh().map_err(unfit)?,
        );
        let engines = slots.iter().chain([&fresh]).map(|arena| &arena.engine);
        Ok(Self {
            cache: Cache::open(folder, &fresh.engine)?,
            ticker: Ticker::start(engines).map_err(RuntimeError::Ticker)?,
            slots,
            fresh,
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

    /// Ready in the slots, or outside of them if it does not fit there.
    fn ready(
        &self,
        module: &Hash,
        bytes: &[u8],
        chance_allowed: bool,
    ) -> Result<(Option<Ready>, OnceLock<Option<Ready>>), Refusal> {
        if let Some(slots) = &self.slots
            && let Some(component) = self.cache.load(&slots.engine, module)
        {
            return Ok((Some(slots.ready(component, chance_allowed)?), OnceLock::new()));
        }
        let component = self.compile(module, bytes)?;
        let in_slots = self.slots.as_ref().and_then(|slots| {
            let component = Cache::carry(&component, &slots.engine)?;
            Some(slots.ready(component, chance_allowed))
        });
        let fresh = self.fresh.ready(component, chance_allowed)?;
        Ok((in_slots.transpose()?, OnceLock::from(Some(fresh))))
    }

    fn compile(&self, module: &Hash, bytes: &[u8]) -> Result<Component, Refusal> {
        if let Some(component) = self.cache.load(&self.fresh.engine, module) {
            return Ok(component);
        }
        let component = Component::new(&self.fresh.engine, bytes)
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
        function: impl Fn(&Exports) -> ComponentExportIndex,
        parameters: P,
    ) -> Finished<R>
    where
        P: ComponentNamedList + Lower + Copy,
        R: ComponentNamedList + Lift + 'static,
    {
        let entropy = match verification {
            Verification::Deterministic | Verification::None => None,
            Verification::Method => Some(Arc::clone(&self.entropy)),
        };
        let asked = Asked { limits, entropy, parameters, started: Instant::now() };
        let in_slots = self.slots.as_ref().zip(service.in_slots.as_ref());
        in_slots
            .and_then(|(arena, ready)| self.within(arena, ready, &function, &asked))
            .or_else(|| {
                let ready = self.outside_of_slots(service)?;
                self.within(&self.fresh, ready, &function, &asked)
            })
            .unwrap_or_else(|| Finished {
                result: Err(Unfinished::Inconclusive(Doubt::ServiceUnavailable)),
                fuel_used: 0,
                duration: asked.started.elapsed(),
                log: vec!["the machine has no room for another instance".into()],
            })
    }

    /// One call in one arena; `None` if no slot is free there.
    fn within<P, R>(
        &self,
        arena: &Arena,
        ready: &Ready,
        function: &impl Fn(&Exports) -> ComponentExportIndex,
        asked: &Asked<'_, P>,
    ) -> Option<Finished<R>>
    where
        P: ComponentNamedList + Lower + Copy,
        R: ComponentNamedList + Lift + 'static,
    {
        let mut store = sandbox::store(&arena.engine, asked.limits, asked.entropy.clone());
        let running = self.ticker.running();
        let result = match ready.instance.instantiate(&mut store) {
            Err(error) if error.is::<PoolConcurrencyLimitError>() => return None,
            Err(error) => Err(sandbox::not_begun(&mut store, &error)),
            Ok(instance) => instance
                .get_typed_func::<P, R>(&mut store, function(&ready.exports))
                .and_then(|function| function.call(&mut store, asked.parameters))
                .map_err(|error| sandbox::unfinished(&mut store, &error)),
        };
        drop(running);
        let fuel_left = store.get_fuel().unwrap_or_default();
        Some(Finished {
            result,
            fuel_used: asked.limits.fuel.saturating_sub(fuel_left),
            duration: asked.started.elapsed(),
            log: store.into_data().into_log(),
        })
    }

    fn outside_of_slots<'s>(&self, service: &'s Service) -> Option<&'s Ready> {
        let carried = service.fresh.get_or_init(|| {
            let ready = service.in_slots.as_ref()?;
            let component = Cache::carry(&ready.component, &self.fresh.engine)?;
            self.fresh.ready(component, service.chance_allowed).ok()
        });
        carried.as_ref()
    }
}

/// What a call is given, in whichever arena it runs.
struct Asked<'c, P> {
    limits: &'c Limits,
    entropy: Option<Arc<Entropy>>,
    parameters: P,
    started: Instant,
}

/// A call that has ended.
struct Finished<R> {
    result: Result<R, Unfinished>,
    fuel_used: u64,
    duration: Duration,
    log: Vec<String>,
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
        let by_method = |task: &althing_manifest::Task| task.verification == Verification::Method;
        let chance_allowed = manifest.tasks.iter().any(by_method);
        let (in_slots, fresh) = self.ready(&module.hash, component, chance_allowed)?;
        let manifest = manifest.clone();
        let used = AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed));
        self.insert(*service, Service { manifest, schemas, chance_allowed, in_slots, fresh, used });
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
pub(crate) fn brief(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
