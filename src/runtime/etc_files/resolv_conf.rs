//! The /etc/resolv.conf of a pod (resolv.conf(5)), from the host's own, the cluster's resolvers and what the pod says: the
//! kubelet's rules (pkg/kubelet/network/dns). Pure.

use std::net::IpAddr;

use crate::pod::Pod;
use crate::pod::spec::{DnsConfig, DnsPolicy};

/// More resolvers are not asked (MAXNS of the C library).
const MAX_NAMESERVERS: usize = 3;

/// More domains are not looked through.
const MAX_SEARCHES: usize = 32;

/// Longest list of domains, spaces included, bytes.
const MAX_SEARCH_LINE: usize = 2048;

/// A longer domain makes some C libraries abort, bytes.
const MAX_SEARCH: usize = 253;

/// In a cluster even a name with four dots may be one of its own.
const CLUSTER_OPTIONS: &str = "ndots:5";

/// A `nameserver` without an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("nameserver list is empty")]
pub(super) struct NoAddress;

/// What a resolv.conf says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    /// In the order in which they are asked.
    pub(super) nameservers: Vec<String>,
    /// Domains in which a name is looked for.
    pub(super) searches: Vec<String>,
    /// `name` or `name:value`.
    pub(super) options: Vec<String>,
}

/// The cluster's name service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cluster<'a> {
    /// Its addresses; none without a cluster.
    pub(super) dns: &'a [IpAddr],
    /// The domain of its services.
    pub(super) domain: &'a str,
}

/// A pod's resolver, and what there is to say about it: a line for each limit that was exceeded.
pub(super) fn of_pod(pod: &Pod, host: Resolver, cluster: Cluster<'_>) -> (Resolver, Vec<String>) {
    let mut resolver = match pod.spec.dns_policy {
        DnsPolicy::None => Resolver::default(),
        _ if wants_cluster(pod) && !cluster.dns.is_empty() => of_cluster(&pod.key.namespace, host, cluster),
        // Without a cluster's resolvers, too.
        _ => host,
    };
    if let Some(config) = &pod.spec.dns_config {
        resolver.append(config);
    }
    let warnings = resolver.limit();
    (resolver, warnings)
}

/// True if the pod is to have the cluster's name service, where there is one.
pub(super) fn wants_cluster(pod: &Pod) -> bool {
    match pod.spec.dns_policy {
        DnsPolicy::None | DnsPolicy::Default => false,
        DnsPolicy::ClusterFirst => !pod.spec.host_network,
        DnsPolicy::ClusterFirstWithHostNet => true,
    }
}

/// The cluster's own resolvers know the host's, but not the domains that the host looks through.
fn of_cluster(namespace: &str, host: Resolver, Cluster { dns, domain }: Cluster<'_>) -> Resolver {
    let own = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    Resolver {
        nameservers: dns.iter().map(ToString::to_string).collect(),
        searches: without_duplicates(own.into_iter().chain(host.searches)),
        options: vec![CLUSTER_OPTIONS.to_owned()],
    }
}

// === impl Resolver ===

impl Resolver {
    /// Reads a host's file as a kubelet does: resolvers add up, the last line of domains counts, and the last value of an option.
    pub(super) fn parse(text: &str) -> Result<Self, NoAddress> {
        let mut resolver = Self::default();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.nameservers.push(words.next().ok_or(NoAddress)?.to_owned()),
                Some("search") => {
                    // With and without its last dot a domain is the same; the root needs not be looked through.
                    let domains = words.filter(|domain| *domain != ".");
                    let domains = domains.map(|domain| domain.strip_suffix('.').unwrap_or(domain));
                    resolver.searches = domains.map(str::to_owned).collect();
                }
                Some("options") => words.for_each(|option| resolver.set(option.to_owned())),
                _ => {}
            }
        }
        Ok(resolver)
    }

    /// The file.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for nameserver in &self.nameservers {
            text.push_str(&format!("nameserver {nameserver}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }

    /// Sets an option, in the place of one of the same name.
    fn set(&mut self, option: String) {
        let name = |option: &str| option.split(':').next().map(str::to_owned);
        match self.options.iter_mut().find(|known| name(known) == name(&option)) {
            Some(known) => *known = option,
            None => self.options.push(option),
        }
    }

    /// Adds what a pod says.
    fn append(&mut self, config: &DnsConfig) {
        let nameservers = std::mem::take(&mut self.nameservers);
        self.nameservers = without_duplicates(nameservers.into_iter().chain(config.nameservers.clone()));
        let searches = std::mem::take(&mut self.searches);
        self.searches = without_duplicates(searches.into_iter().chain(config.searches.clone()));
        for option in &config.options {
            self.set(match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{}:{value}", option.name),
                _ => option.name.clone(),
            });
        }
    }

    /// Leaves out what no resolver takes, and says so, in the words of the kubelet's events.
    fn limit(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.nameservers.len() > MAX_NAMESERVERS {
            self.nameservers.truncate(MAX_NAMESERVERS);
            warnings.push(format!(
                "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
                self.nameservers.join(" ")
            ));
        }
        let count = self.searches.len();
        self.searches.truncate(MAX_SEARCHES);
        self.searches.retain(|domain| domain.len() <= MAX_SEARCH);
        while self.searches.join(" ").len() > MAX_SEARCH_LINE {
            self.searches.pop();
        }
        if self.searches.len() < count {
            warnings.push(format!(
                "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
                self.searches.join(" ")
            ));
        }
        warnings
    }
}

/// The first of each, in their order.
fn without_duplicates(words: impl Iterator<Item = String>) -> Vec<String> {
    words.fold(Vec::new(), |mut seen, word| {
        if !seen.contains(&word) {
            seen.push(word);
        }
        seen
    })
}

#[cfg(test)]
mod tests;
