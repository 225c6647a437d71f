//! libFuzzer on `canonical_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("canonical_json", data));
