//! What can go wrong with a pull, and what of it may go well the next time.

use std::time::Duration;

use crate::image;

/// Why an image cannot be pulled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry could not be reached at all.
    #[error("{request}: {reason}")]
    Unreachable {
        /// Method and address.
        request: String,
        /// What the network, or its certificate, said.
        reason: String,
    },
    /// The connection broke, or nothing came for too long.
    #[error("{request}: {reason}")]
    Broken {
        /// Method and address.
        request: String,
        /// What happened.
        reason: String,
    },
    /// Another answer than was hoped for.
    #[error("{request}: {status}{}", detail(.reason))]
    Status {
        /// Method and address.
        request: String,
        /// The answer's status.
        status: http::StatusCode,
        /// What the registry said about it; may be empty.
        reason: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// An answer that cannot be used.
    #[error("{request}: {reason}")]
    Answer {
        /// Method and address.
        request: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is not for this machine, or the endpoint is not as it was set up.
    #[error("{0}")]
    Refused(String),
    /// The image is not what it should be, or cannot be stored.
    #[error(transparent)]
    Image(#[from] image::Error),
}

impl Error {
    /// True if the same request may have another answer in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Error::Broken { .. } => true,
            Error::Status { status, .. } => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
            }
            _ => false,
        }
    }

    /// True if somebody else might be let in.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Error::Status { status, .. } if matches!(status.as_u16(), 401 | 403))
    }

    /// How long the registry asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn detail(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
