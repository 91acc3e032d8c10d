//! seccomp: what a container's profile lets through, and what becomes of profiles that are no good.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::world::{Container, World, until, world};

/// Calls, and what the default profile lets the usual container have of them. Those that a filter lets through fail for
/// want of sensible arguments.
const USUAL: [(&str, &str); 16] = [
    ("unshare", "EPERM"),
    ("setns", "EPERM"),
    ("mount", "EPERM"),
    ("move_mount", "EPERM"),
    ("keyctl", "EPERM"),
    ("add_key", "EPERM"),
    ("bpf", "EPERM"),
    ("io_uring_setup", "EPERM"),
    ("userfaultfd", "EPERM"),
    ("kexec_load", "EPERM"),
    ("socket:38", "EPERM"),
    ("socket:40", "EPERM"),
    ("clone3", "ENOSYS"),
    ("chroot", "EFAULT"),
    ("openat", "EFAULT"),
    ("socket:9999", "EINVAL"),
];

fn tries(calls: &[(&str, &str)]) -> Vec<String> {
    let tries = calls.iter().map(|(call, _)| format!("call={call}"));
    tries.chain(["report".to_owned()]).collect()
}

/// A container that tries the calls, and tells what it is.
fn trying(world: &World, calls: &[(&str, &str)]) -> Container {
    let steps = tries(calls);
    world.container("a", &steps.iter().map(String::as_str).collect::<Vec<_>>())
}

fn check(world: &World, calls: &[(&str, &str)]) {
    for (call, errno) in calls {
        assert_eq!(world.answer("a", &format!("call={call}")), Err((*errno).to_owned()), "{call}");
    }
}

/// Runs one container to its end and returns its /proc/self/status.
fn status(world: &World, container: Container) -> Value {
    world.run(&world.pod("filtered", [container]).restart_policy("Never")).wait().success();
    world.answer("a", "report").unwrap()["status"].take()
}

#[test]
fn a_container_that_asks_for_nothing_makes_the_calls_of_the_default_profile_only() {
    world(|world| {
        let status = status(world, trying(world, &USUAL));
        assert_eq!((&status["Seccomp"], &status["Seccomp_filters"]), (&json!("2"), &json!("1")));
        check(world, &USUAL);
    });
}

#[test]
fn unconfined_containers_have_no_filter() {
    world(|world| {
        let calls = [("unshare", "EINVAL"), ("keyctl", "EOPNOTSUPP"), ("clone3", "E2BIG")];
        let security = json!({"seccompProfile": {"type": "Unconfined"}});
        let status = status(world, trying(world, &calls).security(security));
        assert_eq!(status["Seccomp"], "0");
        check(world, &calls);
    });
}

#[test]
fn a_capability_brings_its_calls_along() {
    world(|world| {
        let calls = [("unshare", "EINVAL"), ("mount", "EFAULT"), ("clone3", "E2BIG"), ("keyctl", "EPERM")];
        let security = json!({"capabilities": {"add": ["SYS_ADMIN"]}});
        let status = status(world, trying(world, &calls).security(security));
        assert_eq!(status["Seccomp"], "2");
        check(world, &calls);
    });
}

#[test]
fn a_dropped_capability_takes_its_calls_along() {
    world(|world| {
        let calls = [("chroot", "EPERM"), ("unshare", "EPERM")];
        let security = json!({"capabilities": {"drop": ["ALL"]}});
        let status = status(world, trying(world, &calls).security(security));
        assert_eq!(status["CapPrm"], "0000000000000000");
        check(world, &calls);
    });
}

#[test]
fn loading_a_filter_leaves_no_privilege_behind_whoever_the_user_is() {
    for (security, no_new_privs, effective) in [
        (json!({"runAsUser": 1000}), "0", "0000000000000000"),
        (json!({"runAsUser": 1000, "allowPrivilegeEscalation": false}), "1", "0000000000000000"),
        (json!({"allowPrivilegeEscalation": false}), "1", "00000000800405fb"),
        (json!({}), "0", "00000000800405fb"),
    ] {
        world(|world| {
            let status = status(world, trying(world, &[]).security(security.clone()));
            assert_eq!(status["Seccomp"], "2", "{security}");
            assert_eq!(status["NoNewPrivs"], no_new_privs, "{security}");
            for set in ["CapEff", "CapPrm"] {
                assert_eq!(status[set], effective, "{set} {security}");
            }
            assert_eq!(status["CapBnd"], "00000000800405fb", "{security}");
        });
    }
}

#[test]
fn pause_may_do_little_but_sleep() {
    world(|world| {
        let run = world.run(&world.pod("filtered", [world.container("a", &["wait"])]));
        run.expect("pod default/filtered: Running");
        let status = fs::read_to_string(format!("/proc/{}/status", world.pause_pid())).unwrap();
        assert!(status.lines().any(|line| line == "Seccomp:\t2"), "{status}");
        run.stop();
    });
}

/// A node with profiles of its own, which go before the world is looked at for what was left.
struct Profiles(PathBuf);

impl Profiles {
    fn of(world: &World) -> Self {
        let directory = world.root_dir().join("seccomp");
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn write(&self, name: &str, json: &str) {
        fs::write(self.0.join(name), json).unwrap();
    }
}

impl Drop for Profiles {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn localhost(path: &str) -> Value {
    json!({"seccompProfile": {"type": "Localhost", "localhostProfile": path}})
}

#[test]
fn a_profile_of_the_node_takes_effect() {
    world(|world| {
        let profiles = Profiles::of(world);
        profiles.write(
            "own.json",
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["chroot", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 88},
                {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_KILL"]}},
                {"names": ["setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": 89,
                 "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]}]}"#,
        );
        let calls =
            [("chroot", "ENOTSOCK"), ("mount", "EFAULT"), ("setns:7", "EDESTADDRREQ"), ("setns:8", "EBADF")];
        let status = status(world, trying(world, &calls).security(localhost("own.json")));
        assert_eq!(status["Seccomp"], "2");
        check(world, &calls);
    });
}

#[test]
fn a_container_whose_profile_is_no_good_does_not_start() {
    world(|world| {
        let cases = [
            ("missing", None, "No such file or directory"),
            ("empty", Some(""), "the file is empty"),
            ("malformed", Some("{\"defaultAction\": "), "EOF while parsing a value at line 1 column 18"),
            ("action", Some(r#"{"defaultAction": "SCMP_ACT_NOPE"}"#), "unknown action \"SCMP_ACT_NOPE\""),
            ("field", Some(r#"{"defaultAction": "SCMP_ACT_ALLOW", "x": 1}"#), "unknown field `x`"),
            ("notify", Some(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#), "SCMP_ACT_NOTIFY is not supported"),
        ];
        let profiles = Profiles::of(world);
        for (name, json, _) in cases {
            if let Some(json) = json {
                profiles.write(&format!("{name}.json"), json);
            }
        }
        let containers = cases
            .map(|(name, ..)| world.container(name, &["wait"]).security(localhost(&format!("{name}.json"))));
        let run = world.run(&world.pod("refused", containers));
        for (name, _, reason) in cases {
            let line = run.expect_prefix(&format!(
                "container default/refused/{name}: Waiting (CreateContainerError): "
            ));
            assert!(line.contains(&format!("seccomp profile \"{name}.json\": ")), "{line}");
            assert!(line.contains(reason), "{line}");
        }
        run.stop();
        for (name, ..) in cases {
            assert_eq!(world.ledger().starts(name), 0, "{name}");
        }
    });
}

#[test]
fn a_profile_may_be_put_right_while_its_container_waits() {
    world(|world| {
        let profiles = Profiles::of(world);
        let run = world
            .run(&world.pod("repaired", [world.container("a", &["wait"]).security(localhost("late.json"))]));
        run.expect_prefix("container default/repaired/a: Waiting (CreateContainerError): ");
        profiles.write("late.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
        until("a to run", || (world.ledger().starts("a") == 1).then_some(()));
        run.stop();
    });
}

#[test]
fn a_profile_outside_its_directory_is_refused_before_anything_starts() {
    world(|world| {
        for path in ["../x", "a/../../x", "/etc/passwd"] {
            let container = world.container("a", &[]).security(localhost(path));
            let manifest = world.write("bad.json", &world.pod("bad", [container]).to_json());
            let output = world.output(&["run", manifest.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success());
            assert!(said.contains("seccompProfile.localhostProfile: Invalid value: "), "{said}");
        }
        assert_eq!(world.ledger().starts("a"), 0);
    });
}
