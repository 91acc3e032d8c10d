//! What a container sees and can do under each securityContext, compared with `golden/inside.txt`; and a program that is
//! executed in the container sees the very same.
//!
//! `MKUBELET_BLESS=1` writes the golden file anew. It is then to be read: each line is a promise, and a case shows only what
//! it changes in the default. What differs between machines for good reason is made equal in [`normal`], and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::world::{Container, Pod, World, install, until, world};

/// One securityContext.
struct Case {
    name: &'static str,
    /// The pod's.
    pod: Value,
    /// The container's.
    container: Value,
    /// Other fields of the pod's spec.
    spec: Value,
}

/// The table. The image is root's, knows `user` (1000, in group 2000), and names no USER.
fn cases() -> Vec<Case> {
    let case = |name, pod, container| Case { name, pod, container, spec: json!({}) };
    let container = |name, context| case(name, json!({}), context);
    let capabilities = |name, add: &[&str], drop: &[&str]| {
        container(name, json!({"capabilities": {"add": add, "drop": drop}}))
    };
    let mapped = |case: Case| Case { spec: json!({"hostUsers": false}), ..case };
    vec![
        // The first one is what all others are compared with.
        container("default", json!({})),
        // Users and groups.
        container("user listed in the image", json!({"runAsUser": 1000})),
        container("user unknown to the image", json!({"runAsUser": 4242})),
        container("user and group", json!({"runAsUser": 1000, "runAsGroup": 3000})),
        container("group alone", json!({"runAsGroup": 3000})),
        case("pod's user", json!({"runAsUser": 1000, "runAsGroup": 3000}), json!({})),
        case("container's user wins over pod's", json!({"runAsUser": 1000}), json!({"runAsUser": 4242})),
        case("supplemental groups", json!({"supplementalGroups": [5000, 6000]}), json!({})),
        case(
            "supplemental groups merged with the image's",
            json!({"runAsUser": 1000, "supplementalGroups": [5000]}),
            json!({}),
        ),
        case("non-root by number", json!({"runAsNonRoot": true}), json!({"runAsUser": 1000})),
        // Capabilities.
        capabilities("add NET_ADMIN", &["NET_ADMIN"], &[]),
        capabilities("add SYS_ADMIN", &["SYS_ADMIN"], &[]),
        capabilities("add SYS_PTRACE", &["SYS_PTRACE"], &[]),
        capabilities("add SYS_TIME", &["SYS_TIME"], &[]),
        capabilities("add MKNOD", &["MKNOD"], &[]),
        capabilities("drop NET_BIND_SERVICE", &[], &["NET_BIND_SERVICE"]),
        capabilities("drop ALL", &[], &["ALL"]),
        capabilities("drop ALL, add NET_BIND_SERVICE", &["NET_BIND_SERVICE"], &["ALL"]),
        container(
            "user with an added capability",
            json!({"runAsUser": 1000, "capabilities": {"add": ["NET_ADMIN"]}}),
        ),
        // Escalation and files.
        container("no seccomp filter", json!({"seccompProfile": {"type": "Unconfined"}})),
        container(
            "capabilities of an administrator",
            json!({"capabilities": {"add": ["SYS_PTRACE", "SYS_TIME", "SYS_BOOT", "BPF"]}}),
        ),
        case("fsGroup", json!({"runAsUser": 1000, "fsGroup": 7000}), json!({})),
        case(
            "strict groups",
            json!({"runAsUser": 1000, "supplementalGroups": [5000], "supplementalGroupsPolicy": "Strict"}),
            json!({}),
        ),
        case("sysctls", json!({"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}), json!({})),
        container("no privilege escalation", json!({"allowPrivilegeEscalation": false})),
        container("read-only root", json!({"readOnlyRootFilesystem": true})),
        container("read-only root, user", json!({"readOnlyRootFilesystem": true, "runAsUser": 1000})),
        // The strictest Pod Security Standard.
        case(
            "restricted",
            json!({"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}),
            json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            }),
        ),
        // Namespaces.
        Case { spec: json!({"hostNetwork": true}), ..container("host network", json!({})) },
        Case {
            spec: json!({"hostNetwork": true}),
            ..capabilities("host network, add NET_ADMIN", &["NET_ADMIN"], &[])
        },
        // A user namespace of the pod's own: `its own` are its maps.
        mapped(container("own users", json!({}))),
        mapped(case(
            "own users: user, groups and fsGroup",
            json!({"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [5000], "fsGroup": 7000}),
            json!({}),
        )),
        mapped(case(
            "own users: sysctls",
            json!({"sysctls": [
                {"name": "net.ipv4.tcp_syncookies", "value": "0"},
                {"name": "kernel.shm_rmid_forced", "value": "1"},
            ]}),
            json!({}),
        )),
        mapped(capabilities("own users: add SYS_ADMIN", &["SYS_ADMIN"], &[])),
        mapped(capabilities("own users: drop ALL", &[], &["ALL"])),
        mapped(container(
            "own users: capabilities of an administrator",
            json!({
                "capabilities": {"add": ["SYS_ADMIN", "SYS_PTRACE", "SYS_TIME", "SYS_BOOT", "BPF", "MKNOD", "NET_ADMIN"]},
                "seccompProfile": {"type": "Unconfined"},
            }),
        )),
        mapped(container("own users: nothing of /proc masked", json!({"procMount": "Unmasked"}))),
        mapped(container(
            "own users: nothing of /proc masked, no filter",
            json!({"procMount": "Unmasked", "seccompProfile": {"type": "Unconfined"}}),
        )),
        mapped(container("own users: read-only root", json!({"readOnlyRootFilesystem": true}))),
    ]
}

#[test]
fn every_security_context_gives_what_it_asks_for_and_an_exec_gets_the_same() {
    world(|world| {
        install("inside", &world.path("image"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/golden/inside.txt");
        let mut golden = Golden::parse(&fs::read_to_string(&path).unwrap_or_default());
        let mut found = Golden::default();
        let mut wrong = String::new();
        for case in cases() {
            let (main, exec) = both(world, &case);
            if main != exec {
                writeln!(wrong, "{}: an exec differs\n{}", case.name, differences(&main, &exec)).unwrap();
            }
            let expected = golden.case(case.name);
            let mut lines = normal(&main);
            // What this kernel has not got cannot be tried on it.
            for (key, value) in &mut lines {
                if value == "absent"
                    && let Some(told) = expected.get(key)
                {
                    value.clone_from(told);
                }
            }
            // Older kernels, 6.1 among them, still take SYS_ADMIN for SYSLOG.
            if lines["CapEff"].contains("SYS_ADMIN")
                && let Some(told) = expected.get("syscall syslog")
            {
                lines.insert("syscall syslog".to_owned(), told.clone());
            }
            if lines != expected {
                writeln!(wrong, "{}\n{}", case.name, differences(&expected, &lines)).unwrap();
            }
            found.add(case.name, lines);
        }
        if std::env::var_os("MKUBELET_BLESS").is_some() {
            golden = found;
            fs::write(&path, golden.to_text()).unwrap();
        } else {
            assert!(wrong.is_empty(), "- as it should be, + as it is\n{wrong}");
        }
    });
}

type Lines = BTreeMap<String, String>;

/// What the container's first process reports, and what a program reports that is executed beside it.
fn both(world: &World, case: &Case) -> (Lines, Lines) {
    let container = Container::new("a", &world.image())
        .command(&["/bin/inside", "wait"])
        .security(case.container.clone());
    let mut pod = Pod::new("inside", [container]).restart_policy("Never");
    pod = pod.spec("securityContext", case.pod.clone());
    for (field, value) in case.spec.as_object().unwrap() {
        pod = pod.spec(field, value.clone());
    }
    let run = world.run(&pod);
    run.expect("container default/inside/a: Running");
    let main = until(&format!("the report of {}", case.name), || {
        let text = fs::read_to_string(log_file(world)?).ok()?;
        text.contains("F end: of report\n").then_some(text)
    });
    let main: String =
        main.lines().map(|line| format!("{}\n", line.splitn(4, ' ').nth(3).unwrap())).collect();
    let exec = exec(world);
    run.stop().printed("container default/inside/a: Terminated (Completed)");
    (parse(&main), parse(&exec))
}

fn log_file(world: &World) -> Option<PathBuf> {
    let uid = world.pod_uids().pop()?;
    Some(world.log_dir().join(format!("default_inside_{uid}/a/0.log")))
}

/// Executes the program in the container.
fn exec(world: &World) -> String {
    let captured = world.executor().run(&["/bin/inside"], 1 << 20).unwrap();
    assert_eq!(captured.exit.code, 0, "{}", String::from_utf8_lossy(&captured.output));
    String::from_utf8(captured.output).unwrap()
}

fn parse(report: &str) -> Lines {
    report
        .lines()
        .filter(|line| *line != "end: of report")
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no key and value: {line}")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The report without what is the machine's and not mkubelet's: the numbers of namespaces, the host's name, and limits that
/// nobody sets.
fn normal(lines: &Lines) -> Lines {
    let hostname = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
    let same = |key: &str, value: &str| match key.split_once(' ') {
        Some(("namespace", kind)) => {
            let hosts = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
            Some(if hosts == Path::new(value) { "the host's".to_owned() } else { "its own".to_owned() })
        }
        // The only one that is set, and its hard limit is as high as the host allows.
        Some(("rlimit", "nofile")) => value.split(' ').next().map(str::to_owned),
        Some(("rlimit", _)) => None,
        _ if value == hostname => Some("the host's".to_owned()),
        _ => Some(value.to_owned()),
    };
    lines.iter().filter_map(|(key, value)| Some((key.clone(), same(key, value)?))).collect()
}

fn differences(expected: &Lines, found: &Lines) -> String {
    let missing = expected.iter().filter(|(key, value)| found.get(*key) != Some(value));
    let new = found.iter().filter(|(key, value)| expected.get(*key) != Some(value));
    let mut lines: Vec<(&String, char, &String)> = missing
        .map(|(key, value)| (key, '-', value))
        .chain(new.map(|(key, value)| (key, '+', value)))
        .collect();
    lines.sort_by_key(|(key, sign, _)| (*key, *sign != '-'));
    lines.iter().map(|(key, sign, value)| format!("{sign} {key}: {value}\n")).collect()
}

/// The golden file: the first case in full, then what each of the others changes in it.
#[derive(Default)]
struct Golden {
    cases: Vec<(String, Lines)>,
}

impl Golden {
    fn parse(text: &str) -> Self {
        let mut golden = Self::default();
        for section in
            text.split("\n# ").map(|section| section.trim_start_matches("# ")).filter(|s| !s.is_empty())
        {
            let (name, body) = section.split_once('\n').unwrap_or((section, ""));
            let mut lines = golden.cases.first().map(|(_, first)| first.clone()).unwrap_or_default();
            for line in body.lines() {
                let Some((key, value)) = line.get(2..).and_then(|rest| rest.split_once(": ")) else {
                    continue;
                };
                match line.as_bytes()[0] {
                    b'-' => drop(lines.remove(key)),
                    _ => drop(lines.insert(key.to_owned(), value.to_owned())),
                }
            }
            golden.add(name, lines);
        }
        golden
    }

    fn case(&self, name: &str) -> Lines {
        let found = self.cases.iter().find(|(known, _)| known == name);
        found.map(|(_, lines)| lines.clone()).unwrap_or_default()
    }

    fn add(&mut self, name: &str, lines: Lines) {
        self.cases.push((name.to_owned(), lines));
    }

    fn to_text(&self) -> String {
        let Some((_, first)) = self.cases.first() else { return String::new() };
        let section = |(index, (name, lines)): (usize, &(String, Lines))| {
            let body = if index == 0 {
                lines.iter().map(|(key, value)| format!("  {key}: {value}\n")).collect()
            } else {
                differences(first, lines)
            };
            format!("# {name}\n{body}")
        };
        self.cases.iter().enumerate().map(section).collect::<Vec<_>>().join("\n")
    }
}
