//! What a pod is called, and the names that its containers know: the same in all of them.

use std::fs;

use serde_json::json;

use crate::world::{Pod, World, world};

const FILES: [&str; 3] = ["read=/etc/hosts", "read=/etc/hostname", "read=/etc/resolv.conf"];

/// A pod of two containers that read the files of their names.
fn two(world: &World) -> Pod {
    let steps = [&FILES[..], &["report", "wait"]].concat();
    world.pod("web", [world.container("a", &steps), world.container("b", &steps)])
}

fn text(world: &World, container: &str, step: &str) -> String {
    world.answer(container, step).unwrap().as_str().unwrap().to_owned()
}

/// The hosts file of a pod without aliases, up to its own line.
const LOOPBACK: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n\
    fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

#[test]
fn all_containers_of_a_pod_have_the_same_name_domain_and_files() {
    world(|world| {
        let aliases = json!([{"ip": "192.0.2.7", "hostnames": ["cache.remote", "cache"]}]);
        let pod = two(world)
            .spec("hostname", json!("front"))
            .spec("subdomain", json!("db"))
            .spec("setHostnameAsFQDN", json!(true))
            .spec("hostAliases", aliases);
        let run = world.run_with(&pod, &["--cluster-domain", "example.org"]);
        let fqdn = "front.db.default.svc.example.org";
        let ip = run.ip("web");
        let hosts = format!(
            "{LOOPBACK}{ip}\t{fqdn}\tfront\n\n# Entries added by HostAliases.\n192.0.2.7\tcache.remote\tcache\n"
        );
        for container in ["a", "b"] {
            assert_eq!(text(world, container, "read=/etc/hosts"), hosts);
            assert_eq!(text(world, container, "read=/etc/hostname"), format!("{fqdn}\n"));
            let report = world.answer(container, "report").unwrap();
            assert_eq!((&report["hostname"], &report["env"]["HOSTNAME"]), (&json!(fqdn), &json!(fqdn)));
        }
        let resolvers = "read=/etc/resolv.conf";
        assert_eq!(text(world, "a", resolvers), text(world, "b", resolvers));
        run.stop();
    });
}

#[test]
fn without_being_asked_the_kernel_tells_the_short_name() {
    world(|world| {
        let pod = two(world).spec("subdomain", json!("db"));
        let run = world.run(&pod);
        let hosts = format!("{LOOPBACK}{}\tweb.db.default.svc.cluster.local\tweb\n", run.ip("web"));
        assert_eq!(text(world, "a", "read=/etc/hosts"), hosts);
        assert_eq!(text(world, "a", "read=/etc/hostname"), "web\n");
        assert_eq!(world.answer("a", "report").unwrap()["hostname"], "web");
        run.stop();
    });
}

#[test]
fn a_host_name_can_be_any_and_has_no_other_beside_it() {
    world(|world| {
        let pod =
            two(world).spec("hostnameOverride", json!("www.example.com")).spec("subdomain", json!("db"));
        let run = world.run(&pod);
        let hosts = format!("{LOOPBACK}{}\twww.example.com\n", run.ip("web"));
        assert_eq!(text(world, "b", "read=/etc/hosts"), hosts);
        assert_eq!(world.answer("b", "report").unwrap()["hostname"], "www.example.com");
        run.stop();
    });
}

#[test]
fn a_pod_whose_name_is_too_long_for_the_kernel_waits_and_says_so() {
    world(|world| {
        let subdomain = "s".repeat(40);
        let pod = two(world).spec("subdomain", json!(subdomain)).spec("setHostnameAsFQDN", json!(true));
        let run = world.run(&pod);
        let error = format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN \
             web.{subdomain}.default.svc.cluster.local is too long (64 characters is the max, 70 characters requested)"
        );
        run.expect_state("web", "a", |state| state == format!("Waiting (ContainerCreating): {error}"));
        run.expect_error(&error);
        let ended = run.stop();
        assert!(!ended.stdout.contains(&"pod default/web: Running".to_owned()), "{}", ended.transcript());
        assert_eq!(world.ledger().starts("a"), 0);
    });
}

#[test]
fn on_the_nodes_network_a_pod_has_the_nodes_names_and_its_aliases() {
    world(|world| {
        let aliases = json!([{"ip": "192.0.2.7", "hostnames": ["cache"]}]);
        let pod = two(world)
            .spec("hostNetwork", json!(true))
            .spec("subdomain", json!("db"))
            .spec("setHostnameAsFQDN", json!(true))
            .spec("hostAliases", aliases);
        let run = world.run(&pod);
        let node = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let header = "# Kubernetes-managed hosts file (host network).\n";
        let own = fs::read_to_string("/etc/hosts").unwrap();
        let hosts = format!("{header}{own}\n# Entries added by HostAliases.\n192.0.2.7\tcache\n");
        assert_eq!(text(world, "a", "read=/etc/hosts"), hosts);
        assert_eq!(world.answer("a", "report").unwrap()["env"]["HOSTNAME"], node);
        assert_eq!(text(world, "a", "read=/etc/hostname"), format!("{node}\n"));
        run.stop();
    });
}

#[test]
fn what_a_container_writes_into_the_hosts_file_its_siblings_read() {
    world(|world| {
        let writer = ["write=/etc/hosts", "wait"];
        let reader = ["says=/etc/hosts:written\n", "wait"];
        let run =
            world.run(&world.pod("web", [world.container("a", &writer), world.container("b", &reader)]));
        assert_eq!(world.answer("b", "says=/etc/hosts:written\n"), Ok(json!(null)));
        run.stop();
    });
}

const RESOLV_CONF: &str = "read=/etc/resolv.conf";

/// The words after a keyword, in all lines of a resolv.conf.
fn words<'a>(resolv_conf: &'a str, keyword: &str) -> Vec<&'a str> {
    let lines = resolv_conf.lines().filter_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
    lines.flat_map(str::split_whitespace).collect()
}

#[test]
fn a_pod_can_say_itself_whom_to_ask() {
    world(|world| {
        let pod = two(world).spec("dnsPolicy", json!("None")).spec(
            "dnsConfig",
            json!({
                "nameservers": ["192.0.2.53", "2001:db8::53"],
                "searches": ["a.test", "b.test."],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            }),
        );
        let run = world.run(&pod);
        for container in ["a", "b"] {
            assert_eq!(
                text(world, container, RESOLV_CONF),
                "search a.test b.test.\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions ndots:2 edns0\n"
            );
        }
        run.stop();
    });
}

#[test]
fn where_there_is_a_cluster_its_name_service_is_asked() {
    world(|world| {
        let pod = two(world).spec("dnsConfig", json!({"options": [{"name": "ndots", "value": "3"}]}));
        let flags = ["--cluster-dns", "192.0.2.10,2001:db8::10", "--cluster-domain", "example.org"];
        let run = world.run_with(&pod, &flags);
        let resolv_conf = text(world, "a", RESOLV_CONF);
        assert_eq!(words(&resolv_conf, "nameserver"), ["192.0.2.10", "2001:db8::10"]);
        let own = ["default.svc.example.org", "svc.example.org", "example.org"];
        assert_eq!(words(&resolv_conf, "search")[..3], own);
        assert_eq!(words(&resolv_conf, "options"), ["ndots:3"]);
        run.stop();
    });
}

#[test]
fn without_a_cluster_and_by_default_the_nodes_name_service_is_asked() {
    world(|world| {
        for (name, policy, flags) in
            [("none", "ClusterFirst", &[][..]), ("default", "Default", &["--cluster-dns", "192.0.2.10"])]
        {
            let container = world.container(name, &[RESOLV_CONF]);
            let pod = world.pod(name, [container]).spec("dnsPolicy", json!(policy)).restart_policy("Never");
            world.run_with(&pod, flags).wait().success();
            let resolv_conf = text(world, name, RESOLV_CONF);
            assert!(!resolv_conf.contains("192.0.2.10"), "{policy}: {resolv_conf}");
            let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            // Where it is systemd's stub, pods have what is behind it.
            if !own.contains("127.0.0.53") {
                let first = words(&own, "nameserver").into_iter().take(3).collect::<Vec<_>>();
                assert_eq!(words(&resolv_conf, "nameserver"), first, "{policy}");
            }
        }
    });
}

#[test]
fn resolvers_beyond_the_third_are_left_out_and_told() {
    world(|world| {
        let flags = ["--cluster-dns", "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4"];
        let run = world.run_with(&two(world), &flags);
        let resolv_conf = text(world, "a", RESOLV_CONF);
        assert_eq!(words(&resolv_conf, "nameserver"), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        run.expect_error("DNSConfigForming: Nameserver limits were exceeded");
        run.stop();
    });
}
