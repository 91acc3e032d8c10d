//! See src/fuzz/user.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mkubelet::fuzz::run("user", data));
