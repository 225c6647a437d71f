//! libFuzzer on `api_bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("api_bodies", data));
