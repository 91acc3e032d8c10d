//! Shim, container init and pause.
fn main() {}
