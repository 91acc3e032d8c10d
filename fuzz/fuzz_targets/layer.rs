//! See src/fuzz/layer.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkubelet::fuzz::run("layer", data));
