//! libFuzzer on `sync_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("sync_response", data));
