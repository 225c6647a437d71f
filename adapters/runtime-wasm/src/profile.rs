//! The compiler's settings: part of the protocol, since fuel and bits depend on them.

use wasmtime::{Config, Strategy, WasmBacktraceDetails};

/// Native stack of a service. Where it overflows depends on the compiler, so it is a doubt.
const STACK_BYTES: usize = 512 << 10;

/// Settings with which equal inputs give equal outputs and equal fuel.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .consume_fuel(true)
        // Wall time: whoever loops within his fuel for too long is interrupted by the ticker.
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .max_wasm_stack(STACK_BYTES)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(None);
    config
}
