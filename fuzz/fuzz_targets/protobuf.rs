//! See src/fuzz/protobuf.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkubelet::fuzz::run("protobuf", data));
