//! One call: a fresh store with limits, what the service may call, and what came of it.

use std::sync::Arc;

use althing_manifest::Limits;
use althing_types::{Doubt, Failure};
use althing_work::Unfinished;
use wasmtime::component::{ComponentType, Lift, Linker};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut, Trap, bail};

use crate::inspect::{CHANCE, HOST};
use crate::runtime::Entropy;
use crate::ticker::TICK_MS;

/// Most lines that are kept of one call.
const LOG_LINES_MAX: usize = 64;
/// Longest line in characters.
const LOG_CHARACTERS_MAX: usize = 512;
/// Most bytes that one call of `chance` gives.
const CHANCE_BYTES_MAX: u32 = 4096;
/// Most elements in all tables: they live outside of the linear memory.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
const INSTANCES_MAX: usize = 32;
/// What a call may move between service and node beside its outputs.
const HOST_BYTES_MAX: usize = 1 << 20;

/// `task`'s ok, as the component model passes it.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct WireOutcome {
    pub(crate) status: String,
    pub(crate) outputs: Vec<u8>,
}

/// `verify`'s answer.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum WireVerdict {
    #[component(name = "valid")]
    Valid,
    #[component(name = "invalid")]
    Invalid(String),
}

/// What a store knows of its call.
pub(crate) struct Call {
    log: Vec<String>,
    lines_dropped: u64,
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    entropy: Option<Arc<Entropy>>,
    /// Set by whoever stops the call, since an error carries only words.
    stopped: Option<Unfinished>,
}

/// A store for one call; `entropy` if the task may be different every time.
pub(crate) fn store(
    engine: &Engine,
    limits: &Limits,
    entropy: Option<Arc<Entropy>>,
) -> Store<Call> {
    let call = Call {
        log: Vec::new(),
        lines_dropped: 0,
        memory_bytes: 0,
        memory_bytes_max: limits.memory_bytes(),
        table_elements: 0,
        entropy,
        stopped: None,
    };
    let mut store = Store::new(engine, call);
    store.limiter(|call| call);
    store.set_fuel(limits.fuel).expect("the profile counts fuel");
    store.set_hostcall_fuel(limits.output_bytes() + HOST_BYTES_MAX);
    // One more: the tick that is under way may end at once.
    store.set_epoch_deadline(u64::from(limits.time_ms.div_ceil(TICK_MS)) + 1);
    store
}

/// What services may call.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::<Call>::new(engine);
    linker.instance(HOST)?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, Call>, (message,): (String,)| {
            // Nobody pays for a log but the service: in fuel, so that it is equal on every node.
            let cost = u64::try_from(message.len()).unwrap_or(u64::MAX);
            let fuel = store.get_fuel()?.saturating_sub(cost);
            store.set_fuel(fuel)?;
            store.data_mut().say(&message);
            Ok(())
        },
    )?;
    linker.instance(CHANCE)?.func_wrap(
        "bytes",
        |mut store: StoreContextMut<'_, Call>, (count,): (u32,)| {
            let Some(entropy) = store.data().entropy.clone() else {
                return Err(store
                    .data_mut()
                    .stop(Failure::Trap, "a deterministic task asks for entropy"));
            };
            if count > CHANCE_BYTES_MAX {
                return Err(store
                    .data_mut()
                    .stop(Failure::Trap, "more entropy than a call may have"));
            }
            let mut bytes = vec![0; usize::try_from(count).unwrap_or_default()];
            if !entropy(&mut bytes) {
                // This node's fault: it says nothing about the task.
                let call = store.data_mut();
                call.stopped = Some(Unfinished::Inconclusive(Doubt::ServiceUnavailable));
                bail!("the node has no entropy");
            }
            Ok((bytes,))
        },
    )?;
    Ok(linker)
}

/// Why a call ended without a result.
pub(crate) fn unfinished(store: &mut Store<Call>, error: &wasmtime::Error) -> Unfinished {
    if let Some(stopped) = store.data().stopped {
        return stopped;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Unfinished::Failed(Failure::OutOfFuel),
        Some(Trap::Interrupt) => Unfinished::Inconclusive(Doubt::OverTime),
        Some(Trap::StackOverflow) => Unfinished::Inconclusive(Doubt::StackOverflow),
        Some(trap) => {
            store.data_mut().say(&format!("trap: {trap}"));
            Unfinished::Failed(Failure::Trap)
        }
        // What it passed to the node is no value of the type: too long, no UTF-8, out of bounds.
        None => {
            store.data_mut().say(&format!("cannot read what the service passes: {error}"));
            Unfinished::Failed(Failure::BadOutput)
        }
    }
}

/// Why a call did not even begin. What is wrong with the service itself was found when it was linked.
pub(crate) fn not_begun(store: &mut Store<Call>, error: &wasmtime::Error) -> Unfinished {
    if store.data().stopped.is_none() && !error.is::<Trap>() {
        store.data_mut().say(&format!("the machine cannot begin the call: {error}"));
        return Unfinished::Inconclusive(Doubt::ServiceUnavailable);
    }
    unfinished(store, error)
}

impl Call {
    /// Keeps a line for people, within bounds.
    pub(crate) fn say(&mut self, message: &str) {
        if self.log.len() >= LOG_LINES_MAX {
            self.lines_dropped = self.lines_dropped.saturating_add(1);
            return;
        }
        let line =
            message.chars().take(LOG_CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c });
        self.log.push(line.collect());
    }

    /// What was said.
    pub(crate) fn into_log(mut self) -> Vec<String> {
        if self.lines_dropped > 0 {
            self.log.push(format!("… and {} more lines", self.lines_dropped));
        }
        self.log
    }

    fn stop(&mut self, failure: Failure, why: &str) -> wasmtime::Error {
        self.stopped = Some(Unfinished::Failed(failure));
        self.say(why);
        wasmtime::Error::msg(why.to_owned())
    }
}

impl ResourceLimiter for Call {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own limit: the service sees that it got nothing.
            return Ok(false);
        }
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            return Err(self.stop(Failure::OverMemory, "more memory than the manifest allows"));
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if self.memory_bytes < self.memory_bytes_max && error.is::<std::io::Error>() {
            // The machine has no memory left: another node's would have gone on.
            self.stopped = Some(Unfinished::Inconclusive(Doubt::ServiceUnavailable));
            return Err(error);
        }
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS_MAX {
            return Err(self.stop(Failure::OverMemory, "larger tables than a service may have"));
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}
