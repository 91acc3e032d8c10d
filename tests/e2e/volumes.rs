//! Volumes: emptyDir lives as long as the pod, hostPath is the node's own file.

use std::fs;

use serde_json::{Value, json};

use crate::world::{kill, until, world};

#[test]
fn an_empty_dir_is_shared_by_containers_and_outlives_their_restarts() {
    world(|world| {
        let writer = world.container("writer", &["write=/data/x", "report", "wait"]).mount("data", "/data");
        let reader =
            world.container("reader", &["until=/other/x", "list=/other", "wait"]).mount("data", "/other");
        let pod = world.pod("shares", [writer, reader]).volume(json!({"name": "data", "emptyDir": {}}));
        let run = world.run(&pod);
        assert_eq!(world.answer("reader", "list=/other").unwrap(), json!(["x"]));
        kill(world.pid_of("reader"));
        run.expect_running("shares", "reader", 1);
        until("the second answer", || (world.ledger().answers("reader", "list=/other") == 2).then_some(()));
        assert_eq!(world.answer("reader", "list=/other").unwrap(), json!(["x"]));
        run.stop();
    });
}

#[test]
fn a_host_path_is_the_nodes_directory_and_stays_when_the_pod_has_gone() {
    world(|world| {
        fs::create_dir(world.path("data")).unwrap();
        fs::write(world.path("data/in"), "from the host").unwrap();
        let steps = ["read=/data/in", "write=/data/out", "write=/frozen/out2", "read=/frozen/in"];
        let container = world
            .container("a", &steps)
            .mount("data", "/data")
            .mount_with(json!({"name": "data", "mountPath": "/frozen", "readOnly": true}));
        let pod =
            world.pod("paths", [container]).host_path("data", &world.path("data")).restart_policy("Never");
        world.run(&pod).wait().success();
        assert_eq!(world.answer("a", "read=/data/in").unwrap(), "from the host");
        assert!(world.answer("a", "write=/data/out").is_ok());
        assert_eq!(world.answer("a", "write=/frozen/out2").unwrap_err(), "EROFS");
        assert_eq!(world.answer("a", "read=/frozen/in").unwrap(), "from the host");
        assert_eq!(fs::read_to_string(world.path("data/out")).unwrap(), "written\n");
    });
}

#[test]
fn a_single_file_can_be_a_volume() {
    world(|world| {
        fs::write(world.path("file"), "one file").unwrap();
        let container = world
            .container("a", &["read=/deep/in/image", "write=/deep/in/image"])
            .mount("file", "/deep/in/image");
        let volume = json!({"name": "file", "hostPath": {"path": world.path("file"), "type": "File"}});
        world.run(&world.pod("file", [container]).volume(volume).restart_policy("Never")).wait().success();
        assert_eq!(world.answer("a", "read=/deep/in/image").unwrap(), "one file");
        assert_eq!(fs::read_to_string(world.path("file")).unwrap(), "written\n");
        assert!(!world.path("image/deep").exists(), "the mount point is not made in the image");
    });
}

#[test]
fn a_host_path_that_is_not_what_its_type_says_keeps_the_container_waiting() {
    world(|world| {
        fs::write(world.path("file"), "").unwrap();
        let volume = |name: &str, path: &str, kind: &str| -> Value {
            json!({"name": name, "hostPath": {"path": world.path(path), "type": kind}})
        };
        let pod = world.pod("typed", [world.container("a", &["wait"]).mount("dir", "/dir")]).volume(volume(
            "dir",
            "file",
            "Directory",
        ));
        let run = world.run(&pod);
        let line = run.expect_prefix("container default/typed/a: Waiting (");
        assert!(line.contains("hostPath type check failed") && line.contains("is not a directory"), "{line}");
        run.stop();

        let pod = world
            .pod("made", [world.container("b", &["list=/dir", "wait"]).mount("dir", "/dir")])
            .volume(volume("dir", "made", "DirectoryOrCreate"));
        let run = world.run(&pod);
        assert_eq!(world.answer("b", "list=/dir").unwrap(), json!([]));
        run.stop();
        assert!(world.path("made").is_dir());
    });
}
