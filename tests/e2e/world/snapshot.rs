//! The first oracle: what the host looks like before and after a test. The difference must be nothing.
//!
//! Tests run side by side, and other programs of the machine run on, mkubelet perhaps among them. So what bears another
//! name is left out: another test's number, another bridge, another run directory. What bears nobody's counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Process, namespace};
use super::slot::{Owner, Slot};

/// Kind of thing -> the things.
pub(super) struct Snapshot(BTreeMap<&'static str, BTreeSet<String>>);

impl Snapshot {
    pub(super) fn take(slot: &Slot) -> Self {
        let mine = |thing: &String| slot.owner(thing) == Some(Owner::This);
        let not_anothers = |thing: &String| slot.owner(thing) != Some(Owner::AnotherTest);
        let (zombies, processes): (Vec<Process>, Vec<Process>) = Process::all()
            .into_iter()
            .filter(|process| slot.owns(process) || (process.is_ours() && !belongs_to_another(slot, process)))
            .partition(Process::is_zombie);
        Self(BTreeMap::from([
            ("mount", mounts().into_iter().filter(not_anothers).collect()),
            ("link", links().into_iter().filter(|link| mine(link) || is_loose_end(link)).collect()),
            ("cgroup", cgroups().into_iter().filter(mine).collect()),
            ("nft table", nft_tables().into_iter().filter(mine).collect()),
            ("namespace", processes.iter().flat_map(namespaces).collect()),
            ("process", processes.iter().map(describe).collect()),
            ("zombie", zombies.iter().map(describe).collect()),
            ("file", files(slot.dir()).into_iter().collect()),
        ]))
    }

    /// A line for each thing that came (+) or went (-); `None` when nothing did.
    pub(super) fn difference(&self, after: &Self) -> Option<String> {
        let mut lines = Vec::new();
        for (kind, before) in &self.0 {
            let after = &after.0[kind];
            lines.extend(after.difference(before).map(|thing| format!("+ {kind}: {thing}")));
            // A process or a link of nobody's that went away was on its way out already.
            if ["mount", "cgroup", "nft table"].contains(kind) {
                lines.extend(before.difference(after).map(|thing| format!("- {kind}: {thing}")));
            }
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// The host's mount table, without the numbers that change by themselves.
fn mounts() -> Vec<String> {
    mount_table().into_iter().map(|fields| fields[3..].join(" ")).collect()
}

/// The mount points, in the order of the table.
pub(super) fn mount_points() -> Vec<String> {
    mount_table().into_iter().map(|fields| fields[4].clone()).collect()
}

fn mount_table() -> Vec<Vec<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// Network links of the host, each with its bridge.
pub(super) fn links() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").unwrap().flatten();
    entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let master = fs::read_link(entry.path().join("master")).ok();
            let master = master
                .as_deref()
                .and_then(Path::file_name)
                .map(|bridge| bridge.to_string_lossy().into_owned());
            master.map_or(name.clone(), |bridge| format!("{name} on {bridge}"))
        })
        .collect()
}

/// True if the link is one end of a pod's cable (`mk` and 13 hexadecimal digits) that is plugged into no bridge.
fn is_loose_end(link: &str) -> bool {
    link.strip_prefix("mk")
        .is_some_and(|rest| rest.len() == 13 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Groups of tests, in every hierarchy, parents first.
pub(super) fn cgroups() -> Vec<String> {
    let hierarchies = mount_table()
        .into_iter()
        .filter(|fields| {
            fields
                .iter()
                .skip_while(|field| *field != "-")
                .nth(1)
                .is_some_and(|kind| kind.starts_with("cgroup"))
        })
        .map(|fields| PathBuf::from(&fields[4]));
    let mut found = Vec::new();
    for hierarchy in hierarchies {
        for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.path().is_dir() && name.starts_with("mkubelet") {
                directories(&entry.path(), &mut found);
            }
        }
    }
    found
}

fn directories(path: &Path, found: &mut Vec<String>) {
    found.push(path.display().to_string());
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories(&entry.path(), found);
        }
    }
}

/// Each nftables table, as `table FAMILY NAME`, asked of a program that is not ours.
pub(super) fn nft_tables() -> Vec<String> {
    let output =
        Command::new("nft").args(["list", "tables"]).output().expect("the program nft (package nftables)");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn namespaces(process: &Process) -> Vec<String> {
    ["cgroup", "ipc", "mnt", "net", "pid", "uts"]
        .into_iter()
        .map(|kind| namespace(process.pid, kind))
        .filter(|found| !found.is_empty() && !is_the_hosts(found))
        .collect()
}

fn is_the_hosts(found: &str) -> bool {
    found.split_once(':').is_some_and(|(kind, _)| {
        namespace(1, kind) == found || namespace(std::process::id() as i32, kind) == found
    })
}

fn describe(process: &Process) -> String {
    format!("{} {}, child of {}", process.pid, process.name, process.parent())
}

/// True if the process, or the next of its parents that bears a name, is another test's or somebody else's: every agent
/// and shim of a test has the test's run directory among its arguments. Of an agent that has ended nothing but its parent is
/// left, a program of tests that has not waited for it yet.
fn belongs_to_another(slot: &Slot, process: &Process) -> bool {
    let mut current = Some(process.clone());
    while let Some(process) = current {
        match slot.owner(&process.traces) {
            Some(Owner::AnotherTest) => return true,
            Some(Owner::This) => return false,
            None if process.runs_mkubelet() || process.runs_tests() => return true,
            None => current = Process::of(process.parent()),
        }
    }
    false
}

/// What is below the root, run and log directories, and the links to logs. Images stay, and so do the directories themselves,
/// the locks, the number of the boot and the record of its end.
fn files(world: &Path) -> Vec<String> {
    const STAYS: [&str; 9] = [
        "root",
        "root/shutdown.json",
        "root/pods",
        "run",
        "run/pods",
        "run/ipam",
        "run/network.lock",
        "run/agent.lock",
        "run/boot_id",
    ];
    let mut found = Vec::new();
    for name in ["root", "run", "log", "containers", "root-b", "run-b", "log-b"] {
        walk(&world.join(name), &mut found);
    }
    let stays = |path: &Path| {
        let relative = path.strip_prefix(world).unwrap_or(path).display().to_string().replacen("-b", "", 1);
        STAYS.contains(&relative.as_str())
            || ["log", "containers"].contains(&&*relative)
            || relative.starts_with("root/images")
            // The objects of the API, and the node's own authority.
            || relative.starts_with("root/store")
            || relative.starts_with("root/pki")
    };
    found.into_iter().filter(|path| !stays(path)).map(|path| path.display().to_string()).collect()
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    if path.symlink_metadata().is_err() {
        return;
    }
    found.push(path.to_owned());
    if path.is_symlink() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        walk(&entry.path(), found);
    }
}
