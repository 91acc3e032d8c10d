//! What an agent tells of itself: health, configuration, statistics and metrics, on the socket of its API.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::world::{World, until, world};

/// Code and body of an answer.
pub(super) fn get(world: &World, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(world.run_dir().join("api.sock")).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The value of each series.
fn series(text: &str) -> HashMap<&str, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

#[test]
fn an_agent_tells_how_it_is_and_what_its_pods_use() {
    world(|world| {
        let probe = serde_json::json!({"tcpSocket": {"port": 80}, "periodSeconds": 1});
        let main = world.container("main", &["serve=80", "until=stop"]).with("readinessProbe", probe);
        world.manifests().put(&world.pod("web", [main]));
        let agent = world.agent();
        agent.expect_running("web", "main", 0);

        assert_eq!(get(world, "/healthz"), (200, "ok".to_owned()));
        let told = "[+]ping ok\n[+]syncloop ok\nreadyz check passed\n".to_owned();
        assert_eq!(get(world, "/readyz?verbose"), (200, told));

        let (code, configuration) = get(world, "/configz");
        let configuration: Value = serde_json::from_str(&configuration).unwrap();
        assert_eq!((code, &configuration["kubeletconfig"]["podPidsLimit"]), (200, &4096.into()));
        let manifests = world.manifests().path("").display().to_string();
        let path = configuration["kubeletconfig"]["staticPodPath"].as_str().unwrap();
        assert_eq!(path.trim_end_matches('/'), manifests.trim_end_matches('/'));

        let (_, nodes) = get(world, "/api/v1/nodes");
        let nodes: Value = serde_json::from_str(&nodes).unwrap();
        let node = nodes["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
        let (code, summary) = get(world, &format!("/api/v1/nodes/{node}/proxy/stats/summary"));
        let summary: Value = serde_json::from_str(&summary).unwrap();
        assert_eq!((code, &summary["node"]["nodeName"]), (200, &node.clone().into()));
        assert!(summary["node"]["cpu"]["usageCoreNanoSeconds"].as_u64().unwrap() > 0, "{summary}");
        assert!(summary["node"]["fs"]["capacityBytes"].as_u64().unwrap() > 0, "{summary}");
        let pod = &summary["pods"][0];
        assert_eq!((&pod["podRef"]["name"], &pod["containers"][0]["name"]), (&"web".into(), &"main".into()));
        assert_eq!(pod["network"]["name"], "eth0");

        let (_, pods) = get(world, "/pods");
        let pods: Value = serde_json::from_str(&pods).unwrap();
        assert_eq!(pods["kind"], "PodList");

        let (_, own) = get(world, "/metrics");
        let own = series(&own);
        assert_eq!(own["kubelet_running_pods"], 1.0);
        assert_eq!(own["kubelet_running_containers{container_state=\"running\"}"], 1.0);
        assert_eq!(own["kubelet_runtime_operations_total{operation_type=\"start_container\"}"], 1.0);
        assert_eq!(own["kubelet_pod_start_duration_seconds_count"], 1.0);
        assert!(own["process_resident_memory_bytes"] > 0.0);
        assert!(own.keys().any(|name| name.starts_with("apiserver_request_total{verb=\"LIST\"")), "{own:?}");

        let (_, resource) = get(world, "/metrics/resource");
        let resource = series(&resource);
        assert_eq!(resource["resource_scrape_error"], 0.0);
        let of_main = "{container=\"main\",namespace=\"default\",pod=\"web\"}";
        assert!(resource[format!("container_start_time_seconds{of_main}").as_str()] > 1e9);

        let (_, cadvisor) = get(world, "/metrics/cadvisor");
        let received = cadvisor.lines().find(|line| {
            line.starts_with("container_network_receive_bytes_total{") && line.contains("interface=\"eth0\"")
        });
        assert!(received.is_some_and(|line| line.contains("pod=\"web\"")), "{cadvisor}");
        series(&cadvisor);

        until("a probe to be counted", || {
            let (_, probes) = get(world, "/metrics/probes");
            let wanted = "prober_probe_total{probe_type=\"Readiness\",result=\"successful\",container=\"main\",pod=\"web\"";
            probes.lines().any(|line| line.starts_with(wanted)).then_some(())
        });
        agent.clear(world);
    });
}
