//! libFuzzer on `api_transaction`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("api_transaction", data));
