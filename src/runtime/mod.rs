//! Carries the actions of `sync` out, and watches what becomes of them.

pub mod observe;
pub mod oci;
pub mod resources;
pub mod shim_client;

#[cfg(test)]
pub(crate) mod fixture;
