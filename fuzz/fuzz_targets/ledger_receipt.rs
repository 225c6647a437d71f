//! libFuzzer on `ledger_receipt`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("ledger_receipt", data));
