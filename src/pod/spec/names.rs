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

/// `dnsPolicy`: whose name service the pod uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsPolicy {
    /// The cluster's, or the node's for pods with `hostNetwork`, and where there is no cluster's.
    #[default]
    ClusterFirst,
    /// The cluster's, with `hostNetwork` too.
    ClusterFirstWithHostNet,
    /// The node's.
    Default,
    /// None but what the pod itself says.
    None,
}

/// `dnsConfig`: what the pod adds to its /etc/resolv.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// IP addresses of resolvers, three at most.
    pub nameservers: Vec<String>,
    /// Domains in which names are looked for.
    pub searches: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<DnsOption>,
}

/// An entry of `dnsConfig.options`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsOption {
    /// Not empty.
    pub name: String,
    /// What follows the colon; `None` or empty without one.
    pub value: Option<String>,
}
