//! Carries the actions of `sync` out, and watches what becomes of them.

pub mod observe;
pub mod oci;
pub mod resources;

#[cfg(test)]
pub(crate) mod fixture;
