//! libFuzzer on `imported_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("imported_file", data));
