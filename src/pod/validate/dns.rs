//! Whose name service a pod uses, and what it adds to it.

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, names, one_of};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{DnsConfig, DnsOption, DnsPolicy};

const MAX_NAMESERVERS: usize = 3;

const MAX_SEARCHES: usize = 32;

/// Of all search domains, with a space between two, bytes.
const MAX_SEARCH_LINE: usize = 2048;

pub(super) fn check(
    spec: &k8s::PodSpec,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> (DnsPolicy, Option<DnsConfig>) {
    let policy = policy(spec.dns_policy.as_deref(), &path.field("dnsPolicy"), document);
    let path = path.field("dnsConfig");
    let config = match (&spec.dns_config, policy) {
        (None, DnsPolicy::None) => {
            document.required_for(&path, "must provide `dnsConfig` when `dnsPolicy` is None");
            None
        }
        (Some(config), DnsPolicy::None) if config.nameservers.as_deref().unwrap_or_default().is_empty() => {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            document.required_for(&path.field("nameservers"), why);
            None
        }
        (config, _) => config.as_ref().map(|config| check_config(config, &path, document)),
    };
    (policy, config)
}

fn policy(policy: Option<&str>, path: &Path<'_>, document: &mut Document<'_, '_>) -> DnsPolicy {
    const POLICIES: [(&str, DnsPolicy); 4] = [
        ("ClusterFirst", DnsPolicy::ClusterFirst),
        ("ClusterFirstWithHostNet", DnsPolicy::ClusterFirstWithHostNet),
        ("Default", DnsPolicy::Default),
        ("None", DnsPolicy::None),
    ];
    one_of(policy.unwrap_or_default(), &POLICIES, path, document).unwrap_or_default()
}

fn check_config(config: &k8s::PodDNSConfig, path: &Path<'_>, document: &mut Document<'_, '_>) -> DnsConfig {
    let nameservers = config.nameservers.clone().unwrap_or_default();
    let nameservers_path = path.field("nameservers");
    if nameservers.len() > MAX_NAMESERVERS {
        let why = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        document.invalid(&nameservers_path, &nameservers, why);
    }
    for (index, address) in nameservers.iter().enumerate() {
        if let Some(why) = names::ip(address) {
            document.invalid(&nameservers_path.index(index), address, why);
        }
    }

    let searches = config.searches.clone().unwrap_or_default();
    let searches_path = path.field("searches");
    if searches.len() > MAX_SEARCHES {
        let why = format!("must not have more than {MAX_SEARCHES} search paths");
        document.invalid(&searches_path, &searches, why);
    }
    if searches.join(" ").len() > MAX_SEARCH_LINE {
        let why = format!(
            "must not have more than {MAX_SEARCH_LINE} characters (including spaces) in the search list"
        );
        document.invalid(&searches_path, &searches, why);
    }
    for (index, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let domain = search.strip_suffix('.').unwrap_or(search);
        all_invalid(&searches_path.index(index), domain, names::search_domain(domain), document);
    }

    let mut options = Vec::new();
    let options_path = path.field("options");
    for (index, option) in config.options.iter().flatten().enumerate() {
        let name = option.name.clone().unwrap_or_default();
        if name.is_empty() {
            document.required_for(&options_path.index(index), "must not be empty");
        }
        options.push(DnsOption { name, value: option.value.clone() });
    }
    DnsConfig { nameservers, searches, options }
}
