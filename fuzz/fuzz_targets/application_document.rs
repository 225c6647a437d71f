//! libFuzzer on `application_document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("application_document", data));
