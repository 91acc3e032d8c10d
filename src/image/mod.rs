//! Images: references, the content store, unpacked layers.
//!
//! An image comes from a registry, an OCI image layout, an archive of one (or of `docker save`), or a plain root directory. Its
//! blobs are kept by digest, its layers unpacked once and shared by every image and container that is built on them; a
//! container gets them as the lower layers of an overlay and never writes to them.
//!
//! What nobody uses goes as `collect` says; who asks it does so with an agent's clock and disk.
//!
//! Every byte of an image is a stranger's: digests and sizes are checked while streaming, names are resolved inside the
//! layer one component at a time, and nothing is seen under its final name before it is complete and verified.
//! Knows OCI, not Kubernetes. Everything here blocks, but `registry`, which waits for the network.

mod at;
mod blobs;
pub mod collect;
mod digest;
mod downloads;
mod durable;
mod error;
mod layers;
pub(crate) mod manifest;
mod pods;
mod reference;
mod references;
pub mod registry;
mod source;
mod store;
#[cfg(test)]
mod tests;
pub(crate) mod unpack;

pub use error::Error;
pub use reference::{InvalidReference, Reference};
pub use references::Access;
pub use store::{Details, Format, Image, Layer, Pruned, Store, Stored};
pub use unpack::Error as UnpackError;

/// Unpacks a layer and ends, if this process was started for that by another of this program; `None` for any other.
pub fn unpack_layer() -> Option<std::process::ExitCode> {
    unpack::child_main()
}
