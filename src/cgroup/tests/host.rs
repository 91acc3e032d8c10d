//! On the host's own hierarchies, as root; without root these tests say SKIPPED.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, write};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use crate::cgroup::hierarchy::Hierarchy as _;
use crate::cgroup::kill::by_signals;
use crate::cgroup::{Cgroups, Error, v2};

/// A group of a test's own with the processes in it, all of which are gone at the end.
struct Scratch {
    cgroups: Cgroups,
    group: PathBuf,
    children: Vec<Child>,
    /// What the root of v2 handed on before.
    found: String,
}

impl Scratch {
    fn new(limits: Value) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "these tests need root");
            eprintln!("SKIPPED: needs root");
            return None;
        }
        let cgroups = Cgroups::detect(Path::new("/sys/fs/cgroup")).unwrap();
        let name = format!("mkubelet-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let group = Path::new(&name).join("pod/container");
        let limits: LinuxResources = serde_json::from_value(limits).unwrap();
        let found = handed_on(&cgroups).map(|(_, controllers)| controllers).unwrap_or_default();
        let scratch = Self { cgroups, group, children: Vec::new(), found };
        scratch.cgroups.create(&scratch.group, &limits).unwrap();
        Some(scratch)
    }

    /// Starts a shell script in `group`; it begins only once it is there.
    fn run(&mut self, group: &Path, script: &str) -> &mut Child {
        let script = format!("read go; {script}");
        let mut shell = Command::new("sh");
        let mut child =
            shell.args(["-c", &script]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id().to_string();
        let join = self.cgroups.join(group).unwrap();
        let unified =
            join.into.iter().map(|d| openat(d, "cgroup.procs", OFlag::O_WRONLY, Mode::empty()).unwrap());
        for members in unified.chain(join.tasks) {
            write(members, pid.as_bytes()).unwrap();
        }
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        self.children.push(child);
        self.children.last_mut().unwrap()
    }

    fn top(&self) -> &Path {
        self.group.iter().next().map(Path::new).unwrap()
    }

    fn exists(&self) -> bool {
        self.cgroups.hierarchies().any(|h| h.mount().join(self.top()).exists())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let killed = self.cgroups.kill(self.top());
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let removed = self.cgroups.remove(self.top());
        if let Some((file, now)) = handed_on(&self.cgroups) {
            let before: Vec<&str> = self.found.split_whitespace().collect();
            for controller in now.split_whitespace().filter(|controller| !before.contains(controller)) {
                // Refused while somebody else's groups have a use for it.
                let _ = std::fs::write(&file, format!("-{controller}"));
            }
        }
        if !std::thread::panicking() {
            killed.unwrap();
            removed.unwrap();
            assert!(!self.exists());
        }
    }
}

/// The controllers that the root of v2 hands on, and the file that says so.
fn handed_on(cgroups: &Cgroups) -> Option<(PathBuf, String)> {
    let file = cgroups.unified.as_ref()?.mount().join("cgroup.subtree_control");
    let controllers = std::fs::read_to_string(&file).ok()?;
    Some((file, controllers))
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_group_takes_processes_in_kills_them_all_and_goes() {
    let Some(mut scratch) = Scratch::new(json!({})) else { return };
    let group = scratch.group.clone();
    assert!(!scratch.cgroups.is_populated(&group).unwrap());
    let pid = scratch.run(&group, "sleep 1000 & sleep 1000 & wait").id();
    eventually("three processes", || scratch.cgroups.processes(scratch.top()).unwrap().len() == 3);
    assert!(scratch.cgroups.processes(&group).unwrap().contains(&i32::try_from(pid).unwrap()));
    assert!(scratch.cgroups.is_populated(scratch.top()).unwrap());

    scratch.cgroups.remove_if_empty(&group).unwrap();
    assert!(scratch.exists(), "not empty");
    scratch.cgroups.kill(scratch.top()).unwrap();
    assert_eq!(scratch.children[0].wait().unwrap().signal(), Some(9));
    eventually("empty", || !scratch.cgroups.is_populated(scratch.top()).unwrap());
    scratch.cgroups.remove(&group).unwrap();
    scratch.cgroups.remove_if_empty(group.parent().unwrap()).unwrap();
    scratch.cgroups.remove_if_empty(scratch.top()).unwrap();
    assert!(!scratch.exists());
}

#[test]
fn what_is_absent_is_killed_removed_and_counted_without_error() {
    let Some(scratch) = Scratch::new(json!({})) else { return };
    let none = scratch.top().join("none/at/all");
    scratch.cgroups.kill(&none).unwrap();
    scratch.cgroups.remove(&none).unwrap();
    scratch.cgroups.remove_if_empty(&none).unwrap();
    assert_eq!(scratch.cgroups.oom_kills(&none).unwrap(), 0);
    assert!(!scratch.cgroups.is_populated(&none).unwrap());
    assert!(matches!(scratch.cgroups.join(&none), Err(error) if error.errno() == Some(libc::ENOENT)));
}

#[test]
fn a_removal_that_must_give_up_names_who_stays() {
    let Some(mut scratch) = Scratch::new(json!({})) else { return };
    let group = scratch.group.clone();
    let pid = scratch.run(&group, "exec sleep 1000").id();
    eventually("sleep", || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "sleep\n");
    let error = scratch.cgroups.remove(scratch.top()).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }));
    assert!(error.to_string().ends_with(&format!("still in it after 5 s: {pid} (sleep)")), "{error}");
}

#[test]
fn a_removal_waits_for_those_who_are_about_to_leave() {
    let Some(mut scratch) = Scratch::new(json!({})) else { return };
    let group = scratch.group.clone();
    scratch.run(&group, "sleep 0.3");
    scratch.cgroups.remove(scratch.top()).unwrap();
    assert!(!scratch.exists());
}

#[test]
fn a_fork_loop_ends_at_the_pids_limit_and_dies_in_the_kill() {
    let Some(mut scratch) = Scratch::new(json!({"pids": {"limit": 20}})) else { return };
    let group = scratch.group.clone();
    scratch.run(&group, "f() { f & f; }; f");
    eventually("a process", || scratch.cgroups.is_populated(&group).unwrap());
    for _ in 0..20 {
        assert!(scratch.cgroups.processes(&group).unwrap().len() <= 20);
        sleep(Duration::from_millis(5));
    }
    scratch.cgroups.kill(&group).unwrap();
    eventually("empty", || !scratch.cgroups.is_populated(&group).unwrap());
}

#[test]
fn a_process_beyond_the_memory_limit_is_killed_and_counted() {
    let Some(mut scratch) = Scratch::new(json!({"memory": {"limit": 16 << 20}})) else { return };
    let group = scratch.group.clone();
    assert_eq!(scratch.cgroups.oom_kills(&group).unwrap(), 0);
    let status = scratch.run(&group, "exec tail /dev/zero").wait().unwrap();
    assert_eq!(status.signal(), Some(9));
    assert_eq!(scratch.cgroups.oom_kills(&group).unwrap(), 1);
}

#[test]
fn limits_of_a_group_in_use_grow_and_shrink() {
    let limits = |limits| -> LinuxResources { serde_json::from_value(limits).unwrap() };
    let Some(mut scratch) = Scratch::new(json!({"memory": {"limit": 16 << 20}})) else { return };
    let group = scratch.group.clone();
    scratch.run(&group, "sleep 1000");
    eventually("a process", || scratch.cgroups.is_populated(&group).unwrap());
    let found = || {
        let memory = scratch.cgroups.stats(&group).unwrap().memory.unwrap();
        (memory.limit, scratch.cgroups.cpu_quota(&group, 100_000).unwrap())
    };
    assert_eq!(found(), (Some(16 << 20), None));
    for (memory, quota, expected) in [
        (64 << 20, 50_000, (Some(64 << 20), Some(50_000))),
        (32 << 20, 150_000, (Some(32 << 20), Some(150_000))),
        (-1, -1, (None, None)),
        (16 << 20, 20_000, (Some(16 << 20), Some(20_000))),
    ] {
        let memory = json!({"memory": {"limit": memory}});
        scratch.cgroups.update(&group, &limits(memory)).unwrap();
        let cpu = json!({"cpu": {"quota": quota, "period": 100_000}});
        scratch.cgroups.update(&group, &limits(cpu)).unwrap();
        assert_eq!(found(), expected);
    }
}

#[test]
fn what_a_group_uses_is_counted() {
    let limits = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 9}});
    let Some(mut scratch) = Scratch::new(limits) else { return };
    let group = scratch.group.clone();
    assert_eq!(scratch.cgroups.stats(&group).unwrap().pids.unwrap().current, 0);
    // 4 MiB of anonymous memory, a child, and no end. No more, for an emulated processor takes its time.
    let script = "x=$(head -c 4194304 /dev/zero | tr '\\0' x); sleep 1000 & while :; do :; done";
    scratch.run(&group, script);
    let stats = || scratch.cgroups.stats(&group).unwrap();
    eventually("two processes", || {
        stats().pids.unwrap().current == 2 && stats().memory.unwrap().rss >= 4 << 20
    });
    // Not before, or a slow machine would take long to come this far.
    let quota = serde_json::from_value(json!({"cpu": {"quota": 10000, "period": 100_000}})).unwrap();
    scratch.cgroups.update(&group, &quota).unwrap();
    eventually("throttled", || stats().throttling.unwrap().throttled > 2);
    let (before, start) = (stats(), Instant::now());
    sleep(Duration::from_millis(500));
    let held_back = before.throttling.unwrap().time;
    eventually("held back longer", || stats().throttling.unwrap().time > held_back);
    let (after, elapsed) = (stats(), start.elapsed());

    let (memory, pids, cpu) = (after.memory.unwrap(), after.pids.unwrap(), after.cpu.unwrap());
    assert!(memory.rss >= 4 << 20 && memory.rss <= memory.working_set, "{memory:?}");
    assert!(memory.working_set <= memory.usage && memory.usage <= 64 << 20, "{memory:?}");
    assert_eq!((memory.limit, pids.current, pids.limit), (Some(64 << 20), 2, Some(9)));
    // How many there are depends on the size of the kernel's pages.
    assert!(memory.faults > 0 && memory.major_faults <= memory.faults, "{memory:?}");
    let used = cpu.usage - before.cpu.unwrap().usage;
    assert!(used > Duration::ZERO && used < elapsed / 5, "{used:?} of {elapsed:?} at a tenth of a processor");
    // v1 counts ticks in these, which come to about the usage in the long run.
    assert!(cpu.user > Duration::ZERO, "{cpu:?}");
    assert!(after.io.is_some());
    // Its own pod counts the same, being its group above.
    assert!(scratch.cgroups.stats(group.parent().unwrap()).unwrap().cpu.unwrap().usage >= cpu.usage);
    let has_psi = scratch.cgroups.unified.is_some() && Path::new("/proc/pressure/cpu").exists();
    assert_eq!(after.pressure.is_some(), has_psi);
}

#[test]
fn a_group_is_kept_to_its_processors_and_huge_pages() {
    let limits = json!({"cpu": {"cpus": "0"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]});
    let Some(mut scratch) = Scratch::new(limits) else { return };
    let group = scratch.group.clone();
    let script = "grep -q '^Cpus_allowed_list:.0$' /proc/self/status";
    assert!(scratch.run(&group, script).wait().unwrap().success());
    let directories: Vec<_> = scratch.cgroups.hierarchies().map(|h| h.mount().join(&group)).collect();
    let limit = |name: &str| directories.iter().find_map(|d| std::fs::read_to_string(d.join(name)).ok());
    let huge = limit("hugetlb.2MB.max").or_else(|| limit("hugetlb.2MB.limit_in_bytes"));
    assert_eq!(huge.as_deref(), Some("4194304\n"));
}

#[test]
fn devices_that_are_not_listed_cannot_be_opened() {
    let rules = json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"},
    ]});
    let Some(mut scratch) = Scratch::new(rules.clone()) else { return };
    let directory = tempfile::tempdir().unwrap();
    let zero = directory.path().join("zero");
    let script = format!(
        "true < /dev/null || exit 1; true < /dev/zero && exit 2; mknod {0} c 1 5 || exit 3; true < {0} && exit 4; exit 0",
        zero.display()
    );
    let group = scratch.group.clone();
    assert_eq!(scratch.run(&group, &script).wait().unwrap().code(), Some(0));
    assert!(zero.exists());

    // The same again, for another group and for the same one.
    let limits: LinuxResources = serde_json::from_value(rules).unwrap();
    let second = scratch.top().join("pod/second");
    for group in [&second, &group] {
        scratch.cgroups.create(group, &limits).unwrap();
    }
    assert_eq!(scratch.run(&second, "true < /dev/zero && exit 2; exit 0").wait().unwrap().code(), Some(0));
}

#[test]
fn a_fork_loop_dies_where_the_kernel_cannot_kill_a_group() {
    let Some(mut scratch) = Scratch::new(json!({"pids": {"limit": 40}})) else { return };
    let Some(unified) = scratch.cgroups.unified.as_ref().map(|v2| v2.mount().to_owned()) else { return };
    let group = scratch.group.clone();
    scratch.run(&group, "f() { f & f; }; f");
    eventually("a process", || scratch.cgroups.is_populated(&group).unwrap());
    let v2 = v2::Hierarchy::open(unified).unwrap();
    by_signals(&v2, crate::cgroup::group::Group::new(&group).unwrap(), v2::FREEZER).unwrap();
    assert!(scratch.cgroups.processes(&group).unwrap().is_empty());
}

#[test]
fn the_v1_freezer_kills_a_fork_loop_too() {
    let Some(mut scratch) = Scratch::new(json!({"pids": {"limit": 40}})) else { return };
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let without_v2: String =
        mountinfo.lines().filter(|line| !line.contains(" - cgroup2 ")).map(|l| format!("{l}\n")).collect();
    let Ok(legacy) = crate::cgroup::detect::detect(&without_v2, Path::new("/sys/fs/cgroup")) else {
        eprintln!("SKIPPED: this host has no v1 hierarchies");
        return;
    };
    let both = std::mem::replace(&mut scratch.cgroups, legacy);
    scratch.cgroups.create(&scratch.group, &LinuxResources::default()).unwrap();
    let group = scratch.group.clone();
    scratch.run(&group, "f() { f & f; }; f");
    eventually("a process", || scratch.cgroups.is_populated(&group).unwrap());
    scratch.cgroups.kill(&group).unwrap();
    assert!(!scratch.cgroups.is_populated(&group).unwrap());
    scratch.cgroups.remove(scratch.top()).unwrap();
    both.remove(scratch.top()).unwrap();
}
