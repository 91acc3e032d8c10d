//! What can go wrong with the pod network.

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use nix::errno::Errno;

use crate::container::failure::Failure;
use crate::pod::PodUid;

/// Why the network could not be set up, a pod not be attached, or an address not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be that of an interface.
    #[error(
        "bridge name {0:?} is not usable: 1 to 15 bytes, without '/', ':', '%' or white space, and not \".\" or \"..\""
    )]
    BridgeName(String),
    /// No room for a bridge and a pod.
    #[error(
        "pod CIDR {0} is too small: it must have room for the bridge and a pod (a prefix of 30 bits or fewer)"
    )]
    CidrTooSmall(Ipv4Net),
    /// An interface of that name exists and is not our bridge, or not as we would make it.
    #[error("interface {name} exists, but {reason}; choose another name with --bridge, or delete it")]
    ForeignBridge {
        /// The interface.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The pod CIDR is already reachable through something else.
    #[error("pod CIDR {cidr} overlaps {other}; choose another with --pod-cidr")]
    Overlap {
        /// What was asked for.
        cidr: Ipv4Net,
        /// What is in the way, with the name of its interface.
        other: String,
    },
    /// No address is left.
    #[error("no address is left in pod CIDR {cidr}: all {size} are in use")]
    Exhausted {
        /// The range that was searched.
        cidr: Ipv4Net,
        /// How many addresses it has for pods.
        size: u32,
    },
    /// The pod was given its address under another --pod-cidr.
    #[error("pod {uid} holds address {address}, which is not for a pod in pod CIDR {cidr}")]
    LeaseOutside {
        /// The pod.
        uid: PodUid,
        /// Its address.
        address: Ipv4Addr,
        /// The CIDR now in use.
        cidr: Ipv4Net,
    },
    /// An address belongs to a pod for as long as the pod's run directory exists; this one has none.
    #[error("pod {uid} has no run directory {path}: its address could be taken away at any time", path = path.display())]
    NoRunDirectory {
        /// The pod.
        uid: PodUid,
        /// The directory that should be there.
        path: PathBuf,
    },
    /// A system call on a file failed.
    #[error("{operation} {path}", path = path.display())]
    File {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused a request, or netlink itself failed.
    #[error("{operation}")]
    Kernel {
        /// What was attempted, on which object.
        operation: String,
        /// The kernel's answer.
        source: Errno,
    },
    /// A kernel parameter of the pod's interface could not be set.
    #[error(transparent)]
    Sysctl(#[from] Failure),
    /// The thread that carries out a request could not be started, or died.
    #[error("network thread failed")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: names the operation and the object of a failed request.
    pub(super) fn kernel(operation: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let operation = operation.into();
        move |source| Self::Kernel { operation, source }
    }

    /// For `map_err`: names the operation and the path of a failed call on a file.
    pub(super) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }

    /// True if names or addresses that a person chose are in the way: the next attempt would end the same.
    pub fn is_of_setup(&self) -> bool {
        matches!(
            self,
            Self::BridgeName(_)
                | Self::CidrTooSmall(_)
                | Self::ForeignBridge { .. }
                | Self::Overlap { .. }
                | Self::LeaseOutside { .. }
        )
    }

    /// The errno of a refused request.
    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel { source, .. } => Some(*source),
            _ => None,
        }
    }
}
