//! `--config`: a KubeletConfiguration, and what it changes of an agent.

use serde_json::Value;

use crate::world::world;

const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

#[test]
fn an_agent_runs_what_its_configuration_names_and_logs_as_it_says() {
    world(|world| {
        let manifests = world.manifests();
        manifests.put(&world.pod("web", [world.container("main", &["until=stop"])]));
        let config = world.write(
            "kubelet.yaml",
            &format!(
                "{HEAD}staticPodPath: {}\ncgroupDriver: systemd\nlogging: {{format: json}}\n",
                manifests.path("").display()
            ),
        );
        let agent = world.agent_with(&["--config", config.to_str().unwrap()], None);
        let line = agent.expect_prefix("{\"ts\":");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["pod"], &line["msg"]), (&"default/web".into(), &"Pending".into()));
        crate::world::until("the container to start", || (world.ledger().starts("main") == 1).then_some(()));
        let warning = format!("{}:4:1: cgroupDriver: has no meaning here", config.display());
        agent.expect_error(&warning);
        agent.clear(world);
    });
}

#[test]
fn what_a_configuration_asks_for_in_vain_is_refused_by_name_before_anything_runs() {
    world(|world| {
        let config = world
            .write("kubelet.yaml", &format!("{HEAD}maxPodz: 1\npodPidsLimit: -5\nreadOnlyPort: 10255\n"));
        let ended = world.output(&["agent", "--config", config.to_str().unwrap()]);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success());
        let place = config.display();
        assert_eq!(
            stderr,
            format!(
                "mkubelet: {place}:3:1: maxPodz: unknown field \"maxPodz\", did you mean \"maxPods\"?\n\
                 mkubelet: {place}:5:1: readOnlyPort: not supported by this version of mkubelet\n"
            )
        );
    });
}
