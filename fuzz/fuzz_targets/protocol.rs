//! See src/fuzz/protocol.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkubelet::fuzz::run("protocol", data));
