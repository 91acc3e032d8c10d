//! A node that is full: which pods it does not take, and which make room for others.

use serde_json::{Value, json};

use super::client::{create, fine, get};
use crate::world::{Agent, Pod, World, until, world};

/// A pod that requests so much of the processors.
fn requesting(world: &World, name: &str, cpu: &str) -> Pod {
    let container = world.container(name, &["term=0", "wait"]);
    world.pod(name, [container.with("resources", json!({"requests": {"cpu": cpu}}))])
}

/// The pod of the API with that name.
fn pod(world: &World, name: &str) -> Value {
    get(world, "pods").into_iter().find(|pod| pod["metadata"]["name"] == name).unwrap()
}

/// The messages of the events of a pod for this reason.
fn events(world: &World, name: &str, reason: &str) -> Vec<String> {
    let events = get(world, "events");
    let its =
        events.iter().filter(|event| event["involvedObject"]["name"] == name && event["reason"] == reason);
    its.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// An agent with these flags, whose Node is there.
fn agent(world: &World, flags: &[&str]) -> Agent {
    let agent = world.agent_with(flags, None);
    until("the node", || has_node(world).then_some(()));
    agent
}

/// Whether the API answers, and has a Node with a status.
fn has_node(world: &World) -> bool {
    world.output(&["get", "nodes", "-o", "jsonpath={.items[0].status.capacity}"]).stdout.starts_with(b"{")
}

fn delete(world: &World, name: &str) {
    fine(world.output(&["delete", "pod", name, "--grace-period=1"]));
}

#[test]
fn the_pod_too_many_is_refused_and_a_static_one_has_another_make_room() {
    world(|world| {
        let manifests = world.manifests();
        let path = manifests.path("");
        let flags = ["--manifests", path.to_str().unwrap(), "--max-pods=2"];
        let agent = agent(world, &flags);
        for name in ["one", "two"] {
            create(world, &requesting(world, name, "10m"));
            agent.expect_running(name, name, 0);
        }
        const WHY: &str = "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2";
        create(world, &requesting(world, "three", "10m"));
        agent.expect(&format!("pod default/three: Failed (OutOfpods): Pod was rejected: {WHY}"));
        until("the event", || (events(world, "three", "OutOfpods") == [WHY]).then_some(()));
        let status = &get(world, "nodes")[0]["status"];
        assert_eq!([&status["capacity"]["pods"], &status["allocatable"]["pods"]], ["2", "2"]);
        assert_eq!(pod(world, "three")["status"]["reason"], "OutOfpods");

        // It is not counted, and when another has gone there is room.
        delete(world, "two");
        create(world, &requesting(world, "four", "20m"));
        agent.expect_running("four", "four", 0);

        manifests.put(&world.pod("pinned", [world.container("pinned", &["term=0", "wait"])]));
        agent.expect_running("pinned", "pinned", 0);
        const GONE: &str = "Preempted in order to admit critical pod";
        agent.expect(&format!("pod default/one: Failed (Preempting): {GONE}"));
        until("the event", || (events(world, "one", "Preempting") == [GONE]).then_some(()));
        until("the API to be told", || (pod(world, "one")["status"]["reason"] == "Preempting").then_some(()));
        let conditions = pod(world, "one")["status"]["conditions"].as_array().unwrap().clone();
        let target = conditions.iter().find(|one| one["type"] == "DisruptionTarget").unwrap();
        assert_eq!(target["message"], "Pod was preempted by Kubelet to accommodate a critical pod.");
        agent.stop();

        // Those that run go on, in whatever order they are heard of, and what was refused stays so.
        let agent = world.agent_with(&flags, None);
        agent.expect_running("four", "four", 0);
        agent.expect_running("pinned", "pinned", 0);
        for name in ["one", "three", "four"] {
            delete(world, name);
        }
        agent.clear(world);
        for (name, starts) in [("one", 1), ("two", 1), ("three", 0), ("four", 1), ("pinned", 1)] {
            assert_eq!(world.ledger().starts(name), starts, "{name}");
        }
    });
}

#[test]
fn a_pod_that_no_agent_looked_after_makes_room_when_one_does_again() {
    world(|world| {
        let manifests = world.manifests();
        let path = manifests.path("");
        let flags = ["--manifests", path.to_str().unwrap(), "--max-pods=1"];
        let before = agent(world, &flags);
        create(world, &requesting(world, "one", "10m"));
        before.expect_running("one", "one", 0);
        before.stop();
        // Manifests are heard of before the API is.
        manifests.put(&world.pod("pinned", [world.container("pinned", &["term=0", "wait"])]));
        let agent = agent(world, &flags);
        agent.expect_running("pinned", "pinned", 0);
        agent.expect("pod default/one: Failed (Preempting): Preempted in order to admit critical pod");
        delete(world, "one");
        agent.clear(world);
        assert_eq!([world.ledger().starts("one"), world.ledger().starts("pinned")], [1, 1]);
    });
}

#[test]
fn what_is_reserved_is_not_given_to_pods() {
    world(|world| {
        let manifests = world.manifests().path("");
        let config = world.write(
            "kubelet.yaml",
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nsystemReserved: {cpu: 500m, memory: \
             64Mi}\n",
        );
        let flags = ["--manifests", manifests.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let agent = agent(
            world,
            &[&flags[..], &["--kube-reserved=cpu=250m", "--eviction-hard=memory.available<36Mi"]].concat(),
        );
        let status = get(world, "nodes")[0]["status"].clone();
        let kibibytes = |of: &str| -> u64 {
            status[of]["memory"].as_str().unwrap().strip_suffix("Ki").unwrap().parse().unwrap()
        };
        let has_huge_pages = status["capacity"]
            .as_object()
            .unwrap()
            .iter()
            .any(|(name, amount)| name.starts_with("hugepages-") && *amount != "0");
        if !has_huge_pages {
            assert_eq!(kibibytes("capacity") - kibibytes("allocatable"), 100 << 10);
        }
        let millis = |of: &str| -> u64 {
            let text = status[of]["cpu"].as_str().unwrap();
            text.strip_suffix('m').map_or_else(|| text.parse::<u64>().unwrap() * 1000, |m| m.parse().unwrap())
        };
        let (capacity, allocatable) = (millis("capacity"), millis("allocatable"));
        assert_eq!(capacity - allocatable, 750);
        create(world, &requesting(world, "large", &format!("{}m", allocatable + 1)));
        agent.expect(&format!(
            "pod default/large: Failed (OutOfcpu): Pod was rejected: Node didn't have enough resource: cpu, requested: {}, \
             used: 0, capacity: {allocatable}",
            allocatable + 1
        ));
        create(world, &requesting(world, "fits", &format!("{allocatable}m")));
        agent.expect_running("fits", "fits", 0);
        for name in ["large", "fits"] {
            delete(world, name);
        }
        agent.stop();
        let refused = world.output(&["agent", "--kube-reserved=memory=1Pi"]);
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert!(stderr.contains("invalid Node Allocatable configuration. Resource \"memory\""), "{stderr}");
    });
}
