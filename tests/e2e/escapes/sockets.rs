//! Abstract unix sockets have no directory to shut: whoever shares the network namespace can connect (CVE-2020-15257).

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::attack;

/// The inodes of the sockets that a process holds.
fn sockets_of(pid: i32) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets
        .filter_map(|target| {
            Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect()
}

#[test]
fn a_pod_in_the_hosts_network_finds_no_abstract_socket_of_ours() {
    attack(|world, _| {
        let pod = world.pod("hosted", [world.container("a", &["wait"])]).spec("hostNetwork", json!(true));
        let run = world.run(&pod);
        run.expect_running("hosted", "a", 0);
        let ours: BTreeSet<String> =
            [run.pid(), world.shim_pid(), world.pause_pid()].into_iter().flat_map(sockets_of).collect();
        // As the container sees it.
        let table = fs::read_to_string(format!("/proc/{}/net/unix", world.pid_of("a"))).unwrap();
        let mut named = 0;
        for line in table.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [.., inode, name] = fields[..] else { continue };
            if ours.contains(inode) {
                named += 1;
                assert!(name.starts_with('/'), "{line}");
            }
        }
        assert!(named > 0, "the shim's socket is in the table: {table}");
        run.stop();
    });
}

/// What a pod sees the name of it cannot connect to: the path is not in its root.
#[test]
fn the_shims_socket_is_out_of_reach_by_its_name() {
    attack(|world, _| {
        let path = world.run_dir();
        let list = format!("list={}", path.display());
        let container = world.container("a", &[&list, "list=/proc/1/root/run", "wait"]);
        let run = world.run(&world.pod("hosted", [container]).spec("hostNetwork", json!(true)));
        assert_eq!(world.answer("a", &list).unwrap_err(), "ENOENT");
        run.stop();
    });
}
