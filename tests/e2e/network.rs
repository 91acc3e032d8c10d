//! The pod network: who reaches whom, and what is left of it.

use serde_json::{Value, json};

use crate::world::{http_get, namespace, world};

#[test]
fn pods_reach_each_other_and_the_host_reaches_pods() {
    world(|world| {
        let server = world.run(&world.pod("server", [world.container("s", &["serve=80", "wait"])]));
        let ip = server.ip("server");
        assert_eq!(http_get(ip, 80, "/").1, "s");
        let get = format!("get={ip}:80/");
        let client = world.run(&world.pod("client", [world.container("c", &[&get])]).restart_policy("Never"));
        client.wait().success();
        assert_eq!(world.answer("c", &get).unwrap(), "s");
        server.stop();
    });
}

#[test]
fn a_pod_reaches_the_host_through_its_gateway() {
    world(|world| {
        let [a, b, c] = world.network();
        let gateway = format!("{a}.{b}.{c}.1");
        let get = format!("get={gateway}:47100/");
        // Something of the host's own, which listens on all addresses: a container with the host's network.
        let host = world.run(
            &world
                .pod("host", [world.container("h", &["serve=47100", "wait"])])
                .spec("hostNetwork", json!(true)),
        );
        let pod = world.run(&world.pod("pod", [world.container("p", &[&get, "report", "wait"])]));
        assert_eq!(world.answer("p", &get).unwrap(), "h");
        let routes = world.answer("p", "report").unwrap()["routes"].clone();
        let default = routes
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .find(|route| route.starts_with("eth0\t00000000"));
        assert!(default.is_some(), "a default route by eth0: {routes}");
        pod.stop();
        host.stop();
    });
}

#[test]
fn host_network_shares_the_hosts_namespace_and_name() {
    world(|world| {
        let pod =
            world.pod("hosted", [world.container("a", &["report", "wait"])]).spec("hostNetwork", json!(true));
        let run = world.run(&pod);
        let report = world.answer("a", "report").unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(report["namespaces"]["net"], namespace(own, "net"));
        assert_eq!(report["namespaces"]["uts"], namespace(own, "uts"));
        assert_ne!(report["namespaces"]["ipc"], namespace(own, "ipc"));
        run.stop();
    });
}

#[test]
fn addresses_are_given_back() {
    world(|world| {
        // 126 addresses in the network; a leak of one for each pod would show.
        for round in 0..3 {
            let pods: Vec<_> = (0..50)
                .map(|number| {
                    world
                        .pod(&format!("p{number}"), [world.container(&format!("c{round}-{number}"), &[])])
                        .restart_policy("Never")
                })
                .collect();
            let manifest = world.write("many.json", &crate::world::list(&pods));
            let mut command = world.mkubelet();
            command.arg("run").arg(manifest);
            world.start(command).wait().success();
        }
    });
}

#[test]
fn no_program_but_our_own_is_run_to_start_a_pod() {
    world(|world| {
        // An empty PATH: a program that is looked for is not found, and one found by its path would show as a child.
        let manifest = world
            .write("pod.json", &world.pod("alone", [world.container("a", &["serve=80", "wait"])]).to_json());
        let mut command = world.mkubelet();
        command.env("PATH", "/nowhere").arg("run").arg(manifest);
        let run = world.start(command);
        assert_eq!(http_get(run.ip("alone"), 80, "/").1, "a");
        run.stop();
    });
}
