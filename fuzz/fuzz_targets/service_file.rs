//! libFuzzer on `service_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("service_file", data));
