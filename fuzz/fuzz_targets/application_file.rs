//! libFuzzer on `application_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("application_file", data));
