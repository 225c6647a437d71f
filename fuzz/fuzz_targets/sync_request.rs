//! libFuzzer on `sync_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("sync_request", data));
