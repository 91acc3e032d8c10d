//! The /etc/hosts of a pod, byte for byte as a kubelet writes it. Pure.

use std::net::IpAddr;

use crate::pod::spec::HostAlias;

/// Of a pod with an address of its own: the loopback names, the pod's own names, and its aliases.
pub(super) fn of_pod(ip: IpAddr, hostname: &str, domain: Option<&str>, aliases: &[HostAlias]) -> Vec<u8> {
    let own = match domain {
        Some(domain) => format!("{ip}\t{hostname}.{domain}\t{hostname}\n"),
        None => format!("{ip}\t{hostname}\n"),
    };
    let aliases = lines(aliases);
    format!(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n\
         {own}{aliases}"
    )
    .into_bytes()
}

/// Of a pod on the host's network: what the host's own file says, and the pod's aliases.
pub(super) fn of_host(host: &[u8], aliases: &[HostAlias]) -> Vec<u8> {
    let header = &b"# Kubernetes-managed hosts file (host network).\n"[..];
    [header, host, lines(aliases).as_bytes()].concat()
}

fn lines(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let lines = aliases.iter().map(|alias| format!("{}\t{}\n", alias.ip, alias.hostnames.join("\t")));
    format!("\n# Entries added by HostAliases.\n{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases() -> [HostAlias; 2] {
        [("10.1.2.3", &["foo.remote", "bar.remote"][..]), ("2001:db8::1", &["baz"])].map(|(ip, names)| {
            HostAlias { ip: ip.to_owned(), hostnames: names.iter().map(|name| (*name).to_owned()).collect() }
        })
    }

    const ALIASES: &str =
        "\n# Entries added by HostAliases.\n10.1.2.3\tfoo.remote\tbar.remote\n2001:db8::1\tbaz\n";

    const LOOPBACK: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n\
        fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

    #[test]
    fn a_pod_knows_its_own_names_and_its_aliases() {
        let ip = IpAddr::from([10, 85, 0, 2]);
        for (domain, own) in [
            (None, "10.85.0.2\tweb\n"),
            (Some("db.shop.svc.cluster.local"), "10.85.0.2\tweb.db.shop.svc.cluster.local\tweb\n"),
        ] {
            for (aliases, last) in [(&[][..], ""), (&aliases(), ALIASES)] {
                let text = String::from_utf8(of_pod(ip, "web", domain, aliases)).unwrap();
                assert_eq!(text, format!("{LOOPBACK}{own}{last}"));
            }
        }
    }

    #[test]
    fn on_the_hosts_network_the_hosts_names_are_the_pods() {
        let header = "# Kubernetes-managed hosts file (host network).\n";
        // Whatever bytes they are.
        let host = b"127.0.0.1 localhost\n\xff";
        let expected = [header.as_bytes(), host].concat();
        assert_eq!(of_host(host, &[]), expected);
        assert_eq!(of_host(host, &aliases()), [&expected[..], ALIASES.as_bytes()].concat());
    }
}
