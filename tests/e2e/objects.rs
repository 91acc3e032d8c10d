//! ConfigMaps, Secrets and the downward API as volumes: what containers see, when it changes, and where it never is.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{Pod, World, patient, until, with_objects, world};

/// From a saved file to the running container: the promise is seconds, a kubelet's a minute.
fn seconds() -> Duration {
    patient(Duration::from_secs(15))
}

pub(crate) fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub(crate) fn secret(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

/// Replaces a manifest as an editor does it.
pub(crate) fn save(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A pod whose container `a` carries out these steps, with one volume at /v.
fn pod(world: &World, steps: &[&str], volume: Value) -> Pod {
    let mut volume = volume;
    volume["name"] = json!("v");
    world.pod("p", [world.container("a", steps).mount("v", "/v")]).volume(volume)
}

#[test]
fn every_kind_of_source_shows_as_files_with_its_modes() {
    world(|world| {
        let steps = [
            "list=/v",
            "link=/v/colour",
            "read=/v/colour",
            "stat=/v/..data/colour",
            "read=/v/deep/login",
            "stat=/v/deep/login",
            "stat=/v/deep/",
            "stat=/v/",
            "read=/v/me/name",
            "read=/v/me/labels",
            "read=/v/me/cpu",
            "read=/v/me/memory",
            "read=/v/me/disk",
            "write=/v/colour",
            "write=/v/new",
            "report",
        ];
        let sources = json!([
            {"configMap": {"name": "settings"}},
            {"secret": {"name": "login", "items": [{"key": "password", "path": "deep/login", "mode": 0o400}]}},
            {"configMap": {"name": "nobody", "optional": true}},
            {"downwardAPI": {"items": [
                {"path": "me/name", "fieldRef": {"fieldPath": "metadata.name"}},
                {"path": "me/labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "me/cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu", "divisor": "1m"}},
                {"path": "me/memory", "resourceFieldRef": {"containerName": "a", "resource": "limits.memory"}},
                {"path": "me/disk", "resourceFieldRef": {"containerName": "a", "resource": "limits.ephemeral-storage"}},
            ]}},
        ]);
        let volume = json!({"projected": {"sources": sources, "defaultMode": 0o640}});
        let container = world.container("a", &steps).mount("v", "/v");
        let container = container.with("resources", json!({"limits": {"cpu": "250m"}}));
        let mut volume = volume;
        volume["name"] = json!("v");
        let pod = world.pod("p", [container]).volume(volume).restart_policy("Never");
        let pod = pod.label("tier", "front");
        let objects = [
            config_map("settings", json!({"colour": "blue", "empty": ""})),
            secret("login", json!({"password": "hunter2", "other": "x"})),
        ];
        let path = world.write("all.json", &with_objects(&pod, &objects));
        world.run_manifest(&path).wait().success();

        let listed = world.answer("a", "list=/v").unwrap();
        let listed: Vec<&str> =
            listed.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        assert_eq!(listed[1..], ["..data", "colour", "deep", "empty", "me"]);
        assert!(listed[0].starts_with("..2"), "{listed:?}");
        for (step, answer) in [
            ("link=/v/colour", json!("..data/colour")),
            ("read=/v/colour", json!("blue")),
            ("stat=/v/..data/colour", json!({"uid": 0, "gid": 0, "mode": "640"})),
            ("read=/v/deep/login", json!("hunter2")),
            ("stat=/v/deep/login", json!({"uid": 0, "gid": 0, "mode": "400"})),
            ("stat=/v/deep/", json!({"uid": 0, "gid": 0, "mode": "755"})),
            ("stat=/v/", json!({"uid": 0, "gid": 0, "mode": "1777"})),
            ("read=/v/me/name", json!("p")),
            ("read=/v/me/labels", json!("tier=\"front\"")),
            ("read=/v/me/cpu", json!("250")),
        ] {
            assert_eq!(world.answer("a", step), Ok(answer), "{step}");
        }
        // What has no limit may use all that the node has.
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let kibibytes: u64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
        let node = (kibibytes * 1024).to_string();
        assert_eq!(world.answer("a", "read=/v/me/memory"), Ok(json!(node)));
        let disk = world.answer("a", "read=/v/me/disk").unwrap();
        assert!(disk.as_str().unwrap().parse::<u64>().unwrap() > 1 << 20, "{disk}");
        assert_eq!(world.answer("a", "write=/v/colour").unwrap_err(), "EROFS");
        assert_eq!(world.answer("a", "write=/v/new").unwrap_err(), "EROFS");
        let report = world.answer("a", "report").unwrap();
        let mounts: Vec<&str> =
            report["mounts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let line = mounts.iter().find(|line| line.split(' ').nth(4) == Some("/v")).unwrap();
        assert!(line.contains(" ro,nosuid,nodev") && line.contains(" - tmpfs "), "{line}");
    });
}

#[test]
fn a_change_of_an_object_reaches_a_running_container_within_seconds() {
    world(|world| {
        let steps =
            ["read=/v/colour", "says=/v/colour:red", "says=/v/colour:green", "list=/v", "read=/part", "wait"];
        let part = json!({"name": "v", "mountPath": "/part", "subPath": "colour"});
        let container = world.container("a", &steps).mount("v", "/v").mount_with(part);
        let volume = json!({"name": "v", "configMap": {"name": "settings"}});
        let pod = world.pod("p", [container]).volume(volume);
        let settings = |data: Value| with_objects(&pod, &[config_map("settings", data)]);
        let path = world.write("m.json", &settings(json!({"colour": "blue", "old": "x"})));
        let run = world.run_manifest(&path);
        assert_eq!(world.answer("a", "read=/v/colour").unwrap(), "blue");
        // Once by replacing the file, once by writing to it.
        for (colour, data, write) in [
            ("red", json!({"colour": "red", "new": "x"}), save as fn(&Path, &str)),
            ("green", json!({"colour": "green"}), |path, text| fs::write(path, text).unwrap()),
        ] {
            let started = Instant::now();
            write(&path, &settings(data));
            world.answer("a", &format!("says=/v/colour:{colour}")).unwrap();
            assert!(started.elapsed() < seconds(), "{colour} took {:?}", started.elapsed());
        }
        // What is mounted by a subPath is the file as it was.
        assert_eq!(world.answer("a", "read=/part").unwrap(), "blue");
        let listed = world.answer("a", "list=/v").unwrap();
        // A name that is gone goes a moment after the new state is there: `old` went before the last change came.
        let shows = |name: &str| listed.as_array().unwrap().iter().any(|shown| shown == name);
        assert!(shows("..data") && shows("colour") && !shows("old"), "{listed}");
        // A state of the file that is none changes nothing.
        save(&path, "{");
        let ended = run.stop();
        let said = ended.stderr.join("\n");
        assert!(said.is_empty() || said.contains("invalid YAML"), "{said}");
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn a_secret_is_in_memory_and_nothing_of_it_on_disk() {
    world(|world| {
        let word = "correct-horse-battery-staple";
        let pod =
            pod(world, &["read=/v/password", "report", "wait"], json!({"secret": {"secretName": "login"}}));
        let path = world.write("m.json", &with_objects(&pod, &[secret("login", json!({"password": word}))]));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let run = world.run_manifest(&path);
        assert_eq!(world.answer("a", "read=/v/password").unwrap(), word);
        let report = world.answer("a", "report").unwrap().to_string();
        assert!(!report.contains(word), "it is in no environment and no argument");
        for directory in [world.root_dir(), world.run_dir(), world.log_dir()] {
            assert!(!contains(&directory, word.as_bytes()), "{}", directory.display());
        }
        assert_eq!(
            fs::read_to_string("/proc/self/mountinfo").unwrap(),
            mounts,
            "the host's mounts are untouched"
        );
        run.stop();
    });
}

/// True if some file below the directory holds these bytes.
fn contains(directory: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let has = |content: &[u8]| content.windows(bytes.len()).any(|window| window == bytes);
        if kind.is_dir() {
            contains(&path, bytes)
        } else {
            kind.is_file() && has(&fs::read(&path).unwrap_or_default())
        }
    })
}

#[test]
fn a_pod_waits_for_what_is_missing_and_goes_on_when_it_comes() {
    world(|world| {
        let first = world.container("first", &["exit=0"]);
        let items = json!([{"key": "colour", "path": "c"}]);
        let pod =
            pod(world, &["read=/v/c", "wait"], json!({"configMap": {"name": "settings", "items": items}}));
        let pod = pod.init([first]);
        let path = world.write("m.json", &with_objects(&pod, &[]));
        let run = world.run_manifest(&path);
        let waiting = |why: &str| {
            let line =
                format!("Waiting (ContainerCreating): MountVolume.SetUp failed for volume \"v\" : {why}");
            run.expect_state("p", "first", |state| state == line)
        };
        waiting("configmap \"settings\" not found");
        assert_eq!(
            world.ledger().starts("first"),
            0,
            "nothing of the pod starts before its volumes are there"
        );
        save(&path, &with_objects(&pod, &[config_map("settings", json!({"size": "1"}))]));
        waiting("configmap references non-existent config key: colour");
        let started = Instant::now();
        save(&path, &with_objects(&pod, &[config_map("settings", json!({"colour": "blue"}))]));
        assert_eq!(world.answer("a", "read=/v/c").unwrap(), "blue");
        assert!(started.elapsed() < seconds(), "{:?}", started.elapsed());
        run.stop();
    });
}

#[test]
fn what_is_optional_may_come_later() {
    world(|world| {
        let steps = ["list=/v", "says=/v/token:abc", "wait"];
        let pod = pod(world, &steps, json!({"secret": {"secretName": "later", "optional": true}}));
        let path = world.write("m.json", &with_objects(&pod, &[]));
        let run = world.run_manifest(&path);
        assert_eq!(world.answer("a", "list=/v").unwrap().as_array().unwrap().len(), 2);
        save(&path, &with_objects(&pod, &[secret("later", json!({"token": "abc"}))]));
        world.answer("a", "says=/v/token:abc").unwrap();
        // When it goes again, what was shown stays.
        save(&path, &with_objects(&pod, &[]));
        run.stop();
    });
}

#[test]
fn an_agent_that_takes_a_pod_over_brings_its_files_up_to_date() {
    world(|world| {
        let steps = ["read=/v/colour", "says=/v/colour:red", "says=/v/colour:green", "wait"];
        let pod = pod(world, &steps, json!({"configMap": {"name": "settings"}}));
        let settings =
            |colour: &str| with_objects(&pod, &[config_map("settings", json!({"colour": colour}))]);
        let path = world.write("m.json", &settings("blue"));
        let run = world.run_manifest(&path);
        world.answer("a", "read=/v/colour").unwrap();
        run.kill();
        save(&path, &settings("red"));
        let run = world.run_manifest(&path);
        world.answer("a", "says=/v/colour:red").unwrap();
        save(&path, &settings("green"));
        world.answer("a", "says=/v/colour:green").unwrap();
        run.stop();
        assert_eq!(world.ledger().starts("a"), 1);
    });
}

#[test]
fn a_pod_that_has_lost_its_shim_finds_its_files_again() {
    world(|world| {
        let pod = pod(world, &["read=/v/colour", "wait"], json!({"configMap": {"name": "settings"}}));
        let path =
            world.write("m.json", &with_objects(&pod, &[config_map("settings", json!({"colour": "blue"}))]));
        let run = world.run_manifest(&path);
        world.answer("a", "read=/v/colour").unwrap();
        crate::world::kill(world.shim_pid());
        until("the second answer", || (world.ledger().answers("a", "read=/v/colour") == 2).then_some(()));
        assert_eq!(world.answer("a", "read=/v/colour").unwrap(), "blue");
        run.stop();
    });
}

#[test]
fn files_belong_to_the_pods_group() {
    world(|world| {
        let steps = ["stat=/v/", "stat=/v/..data/", "stat=/v/..data/password", "read=/v/password"];
        let pod = pod(world, &steps, json!({"secret": {"secretName": "login", "defaultMode": 0o400}}));
        let pod =
            pod.spec("securityContext", json!({"fsGroup": 4711, "runAsUser": 1000})).restart_policy("Never");
        let path = world.write("m.json", &with_objects(&pod, &[secret("login", json!({"password": "x"}))]));
        world.run_manifest(&path).wait().success();
        let owned = |mode: &str| json!({"uid": 0, "gid": 4711, "mode": mode});
        assert_eq!(world.answer("a", "stat=/v/").unwrap(), owned("3777"));
        assert_eq!(world.answer("a", "stat=/v/..data/password").unwrap(), owned("440"));
        assert_eq!(world.answer("a", "stat=/v/..data/").unwrap(), owned("2755"));
        assert_eq!(world.answer("a", "read=/v/password").unwrap(), "x");
    });
}

#[test]
fn objects_may_be_in_other_files_and_in_directories() {
    world(|world| {
        let pod = pod(world, &["says=/v/colour:red", "wait"], json!({"configMap": {"name": "settings"}}));
        fs::create_dir(world.path("objects")).unwrap();
        let object = |colour: &str| config_map("settings", json!({"colour": colour})).to_string();
        let inside = world.write("objects/settings.yaml", &object("blue"));
        let alone = world.write("pod.json", &pod.to_json());
        let mut command = world.mkubelet();
        command.arg("run").arg(&alone).arg(world.path("objects"));
        let run = world.start(command);
        run.expect_running("p", "a", 0);
        save(&inside, &object("red"));
        world.answer("a", "says=/v/colour:red").unwrap();
        run.stop();

        let output = world.output(&["run", inside.to_str().unwrap()]);
        assert!(String::from_utf8_lossy(&output.stderr).ends_with("settings.yaml: no Pod in the manifest\n"));
    });
}

#[test]
fn files_and_images_keep_their_owners_in_a_user_namespace() {
    world(|world| {
        fs::create_dir(world.path("files")).unwrap();
        fs::write(world.path("files/file"), "from the image").unwrap();
        let image =
            json!({"name": "i", "image": {"reference": format!("dir:{}", world.path("files").display())}});
        let memory = json!({"name": "m", "emptyDir": {"medium": "Memory"}});
        let secret_volume = json!({"name": "v", "secret": {"secretName": "login", "defaultMode": 0o400}});
        let steps = [
            "stat=/v/..data/password",
            "read=/v/password",
            "read=/i/file",
            "stat=/i/file",
            "write=/m/x",
            "stat=/m/x",
        ];
        let container = world.container("a", &steps).mount("v", "/v").mount("i", "/i").mount("m", "/m");
        let pod = world.pod("p", [container]).volume(secret_volume).volume(image).volume(memory);
        let pod = pod.spec("hostUsers", json!(false)).restart_policy("Never");
        let path = world.write("m.json", &with_objects(&pod, &[secret("login", json!({"password": "x"}))]));
        let ended = world.run_manifest(&path).wait();
        // Linux before 6.3 cannot idmap a tmpfs, and the error says so.
        if ended.stdout.iter().any(|line| line.contains("hostUsers: false needs idmapped mounts")) {
            assert!(is_older_than(6, 3), "{}", ended.transcript());
            return;
        }
        ended.success();
        let owned = |mode: &str| json!({"uid": 0, "gid": 0, "mode": mode});
        assert_eq!(world.answer("a", "stat=/v/..data/password").unwrap(), owned("400"));
        assert_eq!(world.answer("a", "read=/v/password").unwrap(), "x");
        assert_eq!(world.answer("a", "read=/i/file").unwrap(), "from the image");
        assert_eq!(world.answer("a", "stat=/i/file").unwrap(), owned("644"));
        assert!(world.answer("a", "write=/m/x").is_ok());
        assert_eq!(world.answer("a", "stat=/m/x").unwrap(), owned("644"));
    });
}

#[test]
fn what_is_left_of_a_pod_that_nobody_knows_any_more_is_cleared_away() {
    world(|world| {
        let pod = pod(world, &["read=/v/colour", "wait"], json!({"configMap": {"name": "settings"}}));
        let path =
            world.write("m.json", &with_objects(&pod, &[config_map("settings", json!({"colour": "blue"}))]));
        let run = world.run_manifest(&path);
        world.answer("a", "read=/v/colour").unwrap();
        run.kill();
        let uid = world.pod_uids().remove(0);
        fs::write(world.root_dir().join("pods").join(uid).join("pod.json"), "spoilt").unwrap();
        let run = world.run_manifest(&path);
        until("the second answer", || (world.ledger().answers("a", "read=/v/colour") == 2).then_some(()));
        run.stop();
    });
}

/// Whether this kernel is older than that version.
fn is_older_than(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (major, minor)
}
