//! `hostUsers: false`: root inside, nobody outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::isolation::DEVICES;
use crate::world::{Container, Pod, Run, World, http_get, namespace, until, world};

/// Ids of a pod.
const COUNT: u32 = 65_536;

/// A pod with a user namespace of its own.
fn pod(world: &World, name: &str, containers: impl IntoIterator<Item = Container>) -> Pod {
    world.pod(name, containers).spec("hostUsers", json!(false)).restart_policy("Never")
}

/// What the process is to the host: real, effective, saved and filesystem ids of its user or group (`Uid`, `Gid`).
fn ids_outside(pid: i32, kind: &str) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{kind}:"))).unwrap();
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// What 0 inside the process's user namespace is to the host, after checking the map's form.
fn first_id(pid: i32) -> u32 {
    let maps = ["uid_map", "gid_map"].map(|map| {
        let text = fs::read_to_string(format!("/proc/{pid}/{map}")).unwrap();
        text.split_whitespace().map(|number| number.parse().unwrap()).collect::<Vec<u32>>()
    });
    assert_eq!(maps[0], maps[1]);
    let [inside, outside, count] = maps[0][..] else { panic!("one range: {maps:?}") };
    assert_eq!((inside, count, outside % COUNT), (0, COUNT, 0));
    assert!(outside >= COUNT);
    outside
}

/// The files by which pods of this world hold ids.
fn leases(world: &World) -> Vec<PathBuf> {
    let run = world.run_dir().display().to_string();
    let entries = fs::read_dir("/run/mkubelet-user-ids").into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    files.filter(|file| fs::read_to_string(file).is_ok_and(|holder| holder.starts_with(&run))).collect()
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid())
}

fn stat(world: &World, container: &str, path: &str) -> (u64, u64) {
    let found = world.answer(container, &format!("stat={path}")).unwrap();
    (found["uid"].as_u64().unwrap(), found["gid"].as_u64().unwrap())
}

fn mask(report: &Value, set: &str) -> u64 {
    u64::from_str_radix(report["status"][set].as_str().unwrap(), 16).unwrap()
}

#[test]
fn root_inside_is_a_user_outside_who_owns_nothing() {
    world(|world| {
        let container = world.container("a", &["report", "serve=80", "wait"]);
        let run = world.run(&pod(world, "mapped", [container]));
        let report = world.answer("a", "report").unwrap();
        assert_eq!(report["status"]["Uid"], "0 0 0 0");
        assert_eq!(report["status"]["Gid"], "0 0 0 0");
        assert_eq!(mask(&report, "CapEff"), 0x8004_05fb, "the eleven that everybody has");
        assert_eq!(mask(&report, "CapBnd"), 0x8004_05fb);
        assert_eq!(http_get(run.ip("mapped"), 80, "/").1, "a", "port 80 is the pod's own to bind");

        let pid = world.pid_of("a");
        let first = first_id(pid);
        assert_eq!(ids_outside(pid, "Uid"), [first; 4]);
        assert_eq!(ids_outside(pid, "Gid"), [first; 4]);
        let pause = world.pause_pid();
        assert_eq!(ids_outside(pause, "Uid"), [first + 65_535; 4]);
        assert_eq!(namespace(pid, "user"), namespace(pause, "user"));
        assert_ne!(namespace(pid, "user"), namespace(std::process::id() as i32, "user"));
        for shared in ["net", "ipc", "uts"] {
            assert_eq!(namespace(pid, shared), namespace(pause, shared), "{shared}");
        }
        assert_eq!(leases(world).len(), 1);
        run.stop();
        assert_eq!(leases(world), [] as [PathBuf; 0]);
    });
}

#[test]
fn a_user_inside_is_as_many_ids_further_outside() {
    world(|world| {
        let security = json!({"runAsUser": 1000, "runAsGroup": 3000});
        let steps = ["report", "print=hello", "write=/scratch/hers", "stat=/scratch/hers", "wait"];
        let container = world.container("a", &steps).security(security).mount("scratch", "/scratch");
        // The ledger is root's, and is root's inside as well.
        fs::set_permissions(world.path("ledger"), fs::Permissions::from_mode(0o777)).unwrap();
        let pod = pod(world, "user", [container])
            .spec("securityContext", json!({"fsGroup": 7000}))
            .volume(json!({"name": "scratch", "emptyDir": {}}));
        let run = world.run(&pod);
        let report = world.answer("a", "report").unwrap();
        assert_eq!(report["status"]["Uid"], "1000 1000 1000 1000");
        assert_eq!(report["status"]["Groups"], "2000 3000 7000");
        assert_eq!(stat(world, "a", "/scratch/hers"), (1000, 7000));
        let volumes = world.root_dir().join("pods").join(&world.pod_uids()[0]).join("volumes");
        assert_eq!(owner(&volumes.join("kubernetes.io~empty-dir/scratch/hers")), (1000, 7000));
        let pid = world.pid_of("a");
        let first = first_id(pid);
        assert_eq!(ids_outside(pid, "Uid"), [first + 1000; 4]);
        assert_eq!(ids_outside(pid, "Gid"), [first + 3000; 4]);
        let output = fs::metadata(format!("/proc/{pid}/fd/1")).unwrap();
        assert_eq!((output.uid(), output.gid()), (first + 1000, first + 3000), "its to open again");
        run.stop();
    });
}

#[test]
fn files_in_volumes_have_the_owners_on_disk_that_they_have_inside() {
    world(|world| {
        fs::create_dir(world.path("data")).unwrap();
        fs::write(world.path("data/secret"), "canary").unwrap();
        fs::set_permissions(world.path("data/secret"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(world.path("data/hers"), "").unwrap();
        std::os::unix::fs::chown(world.path("data/hers"), Some(1234), Some(4321)).unwrap();
        let steps = [
            "write=/scratch/mine",
            "stat=/scratch/mine",
            "write=/data/new",
            "read=/data/secret",
            "stat=/data/hers",
            "write=/dev/shm/shared",
            "stat=/dev/shm/shared",
            "stat=/dev/shm",
            "stat=/etc/hosts",
            "read=/etc/hostname",
            "wait",
        ];
        let with = world.container("a", &steps).mount("scratch", "/scratch").mount("data", "/data");
        let path = format!("read={}", world.path("data/secret").display());
        let without = world.container("b", &["read=/data/secret", &path, "wait"]);
        let pod = pod(world, "owners", [with, without])
            .volume(json!({"name": "scratch", "emptyDir": {}}))
            .host_path("data", &world.path("data"));
        let run = world.run(&pod);

        assert_eq!(stat(world, "a", "/scratch/mine"), (0, 0));
        let volumes = world.root_dir().join("pods").join(&world.pod_uids()[0]).join("volumes");
        assert_eq!(owner(&volumes.join("kubernetes.io~empty-dir/scratch/mine")), (0, 0));
        assert!(world.answer("a", "write=/data/new").is_ok());
        assert_eq!(owner(&world.path("data/new")), (0, 0));
        assert_eq!(world.answer("a", "read=/data/secret").unwrap(), "canary", "root's inside too");
        assert_eq!(stat(world, "a", "/data/hers"), (1234, 4321));
        assert_eq!(stat(world, "a", "/dev/shm"), (0, 0));
        assert_eq!(stat(world, "a", "/dev/shm/shared"), (0, 0));
        assert_eq!(stat(world, "a", "/etc/hosts"), (0, 0));
        assert_eq!(world.answer("a", "read=/etc/hostname").unwrap(), "owners\n");

        assert_eq!(world.answer("b", "read=/data/secret").unwrap_err(), "ENOENT");
        assert_eq!(world.answer("b", &path).unwrap_err(), "ENOENT");
        run.stop();
        assert_eq!(fs::read_to_string(world.path("data/secret")).unwrap(), "canary");
    });
}

#[test]
fn the_image_is_roots_inside_and_stays_as_it_is() {
    world(|world| {
        let passwd = world.path("image/etc/passwd");
        let before =
            (fs::read(&passwd).unwrap(), owner(&passwd), fs::metadata(&passwd).unwrap().mtime_nsec());
        let steps = [
            "stat=/",
            "stat=/bin/ledger",
            "stat=/etc/passwd",
            "write=/etc/passwd",
            "read=/etc/passwd",
            "stat=/etc/passwd",
            "write=/tmp/new",
            "stat=/tmp/new",
            "stat=/made/here",
            "wait",
        ];
        let container = world.container("a", &steps).with("workingDir", json!("/made/here"));
        let run = world.run(&pod(world, "image", [container]));
        for path in ["/", "/bin/ledger", "/etc/passwd", "/tmp/new", "/made/here"] {
            assert_eq!(stat(world, "a", path), (0, 0), "{path}");
        }
        assert_eq!(world.answer("a", "read=/etc/passwd").unwrap(), "written\n");
        run.stop();
        let after = (fs::read(&passwd).unwrap(), owner(&passwd), fs::metadata(&passwd).unwrap().mtime_nsec());
        assert_eq!(after, before);
    });
}

#[test]
fn devices_masks_and_read_only_paths_are_as_in_any_container() {
    world(|world| {
        let steps = [
            "read=/dev/null",
            "write=/dev/null",
            "write=/dev/full",
            "stat=/dev/zero",
            "list=/dev/pts",
            "list=/dev/mqueue",
            "read=/proc/keys",
            "write=/proc/sys/kernel/core_pattern",
            "write=/sys/kernel/x",
            "mknod=c:1:5:/tmp/zero",
            "list=/sys/firmware",
            "report",
            "wait",
        ];
        // Every capability that there is, over what is the pod's own.
        let container = world.container("a", &steps).security(json!({"capabilities": {"add": ["ALL"]}}));
        let run = world.run(&pod(world, "shape", [container]));
        assert_eq!(world.answer("a", "read=/dev/null").unwrap(), "");
        assert!(world.answer("a", "write=/dev/null").is_ok());
        assert_eq!(world.answer("a", "write=/dev/full").unwrap_err(), "ENOSPC");
        assert_eq!(stat(world, "a", "/dev/zero"), (0, 0));
        assert_eq!(world.answer("a", "list=/dev/pts").unwrap(), json!(["ptmx"]));
        assert_eq!(world.answer("a", "list=/dev/mqueue").unwrap(), json!([]));
        assert_eq!(world.answer("a", "read=/proc/keys").unwrap(), "");
        assert_eq!(world.answer("a", "write=/proc/sys/kernel/core_pattern").unwrap_err(), "EROFS");
        assert!(matches!(world.answer("a", "write=/sys/kernel/x").unwrap_err().as_str(), "EROFS" | "EPERM"));
        assert_eq!(
            world.answer("a", "mknod=c:1:5:/tmp/zero").unwrap_err(),
            "EPERM",
            "CAP_MKNOD is the host's"
        );
        if Path::new("/sys/firmware").exists() {
            assert_eq!(world.answer("a", "list=/sys/firmware").unwrap(), json!([]));
        }
        let report = world.answer("a", "report").unwrap();
        let names: Vec<&str> = ["0", "1", "2"].into_iter().collect();
        let open = report["descriptors"].as_object().unwrap();
        assert_eq!(open.keys().map(String::as_str).collect::<Vec<_>>(), names);
        run.stop();
    });
}

#[test]
fn what_is_mounted_cannot_be_taken_away_with_any_capability() {
    world(|world| {
        let steps = [
            "umount=/proc/keys",
            "umount=/proc/sys",
            "umount=/dev/null",
            "umount=/ledger",
            "remount-rw=/proc/sys",
            "remount-rw=/sys",
            "mount-tmpfs=/tmp",
            "umount=/tmp",
            "wait",
        ];
        let security = json!({
            "capabilities": {"add": ["SYS_ADMIN"]},
            "seccompProfile": {"type": "Unconfined"},
        });
        let run = world.run(&pod(world, "locked", [world.container("a", &steps).security(security)]));
        assert!(world.answer("a", "mount-tmpfs=/tmp").is_ok(), "its own mounts are its own");
        assert!(world.answer("a", "umount=/tmp").is_ok());
        for path in ["/proc/keys", "/proc/sys", "/dev/null", "/ledger"] {
            assert_eq!(world.answer("a", &format!("umount={path}")).unwrap_err(), "EINVAL", "{path}");
        }
        for path in ["/proc/sys", "/sys"] {
            assert_eq!(world.answer("a", &format!("remount-rw={path}")).unwrap_err(), "EPERM", "{path}");
        }
        run.stop();
    });
}

#[test]
fn privileged_is_so_over_the_pods_own_and_nothing_of_the_host() {
    world(|world| {
        let steps = [
            "report",
            "list=/dev",
            "mount-tmpfs=/tmp",
            "mknod=b:8:0:/tmp/sda",
            "write=/proc/sys/kernel/core_pattern",
            "write=/proc/sysrq-trigger",
            "write=/sys/kernel/uevent_helper",
            "list=/sys/firmware",
            "wait",
        ];
        let container = world.container("a", &steps).security(json!({"privileged": true}));
        let run = world.run(&pod(world, "privileged", [container]));
        let report = world.answer("a", "report").unwrap();
        let own = fs::read_to_string("/proc/self/status").unwrap();
        let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
        assert_eq!(mask(&report, "CapEff"), u64::from_str_radix(own, 16).unwrap());
        assert_eq!(report["status"]["Seccomp"], "0");
        let devices = world.answer("a", "list=/dev").unwrap();
        let mut devices: Vec<&str> = devices.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        devices.sort_unstable();
        assert_eq!(devices, DEVICES);
        assert!(world.answer("a", "mount-tmpfs=/tmp").is_ok());
        assert_eq!(world.answer("a", "mknod=b:8:0:/tmp/sda").unwrap_err(), "EPERM");
        for path in ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"] {
            if Path::new(path).exists() {
                assert_eq!(world.answer("a", &format!("write={path}")).unwrap_err(), "EACCES", "{path}");
            }
        }
        run.stop();
    });
}

#[test]
fn two_pods_share_no_id() {
    world(|world| {
        let pods = ["one", "two"].map(|name| pod(world, name, [world.container(name, &["wait"])]));
        let manifest = world.write("pods.json", &crate::world::list(&pods));
        let mut command = world.mkubelet();
        command.arg("run").arg(manifest);
        let run = world.start(command);
        let [one, two] = ["one", "two"].map(|name| {
            run.expect_running(name, name, 0);
            first_id(world.pid_of(name))
        });
        assert!(one.abs_diff(two) >= COUNT, "{one} {two}");
        assert_eq!(leases(world).len(), 2);
        run.stop();
    });
}

#[test]
fn a_new_agent_a_restart_and_a_new_sandbox_keep_the_ids() {
    world(|world| {
        let pod =
            pod(world, "kept", [world.container("a", &["write=/data/x", "wait"]).mount("data", "/data")])
                .volume(json!({"name": "data", "emptyDir": {}}))
                .restart_policy("Always");
        let running = |run: &Run, restarts| {
            run.expect_running("kept", "a", restarts);
            let pid = world.pid_of("a");
            (pid, first_id(pid))
        };
        let run = world.run(&pod);
        let (pid, first) = running(&run, 0);
        run.kill();

        let run = world.run(&pod);
        run.expect("pod default/kept: Running");
        assert_eq!((world.pid_of("a"), first_id(world.pid_of("a"))), (pid, first));
        crate::world::kill(pid);
        assert_eq!(running(&run, 1).1, first, "a restart");
        crate::world::kill(world.pause_pid());
        until("a new sandbox", || (world.ledger().starts("a") == 3).then_some(()));
        assert_eq!(first_id(world.pid_of("a")), first, "a new sandbox");
        run.stop();
    });
}

#[test]
fn a_filesystem_that_cannot_be_idmapped_is_named_with_its_volume() {
    world(|world| {
        let pod = pod(world, "unmappable", [world.container("a", &["wait"]).mount("kernel", "/host-sys")])
            .host_path("kernel", Path::new("/sys"));
        let run = world.run(&pod);
        let line = run.expect_state("unmappable", "a", |state| state.contains("hostUsers"));
        for part in ["volume \"kernel\"", "/host-sys", "the filesystem of /sys (sysfs)", "idmapped mounts"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        run.stop();
    });
}

#[test]
fn a_user_of_the_image_beyond_the_namespace_is_refused_by_its_id() {
    world(|world| {
        fs::write(world.path("image/etc/passwd"), "big:x:70000:70000::/:/x\n").unwrap();
        let config = json!({"runAsUser": 65536});
        let refused = pod(world, "refused", [world.container("a", &["wait"]).security(config)]);
        let manifest = world.write("refused.json", &refused.to_json());
        let output = world.output(&["run", manifest.to_str().unwrap()]);
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        let expected = "spec.containers[0].securityContext.runAsUser: Invalid value: 65536: must be between 0 and 65535, \
                        inclusive, when `hostUsers` is false";
        assert!(told.contains(expected), "{told}");
    });
}

#[test]
fn an_ephemeral_container_is_in_the_pods_user_namespace_and_sees_its_target() {
    world(|world| {
        let base = pod(world, "p", [world.container("main", &["wait"])]);
        let path = world.write("m.json", &base.to_json());
        let run = world.run_manifest(&path);
        run.expect_running("p", "main", 0);
        let step = "read=/proc/1/cmdline";
        let debug = world.container("debug", &[step, "wait"]).with("targetContainerName", json!("main"));
        crate::objects::save(&path, &base.ephemeral([debug]).to_json());
        run.expect_running("p", "debug", 0);
        let first = world.answer("debug", step).unwrap();
        assert!(first.as_str().unwrap().contains("\0main\0"), "{first}");
        let (main, debug) = (world.pid_of("main"), world.pid_of("debug"));
        assert_eq!((first_id(debug), ids_outside(debug, "Uid")), (first_id(main), ids_outside(main, "Uid")));
        assert_eq!(namespace(debug, "user"), namespace(main, "user"));
        run.stop();
    });
}
