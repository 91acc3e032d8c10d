//! What a pod is called, and the names that it knows.

use serde::{Deserialize, Serialize};

/// An entry of `hostAliases`: a line of the pod's /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    /// An IPv4 or IPv6 address, as it is written.
    pub ip: String,
    /// DNS subdomains.
    pub hostnames: Vec<String>,
}
