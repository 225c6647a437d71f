//! libFuzzer on `transactions_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("transactions_frame", data));
