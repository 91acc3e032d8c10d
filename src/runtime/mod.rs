//! Carries the actions of `sync` out, and watches what becomes of them.

pub mod observe;

#[cfg(test)]
pub(crate) mod fixture;
