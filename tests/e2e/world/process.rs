//! Processes as /proc shows them.

use std::fs;
use std::path::Path;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// One process of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// `comm`, which a zombie has too.
    pub(crate) name: String,
    pub(super) cgroups: String,
    /// Cgroups, arguments and executable: where the name of a test's directories and groups may show.
    pub(super) traces: String,
    arguments: Vec<String>,
    executable: String,
    status: String,
}

impl Process {
    /// All that live or wait to be reaped.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::of(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// `None` when it has gone.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(dir.join("status")).ok()?;
        let cgroups = fs::read_to_string(dir.join("cgroup")).unwrap_or_default();
        let command_line = fs::read(dir.join("cmdline")).unwrap_or_default();
        let executable =
            fs::read_link(dir.join("exe")).map(|path| path.display().to_string()).unwrap_or_default();
        let arguments: Vec<String> = command_line
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let name = status
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("Name:\t"))
            .unwrap_or_default()
            .to_owned();
        let traces = format!("{cgroups}\n{}\n{executable}", arguments.join(" "));
        Some(Self { pid, name, cgroups, traces, arguments, executable, status })
    }

    pub(crate) fn is_zombie(&self) -> bool {
        self.field("State").starts_with('Z')
    }

    /// True if a signal has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        self.field("State").starts_with('T')
    }

    pub(crate) fn parent(&self) -> i32 {
        self.field("PPid").parse().unwrap_or_default()
    }

    /// Its number in the innermost PID namespace.
    pub(crate) fn pid_inside(&self) -> i32 {
        self.field("NSpid")
            .split_whitespace()
            .next_back()
            .and_then(|pid| pid.parse().ok())
            .unwrap_or_default()
    }

    /// Its arguments, or what it has put in their place, as `pgrep --full` sees them.
    pub(crate) fn command_line(&self) -> String {
        self.arguments.join(" ").trim_end().to_owned()
    }

    /// True if it runs the ledger program under that name.
    pub(crate) fn runs_ledger(&self, name: &str) -> bool {
        self.program() == "ledger"
            && self.arguments.get(1).is_some_and(|argument| argument == name)
            && !self.is_zombie()
    }

    /// True if it is an agent or a shim.
    pub(super) fn runs_mkubelet(&self) -> bool {
        ["mkubelet", "mkubelet-shim"].contains(&self.program())
    }

    /// True if it is these tests, of this checkout or another.
    pub(super) fn runs_tests(&self) -> bool {
        self.program().starts_with("e2e-")
    }

    /// True if it runs one of our binaries, or the program of the tests.
    pub(super) fn is_ours(&self) -> bool {
        self.runs_mkubelet()
            || self.program() == "ledger"
            || (self.is_zombie()
                && ["mkubelet", "mkubelet-shim", "pause", "ledger"].contains(&self.name.as_str()))
    }

    /// The file name of its executable, which may be a copy in memory.
    fn program(&self) -> &str {
        self.executable.trim_end_matches(" (deleted)").rsplit(['/', ':']).next().unwrap_or_default()
    }

    fn field(&self, key: &str) -> &str {
        let line = self.status.lines().find(|line| line.split(':').next() == Some(key));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim()).unwrap_or_default()
    }
}

/// SIGKILL. Fine when it is gone already.
pub(crate) fn kill(pid: i32) {
    let _ = signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// A namespace of a process, such as `net:[4026531840]`.
pub(crate) fn namespace(pid: i32, kind: &str) -> String {
    fs::read_link(format!("/proc/{pid}/ns/{kind}"))
        .map(|target| target.display().to_string())
        .unwrap_or_default()
}
