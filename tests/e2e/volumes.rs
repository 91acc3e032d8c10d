//! Volumes: emptyDir lives as long as the pod, hostPath is the node's own file.

use std::fs;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::world::{Pod, World, kill, list, until, world};

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

#[test]
fn an_empty_dir_in_memory_outlives_its_containers_and_has_a_size() {
    world(|world| {
        let steps = ["list=/m", "write=/m/kept", "stat=/m/", "fill=/m/big:2", "report", "wait"];
        let container = world.container("a", &steps).mount("m", "/m");
        let volume = json!({"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}});
        let pod = world.pod("memory", [container]).volume(volume);
        let run = world.run(&pod.spec("securityContext", json!({"fsGroup": 4711})));
        assert_eq!(world.answer("a", "list=/m").unwrap(), json!([]));
        assert_eq!(world.answer("a", "stat=/m/").unwrap(), json!({"uid": 0, "gid": 4711, "mode": "3777"}));
        assert_eq!(world.answer("a", "fill=/m/big:2").unwrap_err(), "ENOSPC");
        let report = world.answer("a", "report").unwrap();
        let mounts: Vec<&str> =
            report["mounts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let line = mounts.iter().find(|line| line.split(' ').nth(4) == Some("/m")).unwrap();
        assert!(line.contains(" - tmpfs ") && line.contains("size=1024k"), "{line}");
        kill(world.pid_of("a"));
        until("the second answer", || (world.ledger().answers("a", "list=/m") == 2).then_some(()));
        assert_eq!(world.answer("a", "list=/m").unwrap(), json!(["big", "kept"]));
        run.stop();
    });
}

/// A pod whose container `NAME-a` puts so many MiB into an emptyDir on disk that may have 1.
fn filling(world: &World, name: &str, mebibytes: u32) -> Pod {
    let container =
        world.container(&format!("{name}-a"), &["term=0", &format!("fill=/v/f:{mebibytes}"), "wait"]);
    let volume = json!({"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}});
    world.pod(name, [container.mount("cache", "/v")]).volume(volume)
}

const EVICTED: &str = "Failed (Evicted): Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ";

#[test]
fn a_pod_that_fills_its_empty_dir_is_evicted_and_one_beside_it_goes_on() {
    world(|world| {
        let manifest = list(&[filling(world, "full", 2), filling(world, "fits", 0)]);
        let mut run = world.run_manifest(&world.write("two.json", &manifest));
        run.expect(&format!("pod default/full: {EVICTED}"));
        run.expect("pod default/full: deleted");
        assert!(run.is_alive());
        world.pid_of("fits-a");
        let ended = run.stop();
        assert!(!ended.transcript().contains("pod default/fits: Failed"), "{}", ended.transcript());
        assert_eq!((world.ledger().starts("full-a"), world.ledger().starts("fits-a")), (1, 1));
        assert!(world.ledger().signals("full-a").contains(&"SIGTERM".to_owned()));
    });
}

#[test]
fn an_evicted_pod_is_a_failure_even_if_its_containers_end_well() {
    world(|world| {
        let ended = world.run(&filling(world, "full", 2)).wait().code(1);
        ended.printed(&format!("pod default/full: {EVICTED}"));
    });
}

#[test]
fn a_container_that_fills_its_own_files_or_the_pods_beyond_its_limit_is_the_end_of_the_pod() {
    world(|world| {
        let limit = |limit: &str| json!({"limits": {"ephemeral-storage": limit}});
        let filling = |name: &str, path: &str| {
            let fill = format!("fill={path}:3");
            let container = world.container(name, &["term=0", &fill, "wait"]).with("resources", limit("1Mi"));
            let other = world.container(&format!("{name}-other"), &["term=0", "wait"]);
            let volume = json!({"name": "v", "emptyDir": {}});
            let other = other.with("resources", limit("1Mi"));
            world.pod(name, [container.mount("v", "/v"), other]).volume(volume)
        };
        let fits = world.container("fits", &["term=0", "fill=/f:3", "wait"]).with("resources", limit("20Mi"));
        let pods = [filling("own", "/f"), filling("shared", "/v/f"), world.pod("fits", [fits])];
        let mut run = world.run_manifest(&world.write("three.json", &list(&pods)));
        let total = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ";
        for pod in ["own", "shared"] {
            run.expect(&format!("pod default/{pod}: Failed (Evicted): {total}"));
            run.expect(&format!("pod default/{pod}: deleted"));
        }
        assert!(run.is_alive());
        world.pid_of("fits");
        run.stop();
        assert_eq!(world.ledger().signals("own"), ["SIGTERM"]);
    });
}

#[test]
fn a_container_alone_may_be_over_its_limit_of_the_disk() {
    world(|world| {
        let limit = |limit: &str| json!({"limits": {"ephemeral-storage": limit}});
        let container =
            world.container("a", &["term=0", "fill=/f:3", "wait"]).with("resources", limit("1Mi"));
        let roomy = world.container("b", &["term=0", "wait"]).with("resources", limit("1Gi"));
        let ended = world.run(&world.pod("p", [container, roomy])).wait().code(1);
        ended.printed(
            "pod default/p: Failed (Evicted): Container a exceeded its local ephemeral storage limit \"1Mi\". ",
        );
    });
}

#[test]
fn a_pod_that_was_evicted_by_an_agent_that_died_is_not_started_again_by_the_next() {
    world(|world| {
        let pod = filling(world, "full", 2);
        let run = world.run(&pod);
        world.answer("full-a", "fill=/v/f:2").unwrap();
        // So that the first agent does not come to the end of it.
        let shim = Pid::from_raw(world.shim_pid());
        signal::kill(shim, Signal::SIGSTOP).unwrap();
        run.expect(&format!("pod default/full: {EVICTED}"));
        let record = world.root_dir().join("pods").join(&world.pod_uids()[0]).join("pod.json");
        until("the record of the eviction", || {
            fs::read_to_string(&record).ok().filter(|text| text.contains("\"eviction\":"))
        });
        run.kill();
        signal::kill(shim, Signal::SIGCONT).unwrap();
        world.run(&pod).wait().code(1).printed(&format!("pod default/full: {EVICTED}"));
        assert_eq!(world.ledger().starts("full-a"), 1);
    });
}

#[test]
fn a_sub_path_shows_a_part_of_a_volume_and_is_made_when_it_is_missing() {
    world(|world| {
        fs::create_dir_all(world.path("data/of-a")).unwrap();
        fs::write(world.path("data/of-a/in"), "part").unwrap();
        std::os::unix::fs::symlink("of-a", world.path("data/link")).unwrap();
        let steps =
            ["read=/part/in", "read=/file", "read=/link/in", "write=/new/x", "list=/logs", "write=/logs/x"];
        let part =
            |path: &str, sub_path: &str| json!({"name": "data", "mountPath": path, "subPath": sub_path});
        let container = world
            .container("a", &steps)
            .with("env", json!([{"name": "POD", "value": "web-0"}]))
            .mount_with(part("/part", "of-a"))
            .mount_with(part("/file", "of-a/in"))
            .mount_with(part("/link", "link"))
            .mount_with(part("/new", "deep/new"))
            .mount_with(json!({"name": "data", "mountPath": "/logs", "subPathExpr": "logs/$(POD)"}));
        let pod =
            world.pod("parts", [container]).host_path("data", &world.path("data")).restart_policy("Never");
        world.run(&pod).wait().success();
        for step in ["read=/part/in", "read=/file", "read=/link/in"] {
            assert_eq!(world.answer("a", step).unwrap(), "part", "{step}");
        }
        assert_eq!(world.answer("a", "list=/logs").unwrap(), json!([]));
        assert!(world.path("data/deep/new/x").is_file() && world.path("data/logs/web-0/x").is_file());
    });
}

#[test]
fn a_sub_path_that_leads_out_of_its_volume_starts_nothing() {
    world(|world| {
        fs::create_dir(world.path("data")).unwrap();
        fs::create_dir(world.path("outside")).unwrap();
        for (name, to) in [("absolute", "/etc"), ("up", "../outside")] {
            std::os::unix::fs::symlink(to, world.path("data").join(name)).unwrap();
        }
        let container = |name: &str, sub_path: &str| {
            let mount = json!({"name": "data", "mountPath": "/v", "subPath": sub_path});
            world.container(name, &["list=/v", "wait"]).mount_with(mount)
        };
        let containers = [container("a", "absolute"), container("b", "up"), container("c", "up/made")];
        let run = world.run(&world.pod("out", containers).host_path("data", &world.path("data")));
        for name in ["a", "b", "c"] {
            let why = format!(
                "Waiting (CreateContainerConfigError): failed to prepare subPath for volumeMount \"data\" of container \"{name}\": "
            );
            run.expect_state("out", name, |state| state.starts_with(&why));
        }
        let ended = run.stop();
        assert!(!ended.stdout.iter().any(|line| line.contains("Running")), "{:?}", ended.stdout);
        assert_eq!(fs::read_dir(world.path("outside")).unwrap().count(), 0);
    });
}

#[test]
fn mounts_below_a_volume_follow_when_asked_to() {
    world(|world| {
        let below = world.path("data/below");
        fs::create_dir_all(&below).unwrap();
        // A shared mount of the test's own, and one below it.
        let data = world.path("data");
        mount_tmpfs(&data);
        shell(&["mount", "--make-shared", data.to_str().unwrap()]);
        fs::create_dir(&below).unwrap();
        fs::create_dir(data.join("later")).unwrap();
        mount_tmpfs(&below);
        fs::write(below.join("there"), "").unwrap();
        let mount = |path: &str, more: Value| {
            let mut mount = json!({"name": "data", "mountPath": path});
            mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            mount
        };
        let steps = [
            "list=/plain/below",
            "write=/plain/below/x",
            "write=/flat/below/y",
            "write=/deep/below/z",
            "write=/deep/z",
            "until=/follows/later/file",
            "list=/plain/later",
        ];
        let container = world
            .container("a", &steps)
            .mount_with(mount("/plain", json!({})))
            .mount_with(mount("/flat", json!({"readOnly": true})))
            .mount_with(mount("/deep", json!({"readOnly": true, "recursiveReadOnly": "Enabled"})))
            .mount_with(mount("/follows", json!({"mountPropagation": "HostToContainer"})));
        let pod = world.pod("below", [container]).host_path("data", &data).restart_policy("Never");
        let run = world.run(&pod);
        world.answer("a", "write=/deep/z").unwrap_err();
        let later = data.join("later");
        mount_tmpfs(&later);
        fs::write(later.join("file"), "").unwrap();
        run.wait().success();
        for path in [&later, &below, &data] {
            shell(&["umount", path.to_str().unwrap()]);
        }
        assert_eq!(world.answer("a", "list=/plain/below").unwrap(), json!(["there"]));
        assert!(world.answer("a", "write=/plain/below/x").is_ok());
        assert!(world.answer("a", "write=/flat/below/y").is_ok(), "readOnly is of the volume's own mount");
        assert_eq!(world.answer("a", "write=/deep/below/z").unwrap_err(), "EROFS");
        assert_eq!(world.answer("a", "list=/plain/later").unwrap(), json!([]), "nothing arrives unasked");
    });
}

#[test]
fn what_a_privileged_container_mounts_on_a_shared_path_shows_on_the_node_and_stays() {
    world(|world| {
        let data = world.path("data");
        fs::create_dir(&data).unwrap();
        mount_tmpfs(&data);
        shell(&["mount", "--make-shared", data.to_str().unwrap()]);
        for name in ["whole", "part/below"] {
            fs::create_dir_all(data.join(name)).unwrap();
        }
        let both_ways = |path: &str, more: Value| {
            let mut mount = json!({"name": "data", "mountPath": path, "mountPropagation": "Bidirectional"});
            mount.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            mount
        };
        let steps = [
            "until=/ledger/begin",
            "mount-tmpfs=/all/whole",
            "write=/all/whole/file",
            "mount-tmpfs=/part/below",
            "write=/part/below/file",
            "until=/ledger/over",
        ];
        let writer = world
            .container("writer", &steps)
            .security(json!({"privileged": true}))
            .mount_with(both_ways("/all", json!({})))
            .mount_with(both_ways("/part", json!({"subPath": "part"})));
        let reader = world
            .container("reader", &["until=/v/whole/file", "until=/v/part/below/file"])
            .mount_with(json!({"name": "data", "mountPath": "/v", "mountPropagation": "HostToContainer"}));
        let pod = world.pod("both", [writer, reader]).host_path("data", &data).restart_policy("Never");
        let run = world.run(&pod);
        run.expect_running("both", "reader", 0);
        world.touch("begin");
        run.expect_state("both", "reader", |state| state == "Terminated (Completed)");
        let mounted = [data.join("whole"), data.join("part/below")];
        for path in &mounted {
            assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "written\n");
        }
        world.touch("over");
        run.wait().success();
        // As with a kubelet: whoever mounted it may want it to stay.
        for path in mounted.iter().chain([&data]) {
            shell(&["umount", path.to_str().unwrap()]);
        }
    });
}

#[test]
fn a_path_that_the_node_does_not_share_keeps_a_container_that_would_share_it_waiting() {
    world(|world| {
        let data = world.path("data");
        fs::create_dir(&data).unwrap();
        mount_tmpfs(&data);
        shell(&["mount", "--make-private", data.to_str().unwrap()]);
        let mount = json!({"name": "data", "mountPath": "/v", "mountPropagation": "Bidirectional"});
        let container =
            world.container("a", &["wait"]).security(json!({"privileged": true})).mount_with(mount);
        let run = world.run(&world.pod("private", [container]).host_path("data", &data));
        let why = format!(
            "Waiting (CreateContainerError): path {data:?} is mounted on {data:?} but it is not a shared mount"
        );
        run.expect_state("private", "a", |state| state.starts_with(&why));
        run.stop();
        shell(&["umount", data.to_str().unwrap()]);
    });
}

#[test]
fn what_a_privileged_container_mounts_on_the_pods_own_volume_shows_in_the_pod_alone() {
    world(|world| {
        let mount = |volume: &str, propagation: &str| json!({"name": volume, "mountPath": format!("/{volume}"), "mountPropagation": propagation});
        let steps = [
            "until=/ledger/begin",
            "mount-tmpfs=/disk/on",
            "write=/disk/on/file",
            "mount-tmpfs=/memory/on",
            "write=/memory/on/file",
            "write=/ledger/mounted",
            "wait",
        ];
        let [follows, stays] = [
            ["until=/disk/on/file", "until=/memory/on/file", "report", "wait"],
            ["until=/ledger/mounted", "list=/disk/on", "list=/memory/on", "wait"],
        ];
        let prepare = world.container("prepare", &["make=/disk/on", "make=/memory/on"]);
        let prepare = prepare.mount("disk", "/disk").mount("memory", "/memory");
        let containers = [
            (world.container("writer", &steps).security(json!({"privileged": true})), "Bidirectional"),
            (world.container("follows", &follows), "HostToContainer"),
            (world.container("stays", &stays), "None"),
        ];
        let containers = containers.map(|(container, propagation)| {
            container.mount_with(mount("disk", propagation)).mount_with(mount("memory", propagation))
        });
        let pod = world
            .pod("own", containers)
            .init([prepare])
            .volume(json!({"name": "disk", "emptyDir": {}}))
            .volume(json!({"name": "memory", "emptyDir": {"medium": "Memory"}}));
        let run = world.run(&pod);
        // What is mounted before a container starts shows in it whatever its propagation.
        for container in ["follows", "stays"] {
            run.expect_running("own", container, 0);
        }
        world.touch("begin");
        world.answer("follows", "report").unwrap();
        for step in ["list=/disk/on", "list=/memory/on"] {
            assert_eq!(world.answer("stays", step).unwrap(), json!([]), "{step}");
        }
        let uid = &world.pod_uids()[0];
        let on_node = world.root_dir().join("pods").join(uid).join("volumes/kubernetes.io~empty-dir/disk/on");
        assert_eq!(fs::read_dir(on_node).unwrap().count(), 0, "it shows on the node");
        // It is the pod's, not the container's.
        kill(world.pid_of("follows"));
        until("the second report", || (world.ledger().answers("follows", "report") == 2).then_some(()));
        run.stop();
    });
}

fn mount_tmpfs(path: &std::path::Path) {
    shell(&["mount", "-t", "tmpfs", "tmpfs", path.to_str().unwrap()]);
}

fn shell(words: &[&str]) {
    let status = std::process::Command::new(words[0]).args(&words[1..]).status().unwrap();
    assert!(status.success(), "{words:?}");
}

#[test]
fn an_image_can_be_a_volume_that_nobody_changes() {
    world(|world| {
        fs::create_dir_all(world.path("files/sub")).unwrap();
        fs::write(world.path("files/sub/file"), "from the image").unwrap();
        let reference = format!("dir:{}", world.path("files").display());
        let steps = ["list=/i", "read=/i/sub/file", "write=/i/new", "report"];
        let container = world.container("a", &steps).mount("i", "/i");
        let volume = json!({"name": "i", "image": {"reference": reference}});
        let pod = world.pod("image", [container]).volume(volume).restart_policy("Never");
        world.run(&pod).wait().success();
        assert_eq!(world.answer("a", "list=/i").unwrap(), json!(["sub"]));
        assert_eq!(world.answer("a", "read=/i/sub/file").unwrap(), "from the image");
        assert_eq!(world.answer("a", "write=/i/new").unwrap_err(), "EROFS");
        let report = world.answer("a", "report").unwrap();
        let mounts: Vec<&str> =
            report["mounts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let line = mounts.iter().find(|line| line.split(' ').nth(4) == Some("/i")).unwrap();
        assert!(line.contains(" ro,nosuid,nodev,noexec"), "{line}");
        assert!(!world.path("files/new").exists());
    });
}

#[test]
fn a_part_of_an_image_is_a_directory_or_a_file_and_never_leads_out_of_it() {
    world(|world| {
        fs::create_dir_all(world.path("files/sub")).unwrap();
        fs::write(world.path("files/sub/file"), "from the image").unwrap();
        std::os::unix::fs::symlink("/sub", world.path("files/link")).unwrap();
        std::os::unix::fs::symlink("../../../../../etc", world.path("files/out")).unwrap();
        let part = |path: &str, field: &str, part: &str| json!({"name": "i", "mountPath": path, field: part});
        let steps = ["read=/dir/file", "write=/dir/new", "read=/file", "list=/link"];
        let fine = world
            .container("fine", &steps)
            .with("env", json!([{"name": "WHICH", "value": "link"}]))
            .mount_with(part("/dir", "subPath", "sub"))
            .mount_with(part("/file", "subPath", "sub/file"))
            .mount_with(part("/link", "subPathExpr", "$(WHICH)"));
        let out = world.container("out", &["list=/v"]).mount_with(part("/v", "subPath", "out"));
        let missing = world.container("missing", &["list=/v"]).mount_with(part("/v", "subPath", "none"));
        let volume =
            json!({"name": "i", "image": {"reference": format!("dir:{}", world.path("files").display())}});
        let pod = world.pod("parts", [fine, out, missing]).volume(volume).restart_policy("Never");
        let run = world.run(&pod);
        for (name, part) in [("out", "out"), ("missing", "none")] {
            let why = format!("open {part} in the image");
            run.expect_state("parts", name, |state| state.contains(&why));
        }
        assert_eq!(world.answer("fine", "read=/dir/file").unwrap(), "from the image");
        assert_eq!(world.answer("fine", "write=/dir/new").unwrap_err(), "EROFS");
        assert_eq!(world.answer("fine", "read=/file").unwrap(), "from the image");
        assert_eq!(world.answer("fine", "list=/link").unwrap(), json!(["file"]));
        run.wait();
        for name in ["out", "missing"] {
            assert_eq!(world.ledger().starts(name), 0, "{name} ran");
        }
    });
}

#[test]
fn an_image_that_is_not_there_keeps_its_volume_and_the_pod_waiting() {
    world(|world| {
        let volume = json!({"name": "i", "image": {"reference": "nowhere:1", "pullPolicy": "Never"}});
        let pod = world.pod("image", [world.container("a", &["wait"]).mount("i", "/i")]).volume(volume);
        let run = world.run(&pod);
        run.expect_state("image", "a", |state| state.starts_with("Waiting (ErrImageNeverPull)"));
        run.stop();
    });
}
