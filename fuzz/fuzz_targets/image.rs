//! See src/fuzz/image.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkubelet::fuzz::run("image", data));
