//! Advances engines' epochs while calls are running, and sleeps while none is.
//!
//! It falls asleep only after a tick without a call: waking it for each of many short ones would cost more
//! than they do.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// Resolution of the limits of wall time.
pub const TICK_MS: u32 = 10;

/// A thread that ends with this value.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    /// A call has begun since the last tick.
    begun: bool,
    /// The thread waits to be woken.
    asleep: bool,
    stopped: bool,
}

/// A call that runs; the epoch advances until it is dropped.
pub(crate) struct Running<'t>(&'t Shared);

impl Ticker {
    pub(crate) fn start<'e>(engines: impl Iterator<Item = &'e Engine>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ticking, engines): (_, Vec<EngineWeak>) =
            (Arc::clone(&shared), engines.map(Engine::weak).collect());
        let tick = move || {
            ticking.tick(|| {
                for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                    engine.increment_epoch();
                }
            });
        };
        let thread = std::thread::Builder::new().name("wasm-ticker".into()).spawn(tick)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(crate) fn running(&self) -> Running<'_> {
        self.shared.change(|state| {
            state.running += 1;
            state.begun = true;
        });
        Running(&self.shared)
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let wake = state.stopped || (state.asleep && state.running > 0);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    fn tick(&self, advance: impl Fn()) {
        let tick = Duration::from_millis(TICK_MS.into());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.stopped {
            if state.running == 0 && !std::mem::take(&mut state.begun) {
                state.asleep = true;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
                continue;
            }
            state.begun = false;
            let waited = self.changed.wait_timeout(state, tick);
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() {
                advance();
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.running = state.running.saturating_sub(1));
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.change(|state| state.stopped = true);
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked: it only counts.
            drop(thread.join());
        }
    }
}
