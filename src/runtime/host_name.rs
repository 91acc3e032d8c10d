//! What a pod is called: its host name, the domain that it stands in, and which of them the kernel tells. The kubelet's rules.

use std::borrow::Cow;

use super::oci::NodeFacts;
use crate::pod::Pod;

/// Longest host name of the kernel, bytes (`__NEW_UTS_LEN`; sethostname(2)).
const LONGEST: usize = 64;

/// The name with its domain does not fit into the kernel. In the kubelet's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({LONGEST} characters is \
     the max, {} characters requested)",
    fqdn.len()
)]
pub struct TooLong {
    fqdn: String,
}

/// The domain in which a pod with a `subdomain` has its name.
pub fn domain(pod: &Pod, node: &NodeFacts) -> Option<String> {
    let subdomain = pod.spec.subdomain.as_ref()?;
    Some(format!("{subdomain}.{}.svc.{}", pod.key.namespace, node.cluster_domain))
}

/// What hostname(1) prints in the pod, which is also in HOSTNAME and /etc/hostname: the node's name with `hostNetwork`, else
/// the pod's, with its domain if that was asked for.
pub fn of_kernel<'a>(pod: &'a Pod, node: &'a NodeFacts) -> Result<Cow<'a, str>, TooLong> {
    if pod.spec.host_network {
        return Ok(Cow::Borrowed(&node.hostname));
    }
    match domain(pod, node).filter(|_| pod.spec.set_hostname_as_fqdn) {
        None => Ok(Cow::Borrowed(&pod.spec.hostname)),
        Some(domain) => {
            let fqdn = format!("{}.{domain}", pod.spec.hostname);
            if fqdn.len() > LONGEST { Err(TooLong { fqdn }) } else { Ok(Cow::Owned(fqdn)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn the_kernel_tells_the_short_name_unless_the_long_one_is_asked_for() {
        let node = NodeFacts {
            hostname: "node1".into(),
            cluster_domain: "cluster.local".into(),
            ..NodeFacts::default()
        };
        let long = "s".repeat(34);
        let too_long = format!("s{long}");
        let full = "web.db.default.svc.cluster.local";
        let longest = format!("web.{long}.default.svc.cluster.local");
        let error = format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN web.{too_long}.default.svc.cluster.local \
             is too long (64 characters is the max, 65 characters requested)"
        );
        for (subdomain, as_fqdn, host_network, expected) in [
            (None, false, false, Ok("web")),
            (None, true, false, Ok("web")),
            (Some("db"), false, false, Ok("web")),
            (Some("db"), true, false, Ok(full)),
            (Some("db"), true, true, Ok("node1")),
            (Some(long.as_str()), true, false, Ok(longest.as_str())),
            (Some(too_long.as_str()), false, false, Ok("web")),
            (Some(too_long.as_str()), true, false, Err(error.as_str())),
            (Some(too_long.as_str()), true, true, Ok("node1")),
        ] {
            let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
            pod.spec.subdomain = subdomain.map(str::to_owned);
            pod.spec.set_hostname_as_fqdn = as_fqdn;
            pod.spec.host_network = host_network;
            let name = of_kernel(&pod, &node).map_err(|error| error.to_string());
            assert_eq!(name.as_deref().map_err(String::as_str), expected, "{subdomain:?} {as_fqdn}");
        }
    }
}
