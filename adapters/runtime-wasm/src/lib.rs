//! Runs services as WebAssembly components, with the same bits on every node.
//!
//! ```text
//!   component ─► inspect ─► compile ─► cache ─┐            ┌─ fuel, memory, time, output: limited
//!                (imports, exports)           └► prepared ─┴► one fresh store a call ─► TaskRun
//!                                                            (in a slot, or mapped for it: `arena`)
//! ```
//!
//! - Shapes: a component is at most 32 MiB; the cache is a folder of mode 0700 with one file for a
//!   component and compiler, each authenticated by a key that never leaves the folder.
//! - Units: fuel as wasmtime counts it, which is equal on every node of one protocol version; wall
//!   time in steps of [`TICK_MS`] milliseconds.
//! - Errors: [`Refusal`](althing_work::Refusal) of a component; a run's result is always an outcome.
//! - Invariants: no WASI, threads, relaxed SIMD or 64-bit memories; floats that are no numbers have
//!   one form; no instance serves two calls; compiled code is loaded only if this node wrote it.
//!   Entropy reaches tasks with `verification: method` and no others.
//! - Source: `docs/adr/0004-wasm-profile.md`, `sdk/rust/wit/service.wit`.

mod announced;
mod arena;
mod cache;
mod inspect;
mod profile;
mod runtime;
mod sandbox;
mod ticker;

pub use arena::SLOTS;
pub use cache::CacheError;
pub use inspect::COMPONENT_BYTES_MAX;
pub use runtime::{Entropy, RuntimeError, WasmRuntime};
pub use ticker::TICK_MS;
