//! See src/fuzz/manifest.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkubelet::fuzz::run("manifest", data));
