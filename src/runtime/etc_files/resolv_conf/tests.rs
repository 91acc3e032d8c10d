//! What of the host, the cluster and the pod ends in a resolv.conf.

use super::*;
use crate::pod::spec::{DnsOption, RestartPolicy};
use crate::runtime::fixture;

/// A resolver from its three lists, words separated by spaces.
fn resolver(nameservers: &str, searches: &str, options: &str) -> Resolver {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    Resolver { nameservers: words(nameservers), searches: words(searches), options: words(options) }
}

fn config(nameservers: &str, searches: &str, options: &[(&str, Option<&str>)]) -> DnsConfig {
    let Resolver { nameservers, searches, .. } = resolver(nameservers, searches, "");
    let options = options
        .iter()
        .map(|(name, value)| DnsOption { name: (*name).to_owned(), value: value.map(str::to_owned) });
    DnsConfig { nameservers, searches, options: options.collect() }
}

/// What a pod of the namespace `default` gets on a host with 192.0.2.1 and the domain host.test.
fn of(policy: DnsPolicy, host_network: bool, config: Option<DnsConfig>, dns: &[&str]) -> Resolver {
    let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
    pod.spec.dns_policy = policy;
    pod.spec.dns_config = config;
    pod.spec.host_network = host_network;
    let dns: Vec<IpAddr> = dns.iter().map(|ip| ip.parse().unwrap()).collect();
    let host = resolver("192.0.2.1", "host.test", "edns0");
    let (resolver, warnings) = of_pod(&pod, host, Cluster { dns: &dns, domain: "cluster.local" });
    assert!(warnings.is_empty(), "{warnings:?}");
    resolver
}

#[test]
fn a_hosts_file_is_read_as_a_kubelet_reads_it() {
    for (text, expected) in [
        ("", resolver("", "", "")),
        (
            "nameserver 192.0.2.1\nnameserver 2001:db8::1 # the second\n",
            resolver("192.0.2.1 2001:db8::1", "", ""),
        ),
        ("# nameserver 192.0.2.1\n  # nameserver 192.0.2.2\n; nameserver 192.0.2.3", resolver("", "", "")),
        ("search a.test b.test\nsearch c.test\n", resolver("", "c.test", "")),
        ("search a.test\nsearch\n", resolver("", "", "")),
        ("search a.test. . b.test\n", resolver("", "a.test b.test", "")),
        ("\tsearch\ta.test  \r\n", resolver("", "a.test", "")),
        ("options ndots:2 edns0\noptions ndots:3 rotate\n", resolver("", "", "ndots:3 edns0 rotate")),
        ("domain a.test\nsortlist 192.0.2.0\nnonsense\n", resolver("", "", "")),
    ] {
        assert_eq!(Resolver::parse(text), Ok(expected), "{text:?}");
    }
    assert_eq!(Resolver::parse("nameserver\n"), Err(NoAddress));
}

#[test]
fn what_is_written_is_read_again() {
    let resolver = resolver("192.0.2.1 192.0.2.2", "a.test b.test", "ndots:5 edns0");
    let text = resolver.to_text();
    assert_eq!(
        text,
        "search a.test b.test\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:5 edns0\n"
    );
    assert_eq!(Resolver::parse(&text), Ok(resolver));
    assert_eq!(Resolver::default().to_text(), "");
}

#[test]
fn the_policy_says_whose_resolvers_are_the_pods() {
    let host = || resolver("192.0.2.1", "host.test", "edns0");
    let searches = "default.svc.cluster.local svc.cluster.local cluster.local host.test";
    let cluster = || resolver("10.96.0.10 fd00::a", searches, "ndots:5");
    let dns = ["10.96.0.10", "fd00::a"];
    for (policy, host_network, dns, expected) in [
        (DnsPolicy::Default, false, &dns[..], host()),
        (DnsPolicy::ClusterFirst, false, &dns, cluster()),
        (DnsPolicy::ClusterFirst, true, &dns, host()),
        (DnsPolicy::ClusterFirstWithHostNet, true, &dns, cluster()),
        (DnsPolicy::ClusterFirstWithHostNet, false, &dns, cluster()),
        // Without a cluster.
        (DnsPolicy::ClusterFirst, false, &[], host()),
        (DnsPolicy::ClusterFirstWithHostNet, true, &[], host()),
        (DnsPolicy::None, false, &dns, Resolver::default()),
    ] {
        assert_eq!(of(policy, host_network, None, dns), expected, "{policy:?} {host_network} {dns:?}");
    }
}

#[test]
fn what_the_pod_says_comes_after_and_its_options_win() {
    let dns = ["10.96.0.10"];
    let own = config("192.0.2.7 192.0.2.1", "own.test host.test", &[("ndots", Some("2")), ("rotate", None)]);
    let searches = "default.svc.cluster.local svc.cluster.local cluster.local host.test own.test";
    for (policy, expected) in [
        (DnsPolicy::None, resolver("192.0.2.7 192.0.2.1", "own.test host.test", "ndots:2 rotate")),
        (DnsPolicy::Default, resolver("192.0.2.1 192.0.2.7", "host.test own.test", "edns0 ndots:2 rotate")),
        (DnsPolicy::ClusterFirst, resolver("10.96.0.10 192.0.2.7 192.0.2.1", searches, "ndots:2 rotate")),
    ] {
        assert_eq!(of(policy, false, Some(own.clone()), &dns), expected, "{policy:?}");
    }
    // A value that is empty is none.
    let own = config("", "", &[("edns0", Some("")), ("use-vc", None), ("use-vc", Some("1"))]);
    let expected = resolver("192.0.2.1", "host.test", "edns0 use-vc:1");
    assert_eq!(of(DnsPolicy::Default, false, Some(own), &[]), expected);
}

#[test]
fn what_no_resolver_takes_is_left_out_and_told() {
    let many = |count: usize, length: usize| {
        (0..count).map(|number| format!("{number:0length$}")).collect::<Vec<_>>().join(" ")
    };
    let first = |text: &str, count: usize| text.split(' ').take(count).collect::<Vec<_>>().join(" ");
    let (short, long) = (many(33, 3), many(20, 120));
    let too_long = format!("a {} b", "x".repeat(254));
    for (resolver, expected, warnings) in [
        (resolver("1 2 3", &many(32, 63), ""), resolver("1 2 3", &many(32, 63), ""), &[][..]),
        (resolver("1 2 3 4", "a", ""), resolver("1 2 3", "a", ""), &["Nameserver limits were exceeded"]),
        (
            resolver("", &short, ""),
            resolver("", &first(&short, 32), ""),
            &["Search Line limits were exceeded"],
        ),
        // 16 times 120 and 15 spaces; one more would be 2056.
        (resolver("", &long, ""), resolver("", &first(&long, 16), ""), &["Search Line limits were exceeded"]),
        (resolver("", &too_long, ""), resolver("", "a b", ""), &["Search Line limits were exceeded"]),
    ] {
        let mut limited = resolver.clone();
        let told = limited.limit();
        assert_eq!(limited, expected);
        assert_eq!(told.len(), warnings.len(), "{told:?}");
        assert!(told.iter().zip(warnings).all(|(told, start)| told.starts_with(start)), "{told:?}");
    }
    let mut resolver = resolver("1 2 3 4", "a", "");
    assert_eq!(
        resolver.limit(),
        [
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1 2 3"
        ]
    );
}
