//! Pulls images from registries, by the OCI distribution protocol (which is Docker's, version 2).
//!
//! ```text
//!   Reference ──> Endpoint ──> Client ──> manifest ──> configuration ──> layers, three at a time ──> Store
//!                 (hosts)      (auth,     (or index)                     (downloads)
//!                               redirects,
//!                               retries)
//! ```
//!
//! A registry is a stranger like every image: documents are bounded, everything is checked by digest and size while it
//! streams, and nothing is in the store before all of it is. Credentials go to the host that they are for and to the
//! token service that it names, over https only, and never along a redirect.
//!
//! The one part of this room that waits for the network rather than blocks; files are written where one may block.

mod challenge;
mod client;
mod credential;
mod endpoint;
mod error;
mod helper;
mod hosts;
mod keyring;
mod patience;
mod pull;
#[cfg(test)]
mod tests;

pub use credential::Credential;
pub use endpoint::Endpoint;
pub use error::Error;
pub use helper::{HelperError, Helpers};
pub use hosts::Hosts;
pub use keyring::{BadConfig, Keyring, is_for};
pub use patience::Patience;
pub use pull::{Grant, Progress, Pull, Source};
