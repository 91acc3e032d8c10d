//! What the shim is told, word by word.

use oci_spec::image::Config as ImageConfig;
use serde_json::{Value, json};

use super::*;
use crate::pod::downward::Facts;
use crate::pod::objects::Objects;
use crate::pod::spec::tests::{env_var, volume_mount};
use crate::pod::spec::{Medium, RestartPolicy, SubPath, Volume};
use crate::runtime::fixture;

fn image(config: Value) -> Image {
    let config: ImageConfig = serde_json::from_value(config).unwrap();
    Image {
        id: "sha256:1".into(),
        reference: "busybox".into(),
        layers: vec!["/l2".into(), "/l1".into()],
        config,
        repo_digest: None,
        access: None,
    }
}

fn node() -> NodeFacts {
    NodeFacts {
        address: None,
        hostname: "node1".into(),
        memory: 1 << 30,
        capabilities: every_capability(),
        thermal: vec!["/sys/hot".into()],
        ..NodeFacts::default()
    }
}

/// All that this build knows of but one: a node can lack some.
fn every_capability() -> HashSet<Capability> {
    let names = caps::all().into_iter().map(|capability| capability.to_string());
    let mut all: HashSet<Capability> =
        names.filter_map(|name| name.trim_start_matches("CAP_").parse().ok()).collect();
    all.remove(&Capability::SysResource);
    all
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The configuration of the first container of `pod`.
fn configured(pod: &Pod, image: &Image) -> Result<ContainerConfig, Error> {
    let image_volume = Source::Image(vec!["/l4".into(), "/l3".into()]);
    let volumes = BTreeMap::from([
        ("data".to_owned(), Source::Path("/v/data".into())),
        ("image".to_owned(), image_volume),
    ]);
    let sources = env::Sources {
        pod,
        objects: &Objects::default(),
        facts: &Facts::default(),
        files: &env::Files::new(),
    };
    let variables = env::resolve(&pod.spec.containers[0], sources).unwrap();
    let start = Start {
        pod,
        spec: &pod.spec.containers[0],
        image,
        id: "c0ffee",
        attempt: 2,
        pod_group: Path::new("kubepods/besteffort/poduid-1"),
        volumes: &volumes,
        env: &variables,
    };
    config(start, &Layout::new("/root", "/run", "/log"), &node())
}

fn oci_of(pod: &Pod, image: &Image) -> Value {
    serde_json::to_value(configured(pod, image).unwrap()).unwrap()
}

fn a_pod() -> Pod {
    fixture::pod(RestartPolicy::Always, &[], &["a"])
}

#[test]
fn a_plain_container_is_told_in_full() {
    let image = image(json!({"Cmd": ["sh"], "Env": ["A=1"], "User": "www", "WorkingDir": "/srv"}));
    let config = configured(&a_pod(), &image).unwrap();

    let mut oci = serde_json::to_value(&config).unwrap();
    let capabilities = oci["process"]["capabilities"].take();
    let devices = oci["resources"]["devices"].take();
    assert_eq!(devices[0], json!({"allow": false, "type": "a", "access": "rwm"}));
    assert_eq!(
        oci,
        json!({
            "id": "c0ffee",
            "name": "a",
            "attempt": 2,
            "imageId": "sha256:1",
            "target": null,
            "stays": false,
            "logPath": "/log/default_web_uid-1/a/2.log",
            "logLimits": null,
            "terminationMessage": {"file": "/root/pods/uid-1/containers/a/2/termination-log", "orLog": false},
            "root": {
                "lower": ["/l2", "/l1"],
                "attemptDir": "/root/pods/uid-1/containers/a/2",
                "readonly": false,
            },
            "stdin": "nothing",
            "terminal": false,
            "process": {
                "user": {
                    "imageUser": "www",
                    "uid": null,
                    "gid": null,
                    "supplementalGroups": [],
                    "strictGroups": false,
                    "nonRoot": false,
                },
                "args": ["sh"],
                "env": [format!("PATH={DEFAULT_PATH}"), "A=1", "HOSTNAME=web"],
                "cwd": "/srv",
                "capabilities": null,
                "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 524_288, "soft": 1024}],
                "noNewPrivileges": false,
                "apparmorProfile": null,
                "seccomp": null,
                "oomScoreAdj": 1000,
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "noexec", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
                {"destination": "/dev/shm", "type": "bind", "source": "/run/pods/uid-1/shm",
                 "options": ["rbind", "rprivate", "nosuid", "noexec", "nodev"]},
                {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                 "options": ["nosuid", "noexec", "nodev"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs",
                 "options": ["nosuid", "noexec", "nodev", "ro"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                 "options": ["nosuid", "noexec", "nodev", "ro"]},
                {"destination": "/etc/hosts", "type": "bind", "source": "/root/pods/uid-1/etc-hosts",
                 "options": ["rbind", "rprivate", "rw"]},
                {"destination": "/etc/hostname", "type": "bind", "source": "/root/pods/uid-1/etc-hostname",
                 "options": ["rbind", "rprivate", "rw"]},
                {"destination": "/etc/resolv.conf", "type": "bind", "source": "/root/pods/uid-1/resolv.conf",
                 "options": ["rbind", "rprivate", "rw"]},
                {"destination": "/dev/termination-log", "type": "bind",
                 "source": "/root/pods/uid-1/containers/a/2/termination-log",
                 "options": ["rbind", "rprivate", "rw", "nosuid", "nodev", "noexec"]},
            ],
            "resources": {"cpu": {"shares": 2}, "devices": null},
            "cgroupsPath": "kubepods/besteffort/poduid-1/c0ffee",
            "hostDevices": false,
            "maskedPaths": MASKED.iter().copied().chain([MASKED_POWERCAP, "/sys/hot"]).collect::<Vec<_>>(),
            "readonlyPaths": READ_ONLY,
        })
    );
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(capabilities[set].as_array().unwrap().len(), 11, "{set}");
    }
    for set in ["inheritable", "ambient"] {
        assert_eq!(capabilities[set], json!([]), "{set}");
    }
}

#[test]
fn command_and_args_follow_the_kubernetes_table() {
    let image = image(json!({"Entrypoint": ["e"], "Cmd": ["c"]}));
    for (command, args, want) in [
        (&[][..], &[][..], &["e", "c"][..]),
        (&["x"], &[], &["x"]),
        (&[], &["$(V)"], &["e", "1"]),
        (&["x"], &["y"], &["x", "y"]),
    ] {
        let mut pod = a_pod();
        pod.spec.containers[0].command = strings(command);
        pod.spec.containers[0].args = strings(args);
        pod.spec.containers[0].env = vec![env_var("V", "1")];
        assert_eq!(oci_of(&pod, &image)["process"]["args"], json!(want));
    }
}

#[test]
fn an_image_without_a_command_is_said_to_have_none() {
    let error = configured(&a_pod(), &image(json!({}))).unwrap_err();
    assert_eq!(error, Error::NoCommand { image: "busybox".into() });
}

#[test]
fn the_manifest_wins_over_hostname_and_these_over_the_image() {
    let mut pod = a_pod();
    pod.spec.containers[0].env = vec![env_var("A", "manifest"), env_var("HOSTNAME", "mine")];
    let image = image(json!({"Cmd": ["c"], "Env": ["PATH=/bin", "A=image", "B=image", "HOSTNAME=image"]}));
    assert_eq!(
        oci_of(&pod, &image)["process"]["env"],
        json!(["PATH=/bin", "A=manifest", "B=image", "HOSTNAME=mine"])
    );
}

#[test]
fn standard_input_and_a_terminal_are_told_with_its_kind() {
    for (stdin, stdin_once, tty, told, env) in [
        (false, false, false, "nothing", json!([format!("PATH={DEFAULT_PATH}"), "HOSTNAME=web"])),
        (false, true, false, "nothing", json!([format!("PATH={DEFAULT_PATH}"), "HOSTNAME=web"])),
        (true, false, true, "open", json!([format!("PATH={DEFAULT_PATH}"), "TERM=xterm", "HOSTNAME=web"])),
        (true, true, false, "once", json!([format!("PATH={DEFAULT_PATH}"), "HOSTNAME=web"])),
    ] {
        let mut pod = a_pod();
        let container = &mut pod.spec.containers[0];
        (container.stdin, container.stdin_once, container.tty) = (stdin, stdin_once, tty);
        let oci = oci_of(&pod, &image(json!({"Cmd": ["c"]})));
        assert_eq!((&oci["stdin"], &oci["terminal"]), (&json!(told), &json!(tty)));
        assert_eq!(oci["process"]["env"], env, "{told} {tty}");
    }
    let mut pod = a_pod();
    pod.spec.containers[0].tty = true;
    let oci = oci_of(&pod, &image(json!({"Cmd": ["c"], "Env": ["TERM=linux"]})));
    assert_eq!(oci["process"]["env"][1], json!("TERM=linux"), "an image may know better");
}

#[test]
fn a_pod_on_the_hosts_network_has_the_nodes_name() {
    let mut pod = a_pod();
    pod.spec.host_network = true;
    let env = oci_of(&pod, &image(json!({"Cmd": ["c"]})))["process"]["env"].take();
    assert!(env.as_array().unwrap().contains(&json!("HOSTNAME=node1")), "{env}");
}

#[test]
fn capabilities_are_added_and_dropped_as_in_kubernetes() {
    let all = every_capability().len();
    for (add, drop, has, has_not, count) in [
        (&[][..], &["ALL"][..], &[][..], &["CAP_CHOWN"][..], 0),
        (&["NET_ADMIN"], &["ALL"], &["CAP_NET_ADMIN"], &["CAP_CHOWN"], 1),
        (&["ALL"], &["CHOWN"], &["CAP_SYS_ADMIN"], &["CAP_CHOWN"], all - 1),
        (&["SYS_PTRACE"], &["KILL", "SETUID"], &["CAP_SYS_PTRACE"], &["CAP_KILL", "CAP_SETUID"], 10),
        (&["KILL"], &["KILL"], &[], &["CAP_KILL"], 10),
    ] {
        let mut pod = a_pod();
        pod.spec.containers[0].security.capabilities_add = strings(add);
        pod.spec.containers[0].security.capabilities_drop = strings(drop);
        let bounding =
            oci_of(&pod, &image(json!({"Cmd": ["c"]})))["process"]["capabilities"]["bounding"].take();
        let bounding: Vec<&str> = bounding.as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        assert_eq!(bounding.len(), count, "+{add:?} -{drop:?}: {bounding:?}");
        assert!(has.iter().all(|c| bounding.contains(c)), "+{add:?} -{drop:?}: {bounding:?}");
        assert!(!has_not.iter().any(|c| bounding.contains(c)), "+{add:?} -{drop:?}: {bounding:?}");
    }
}

#[test]
fn volumes_are_mounted_parents_first_and_may_take_the_place_of_the_pods_files() {
    let mut pod = a_pod();
    let at = |path: &str, read_only| volume_mount("data", path, read_only);
    pod.spec.containers[0].volume_mounts =
        vec![at("/srv/a/b", false), at("/srv/a", true), at("/etc/hosts", false), at("/srv/a-b", false)];
    let config = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap();
    let (last, mounts) = config.mounts[7..].split_last().unwrap();
    assert_eq!(last.destination(), Path::new("/dev/termination-log"));
    let paths: Vec<_> = mounts.iter().map(|m| m.destination().to_str().unwrap()).collect();
    assert_eq!(paths, ["/etc/hosts", "/srv/a", "/srv/a/b", "/srv/a-b", "/etc/hostname", "/etc/resolv.conf"]);
    assert_eq!(mounts[1].options().as_ref().unwrap(), &strings(&["rbind", "rprivate", "ro"]));
    assert_eq!(mounts[0].source().as_deref(), Some(Path::new("/v/data")));
}

#[test]
fn a_mount_says_which_part_of_its_volume_it_shows_and_how() {
    let mut pod = a_pod();
    pod.spec.containers[0].env = vec![env_var("WHO", "me, too")];
    let plain = volume_mount("data", "/data", true);
    let mounts = [
        (plain.clone(), &["rbind", "rprivate", "ro"][..]),
        (
            VolumeMount { sub_path: Some(SubPath::Expr("of/$(WHO)".into())), ..plain.clone() },
            &["rbind", "rprivate", "ro", "x-mkubelet.subpath=of/me, too"],
        ),
        (
            VolumeMount { recursive_read_only: RecursiveReadOnly::IfPossible, ..plain.clone() },
            &["rbind", "rprivate", "rro"],
        ),
        (
            VolumeMount { propagation: MountPropagation::HostToContainer, read_only: false, ..plain.clone() },
            &["rbind", "rslave", "rw"],
        ),
        (VolumeMount { propagation: MountPropagation::Bidirectional, ..plain }, &["rbind", "rshared", "ro"]),
        (
            volume_mount("image", "/data", false),
            &["ro", "nosuid", "nodev", "noexec", "x-mkubelet.layer=/l4", "x-mkubelet.layer=/l3"],
        ),
        (
            VolumeMount {
                sub_path: Some(SubPath::Expr("$(WHO)".into())),
                ..volume_mount("image", "/data", false)
            },
            &[
                "ro",
                "nosuid",
                "nodev",
                "noexec",
                "x-mkubelet.layer=/l4",
                "x-mkubelet.layer=/l3",
                "x-mkubelet.subpath=me, too",
            ],
        ),
    ];
    for (mount, expected) in mounts {
        pod.spec.containers[0].volume_mounts = vec![mount];
        let config = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap();
        assert_eq!(config.mounts[7].options().as_ref().unwrap(), &strings(expected));
    }
    let unset = SubPath::Expr("$(NOBODY)".into());
    pod.spec.containers[0].volume_mounts =
        vec![VolumeMount { sub_path: Some(unset), ..volume_mount("data", "/data", true) }];
    let error = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap_err();
    assert_eq!(error.to_string(), "missing value for NOBODY");
}

#[test]
fn mounts_on_the_pods_own_volumes_show_in_the_pod_and_nowhere_else() {
    let of_a =
        VolumeMount { propagation: MountPropagation::Bidirectional, ..volume_mount("data", "/data", false) };
    let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a", "b"]);
    let own = VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None };
    let of_host = VolumeSource::HostPath { path: "/v/data".into(), kind: HostPathType::Unset };
    for (source, expected) in [
        (own, &["rbind", "rprivate", "rw", "x-mkubelet.peers=pod"][..]),
        (of_host, &["rbind", "rprivate", "rw"]),
    ] {
        pod.spec.volumes = vec![Volume { name: "data".into(), source }];
        pod.spec.containers[0].volume_mounts = vec![volume_mount("data", "/data", false)];
        pod.spec.containers[1].volume_mounts = vec![of_a.clone()];
        let config = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap();
        assert_eq!(config.mounts[7].options().as_ref().unwrap(), &strings(expected));
    }
}

#[test]
fn mounts_that_cannot_leave_their_container_are_refused() {
    for (volume, host_users, why) in
        [("data", false, "hostUsers is false"), ("image", true, "the volume is an image")]
    {
        let mut pod = a_pod();
        pod.spec.host_users = host_users;
        pod.spec.containers[0].volume_mounts = vec![VolumeMount {
            propagation: MountPropagation::Bidirectional,
            ..volume_mount(volume, "/data", false)
        }];
        let error = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("mountPropagation of volume {volume}: Bidirectional is not possible when {why}")
        );
    }
}

#[test]
fn in_a_user_namespace_files_keep_their_owners_and_the_volume_has_a_name() {
    let mut pod = a_pod();
    pod.spec.host_users = false;
    pod.spec.containers[0].volume_mounts = vec![volume_mount("data", "/data", false)];
    let config = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap();
    let mapped = |mount: &&Mount| mount.options().iter().flatten().any(|option| option == "ridmap");
    let paths: Vec<_> =
        config.mounts.iter().filter(mapped).map(|m| m.destination().to_str().unwrap()).collect();
    // Not /dev/shm, which the shim makes for the namespace.
    assert_eq!(paths, ["/data", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"]);
    let volume = config.mounts[7].options().as_ref().unwrap();
    assert_eq!(volume, &strings(&["rbind", "rprivate", "rw", "ridmap", "x-mkubelet.volume=data"]));
}

#[test]
fn the_shim_is_told_what_a_host_path_must_be() {
    for (kind, expected) in [
        (HostPathType::Unset, None),
        (HostPathType::Directory, Some("directory")),
        (HostPathType::DirectoryOrCreate, Some("directory")),
        (HostPathType::File, Some("file")),
        (HostPathType::FileOrCreate, Some("file")),
        (HostPathType::Socket, Some("socket")),
        (HostPathType::CharDevice, Some("char-device")),
        (HostPathType::BlockDevice, Some("block-device")),
    ] {
        let mut pod = a_pod();
        pod.spec.volumes = vec![Volume {
            name: "data".into(),
            source: VolumeSource::HostPath { path: "/v/data".into(), kind },
        }];
        pod.spec.containers[0].volume_mounts = vec![volume_mount("data", "/data", true)];
        let config = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap();
        let options = config.mounts[7].options().clone().unwrap();
        let wanted = expected.map(|kind| format!("x-mkubelet.type={kind}"));
        assert_eq!(options[..3], strings(&["rbind", "rprivate", "ro"]));
        assert_eq!(options.get(3), wanted.as_ref(), "{kind:?}");
    }
}

#[test]
fn a_read_only_root_makes_the_pods_files_read_only_too() {
    let mut pod = a_pod();
    pod.spec.containers[0].security.read_only_root_filesystem = true;
    pod.spec.containers[0].security.allow_privilege_escalation = false;
    let oci = oci_of(&pod, &image(json!({"Cmd": ["c"]})));
    assert_eq!(oci["root"]["readonly"], true);
    assert_eq!(oci["process"]["noNewPrivileges"], true);
    assert_eq!(oci["mounts"][7]["options"][2], "ro");
}

#[test]
fn a_container_says_why_it_ends_where_its_manifest_wants_it_and_can_always_write_there() {
    let mut pod = a_pod();
    let container = &mut pod.spec.containers[0];
    container.security.read_only_root_filesystem = true;
    container.termination_message.path = "/tmp/why".into();
    container.termination_message.policy = TerminationMessagePolicy::FallbackToLogsOnError;
    let config = configured(&pod, &image(json!({"Cmd": ["c"]}))).unwrap();
    let message = config.termination_message.unwrap();
    assert!(message.or_log);
    let mount = config.mounts.last().unwrap();
    assert_eq!(
        (mount.destination().as_path(), mount.source().as_ref()),
        (Path::new("/tmp/why"), Some(&message.file))
    );
    assert!(mount.options().iter().flatten().any(|option| option == "rw"));
}

#[test]
fn a_privileged_container_has_all_that_the_node_has() {
    let mut pod = a_pod();
    let security = &mut pod.spec.containers[0].security;
    security.privileged = true;
    security.capabilities_drop = strings(&["ALL"]);
    let oci = oci_of(&pod, &image(json!({"Cmd": ["c"]})));
    let bounding = oci["process"]["capabilities"]["bounding"].as_array().unwrap();
    assert_eq!(bounding.len(), every_capability().len());
    assert_eq!((&oci["maskedPaths"], &oci["readonlyPaths"]), (&json!([]), &json!([])));
    assert_eq!(oci["hostDevices"], true);
    for mount in [&oci["mounts"][5], &oci["mounts"][6]] {
        assert_eq!(mount["options"], json!(["nosuid", "noexec", "nodev"]), "{mount}");
    }
    pod.spec.host_users = false;
    assert_eq!(oci_of(&pod, &image(json!({"Cmd": ["c"]})))["hostDevices"], false);
}

#[test]
fn an_unmasked_proc_hides_nothing_and_gives_nothing_else() {
    let mut pod = a_pod();
    pod.spec.containers[0].security.proc_mount = ProcMount::Unmasked;
    let oci = oci_of(&pod, &image(json!({"Cmd": ["c"]})));
    assert_eq!((&oci["maskedPaths"], &oci["readonlyPaths"]), (&json!([]), &json!([])));
    assert_eq!(oci["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 11);
    assert_eq!(oci["mounts"][5]["options"], json!(["nosuid", "noexec", "nodev", "ro"]));
    assert_eq!(oci["hostDevices"], false);
}
