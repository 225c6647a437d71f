//! libFuzzer on `body_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("body_frame", data));
