//! What can go wrong with a group.

use std::io;
use std::path::PathBuf;

/// A result whose error is of this room.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a group.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to work with.
    #[error("no cgroup hierarchy is mounted at {0}")]
    NotMounted(PathBuf),
    /// A name that could leave the hierarchy.
    #[error("group {0:?} is not a relative path without . and ..")]
    InvalidGroup(PathBuf),
    /// A limit that no code here sets.
    #[error("limit {0} is not supported")]
    UnknownLimit(&'static str),
    /// A limit that the host cannot set.
    #[error("limit {limit} needs the cgroup controller {controller}, which this host has not got")]
    NoController {
        /// The limit, as the OCI runtime specification names it.
        limit: &'static str,
        /// The controller's name.
        controller: &'static str,
    },
    /// A limit by the name of its file, which only v2 has.
    #[error("limit {0} needs its controller on cgroup v2, which this host has not got")]
    Unified(String),
    /// Controllers cannot be enabled below a group that has processes.
    #[error("enable controllers in {0}: the group has processes of its own")]
    InnerProcesses(PathBuf),
    /// Processes did not leave in time.
    #[error("{operation} {group}: still in it after {seconds} s: {processes}")]
    Busy {
        /// What was tried.
        operation: &'static str,
        /// The group's directory.
        group: PathBuf,
        /// How long it was tried.
        seconds: u64,
        /// Process ids and names, or what else holds the group.
        processes: String,
    },
    /// A group cannot be frozen by one of its own.
    #[error("kill {0}: the caller is in it")]
    Suicide(PathBuf),
    /// A system call failed.
    #[error("{operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The system's error number, where a system call failed.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// The group is not there, or was removed while its file was open.
    pub fn is_absent(&self) -> bool {
        matches!(self.errno(), Some(libc::ENOENT | libc::ENODEV))
    }
}
