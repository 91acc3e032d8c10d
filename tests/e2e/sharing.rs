//! What the containers of a pod have in common, and what each has for itself.

use serde_json::Value;

use crate::world::{http_get, world};

#[test]
fn containers_of_a_pod_share_localhost_hostname_and_ip_but_not_processes_or_files() {
    world(|world| {
        let server = world.container("server", &["write=/tmp/mine", "serve=8080", "report", "wait"]);
        let client = world.container("client", &["get=127.0.0.1:8080/", "read=/tmp/mine", "report", "wait"]);
        let run = world.run(&world.pod("pair", [server, client]));
        let ip = run.ip("pair");

        assert_eq!(world.answer("client", "get=127.0.0.1:8080/").unwrap(), "server");
        assert_eq!(world.answer("client", "read=/tmp/mine").unwrap_err(), "ENOENT");
        assert_eq!(http_get(ip, 8080, "/").1, "server");

        let server = world.answer("server", "report").unwrap();
        let client = world.answer("client", "report").unwrap();
        for shared in ["net", "ipc", "uts"] {
            assert_eq!(server["namespaces"][shared], client["namespaces"][shared], "{shared}");
        }
        for own in ["pid", "mnt", "cgroup"] {
            assert_ne!(server["namespaces"][own], client["namespaces"][own], "{own}");
        }
        for report in [&server, &client] {
            assert_eq!(report["hostname"], "pair");
            assert_eq!(report["pid"], 1);
            assert_eq!(report["processes"], serde_json::json!([1]), "each sees its own processes only");
            let addresses: Vec<&str> =
                report["addresses"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(addresses, [ip.to_string().as_str(), "127.0.0.1"]);
        }
        run.stop();
    });
}

#[test]
fn hostname_and_hosts_file_name_the_pod() {
    world(|world| {
        let steps = ["read=/etc/hostname", "read=/etc/hosts", "read=/etc/resolv.conf", "report", "wait"];
        let run =
            world.run(&world.pod("named", [world.container("a", &steps)]).spec("hostname", "chosen".into()));
        let ip = run.ip("named").to_string();

        assert_eq!(world.answer("a", "report").unwrap()["hostname"], "chosen");
        assert_eq!(world.answer("a", "read=/etc/hostname").unwrap(), "chosen\n");
        let hosts = world.answer("a", "read=/etc/hosts").unwrap();
        let words: Vec<Vec<&str>> =
            hosts.as_str().unwrap().lines().map(|line| line.split_whitespace().collect()).collect();
        assert!(words.contains(&vec!["127.0.0.1", "localhost"]), "{hosts}");
        assert!(words.contains(&vec![&ip, "chosen"]), "{hosts}");
        assert!(world.answer("a", "read=/etc/resolv.conf").is_ok());
        run.stop();
    });
}
