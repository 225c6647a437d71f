//! libFuzzer on `vote_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| althing_fuzz::feed("vote_frame", data));
