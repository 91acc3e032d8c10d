//! What a container can see and do, told from inside, as stable text: a line `key: value` for each thing that is tried.
//!
//! `inside` prints and ends, `inside wait` then waits for SIGTERM. Nothing that it tries changes anything when it succeeds.
//! `absent` stands for what this kernel has not got, so that it cannot be tried; see tests/e2e/inside.rs, which compares.

// To try system calls that no crate offers, with arguments that they must refuse.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, SFlag, major, makedev, minor, mknod, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access, getgroups, getresgid, getresuid};

fn main() -> ExitCode {
    // Before anything else is opened: what was inherited.
    let descriptors = descriptors();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, kind] = args.as_slice()
        && verb == "unshare"
    {
        return ExitCode::from(try_unshare(kind));
    }
    if args == ["mount-procfs"] {
        return ExitCode::from(errno_of(mount(
            Some("proc"),
            "/tmp",
            Some("proc"),
            MsFlags::empty(),
            None::<&str>,
        )));
    }
    let signals: SigSet = [Signal::SIGTERM].into_iter().collect();
    if signals.thread_block().is_err() {
        return ExitCode::FAILURE;
    }

    let mut report = Report::default();
    identity(&mut report);
    report.extend("fd", descriptors);
    environment(&mut report);
    limits(&mut report);
    namespaces(&mut report);
    cgroups(&mut report);
    mounts(&mut report);
    paths(&mut report);
    devices(&mut report);
    sysctls(&mut report);
    // Last, lest one that should be refused is not.
    system_calls(&mut report);
    report.print();

    if args.first().is_some_and(|verb| verb == "wait") {
        let _ = signals.wait();
    }
    ExitCode::SUCCESS
}

/// Lines in the order in which they were found out.
#[derive(Default)]
struct Report(Vec<(String, String)>);

impl Report {
    /// A key that is there already gets a number.
    fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        let before = self.0.iter().filter(|(known, _)| known.split(" (").next() == Some(&key)).count();
        let key = if before == 0 { key } else { format!("{key} ({})", before + 1) };
        self.0.push((key, value.into()));
    }

    fn extend(&mut self, prefix: &str, lines: impl IntoIterator<Item = (String, String)>) {
        for (key, value) in lines {
            self.add(format!("{prefix} {key}"), value);
        }
    }

    /// In one write, so that a reader gets all or nothing of it.
    fn print(&self) {
        let lines: String = self.0.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        drop(io::stdout().write_all(format!("{lines}end: of report\n").as_bytes()));
    }
}

// === the process ===

fn identity(report: &mut Report) {
    if let (Ok(uid), Ok(gid)) = (getresuid(), getresgid()) {
        report.add("uid", format!("{} {} {}", uid.real, uid.effective, uid.saved));
        report.add("gid", format!("{} {} {}", gid.real, gid.effective, gid.saved));
    }
    let groups = getgroups().unwrap_or_default();
    report.add("groups", words(groups.iter().map(ToString::to_string)));
    for (file, map) in [("uid_map", text("/proc/self/uid_map")), ("gid_map", text("/proc/self/gid_map"))] {
        let ids: Vec<&str> = map.split_whitespace().collect();
        report.add(
            file,
            match ids.as_slice() {
                ["0", "0", "4294967295"] => "the host's".to_owned(),
                [inside, _, count] => format!("{count} others from {inside}"),
                _ => map.trim().to_owned(),
            },
        );
    }
    let status = text("/proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        report.add(set, capabilities(&field(set)));
    }
    report.add("NoNewPrivs", field("NoNewPrivs"));
    report.add("Seccomp", field("Seccomp"));
    report.add("oom_score_adj", text("/proc/self/oom_score_adj").trim());
    let mask = umask(Mode::empty());
    umask(mask);
    report.add("umask", format!("{:04o}", mask.bits()));
    report.add("cwd", std::env::current_dir().unwrap_or_default().display().to_string());
    report.add("keyring", keyring());
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    report.add("hostname", hostname.to_string_lossy());
}

/// Names of the capabilities in a set, `ALL` for as many as this kernel knows.
fn capabilities(set: &str) -> String {
    let bits = u64::from_str_radix(set, 16).unwrap_or_default();
    let last: u32 = text("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or_default();
    let all = (0..=last).filter(|bit| bits & (1 << bit) != 0);
    if all.clone().count() == last as usize + 1 {
        return "ALL".to_owned();
    }
    words(all.map(|bit| {
        let known = caps::all().into_iter().find(|capability| u32::from(capability.index()) == bit);
        known.map_or(bit.to_string(), |capability| {
            capability.to_string().trim_start_matches("CAP_").to_owned()
        })
    }))
}

/// The session keyring as keyctl(2) describes it: type, owner, group, permissions, name.
fn keyring() -> String {
    const KEYCTL_DESCRIBE: usize = 6;
    const SESSION_KEYRING: usize = -3isize as usize;
    let mut buffer = [0u8; 256];
    match call(libc::SYS_keyctl, [KEYCTL_DESCRIBE, SESSION_KEYRING, buffer.as_mut_ptr() as usize, 256, 0, 0])
    {
        Ok(count) => String::from_utf8_lossy(&buffer[..count.saturating_sub(1).min(255)]).into_owned(),
        Err(Errno::ENOSYS) => "absent".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

/// Open file descriptors, without the one that this takes to find out.
fn descriptors() -> Vec<(String, String)> {
    let own = format!("/proc/{}/fd", std::process::id());
    let names = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = names.filter_map(|name| name.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let describe = |number: u32| {
        let path = format!("/proc/self/fd/{number}");
        let (target, metadata) = (fs::read_link(&path).ok()?, fs::metadata(&path).ok()?);
        let kind = metadata.file_type();
        (target != Path::new(&own)).then(|| match () {
            () if kind.is_char_device() => {
                format!("char {}:{}", major(metadata.rdev()), minor(metadata.rdev()))
            }
            () if kind.is_fifo() => "pipe".to_owned(),
            () => target.display().to_string(),
        })
    };
    numbers.into_iter().filter_map(|number| Some((number.to_string(), describe(number)?))).collect()
}

fn environment(report: &mut Report) {
    for (name, value) in std::env::vars().collect::<BTreeMap<_, _>>() {
        report.add(format!("env {name}"), value);
    }
}

fn limits(report: &mut Report) {
    use Resource::*;
    let resources = [
        ("as", RLIMIT_AS),
        ("core", RLIMIT_CORE),
        ("cpu", RLIMIT_CPU),
        ("data", RLIMIT_DATA),
        ("fsize", RLIMIT_FSIZE),
        ("locks", RLIMIT_LOCKS),
        ("memlock", RLIMIT_MEMLOCK),
        ("msgqueue", RLIMIT_MSGQUEUE),
        ("nice", RLIMIT_NICE),
        ("nofile", RLIMIT_NOFILE),
        ("nproc", RLIMIT_NPROC),
        ("rss", RLIMIT_RSS),
        ("rtprio", RLIMIT_RTPRIO),
        ("rttime", RLIMIT_RTTIME),
        ("sigpending", RLIMIT_SIGPENDING),
        ("stack", RLIMIT_STACK),
    ];
    let number = |value: u64| if value == RLIM_INFINITY { "unlimited".to_owned() } else { value.to_string() };
    for (name, resource) in resources {
        if let Ok((soft, hard)) = getrlimit(resource) {
            report.add(format!("rlimit {name}"), format!("{} {}", number(soft), number(hard)));
        }
    }
}

fn namespaces(report: &mut Report) {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
        report.add(format!("namespace {kind}"), link.display().to_string());
    }
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "procfs", "user", "uts"] {
        report.add(format!("unshare {kind}"), run_self(&["unshare", kind]).1);
    }
}

/// Runs this program again, for something that its process does not come back from: its exit code, and that as an errno.
fn run_self(arguments: &[&str]) -> (u8, String) {
    match Command::new("/proc/self/exe").args(arguments).status().map(|status| status.code()) {
        Ok(Some(0)) => (0, "ok".to_owned()),
        Ok(Some(errno)) => (errno as u8, format!("{:?}", Errno::from_raw(errno))),
        other => (u8::MAX, format!("{other:?}")),
    }
}

/// In a process of its own, which ends at once: the errno, or 0.
fn try_unshare(kind: &str) -> u8 {
    let flag = match kind {
        "cgroup" => CloneFlags::CLONE_NEWCGROUP,
        "ipc" => CloneFlags::CLONE_NEWIPC,
        "mnt" => CloneFlags::CLONE_NEWNS,
        "net" => CloneFlags::CLONE_NEWNET,
        "pid" => CloneFlags::CLONE_NEWPID,
        // A container in the container: the kernel allows it a procfs if nothing of the one that is there is hidden.
        "procfs" => CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID,
        "user" => CloneFlags::CLONE_NEWUSER,
        _ => CloneFlags::CLONE_NEWUTS,
    };
    let map = format!("0 {} 1", nix::unistd::geteuid());
    match errno_of(unshare(flag)) {
        // As root in there: anybody else has no capabilities left after execve.
        0 if kind == "procfs" => match fs::write("/proc/self/uid_map", map) {
            Ok(()) => run_self(&["mount-procfs"]).0,
            Err(error) => error.raw_os_error().unwrap_or(i32::from(u8::MAX)) as u8,
        },
        errno => errno,
    }
}

/// 0 for none.
fn errno_of(result: nix::Result<()>) -> u8 {
    result.map_or_else(|errno| errno as u8, |()| 0)
}

// === files ===

/// Paths in /proc/self/cgroup, and what comes of making a group in each hierarchy that is mounted.
fn cgroups(report: &mut Report) {
    let cgroup = text("/proc/self/cgroup");
    report.add(
        "cgroup",
        distinct(cgroup.lines().filter_map(|line| line.rsplit(':').next()).map(str::to_owned)),
    );
    let mounts = text("/proc/self/mountinfo");
    let hierarchies =
        mounts.lines().filter_map(Mount::parse).filter(|mount| mount.kind.starts_with("cgroup"));
    report.add(
        "cgroup mkdir",
        distinct(hierarchies.map(|mount| {
            let group = format!("{}/inside", mount.point);
            outcome(fs::create_dir(&group).and_then(|()| fs::remove_dir(&group)))
        })),
    );
}

struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    options: &'a str,
    propagation: Vec<&'a str>,
    kind: &'a str,
    parameters: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of /proc/self/mountinfo, proc_pid_mountinfo(5).
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let filesystem: Vec<&str> = filesystem.split(' ').collect();
        Some(Self {
            root: mount.get(3)?,
            point: mount.get(4)?,
            options: mount.get(5)?,
            propagation: mount[6..].iter().filter_map(|field| field.split(':').next()).collect(),
            kind: filesystem.first()?,
            parameters: filesystem.get(2)?,
        })
    }

    fn describe(&self) -> String {
        let stable = ["size=", "mode=", "gid=", "ptmxmode="];
        let parameters = self.parameters.split(',').map(own_gid).filter(|word| {
            word == "ro"
                || matches!(self.kind, "tmpfs" | "devpts")
                    && word != "gid=0"
                    && stable.iter().any(|s| word.starts_with(s))
        });
        let access = |options: &str| options.split(',').next().unwrap_or_default().to_owned();
        // The flags of a bind are those of the host's filesystem as well.
        let what = if self.root == "/" || self.point == "/" {
            format!("{} {}", self.kind, self.options)
        } else {
            format!("bind {}", access(self.options))
        };
        let parameters: Vec<String> =
            if what.starts_with("bind") { Vec::new() } else { parameters.collect() };
        let propagation = self.propagation.iter().map(|word| (*word).to_owned());
        [what].into_iter().chain(parameters).chain(propagation).collect::<Vec<_>>().join(" ")
    }
}

/// The kernel tells groups in mount options as the host's, also in a user namespace: what it is in this one.
fn own_gid(option: &str) -> String {
    let map = text("/proc/self/gid_map");
    let first = map.split_whitespace().nth(1).and_then(|first| first.parse::<u32>().ok());
    let gid = option.strip_prefix("gid=").and_then(|gid| gid.parse::<u32>().ok());
    match gid.zip(first).and_then(|(gid, first)| gid.checked_sub(first)) {
        Some(gid) => format!("gid={gid}"),
        None => option.to_owned(),
    }
}

/// Mounts, but for masks and read-only paths, which are tried one by one. The hierarchies of cgroup v1 count as one mount.
fn mounts(report: &mut Report) {
    let table = text("/proc/self/mountinfo");
    let mounts: Vec<Mount<'_>> = table.lines().filter_map(Mount::parse).collect();
    let is_cgroup = |mount: &&Mount<'_>| mount.point == "/sys/fs/cgroup" || mount.kind.starts_with("cgroup");
    for mount in mounts.iter().filter(|mount| !is_cgroup(mount)) {
        if !mount.point.starts_with("/proc/") && !mount.point.starts_with("/sys/") {
            report.add(format!("mount {}", mount.point), mount.describe());
        }
    }
    let cgroups = mounts.iter().filter(|mount| mount.kind.starts_with("cgroup"));
    report.add("mount /sys/fs/cgroup", distinct(cgroups.map(|mount| format!("cgroup {}", mount.options))));
}

const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const WRITTEN_TO: [&str; 12] = [
    "/",
    "/etc/hosts",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/self/oom_score_adj",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger",
    "/sys/kernel",
    "/tmp",
];

fn paths(report: &mut Report) {
    for path in MASKED {
        report.add(
            format!("mask {path}"),
            match fs::symlink_metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => "absent".to_owned(),
                Err(error) => outcome::<()>(Err(error)),
                Ok(found) if found.file_type().is_char_device() && found.rdev() == makedev(1, 3) => {
                    "null".to_owned()
                }
                Ok(found) if found.is_dir() && is_empty(path) && is_read_only(path) => "empty".to_owned(),
                Ok(_) => "open".to_owned(),
            },
        );
    }
    for path in WRITTEN_TO {
        // Opened, and not written to: a mount that is read-only refuses that.
        let tried = match fs::metadata(path) {
            Ok(found) if found.is_dir() => access(path, AccessFlags::W_OK).map_err(io::Error::from),
            Ok(_) => OpenOptions::new().write(true).open(path).map(drop),
            Err(error) => Err(error),
        };
        let absent = matches!(&tried, Err(error) if error.kind() == io::ErrorKind::NotFound);
        report.add(format!("write {path}"), if absent { "absent".to_owned() } else { outcome(tried) });
    }
}

fn is_empty(path: &str) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn is_read_only(path: &str) -> bool {
    statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
}

// === devices ===

const DEVICES: [(&str, SFlag, u64, u64); 16] = [
    ("mem", SFlag::S_IFCHR, 1, 1),
    ("null", SFlag::S_IFCHR, 1, 3),
    ("zero", SFlag::S_IFCHR, 1, 5),
    ("full", SFlag::S_IFCHR, 1, 7),
    ("random", SFlag::S_IFCHR, 1, 8),
    ("urandom", SFlag::S_IFCHR, 1, 9),
    ("kmsg", SFlag::S_IFCHR, 1, 11),
    ("tty", SFlag::S_IFCHR, 5, 0),
    ("console", SFlag::S_IFCHR, 5, 1),
    ("ptmx", SFlag::S_IFCHR, 5, 2),
    ("tun", SFlag::S_IFCHR, 10, 200),
    ("fuse", SFlag::S_IFCHR, 10, 229),
    ("kvm", SFlag::S_IFCHR, 10, 232),
    ("loop-control", SFlag::S_IFCHR, 10, 237),
    ("loop0", SFlag::S_IFBLK, 7, 0),
    ("sda", SFlag::S_IFBLK, 8, 0),
];

fn devices(report: &mut Report) {
    let made: Vec<(&str, String)> = DEVICES
        .map(|(name, kind, major, minor)| {
            let own = format!("/dev/inside-{name}");
            let made = mknod(own.as_str(), kind, Mode::from_bits_truncate(0o666), makedev(major, minor));
            let opened = made.map(|()| opened(&own));
            drop(fs::remove_file(&own));
            (name, opened.map_or_else(|errno| format!("{errno:?}"), |opened| format!("made, {opened}")))
        })
        .into();
    if made.iter().all(|(_, outcome)| *outcome == made[0].1) {
        report.add("mknod of every device", made[0].1.clone());
    } else {
        made.into_iter().for_each(|(name, outcome)| report.add(format!("mknod {name}"), outcome));
    }
    for name in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"] {
        report.add(format!("device {name}"), opened(&format!("/dev/{name}")));
    }
}

/// What opening says about permission. That nothing is behind a device is not the container's business.
fn opened(path: &str) -> String {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    match file.map(|_: File| ()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => "missing".to_owned(),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            format!("open {}", outcome::<()>(Err(error)))
        }
        _ => "open allowed".to_owned(),
    }
}

fn sysctls(report: &mut Report) {
    for name in [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_syncookies",
    ] {
        let value = text(&format!("/proc/sys/{}", name.replace('.', "/")));
        report.add(format!("sysctl {name}"), words(value.split_whitespace().map(str::to_owned)));
    }
}

// === system calls ===

/// As an argument: a number, descriptor or set of flags that no call takes.
const BAD: usize = usize::MAX;
/// A command of bpf(2) that takes CAP_SYS_ADMIN whatever kernel.unprivileged_bpf_disabled says.
const BPF_MAP_GET_NEXT_ID: usize = 12;
/// CLONE_THREAD, which without CLONE_SIGHAND makes every clone invalid, before it does anything.
const INVALID_CLONE: usize = 0x1_0000;

/// Calls that some container may make and another may not, with arguments that are refused after the question of permission
/// where that can be had, and never do anything.
const CALLS: &[(&str, libc::c_long, [usize; 6])] = &[
    ("acct", libc::SYS_acct, [1, 0, 0, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, [0; 6]),
    ("bpf", libc::SYS_bpf, [BPF_MAP_GET_NEXT_ID, 0, 0, 0, 0, 0]),
    ("chroot", libc::SYS_chroot, [0; 6]),
    ("clock_settime", libc::SYS_clock_settime, [0; 6]),
    ("clone", libc::SYS_clone, [INVALID_CLONE, 0, 0, 0, 0, 0]),
    ("clone cgroup", libc::SYS_clone, [INVALID_CLONE | 0x0200_0000, 0, 0, 0, 0, 0]),
    ("clone ipc", libc::SYS_clone, [INVALID_CLONE | 0x0800_0000, 0, 0, 0, 0, 0]),
    ("clone mnt", libc::SYS_clone, [INVALID_CLONE | 0x0002_0000, 0, 0, 0, 0, 0]),
    ("clone net", libc::SYS_clone, [INVALID_CLONE | 0x4000_0000, 0, 0, 0, 0, 0]),
    ("clone pid", libc::SYS_clone, [INVALID_CLONE | 0x2000_0000, 0, 0, 0, 0, 0]),
    ("clone user", libc::SYS_clone, [INVALID_CLONE | 0x1000_0000, 0, 0, 0, 0, 0]),
    ("clone uts", libc::SYS_clone, [INVALID_CLONE | 0x0400_0000, 0, 0, 0, 0, 0]),
    ("clone3", libc::SYS_clone3, [0; 6]),
    ("delete_module", libc::SYS_delete_module, [0; 6]),
    ("fanotify_init", libc::SYS_fanotify_init, [0x8000_0000, 0, 0, 0, 0, 0]),
    ("finit_module", libc::SYS_finit_module, [BAD, 0, 0, 0, 0, 0]),
    ("fsconfig", libc::SYS_fsconfig, [BAD, 0xffff, 0, 0, 0, 0]),
    ("fsmount", libc::SYS_fsmount, [BAD, 0, 0, 0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [0; 6]),
    ("fspick", libc::SYS_fspick, [BAD, 0, 0, 0, 0, 0]),
    ("get_mempolicy", libc::SYS_get_mempolicy, [0, 0, 0, 0, BAD, 0]),
    ("init_module", libc::SYS_init_module, [0; 6]),
    ("io_uring_enter", libc::SYS_io_uring_enter, [BAD, 0, 0, 0, 0, 0]),
    ("io_uring_register", libc::SYS_io_uring_register, [BAD, 0, 0, 0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0; 6]),
    ("kcmp", libc::SYS_kcmp, [0; 6]),
    ("kexec_file_load", libc::SYS_kexec_file_load, [BAD, BAD, 0, 0, 0xffff, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, 0xffff, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [0xffff, 0, 0, 0, 0, 0]),
    ("mbind", libc::SYS_mbind, [0, 0, 0xff, 0, 0, BAD]),
    ("mount", libc::SYS_mount, [0; 6]),
    ("mount_setattr", libc::SYS_mount_setattr, [BAD, 0, 0, 0, 0, 0]),
    ("move_mount", libc::SYS_move_mount, [BAD, 0, BAD, 0, BAD, 0]),
    ("move_pages", libc::SYS_move_pages, [0, 0, 0, 0, 0, 0xff]),
    ("name_to_handle_at", libc::SYS_name_to_handle_at, [BAD, 0, 0, 0, BAD, 0]),
    ("open_tree", libc::SYS_open_tree, [BAD, 0, 1, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0, 0, BAD, 0]),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, [BAD, BAD, 0, 0, 0, 0]),
    ("pivot_root", libc::SYS_pivot_root, [0; 6]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [0, 0, 0, 0, 0, 1]),
    ("process_vm_writev", libc::SYS_process_vm_writev, [0, 0, 0, 0, 0, 1]),
    ("ptrace", libc::SYS_ptrace, [2, 0, 0, 0, 0, 0]),
    ("quotactl", libc::SYS_quotactl, [0xffff, 0, 0, 0, 0, 0]),
    ("reboot", libc::SYS_reboot, [0; 6]),
    ("request_key", libc::SYS_request_key, [0; 6]),
    ("set_mempolicy", libc::SYS_set_mempolicy, [0xff, 0, 0, 0, 0, 0]),
    ("setdomainname", libc::SYS_setdomainname, [0, BAD, 0, 0, 0, 0]),
    ("sethostname", libc::SYS_sethostname, [0, BAD, 0, 0, 0, 0]),
    ("setns", libc::SYS_setns, [BAD, 0, 0, 0, 0, 0]),
    ("settimeofday", libc::SYS_settimeofday, [0; 6]),
    ("socket AF_ALG", libc::SYS_socket, [38, 0, 0, 0, 0, 0]),
    ("socket AF_VSOCK", libc::SYS_socket, [40, 0, 0, 0, 0, 0]),
    ("swapoff", libc::SYS_swapoff, [0; 6]),
    ("swapon", libc::SYS_swapon, [0; 6]),
    ("syslog", libc::SYS_syslog, [0xff, 0, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, [0; 6]),
    ("userfaultfd", libc::SYS_userfaultfd, [0x1_0000, 0, 0, 0, 0, 0]),
    ("vhangup", libc::SYS_vhangup, [0; 6]),
    #[cfg(target_arch = "x86_64")]
    ("ioperm", libc::SYS_ioperm, [BAD, 1, 1, 0, 0, 0]),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl, [0xff, 0, 0, 0, 0, 0]),
];

fn system_calls(report: &mut Report) {
    for (name, number, arguments) in CALLS {
        let verdict = verdict(call(*number, *arguments));
        // Every kernel that mkubelet runs on has this one, so it is a filter that says so.
        let verdict = if (*name, verdict) == ("clone3", "absent") { "ENOSYS" } else { verdict };
        report.add(format!("syscall {name}"), verdict);
    }
    report.add("syscall open_by_handle_at", verdict(open_by_handle()));
    let personality = verdict(call(libc::SYS_personality, [libc::ADDR_NO_RANDOMIZE as usize, 0, 0, 0, 0, 0]));
    let _ = call(libc::SYS_personality, [0; 6]);
    report.add("syscall personality", personality);
}

/// Whoever said it. What is not refused gets an answer of the call itself, such as EINVAL: it was reached.
fn verdict(result: Result<usize, Errno>) -> &'static str {
    match result {
        Err(Errno::EPERM) => "EPERM",
        Err(Errno::EACCES) => "EACCES",
        Err(Errno::ENOSYS) => "absent",
        _ => "reached",
    }
}

/// With a true handle, of a directory that is the container's own (the shocker exploit took one of the host's).
fn open_by_handle() -> Result<usize, Errno> {
    // struct file_handle: the size of what follows, its type, and the handle itself.
    let mut handle = [0u32; 34];
    handle[0] = 128;
    let mut mount_id = 0i32;
    let (handle, mount_id) = (handle.as_mut_ptr() as usize, &raw mut mount_id as usize);
    let path = c"/dev".as_ptr() as usize;
    call(libc::SYS_name_to_handle_at, [libc::AT_FDCWD as usize, path, handle, mount_id, 0, 0])?;
    let directory = File::open("/dev").map_err(|_| Errno::EACCES)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&directory) as usize;
    call(libc::SYS_open_by_handle_at, [fd, handle, libc::O_PATH as usize, 0, 0, 0])
}

fn call(number: libc::c_long, [a, b, c, d, e, f]: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: every address among the arguments is null, 1, or that of a buffer which is long enough and outlives the call.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    Errno::result(result).map(|value| value as usize)
}

// === words ===

fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(code) => format!("{:?}", Errno::from_raw(code)),
            None => error.to_string(),
        },
    }
}

/// What all of them say, or the several things that they say.
fn distinct(values: impl Iterator<Item = String>) -> String {
    let mut values: Vec<String> = values.collect();
    values.sort();
    values.dedup();
    values.join(", ")
}

fn words(values: impl Iterator<Item = String>) -> String {
    let all = values.collect::<Vec<_>>().join(" ");
    if all.is_empty() { "none".to_owned() } else { all }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
