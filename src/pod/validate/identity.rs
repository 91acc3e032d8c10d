//! What a pod is called: host name, subdomain, and the names in its /etc/hosts.

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, names};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::HostAlias;

/// Longest host name of the kernel, bytes (sethostname(2)).
const MAX_HOST_NAME: usize = 64;

/// What is left of the names that were checked.
pub(super) struct Identity {
    pub(super) hostname: String,
    pub(super) subdomain: Option<String>,
    pub(super) set_hostname_as_fqdn: bool,
    pub(super) host_aliases: Vec<HostAlias>,
}

pub(super) fn check(
    spec: &k8s::PodSpec,
    pod_name: &str,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Identity {
    for (name, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(value) = given(value.as_deref()) {
            all_invalid(&path.field(name), value, names::dns_label(value), document);
        }
    }
    let set_hostname_as_fqdn = spec.set_hostname_as_fqdn == Some(true);
    if let Some(name) = &spec.hostname_override {
        check_override(name, spec, &path.field("hostnameOverride"), document);
    }
    let aliases = spec.host_aliases.as_deref().unwrap_or_default();
    let host_aliases = check_aliases(aliases, &path.field("hostAliases"), document);
    // It is name and domain in one (KEP-4762).
    let subdomain = spec.subdomain.as_deref().filter(|_| spec.hostname_override.is_none());
    let hostname = spec.hostname_override.as_deref().or(given(spec.hostname.as_deref()));
    Identity {
        hostname: cut(hostname.unwrap_or(pod_name)),
        subdomain: given(subdomain).map(str::to_owned),
        set_hostname_as_fqdn,
        host_aliases,
    }
}

fn check_override(name: &str, spec: &k8s::PodSpec, path: &Path<'_>, document: &mut Document<'_, '_>) {
    all_invalid(path, name, names::dns_subdomain(name), document);
    if name.len() > MAX_HOST_NAME {
        document.invalid(path, name, format!("must be no more than {MAX_HOST_NAME} bytes"));
    }
    let others = [("hostNetwork", spec.host_network), ("setHostnameAsFQDN", spec.set_hostname_as_fqdn)];
    for (other, _) in others.iter().filter(|(_, given)| *given == Some(true)) {
        document.forbidden(path, &format!("may not be specified when `{other}` is true"));
    }
}

fn check_aliases(
    aliases: &[k8s::HostAlias],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<HostAlias> {
    let mut checked = Vec::with_capacity(aliases.len());
    for (index, alias) in aliases.iter().enumerate() {
        let path = path.index(index);
        if let Some(why) = names::ip(&alias.ip) {
            document.invalid(&path.field("ip"), &alias.ip, why);
        }
        let hostnames = alias.hostnames.clone().unwrap_or_default();
        let hostnames_path = path.field("hostnames");
        for (index, name) in hostnames.iter().enumerate() {
            all_invalid(&hostnames_path.index(index), name, names::dns_subdomain(name), document);
        }
        checked.push(HostAlias { ip: alias.ip.clone(), hostnames });
    }
    checked
}

/// Cut as a kubelet cuts it, so that the kernel takes it.
fn cut(name: &str) -> String {
    let end = name.char_indices().nth(MAX_HOST_NAME - 1).map_or(name.len(), |(end, _)| end);
    name[..end].trim_end_matches(['-', '.']).to_owned()
}

/// In Go an empty text is none.
fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
