//! libFuzzer on `state_proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("state_proof", data));
