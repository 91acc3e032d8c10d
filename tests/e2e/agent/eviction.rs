//! A node that runs short: which pods go, which stay, which do not come, and what the API says of it.

use serde_json::{Value, json};

use super::client::{create, fine, get};
use crate::world::{Pod, World, until, world};

/// More memory than any machine has: with it, every machine runs short.
const MORE_THAN_THERE_IS: &str = "--eviction-hard=memory.available<1Pi";

/// A pod that requests so much memory.
fn requesting(world: &World, name: &str, memory: &str) -> Pod {
    let container = world.container(name, &["term=0", "wait"]);
    world.pod(name, [container.with("resources", json!({"requests": {"memory": memory}}))])
}

/// Status of the node's MemoryPressure with its reason, and the keys of its taints.
fn node(world: &World) -> (String, Vec<String>) {
    let node = get(world, "nodes").remove(0);
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let memory = conditions.iter().find(|one| one["type"] == "MemoryPressure").unwrap();
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let condition = format!("{} {}", text(&memory["status"]), text(&memory["reason"]));
    (condition, taints.iter().map(|taint| text(&taint["key"])).collect())
}

#[test]
fn a_node_that_runs_short_of_memory_ends_one_pod_after_another_but_no_static_one() {
    world(|world| {
        let manifests = world.manifests().path("");
        let manifests = ["--manifests", manifests.to_str().unwrap()];
        let plenty = [&manifests[..], &["--eviction-hard="]].concat();
        world.manifests().put(&world.pod("pinned", [world.container("pinned", &["term=0", "wait"])]));
        let agent = world.agent_with(&plenty, None);
        agent.expect_running("pinned", "pinned", 0);
        create(world, &requesting(world, "frugal", "1Gi"));
        create(world, &requesting(world, "greedy", "1Ki"));
        agent.expect_running("frugal", "frugal", 0);
        agent.expect_running("greedy", "greedy", 0);
        assert_eq!(node(world), ("False KubeletHasSufficientMemory".to_owned(), vec![]));
        agent.stop();

        let agent = world.agent_with(&[&manifests[..], &[MORE_THAN_THERE_IS]].concat(), None);
        let greedy = agent.expect_prefix(
            "pod default/greedy: Failed (Evicted): The node was low on resource: memory. Threshold quantity: 1Pi, available: ",
        );
        for part in ["Container greedy was using ", ", request is 1Ki, has larger consumption of memory."] {
            assert!(greedy.contains(part), "{greedy}");
        }
        let frugal = agent.expect_prefix("pod default/frugal: Failed (Evicted): ");
        assert!(!frugal.contains("Container frugal"), "it used less than it requests: {frugal}");
        let lines = agent.lines();
        let place = |line: &str| lines.iter().position(|one| one.contains(line)).unwrap();
        assert!(place(&greedy) < place(&frugal), "one after another, who is beyond its request first");
        let short = (
            "True KubeletHasInsufficientMemory".to_owned(),
            vec!["node.kubernetes.io/memory-pressure".to_owned()],
        );
        until("the node to be told of", || (node(world) == short).then_some(()));

        create(world, &world.pod("late", [world.container("late", &["wait"])]));
        agent.expect_prefix(
            "pod default/late: Failed (Evicted): Pod was rejected: The node had condition: [MemoryPressure].",
        );
        until("the API to be told of it", || {
            let is_told =
                |pod: &Value| pod["metadata"]["name"] == "late" && pod["status"]["phase"] == "Failed";
            get(world, "pods").iter().any(is_told).then_some(())
        });
        let pods = get(world, "pods");
        let greedy = pods.iter().find(|pod| pod["metadata"]["name"] == "greedy").unwrap();
        let conditions = greedy["status"]["conditions"].as_array().unwrap();
        let target = conditions.iter().find(|one| one["type"] == "DisruptionTarget").unwrap();
        assert_eq!(target["reason"], "TerminationByKubelet");
        until("all that happened to be told", || {
            let events = get(world, "events");
            let has = |reason: &str, of: &str| {
                events.iter().any(|event| event["reason"] == reason && event["involvedObject"]["kind"] == of)
            };
            let all = [
                ("Starting", "Node"),
                ("NodeHasSufficientMemory", "Node"),
                ("NodeHasInsufficientMemory", "Node"),
                ("EvictionThresholdMet", "Node"),
                ("Evicted", "Pod"),
            ];
            all.iter().all(|(reason, of)| has(reason, of)).then_some(())
        });
        agent.stop();

        let agent = world.agent_with(&plenty, None);
        let well = ("False KubeletHasSufficientMemory".to_owned(), vec![]);
        agent.expect_prefix("pod default/greedy: Failed (Evicted): ");
        until("the node to be well again", || (node(world) == well).then_some(()));
        for name in ["frugal", "greedy", "late"] {
            fine(world.output(&["delete", "pod", name, "--grace-period=1"]));
        }
        agent.clear(world);
        for name in ["pinned", "frugal", "greedy"] {
            assert_eq!(world.ledger().starts(name), 1, "{name}");
        }
        assert_eq!(world.ledger().starts("late"), 0);
    });
}
