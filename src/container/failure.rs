//! Why a step of a start failed: the step, the errno and one line of text, in a form that crosses the pipe between a
//! container's init and the shim.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// A failed step. Reads as `mount /proc: EPERM: Operation not permitted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {text}")]
pub struct Failure {
    /// What was being done, and to what.
    pub step: String,
    /// The system's error number, where there is one.
    pub errno: Option<i32>,
    /// The reason.
    pub text: String,
}

impl Failure {
    /// A failure that no system call reported.
    pub fn new(step: impl Into<String>, text: impl Into<String>) -> Self {
        Self { step: step.into(), errno: None, text: text.into() }
    }
}

/// Names the step in which an error arose.
pub trait Step<T> {
    /// Turns an error into a [`Failure`] of the step; the name is only made when there is one.
    fn step<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T, Failure>;
}

impl<T, E: Reason> Step<T> for Result<T, E> {
    fn step<S: Into<String>>(self, name: impl FnOnce() -> S) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: name().into(), errno: error.errno(), text: error.text() })
    }
}

/// What an error has to say for itself.
pub trait Reason {
    /// The system's error number, where there is one.
    fn errno(&self) -> Option<i32>;
    /// The reason in one line.
    fn text(&self) -> String;
}

impl Reason for Errno {
    fn errno(&self) -> Option<i32> {
        Some(*self as i32)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl Reason for std::io::Error {
    fn errno(&self) -> Option<i32> {
        self.raw_os_error()
    }

    fn text(&self) -> String {
        self.raw_os_error().map_or_else(|| self.to_string(), |errno| Errno::from_raw(errno).to_string())
    }
}

impl Reason for pathrs::error::Error {
    fn errno(&self) -> Option<i32> {
        match self.kind() {
            pathrs::error::ErrorKind::OsError(errno) => errno,
            _ => None,
        }
    }

    fn text(&self) -> String {
        Reason::errno(self).map_or_else(|| self.to_string(), |errno| Errno::from_raw(errno).to_string())
    }
}

impl Reason for caps::errors::CapsError {
    fn errno(&self) -> Option<i32> {
        None
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
