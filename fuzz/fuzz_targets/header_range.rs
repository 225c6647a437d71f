//! libFuzzer on `header_range`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("header_range", data));
