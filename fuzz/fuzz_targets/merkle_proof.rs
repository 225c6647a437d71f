//! libFuzzer on `merkle_proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("merkle_proof", data));
