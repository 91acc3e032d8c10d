//! Why a layer cannot be unpacked. The process that does it tells its parent so, as JSON.

use std::io;

use serde::{Deserialize, Serialize};

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// The archive cannot be read to its end, or is none.
    #[error("the archive is damaged: {0}")]
    Archive(
        #[source]
        #[serde(with = "told")]
        io::Error,
    ),
    /// An entry that is not allowed.
    #[error("entry {name:?}: {reason}")]
    Entry {
        /// As written in the archive.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel refused to make an entry.
    #[error("entry {name:?}")]
    Make {
        /// As written in the archive.
        name: String,
        /// Why.
        #[source]
        #[serde(with = "told")]
        source: io::Error,
    },
    /// The archive has more entries than are allowed.
    #[error("more than {0} entries")]
    TooManyEntries(u64),
    /// The layer's own directory, or one below it, cannot be used.
    #[error("cannot prepare or complete the layer's directory")]
    Layer(
        #[source]
        #[serde(with = "told")]
        io::Error,
    ),
    /// The uncompressed archive is not what the image's configuration says.
    #[error("its content has the digest {found}, but the image's configuration says {expected}")]
    DiffId {
        /// By the configuration.
        expected: String,
        /// By the bytes.
        found: String,
    },
    /// The process that does it could not be started, or not be confined, or ended without a word.
    #[error("the process that {role} it {reason}")]
    Process {
        /// What it is for: `unpacks`, `decompresses`.
        role: String,
        /// What became of it.
        reason: String,
    },
}

/// An error of the system on its way from one process to another: its number, or else its words.
mod told {
    use super::*;

    #[derive(Serialize, Deserialize)]
    enum Told {
        Number(i32),
        Words(String),
    }

    pub(super) fn serialize<S: serde::Serializer>(error: &io::Error, to: S) -> Result<S::Ok, S::Error> {
        match error.raw_os_error() {
            Some(number) => Told::Number(number),
            None => Told::Words(error.to_string()),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'d, D: serde::Deserializer<'d>>(from: D) -> Result<io::Error, D::Error> {
        Ok(match Told::deserialize(from)? {
            Told::Number(number) => io::Error::from_raw_os_error(number),
            Told::Words(text) => io::Error::other(text),
        })
    }
}
