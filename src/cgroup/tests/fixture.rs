//! Fake trees: directories and empty files where the kernel would have groups and control files.

use std::fs;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use serde_json::json;
use tempfile::TempDir;

use crate::cgroup::detect::detect;
use crate::cgroup::{Cgroups, ContainerMounts, Error};

/// A directory that plays /sys/fs/cgroup, and the lines of mountinfo for it.
pub(super) struct Tree {
    root: TempDir,
    mountinfo: String,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            mountinfo: "1 0 8:1 / / rw - ext4 /dev/sda rw\n".to_owned(),
        }
    }

    pub(super) fn v2(self, at: &str, controllers: &str) -> Self {
        self.file(&format!("{at}/cgroup.controllers"), controllers)
            .file(&format!("{at}/cgroup.subtree_control"), "")
            .mount(at, "cgroup2", "rw,nsdelegate")
    }

    pub(super) fn v1(self, at: &str, options: &str) -> Self {
        fs::create_dir_all(self.root.path().join(at)).unwrap();
        self.mount(at, "cgroup", &format!("rw,{options}"))
    }

    fn mount(mut self, at: &str, kind: &str, options: &str) -> Self {
        let point = self.root.path().join(at);
        self.mountinfo += &format!("9 1 0:9 / {} rw shared:9 - {kind} {kind} {options}\n", point.display());
        self
    }

    pub(super) fn file(self, path: &str, text: &str) -> Self {
        let path = self.root.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn files(self, directory: &str, names: &[&str]) -> Self {
        names.iter().fold(self, |tree, name| tree.file(&format!("{directory}/{name}"), ""))
    }

    pub(super) fn cgroups(&self) -> Cgroups {
        detect(&self.mountinfo, self.root.path()).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap()
    }
}

fn limits() -> LinuxResources {
    serde_json::from_value(json!({
        "cpu": {"shares": 1024, "quota": 50000, "period": 100000},
        "memory": {"limit": 1048576},
        "pids": {"limit": 64},
    }))
    .unwrap()
}

#[test]
fn v2_gets_all_limits_in_one_directory() {
    let tree = Tree::new()
        .v2("", "cpuset cpu io memory hugetlb pids\n")
        .files("pods/a", &["cpu.weight", "cpu.max", "memory.max", "memory.swap.max", "pids.max"]);
    let cgroups = tree.cgroups();
    cgroups.create(Path::new("pods/a"), &limits()).unwrap();
    for (file, value) in [
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("memory.max", "1048576"),
        ("memory.swap.max", "0"),
        ("pids.max", "64"),
    ] {
        assert_eq!(tree.read(&format!("pods/a/{file}")), value, "{file}");
    }
    assert_eq!(cgroups.container_mounts(Path::new("pods/a")).unwrap(), ContainerMounts::V2);
}

#[test]
fn v2_enables_the_controllers_it_has_for_a_new_group() {
    let tree = Tree::new().v2("", "cpu pids").file("pods/cgroup.subtree_control", "");
    tree.cgroups().create(Path::new("pods/a"), &LinuxResources::default()).unwrap();
    assert_eq!(tree.read("pods/cgroup.subtree_control"), "+cpu +pids");
    assert!(tree.root.path().join("pods/a").is_dir());
}

#[test]
fn v1_gets_each_limit_in_the_hierarchy_of_its_controller() {
    let tree = Tree::new()
        .v1("cpu,cpuacct", "cpu,cpuacct")
        .v1("memory", "memory")
        .v1("pids", "pids")
        .v1("freezer", "freezer")
        .v1("cpuset", "cpuset")
        .v1("systemd", "xattr,name=systemd")
        .files("cpu,cpuacct/pods/a", &["cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us"])
        .files("memory/pods/a", &["memory.limit_in_bytes"])
        .files("pids/pods/a", &["pids.max"]);
    std::os::unix::fs::symlink("cpu,cpuacct", tree.root.path().join("cpu")).unwrap();
    let cgroups = tree.cgroups();
    cgroups.create(Path::new("pods/a"), &limits()).unwrap();
    for (file, value) in [
        ("cpu/pods/a/cpu.shares", "1024"),
        ("cpu/pods/a/cpu.cfs_period_us", "100000"),
        ("cpu/pods/a/cpu.cfs_quota_us", "50000"),
        ("memory/pods/a/memory.limit_in_bytes", "1048576"),
        ("pids/pods/a/pids.max", "64"),
    ] {
        assert_eq!(tree.read(file), value, "{file}");
    }
    assert!(tree.root.path().join("freezer/pods/a").is_dir());
    assert!(!tree.root.path().join("cpuset/pods").exists());
    assert!(!tree.root.path().join("systemd/pods").exists());
    let hierarchies = ["cpu,cpuacct", "memory", "pids", "freezer"].map(str::to_owned).to_vec();
    assert_eq!(cgroups.container_mounts(Path::new("pods/a")).unwrap(), ContainerMounts::V1 { hierarchies });
}

#[test]
fn hybrid_sets_limits_on_v1_and_groups_on_v2() {
    let tree = Tree::new()
        .v1("memory", "memory")
        .v1("cpu", "cpu")
        .v1("cpuacct", "cpuacct")
        .v1("pids", "pids")
        .v1("freezer", "freezer")
        .v2("unified", "hugetlb")
        .files("memory/pods/a", &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "tasks"])
        .files("cpu/pods/a", &["cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "tasks"])
        .files("cpuacct/pods/a", &["tasks"])
        .files("pids/pods/a", &["pids.max", "tasks"]);
    let cgroups = tree.cgroups();
    cgroups.create(Path::new("pods/a"), &limits()).unwrap();
    assert_eq!(tree.read("memory/pods/a/memory.memsw.limit_in_bytes"), "1048576");
    assert_eq!(tree.read("unified/cgroup.subtree_control"), "", "v2 has nothing to enable");
    assert!(!tree.root.path().join("freezer/pods").exists(), "v2 freezes");
    let join = cgroups.join(Path::new("pods/a")).unwrap();
    assert!(join.into.is_some());
    assert_eq!(join.tasks.len(), 4);
    let hierarchies = ["memory", "cpu", "cpuacct", "pids"].map(str::to_owned).to_vec();
    assert_eq!(cgroups.container_mounts(Path::new("pods/a")).unwrap(), ContainerMounts::V1 { hierarchies });
}

#[test]
fn v1_groups_are_in_cpuset_and_hugetlb_only_where_they_have_such_a_limit() {
    let tree = Tree::new()
        .v1("pids", "pids")
        .v1("cpuset", "cpuset")
        .v1("hugetlb", "hugetlb")
        .file("cpuset/cpuset.cpus", "0-3\n")
        .file("cpuset/cpuset.mems", "0\n")
        .files("cpuset/a/b", &["cpuset.cpus", "cpuset.mems", "tasks"])
        .files("pids/a/b", &["tasks"])
        .files("pids/c", &["tasks"]);
    // The fake kernel makes no files: the group above the one in question is there, with what it has inherited.
    let tree = tree.file("cpuset/a/cpuset.cpus", "0-3\n").file("cpuset/a/cpuset.mems", "0\n");
    let cgroups = tree.cgroups();
    let (cpuset, plain) = (Path::new("a/b"), Path::new("c"));
    let limits: LinuxResources = serde_json::from_value(json!({"cpu": {"cpus": "1"}})).unwrap();
    cgroups.create(cpuset, &limits).unwrap();
    cgroups.create(plain, &LinuxResources::default()).unwrap();
    assert_eq!(tree.read("cpuset/a/b/cpuset.cpus"), "1");
    assert!(!tree.root.path().join("hugetlb/a").exists() && !tree.root.path().join("cpuset/c").exists());
    for (group, hierarchies) in [(cpuset, &["pids", "cpuset"][..]), (plain, &["pids"])] {
        assert_eq!(cgroups.join(group).unwrap().tasks.len(), hierarchies.len());
        let hierarchies = hierarchies.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(cgroups.container_mounts(group).unwrap(), ContainerMounts::V1 { hierarchies });
    }
}

#[test]
fn v2_enables_a_rare_controller_in_all_groups_above_the_one_that_needs_it() {
    let tree = Tree::new()
        .v2("", "cpu hugetlb")
        .files("a", &["cgroup.subtree_control"])
        .files("a/b", &["cgroup.subtree_control", "hugetlb.2MB.max"])
        .files("c", &["cgroup.subtree_control"]);
    let limits = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]});
    tree.cgroups().create(Path::new("a/b"), &serde_json::from_value(limits).unwrap()).unwrap();
    assert_eq!(tree.read("cgroup.subtree_control"), "+hugetlb");
    assert_eq!(tree.read("a/cgroup.subtree_control"), "+hugetlb");
    assert_eq!(tree.read("a/b/cgroup.subtree_control"), "", "nothing is below it");
    assert_eq!(tree.read("a/b/hugetlb.2MB.max"), "2097152");
    tree.cgroups().create(Path::new("c/d"), &LinuxResources::default()).unwrap();
    assert_eq!(tree.read("c/cgroup.subtree_control"), "+cpu");
}

#[test]
fn a_limit_by_the_name_of_its_file_is_written_on_v2_and_refused_elsewhere() {
    let limits: LinuxResources =
        serde_json::from_value(json!({"unified": {"memory.oom.group": "1"}})).unwrap();
    let v2 = Tree::new().v2("", "memory").files("a", &["memory.oom.group"]);
    v2.cgroups().create(Path::new("a"), &limits).unwrap();
    assert_eq!(v2.read("a/memory.oom.group"), "1");
    for tree in [Tree::new().v1("memory", "memory"), Tree::new().v1("memory", "memory").v2("unified", "")] {
        let error = tree.cgroups().create(Path::new("a"), &limits).unwrap_err();
        assert!(matches!(error, Error::Unified(_)), "{error}");
    }
}

#[test]
fn a_limit_that_cannot_be_set_is_an_error_and_leaves_no_group() {
    let tree = Tree::new().v2("", "cpu").file("pods/cgroup.subtree_control", "");
    let memory: LinuxResources = serde_json::from_value(json!({"memory": {"limit": 1048576}})).unwrap();
    let error = tree.cgroups().create(Path::new("pods/a"), &memory).unwrap_err();
    assert!(matches!(error, Error::NoController { controller: "memory", .. }), "{error}");
    assert!(!tree.root.path().join("pods/a").exists());
}

#[test]
fn counters_are_read_from_the_file_of_the_version() {
    // As Linux 6.18 prints them.
    let events = "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\nsock_throttled 0\n";
    let control = |kills: u64| format!("oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n");
    let v2 = |tree: Tree, at: &str| tree.v2(at, "memory").file(&format!("{at}/a/memory.events"), events);
    let v1 = |tree: Tree| {
        tree.v1("memory", "memory")
            .file("memory/a/memory.oom_control", &control(4))
            .file("memory/a/below/memory.oom_control", &control(1))
    };
    for (tree, kills) in [
        (v2(Tree::new(), ""), 2),
        (v1(Tree::new()), 5),
        (v1(Tree::new()).v2("unified", ""), 5),
        (v2(Tree::new().v1("cpu", "cpu"), "unified"), 2),
        (Tree::new().v1("cpu", "cpu").file("cpu/a/tasks", ""), 0),
    ] {
        let cgroups = tree.cgroups();
        assert_eq!(cgroups.oom_kills(Path::new("a")).unwrap(), kills, "{}", tree.mountinfo);
        assert_eq!(cgroups.oom_kills(Path::new("b")).unwrap(), 0, "no such group");
    }
    let v2 = Tree::new()
        .v2("", "")
        .file("a/cgroup.events", "populated 1\nfrozen 0\n")
        .file("b/cgroup.events", "populated 0\n");
    assert!(v2.cgroups().is_populated(Path::new("a")).unwrap());
    assert!(!v2.cgroups().is_populated(Path::new("b")).unwrap());
    assert!(!v2.cgroups().is_populated(Path::new("c")).unwrap());
}

#[test]
fn processes_are_those_of_the_group_and_below_without_strangers() {
    let tree = Tree::new()
        .v2("", "")
        .file("a/cgroup.procs", "10\n0\n11\n")
        .file("a/b/cgroup.procs", "12\n")
        .file("c/cgroup.procs", "13\n");
    let mut processes = tree.cgroups().processes(Path::new("a")).unwrap();
    processes.sort_unstable();
    assert_eq!(processes, [10, 11, 12]);
    assert!(tree.cgroups().processes(Path::new("none")).unwrap().is_empty());
}

#[test]
fn mounts_are_found_whatever_their_names() {
    let tree = Tree::new().v2("", "memory");
    let spaced = format!("5 1 0:5 / {}\\040x/cg rw - cgroup2 cgroup2 rw\n", tree.root.path().display());
    fs::create_dir_all(format!("{} x/cg", tree.root.path().display())).unwrap();
    let mount = format!("{} x", tree.root.path().display());
    fs::write(format!("{mount}/cg/cgroup.controllers"), "cpu").unwrap();
    let found = detect(&spaced, Path::new(&mount));
    fs::remove_dir_all(&mount).unwrap();
    assert_eq!(found.unwrap().container_mounts(Path::new("a")).unwrap(), ContainerMounts::V2);
    assert!(matches!(detect("", Path::new("/sys/fs/cgroup")), Err(Error::NotMounted(_))));
    assert!(matches!(detect("garbage\n - \n", Path::new("/")), Err(Error::NotMounted(_))));
}

#[test]
fn a_hierarchy_mounted_twice_is_used_once() {
    let tree = Tree::new().v1("memory", "memory").v1("again", "memory").v2("", "cpu").v2("unified", "cpu");
    let cgroups = tree.cgroups();
    assert_eq!(
        cgroups.container_mounts(Path::new("pods/a")).unwrap(),
        ContainerMounts::V1 { hierarchies: vec!["memory".to_owned()] }
    );
    cgroups.create(Path::new("a"), &LinuxResources::default()).unwrap();
    assert!(tree.root.path().join("a").is_dir(), "the upper mount of v2");
    assert!(!tree.root.path().join("unified/a").exists());
}
