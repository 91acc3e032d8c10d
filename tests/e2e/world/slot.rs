//! A number that no other test has, in this process or another, and all that is named after it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use nix::fcntl::{Flock, FlockArg};

use super::process::{Process, kill};
use super::snapshot;

/// Every name below starts with this, then the number. What another test made is told by it.
const PREFIX: &str = "mkubelet-test-";
const BRIDGE_PREFIX: &str = "mkt";
/// The tests of the shim alone (tests/shim.rs) may run at the same time.
const SHIM_TESTS: &str = "mkubelet-shim-test-";

/// A filesystem that no disk slows down.
pub(super) const MEMORY: &str = "/dev/shm";

/// The number, for as long as the lock is held.
pub(super) struct Slot {
    number: u8,
    dir: PathBuf,
    _lock: Flock<fs::File>,
}

impl Slot {
    /// The first free number, with a directory in `base`.
    pub(super) fn take(base: &Path) -> Self {
        for number in 0..=u8::MAX {
            let dir = base.join(format!("{PREFIX}{number}"));
            let lock = env::temp_dir().join(format!("{PREFIX}{number}.lock"));
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(lock).unwrap();
            if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                return Self { number, dir, _lock: lock };
            }
        }
        panic!("256 tests run already");
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn network(&self) -> [u8; 3] {
        [10, 186, self.number]
    }

    pub(super) fn bridge(&self) -> String {
        format!("{BRIDGE_PREFIX}{}", self.number)
    }

    pub(super) fn cgroup_root(&self) -> String {
        format!("/{PREFIX}{}", self.number)
    }

    /// True if the process belongs to this test: by its cgroup, or as a program of ours by its arguments and files.
    pub(super) fn owns(&self, process: &Process) -> bool {
        let evidence = if process.is_ours() { &process.traces } else { &process.cgroups };
        self.owner(evidence).is_some_and(Owner::is_this)
    }

    /// Whose `text` is, by the first name of ours in it: a directory, a cgroup or a bridge.
    pub(super) fn owner(&self, text: &str) -> Option<Owner> {
        let number = number_after(text, PREFIX).or_else(|| number_after(text, BRIDGE_PREFIX));
        match number {
            Some(number) if number == u32::from(self.number) => Some(Owner::This),
            Some(_) => Some(Owner::AnotherTest),
            None => text.contains(SHIM_TESTS).then_some(Owner::AnotherTest),
        }
    }

    /// Removes whatever a test of this number left, by force.
    pub(super) fn clean(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left: Vec<Process> =
                Process::all().into_iter().filter(|process| self.owns(process)).collect();
            let alive = left.iter().filter(|process| !process.is_zombie());
            if alive.clone().next().is_none() || Instant::now() > deadline {
                break;
            }
            alive.for_each(|process| kill(process.pid));
            thread::sleep(Duration::from_millis(10));
        }
        for mount in snapshot::mount_points()
            .into_iter()
            .rev()
            .filter(|path| self.owner(path).is_some_and(Owner::is_this))
        {
            let _ = nix::mount::umount2(mount.as_str(), nix::mount::MntFlags::MNT_DETACH);
        }
        for group in
            snapshot::cgroups().into_iter().rev().filter(|path| self.owner(path).is_some_and(Owner::is_this))
        {
            drop(fs::remove_dir(group));
        }
        for link in snapshot::links().into_iter().filter(|link| self.owner(link).is_some_and(Owner::is_this))
        {
            let name = link.split(' ').next().unwrap_or_default();
            quietly("ip", &["link", "delete", name]);
        }
        for table in
            snapshot::nft_tables().iter().filter(|table| self.owner(table).is_some_and(Owner::is_this))
        {
            let words: Vec<&str> = table.split(' ').collect();
            if let ["table", family, name] = words[..] {
                quietly("nft", &["delete", "table", family, name]);
            }
        }
        // A program that minds no depth: what a failed test leaves may be an attack on whoever removes it.
        for base in [env::temp_dir(), MEMORY.into()] {
            let dir = base.join(format!("{PREFIX}{}", self.number));
            quietly("rm", &["-rf", &dir.display().to_string()]);
        }
    }
}

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    This,
    AnotherTest,
}

impl Owner {
    fn is_this(self) -> bool {
        self == Self::This
    }
}

fn number_after(text: &str, prefix: &str) -> Option<u32> {
    text.match_indices(prefix).find_map(|(at, _)| {
        let rest = &text[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

fn quietly(program: &str, arguments: &[&str]) {
    drop(Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status());
}
