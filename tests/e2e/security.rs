//! securityContext, from the manifest to what the container finds itself to be.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;

use serde_json::{Value, json};

use crate::world::{Container, World, world};

/// Runs one container of a pod with this securityContext to its end, and returns its report.
fn report(world: &World, pod: Value, container: Container) -> Value {
    let pod = world.pod("secure", [container]).spec("securityContext", pod).restart_policy("Never");
    let pod = pod.volume(json!({"name": "data", "emptyDir": {}}));
    world.run(&pod).wait().success();
    world.answer("a", "report").unwrap()
}

/// An image whose /etc/group lists its user in group 50.
fn with_groups(world: &World) {
    let etc = world.path("image/etc");
    fs::create_dir_all(&etc).unwrap();
    fs::write(etc.join("passwd"), "root:x:0:0::/:/x\nweb:x:1000:1000::/:/x\n").unwrap();
    fs::write(etc.join("group"), "web:x:1000:\nextra:x:50:web\n").unwrap();
}

#[test]
fn groups_are_those_of_the_pod_and_by_policy_those_of_the_image() {
    for (policy, groups) in [("Merge", "50 1000 2000 3000"), ("Strict", "1000 2000 3000")] {
        world(|world| {
            with_groups(world);
            let context = json!({
                "runAsUser": 1000,
                "supplementalGroups": [2000],
                "supplementalGroupsPolicy": policy,
                "fsGroup": 3000,
            });
            let report = report(world, context, world.container("a", &["report"]));
            assert_eq!(report["status"]["Uid"], "1000 1000 1000 1000");
            assert_eq!(report["status"]["Gid"], "1000 1000 1000 1000");
            let mut found: Vec<u32> = report["status"]["Groups"]
                .as_str()
                .unwrap()
                .split(' ')
                .map(|group| group.parse().unwrap())
                .collect();
            found.sort_unstable();
            let found: Vec<String> = found.iter().map(u32::to_string).collect();
            assert_eq!(found.join(" "), groups, "{policy}");
        });
    }
}

#[test]
fn fs_group_owns_the_pods_volumes_and_no_path_of_the_node() {
    world(|world| {
        fs::create_dir(world.path("host")).unwrap();
        let before = fs::metadata(world.path("host")).unwrap();
        let steps = ["write=/data/file", "stat=/data", "stat=/data/file"];
        let container = world
            .container("a", &steps)
            .mount("data", "/data")
            .mount("host", "/host")
            .security(json!({"runAsUser": 1000}));
        let pod = world
            .pod("owned", [container])
            .spec("securityContext", json!({"fsGroup": 3000, "fsGroupChangePolicy": "OnRootMismatch"}))
            .volume(json!({"name": "data", "emptyDir": {}}))
            .host_path("host", &world.path("host"))
            .restart_policy("Never");
        world.run(&pod).wait().success();
        assert_eq!(world.answer("a", "stat=/data").unwrap(), json!({"uid": 0, "gid": 3000, "mode": "2777"}));
        let file = world.answer("a", "stat=/data/file").unwrap();
        assert_eq!((&file["uid"], &file["gid"]), (&json!(1000), &json!(3000)));
        let after = fs::metadata(world.path("host")).unwrap();
        assert_eq!(format!("{:?}", before.permissions()), format!("{:?}", after.permissions()));
        assert_eq!(std::os::unix::fs::MetadataExt::gid(&before), std::os::unix::fs::MetadataExt::gid(&after));
    });
}

#[test]
fn kernel_parameters_are_set_in_the_pods_namespaces_and_nowhere_else() {
    const SET: [(&str, &str); 3] = [
        ("net.ipv4.ip_unprivileged_port_start", "/proc/sys/net/ipv4/ip_unprivileged_port_start"),
        ("kernel.shm_rmid_forced", "/proc/sys/kernel/shm_rmid_forced"),
        ("net.ipv4.ip_local_port_range", "/proc/sys/net/ipv4/ip_local_port_range"),
    ];
    let values = ["81", "1", "20000\t30000"];
    world(|world| {
        let before = SET.map(|(_, file)| fs::read_to_string(file).unwrap());
        let steps = SET.map(|(_, file)| format!("read={file}"));
        let mut steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        steps.push("report");
        let sysctls: Vec<Value> =
            SET.iter().zip(values).map(|((name, _), value)| json!({"name": name, "value": value})).collect();
        report(world, json!({"sysctls": sysctls}), world.container("a", &steps));
        for ((_, file), value) in SET.iter().zip(values) {
            let inside = world.answer("a", &format!("read={file}")).unwrap();
            assert_eq!(inside.as_str().unwrap().trim_end(), value, "{file}");
        }
        assert_eq!(SET.map(|(_, file)| fs::read_to_string(file).unwrap()), before);
    });
}

#[test]
fn a_kernel_parameter_is_refused_before_anything_starts_unless_it_is_allowed() {
    world(|world| {
        let context = json!({"sysctls": [{"name": "net.ipv4.conf.all.forwarding", "value": "1"}]});
        let file = "read=/proc/sys/net/ipv4/conf/all/forwarding";
        let pod = world.pod("unsafe", [world.container("a", &[file])]).restart_policy("Never");
        let pod = pod.spec("securityContext", context);
        let refused = world.run(&pod).wait().code(1);
        assert!(
            refused.transcript().contains(
                "spec.securityContext.sysctls[0].name: Forbidden: forbidden sysctl: \
                 \"net.ipv4.conf.all.forwarding\" not allowlisted"
            ),
            "{}",
            refused.transcript()
        );
        assert_eq!(world.ledger().starts("a"), 0);

        world.run_with(&pod, &["--allowed-unsafe-sysctls", "net.ipv4.conf.*,kernel.sem"]).wait().success();
        assert_eq!(world.answer("a", file).unwrap(), "1\n");
    });
}

#[test]
fn kernel_parameters_of_the_pods_interface_are_set_with_it() {
    const SET: [(&str, &str, &str); 3] = [
        ("net.ipv4.conf.eth0.arp_announce", "/proc/sys/net/ipv4/conf/eth0/arp_announce", "2"),
        ("net/ipv4/neigh/eth0/gc_stale_time", "/proc/sys/net/ipv4/neigh/eth0/gc_stale_time", "61"),
        ("net.ipv4.conf.lo.arp_announce", "/proc/sys/net/ipv4/conf/lo/arp_announce", "1"),
    ];
    world(|world| {
        for host_users in [true, false] {
            let name = if host_users { "plain" } else { "mapped" };
            let steps = SET.map(|(_, file, _)| format!("read={file}"));
            let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
            let sysctls: Vec<Value> =
                SET.iter().map(|(name, _, value)| json!({"name": name, "value": value})).collect();
            let pod = world.pod(name, [world.container(name, &steps)]).restart_policy("Never");
            let pod = pod.spec("securityContext", json!({"sysctls": sysctls}));
            let pod = pod.spec("hostUsers", json!(host_users));
            world.run_with(&pod, &["--allowed-unsafe-sysctls", "net.*"]).wait().success();
            for (_, file, value) in SET {
                let inside = world.answer(name, &format!("read={file}")).unwrap();
                assert_eq!(inside.as_str().unwrap().trim_end(), value, "{name}: {file}");
            }
        }
    });
}

#[test]
fn a_kernel_parameter_that_cannot_be_set_is_named_and_the_pod_waits() {
    world(|world| {
        let context = json!({"sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "many"}]});
        let pod = world.pod("bad", [world.container("a", &[])]).spec("securityContext", context);
        let run = world.run(&pod);
        let error = "set the sysctl net.ipv4.ip_local_port_range to \"many\": EINVAL";
        run.expect_state("bad", "a", |state| {
            state.starts_with("Waiting (ContainerCreating): ") && state.contains(error)
        });
        run.expect_error("FailedCreatePodSandBox");
        run.stop();
        assert_eq!(world.ledger().starts("a"), 0);
    });
}

/// A line of this process's own status: the tests run as the root that starts the agent.
fn own_status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn a_privileged_container_has_the_nodes_devices_and_capabilities_and_no_masks() {
    world(|world| {
        let steps = ["list=/dev", "write=/proc/sys/kernel/hostname", "report"];
        let container = world.container("a", &steps).security(json!({"privileged": true}));
        let report = report(world, json!({}), container);
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(report["status"][set], own_status("CapPrm"), "{set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(report["status"][set], "0000000000000000", "{set}");
        }

        let listed = world.answer("a", "list=/dev").unwrap();
        let inside: BTreeSet<&str> = listed.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for entry in fs::read_dir("/dev").unwrap().map(Result::unwrap) {
            let (kind, name) = (entry.file_type().unwrap(), entry.file_name().into_string().unwrap());
            if (kind.is_char_device() || kind.is_block_device()) && name != "console" {
                assert!(inside.contains(name.as_str()), "{name} is not in {inside:?}");
            }
        }
        // Of its own UTS namespace: writable, as /proc/sys is not masked.
        world.answer("a", "write=/proc/sys/kernel/hostname").unwrap();

        let mounts: Vec<&str> =
            report["mounts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let below: Vec<&&str> = mounts.iter().filter(|line| line.contains(" /proc/")).collect();
        assert!(below.is_empty(), "no masks: {below:?}");
        for path in [" /sys ", " /proc "] {
            let options = mounts.iter().find(|line| line.contains(path)).unwrap().split(' ').nth(5).unwrap();
            assert!(options.starts_with("rw,") && options.contains("nosuid"), "{path}: {options}");
        }
    });
}

#[test]
fn all_capabilities_are_all_that_the_node_has() {
    world(|world| {
        let security = json!({"capabilities": {"add": ["all"], "drop": ["sys_admin"]}});
        let report = report(world, json!({}), world.container("a", &["report"]).security(security));
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let sys_admin = 1 << 21;
        let expected = number(&own_status("CapPrm")) & !sys_admin;
        assert_eq!(number(report["status"]["CapEff"].as_str().unwrap()), expected);
    });
}
