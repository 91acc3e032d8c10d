//! What must hold whatever a stranger sends: a function per format, which panics when it does not.
//!
//! Each takes any bytes. `fuzz/fuzz_targets/` runs them under libFuzzer, with bytes made to reach every branch; the tests here
//! run them with all of `fuzz/corpus/`, which holds what the fuzzer found worth keeping and what people thought of. This
//! room is compiled for these two alone, never into the programs. See docs/testing.md.

mod archive;
mod image;
mod journal;
mod layer;
mod log;
mod manifest;
mod protobuf;
mod protocol;
mod quantity;
mod reference;
mod seccomp;
mod spdy;
mod user;

/// Checks one property of a format, or several, with these bytes.
pub type Target = fn(&[u8]);

/// Every target, by the name that its file and its corpus have.
pub const TARGETS: [(&str, Target); 13] = [
    ("archive", archive::check),
    ("image", image::check),
    ("journal", journal::check),
    ("layer", layer::check),
    ("log", log::check),
    ("manifest", manifest::check),
    ("protobuf", protobuf::check),
    ("protocol", protocol::check),
    ("quantity", quantity::check),
    ("reference", reference::check),
    ("seccomp", seccomp::check),
    ("spdy", spdy::check),
    ("user", user::check),
];

/// Runs the target of that name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(data);
}

/// An input of several parts, at form feeds: as many as asked for, the missing ones empty.
fn pages<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut pages = data.splitn(N, |byte| *byte == b'\x0c');
    std::array::from_fn(|_| pages.next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
