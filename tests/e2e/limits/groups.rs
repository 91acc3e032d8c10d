//! What a manifest asks for is what the control files say, for the container, its pod, its class and all pods together.

use nix::unistd::{SysconfVar, sysconf};
use serde_json::{Value, json};

use crate::world::{Container, Group, HandedOn, World, world};

/// What v1 says of a group without a memory limit: the largest whole number of pages.
const UNLIMITED: &str = "9223372036854771712";

/// Figures of one group, in v1's words. What is not said here is not compared.
#[derive(Default)]
struct Wanted {
    /// CPU shares, and the weight that they come to on v2.
    shares: Option<(u64, u64)>,
    /// CPU time in a period of 100 ms, microseconds; -1 for any.
    quota: Option<i64>,
    /// Bytes; `None` for any.
    memory: Option<u64>,
}

fn check(group: &Group, what: &str, wanted: &Wanted) {
    if let Some((shares, weight)) = wanted.shares {
        let found = group.read("cpu.weight", "cpu.shares").parse::<u64>().unwrap();
        assert!(found == shares || found == weight, "{what}: {found}, wanted {shares} or {weight}");
    }
    if let Some(quota) = wanted.quota {
        let found = group.read("cpu.max", "cpu.cfs_quota_us");
        let v2 = if quota < 0 { "max 100000".to_owned() } else { format!("{quota} 100000") };
        assert!(found == quota.to_string() || found == v2, "{what}: {found}, wanted a quota of {quota}");
    }
    let memory = group.read("memory.max", "memory.limit_in_bytes");
    match wanted.memory {
        Some(bytes) => assert_eq!(memory, bytes.to_string(), "{what}"),
        None => assert!(memory == "max" || memory == UNLIMITED, "{what}: {memory}"),
    }
}

fn container(world: &World, name: &str, resources: Value) -> Container {
    world.container(name, &["wait"]).with("resources", resources)
}

/// The class of the group of a container's pod, by its directory: empty for a guaranteed pod.
fn class_of(container: &Group) -> String {
    let path = container.path().to_str().unwrap();
    let (_, below) = path.split_once("/kubepods/").unwrap();
    below.rsplit_once("pod").unwrap().0.trim_end_matches('/').to_owned()
}

#[test]
fn a_burstable_pod_has_what_its_containers_ask_for_and_limits_where_all_have_them() {
    world(|world| {
        let a = json!({"requests": {"cpu": "500m", "memory": "32Mi"}, "limits": {"cpu": "750m", "memory": "64Mi"}});
        let b = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "32Mi"}});
        let run = world.run(&world.pod("pod", [container(world, "a", a), container(world, "b", b)]));
        let groups = ["a", "b"].map(|name| {
            run.expect_running("pod", name, 0);
            Group::of(world.pid_of(name))
        });
        assert_eq!(groups.each_ref().map(class_of), ["burstable", "burstable"]);
        let mib = |count: u64| Some(count << 20);
        check(&groups[0], "a", &Wanted { shares: Some((512, 59)), quota: Some(75_000), memory: mib(64) });
        check(&groups[1], "b", &Wanted { shares: Some((102, 17)), quota: Some(-1), memory: mib(32) });
        let pod = groups[0].above();
        check(&pod, "pod", &Wanted { shares: Some((614, 67)), quota: Some(-1), memory: mib(96) });
        assert_eq!(pod.read("pids.max", "pids.max"), "4096");
        check(&pod.above(), "burstable", &Wanted { shares: Some((614, 67)), ..Wanted::default() });
        run.stop();
    });
}

#[test]
fn a_guaranteed_pod_is_right_below_all_pods_and_has_its_limits() {
    world(|world| {
        let resources = json!({"limits": {"cpu": "200m", "memory": "64Mi"}});
        let pod = world.pod("pod", [container(world, "a", resources)]);
        let run = world.run_with(&pod, &["--pod-max-pids", "50"]);
        run.expect_running("pod", "a", 0);
        let group = Group::of(world.pid_of("a"));
        assert_eq!(class_of(&group), "");
        let wanted = Wanted { shares: Some((204, 29)), quota: Some(20_000), memory: Some(64 << 20) };
        check(&group, "a", &wanted);
        check(&group.above(), "pod", &wanted);
        assert_eq!(group.above().read("pids.max", "pids.max"), "50");
        // A share of 1024 for each processor.
        let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN).unwrap().unwrap() as u64;
        let found: u64 = group.above().above().read("cpu.weight", "cpu.shares").parse().unwrap();
        let weight = match processors {
            1 => 100,
            2 => 174,
            4 => 303,
            // Whatever it is, it grows with them.
            _ => found.max(101),
        };
        assert!([1024 * processors, weight].contains(&found), "{found} for {processors} processors");
        run.stop();
    });
}

#[test]
fn a_best_effort_pod_has_the_least_weight_and_no_limit() {
    world(|world| {
        let run = world.run(&world.pod("pod", [world.container("a", &["wait"])]));
        run.expect_running("pod", "a", 0);
        let group = Group::of(world.pid_of("a"));
        assert_eq!(class_of(&group), "besteffort");
        let wanted = Wanted { shares: Some((2, 1)), quota: Some(-1), memory: None };
        for (what, group) in [("a", &group), ("pod", &group.above()), ("besteffort", &group.above().above())]
        {
            check(group, what, &wanted);
        }
        run.stop();
    });
}

#[test]
fn the_resources_of_the_pod_bound_it_and_each_container_without_limits() {
    world(|world| {
        let small = json!({"limits": {"cpu": "100m", "memory": "32Mi"}});
        let pod = world.pod("pod", [container(world, "a", json!({})), container(world, "b", small)]);
        let whole = json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "128Mi"}});
        let run = world.run(&pod.spec("resources", whole));
        let groups = ["a", "b"].map(|name| {
            run.expect_running("pod", name, 0);
            Group::of(world.pid_of(name))
        });
        let mib = |count: u64| Some(count << 20);
        check(&groups[0], "a", &Wanted { shares: Some((2, 1)), quota: Some(100_000), memory: mib(128) });
        check(&groups[1], "b", &Wanted { shares: Some((102, 17)), quota: Some(10_000), memory: mib(32) });
        let pod = groups[0].above();
        check(&pod, "pod", &Wanted { shares: Some((512, 59)), quota: Some(100_000), memory: mib(128) });
        run.stop();
    });
}

#[test]
fn huge_pages_are_for_the_container_that_asks_for_them() {
    world(|world| {
        let _restored = HandedOn::remember();
        let resources = json!({"limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"}});
        let pod = world.pod("pod", [container(world, "a", resources), world.container("b", &["wait"])]);
        let run = world.run(&pod);
        let pages = |group: &Group| group.read("hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes");
        for (name, bytes) in [("a", "4194304"), ("b", "0")] {
            run.expect_running("pod", name, 0);
            let group = Group::of(world.pid_of(name));
            assert_eq!(pages(&group), bytes, "{name}");
            assert_eq!(pages(&group.above()), "4194304", "the pod");
        }
        run.stop();
    });
}
