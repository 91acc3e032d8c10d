//! What a container sees of itself and of the host, as told from inside.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{Container, World, world};

/// The capabilities of a container that asks for nothing: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
/// NET_BIND_SERVICE SYS_CHROOT SETFCAP, as the kernel's bits.
const DEFAULT_CAPABILITIES: u64 = 0x8004_05fb;
const NET_ADMIN: u64 = 1 << 12;
const NET_BIND_SERVICE: u64 = 1 << 10;

/// What is in the /dev of a container that has no devices of the host.
pub(crate) const DEVICES: [&str; 15] = [
    "fd",
    "full",
    "mqueue",
    "null",
    "ptmx",
    "pts",
    "random",
    "shm",
    "stderr",
    "stdin",
    "stdout",
    "termination-log",
    "tty",
    "urandom",
    "zero",
];

/// Runs one container to its end and returns its report.
fn report(world: &World, container: Container) -> Value {
    let pod = world.pod("inside", [container]).restart_policy("Never");
    world.run(&pod).wait().success();
    world.answer("a", "report").unwrap()
}

fn mask(report: &Value, set: &str) -> u64 {
    u64::from_str_radix(report["status"][set].as_str().unwrap(), 16).unwrap()
}

#[test]
fn capabilities_are_the_default_eleven_and_none_can_be_inherited() {
    world(|world| {
        let report = report(world, world.container("a", &["report"]));
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(mask(&report, set), DEFAULT_CAPABILITIES, "{set}");
        }
        assert_eq!(mask(&report, "CapInh"), 0);
        assert_eq!(mask(&report, "CapAmb"), 0);
        assert_eq!(report["status"]["NoNewPrivs"], "0");
    });
}

#[test]
fn capabilities_are_added_and_dropped_as_asked() {
    world(|world| {
        let security = json!({"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}});
        let first = report(world, world.container("a", &["report"]).security(security));
        assert_eq!(mask(&first, "CapEff"), NET_ADMIN);
        assert_eq!(mask(&first, "CapBnd"), NET_ADMIN);
    });
}

#[test]
fn dropping_one_capability_leaves_the_others() {
    world(|world| {
        let security = json!({"capabilities": {"drop": ["NET_BIND_SERVICE"]}});
        let report = report(world, world.container("a", &["report"]).security(security));
        assert_eq!(mask(&report, "CapEff"), DEFAULT_CAPABILITIES & !NET_BIND_SERVICE);
    });
}

#[test]
fn privilege_escalation_can_be_ruled_out() {
    world(|world| {
        let security = json!({"allowPrivilegeEscalation": false});
        let report = report(world, world.container("a", &["report"]).security(security));
        assert_eq!(report["status"]["NoNewPrivs"], "1");
    });
}

#[test]
fn only_the_three_standard_descriptors_are_open_and_input_is_dev_null() {
    world(|world| {
        let report = report(world, world.container("a", &["report"]));
        let descriptors = report["descriptors"].as_object().unwrap();
        assert_eq!(descriptors.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{descriptors:?}");
        assert_eq!(descriptors["0"], "char 1:3", "/dev/null");
        for output in ["1", "2"] {
            assert!(descriptors[output].as_str().unwrap().starts_with("pipe:"), "{descriptors:?}");
        }
        assert_ne!(descriptors["1"], descriptors["2"]);
    });
}

#[test]
fn what_proc_and_sys_would_tell_of_the_host_is_masked_or_read_only() {
    world(|world| {
        let masked =
            ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/latency_stats"];
        let hidden =
            ["/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware", "/sys/devices/virtual/powercap"];
        let read_only = [
            "/proc/sys/kernel/hostname",
            "/proc/sysrq-trigger",
            "/proc/irq/default_smp_affinity",
            "/sys/kernel/mm/ksm/run",
        ];
        let mut steps: Vec<String> = masked.iter().map(|path| format!("read={path}")).collect();
        steps.extend(hidden.iter().map(|path| format!("list={path}")));
        steps.extend(read_only.iter().map(|path| format!("write={path}")));
        steps.push("report".into());
        report(world, world.container("a", &steps.iter().map(String::as_str).collect::<Vec<_>>()));

        for path in masked {
            let read = world.answer("a", &format!("read={path}"));
            assert!(
                read == Ok(json!("")) || read == Err("ENOENT".into()) || read == Err("EACCES".into()),
                "{path}: {read:?}"
            );
        }
        for path in hidden {
            let listed = world.answer("a", &format!("list={path}"));
            assert!(listed == Ok(json!([])) || listed == Err("ENOENT".into()), "{path}: {listed:?}");
        }
        for path in read_only {
            let written = world.answer("a", &format!("write={path}"));
            assert!(written == Err("EROFS".into()) || written == Err("ENOENT".into()), "{path}: {written:?}");
        }
    });
}

#[test]
fn dev_holds_what_a_container_needs_and_nothing_of_the_host() {
    world(|world| {
        report(
            world,
            world.container(
                "a",
                &["list=/dev", "list=/dev/pts", "list=/dev/mqueue", "write=/dev/null", "report"],
            ),
        );
        let list = world.answer("a", "list=/dev").unwrap();
        let found: BTreeSet<&str> = list.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let expected = BTreeSet::from(DEVICES);
        let unexpected: Vec<_> =
            found.symmetric_difference(&expected).filter(|name| **name != "core").collect();
        assert!(unexpected.is_empty(), "{unexpected:?} in /dev: {found:?}");
        assert_eq!(world.answer("a", "list=/dev/pts").unwrap(), json!(["ptmx"]));
        world.answer("a", "write=/dev/null").unwrap();
    });
}

#[test]
fn mounts_of_the_kernel_are_closed_to_programs_and_devices() {
    world(|world| {
        let report = report(world, world.container("a", &["report"]));
        let mounts: Vec<Vec<&str>> = report["mounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap().split(' ').collect())
            .collect();
        let options = |path: &str| -> BTreeSet<&str> {
            let mount = mounts
                .iter()
                .rfind(|fields| fields[4] == path)
                .unwrap_or_else(|| panic!("{path} is not mounted: {mounts:?}"));
            mount[5].split(',').collect()
        };
        for (path, wanted) in [
            ("/", vec!["rw"]),
            ("/proc", vec!["nosuid", "nodev", "noexec"]),
            ("/sys", vec!["nosuid", "nodev", "noexec", "ro"]),
            ("/dev", vec!["nosuid", "noexec"]),
            ("/dev/pts", vec!["nosuid", "noexec"]),
            ("/dev/shm", vec!["nosuid", "nodev", "noexec"]),
            ("/dev/mqueue", vec!["nosuid", "nodev", "noexec"]),
        ] {
            let missing: Vec<_> = wanted.iter().filter(|option| !options(path).contains(*option)).collect();
            assert!(missing.is_empty(), "{path} lacks {missing:?}: {:?}", options(path));
        }
        let shared: Vec<_> = mounts.iter().filter(|fields| fields[6].starts_with("shared:")).collect();
        assert!(shared.is_empty(), "no mount event leaves the container: {shared:?}");
    });
}

#[test]
fn a_user_is_taken_by_number_with_the_groups_that_the_image_lists() {
    world(|world| {
        let pod = world
            .pod("user", [world.container("a", &["report", "read=/ledger/records", "write=/etc/passwd"])])
            .spec(
                "securityContext",
                json!({"runAsUser": 1000, "runAsGroup": 1000, "supplementalGroups": [3000]}),
            )
            .restart_policy("Never");
        world.run(&pod).wait().success();
        let report = world.answer("a", "report").unwrap();
        assert_eq!(report["status"]["Uid"], "1000 1000 1000 1000");
        assert_eq!(report["status"]["Gid"], "1000 1000 1000 1000");
        let groups: BTreeSet<&str> = report["status"]["Groups"].as_str().unwrap().split(' ').collect();
        assert!(groups.is_superset(&BTreeSet::from(["2000", "3000"])) && !groups.contains("0"), "{groups:?}");
        assert_eq!(mask(&report, "CapEff"), 0, "another user than root has no capability in effect");
        assert_eq!(mask(&report, "CapPrm"), 0);
        assert_eq!(world.answer("a", "write=/etc/passwd").unwrap_err(), "EACCES");
        assert_eq!(report["env"]["HOME"], "/home/user");
    });
}

#[test]
fn run_as_non_root_refuses_root() {
    world(|world| {
        let container = world.container("a", &[]).security(json!({"runAsNonRoot": true}));
        let run = world.run(&world.pod("refused", [container]));
        let line = run.expect_prefix("container default/refused/a: Waiting (CreateContainerConfigError): ");
        assert!(line.contains("runAsNonRoot") && line.contains("root"), "{line}");
        run.stop();
        assert_eq!(world.ledger().starts("a"), 0);
    });
}

#[test]
fn a_read_only_root_filesystem_cannot_be_written_to_and_volumes_can() {
    world(|world| {
        let container = world.container(
            "a",
            &["write=/tmp/x", "write=/etc/x", "write=/ledger/x", "write=/dev/shm/x", "report"],
        );
        report(world, container.security(json!({"readOnlyRootFilesystem": true})));
        assert_eq!(world.answer("a", "write=/tmp/x").unwrap_err(), "EROFS");
        assert_eq!(world.answer("a", "write=/etc/x").unwrap_err(), "EROFS");
        assert!(world.answer("a", "write=/ledger/x").is_ok());
        assert!(world.answer("a", "write=/dev/shm/x").is_ok());
    });
}

#[test]
fn nothing_of_the_agents_environment_reaches_a_container() {
    world(|world| {
        let manifest = world.write(
            "pod.json",
            &world.pod("env", [world.container("a", &["report"])]).restart_policy("Never").to_json(),
        );
        let mut command = world.mkubelet();
        command.env("SECRET_OF_THE_AGENT", "x").arg("run").arg(manifest);
        assert!(command.output().unwrap().status.success());
        let report = world.answer("a", "report").unwrap();
        let names: BTreeSet<&str> = report["env"].as_object().unwrap().keys().map(String::as_str).collect();
        assert!(names.is_subset(&BTreeSet::from(["HOME", "HOSTNAME", "PATH"])), "{names:?}");
        assert_eq!(report["env"]["HOSTNAME"], "env");
    });
}

#[test]
fn variables_are_expanded_in_commands_and_values() {
    world(|world| {
        let container = world.container("a", &["print=$(GREETING) $$(GREETING) $(NOBODY)", "report"]).with(
            "env",
            json!([{"name": "WHO", "value": "world"}, {"name": "GREETING", "value": "hello $(WHO)"}]),
        );
        let report = report(world, container);
        assert_eq!(report["env"]["GREETING"], "hello world");
        assert_eq!(report["args"][2], "print=hello world $(GREETING) $(NOBODY)");
    });
}

#[test]
fn a_container_is_in_a_cgroup_of_its_own_that_looks_like_the_root() {
    world(|world| {
        let run = world.run(&world.pod(
            "grouped",
            [world.container("a", &["report", "write=/sys/fs/cgroup/cgroup.procs", "wait"])],
        ));
        let report = world.answer("a", "report").unwrap();
        for line in report["cgroup"].as_array().unwrap().iter().filter_map(Value::as_str) {
            assert!(line.ends_with(":/"), "{line}");
        }
        let written = world.answer("a", "write=/sys/fs/cgroup/cgroup.procs").unwrap_err();
        assert!(["EROFS", "ENOENT", "EACCES"].contains(&written.as_str()), "{written}");
        let uid = world.pod_uids().remove(0);
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", world.pid_of("a"))).unwrap();
        assert!(groups.contains(&format!("/kubepods/besteffort/pod{uid}/")), "{groups}");
        run.stop();
    });
}

#[test]
fn a_container_cannot_see_or_signal_the_agent_or_the_shim() {
    world(|world| {
        let run =
            world.run(&world.pod("blind", [world.container("a", &["list=/proc/1/fd", "report", "wait"])]));
        let report = world.answer("a", "report").unwrap();
        assert_eq!(report["processes"], json!([1]));
        let own = world.pid_of("a");
        for other in [run.pid(), world.shim_pid(), world.pause_pid()] {
            assert!(
                !std::path::Path::new(&format!("/proc/{own}/root/proc/{other}")).exists() || other == own
            );
        }
        run.stop();
    });
}
