//! libFuzzer on `genesis`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("genesis", data));
