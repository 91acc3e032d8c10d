//! `mkubelet run`: one process per pod, or one for all.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Contestant, Memory, wait};
use crate::answer::Target;
use crate::memory::{Process, processes, pss_kib, rss_kib};

/// The bridge of all of its pods.
pub const BRIDGE: &str = "mkbench0";
const CIDR: &str = "10.206.0.0/16";

/// The release binaries.
#[derive(Debug)]
pub struct Mkubelet {
    program: PathBuf,
    rootfs: PathBuf,
    scratch: PathBuf,
    run: PathBuf,
    process_per_pod: bool,
    holder: Option<Child>,
    agents: Vec<Child>,
    pods: usize,
}

/// Where a `mkubelet` keeps what it has.
#[derive(Debug, Clone)]
pub struct Directories {
    /// Images, roots and logs are below it.
    pub scratch: PathBuf,
    /// For sockets; short.
    pub run: PathBuf,
}

/// What runs for the pods of an agent, beside their containers. Process IDs.
#[derive(Debug, Clone)]
pub struct Ours {
    /// Their shims.
    pub shims: Vec<u32>,
    /// Their pauses.
    pub pauses: Vec<u32>,
}

impl Ours {
    /// What runs for the pods of the agent with this run directory.
    pub fn of(run: &Path) -> Result<Self> {
        let all = processes()?;
        let run = run.to_string_lossy();
        let is_of_run = |pid: u32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&*run))
        };
        let is_shim = |process: &&Process| process.name == "mkubelet-shim" && is_of_run(process.pid);
        let shims: Vec<u32> = all.iter().filter(is_shim).map(|process| process.pid).collect();
        let is_pause = |process: &&Process| process.name == "pause" && shims.contains(&process.parent);
        let pauses = all.iter().filter(is_pause).map(|process| process.pid).collect();
        Ok(Self { shims, pauses })
    }

    /// All of them.
    pub fn all(&self) -> Vec<u32> {
        [self.shims.as_slice(), &self.pauses].concat()
    }
}

/// `mkubelet run` of a manifest. The addresses of its pods come out of `targets`.
pub fn run(
    program: &Path,
    directories: &Directories,
    manifest: &str,
    targets: &Sender<Target>,
) -> Result<Child> {
    start(program, directories, &["run".as_ref(), "-".as_ref()], manifest, targets)
}

/// `mkubelet` with these words, and this for its standard input. The addresses of its pods come out of `targets`.
pub fn start(
    program: &Path,
    directories: &Directories,
    words: &[&OsStr],
    input: &str,
    targets: &Sender<Target>,
) -> Result<Child> {
    let mut child = Command::new(program)
        .arg("--root-dir")
        .arg(directories.scratch.join("root"))
        .arg("--run-dir")
        .arg(&directories.run)
        .arg("--log-dir")
        .arg(directories.scratch.join("log"))
        .args(["--bridge", BRIDGE, "--pod-cidr", CIDR])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    let lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let targets = targets.clone();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // pod default/bench-1: IP 10.206.0.2
            if let Some(ip) = line.split_once(": IP ").and_then(|(_, ip)| ip.trim().parse().ok()) {
                let _ = targets.send(Target { ip });
            }
        }
    });
    child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
    Ok(child)
}

impl Mkubelet {
    /// `process_per_pod`: a `mkubelet run` for each pod; otherwise one for all pods of an order.
    pub fn new(program: &Path, rootfs: &Path, scratch: &Path, run: &Path, process_per_pod: bool) -> Self {
        let (program, rootfs) = (program.to_owned(), rootfs.to_owned());
        let (scratch, run) = (scratch.to_owned(), run.to_owned());
        Self { program, rootfs, scratch, run, process_per_pod, holder: None, agents: Vec::new(), pods: 0 }
    }

    fn launch(&self, pods: Range<u32>, targets: &Sender<Target>) -> Result<Child> {
        let directories = Directories { scratch: self.scratch.clone(), run: self.run.clone() };
        run(&self.program, &directories, &self.manifest(pods)?, targets)
    }

    fn manifest(&self, pods: Range<u32>) -> Result<String> {
        let mut text = String::new();
        for number in pods {
            write!(
                text,
                "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: bench-{number}\nspec:\n  \
                 terminationGracePeriodSeconds: 5\n  containers:\n  - name: server\n    image: dir:{}\n    \
                 command: [/server]\n",
                self.rootfs.display()
            )?;
        }
        Ok(text)
    }
}

impl Contestant for Mkubelet {
    fn name(&self) -> String {
        let how = if self.process_per_pod { "a process per pod" } else { "one process, one manifest" };
        format!("mkubelet run ({how})")
    }

    fn start(&mut self, pods: Range<u32>, targets: &Sender<Target>) -> Result<()> {
        if pods.contains(&0) {
            self.holder = Some(self.launch(pods, targets)?);
            return Ok(());
        }
        self.pods += pods.len();
        if self.process_per_pod {
            for number in pods {
                let agent = self.launch(number..number + 1, targets)?;
                self.agents.push(agent);
            }
        } else {
            let agent = self.launch(pods, targets)?;
            self.agents.push(agent);
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.pods = 0;
        stop(self.agents.drain(..).collect())
    }

    fn bridge(&self) -> &str {
        BRIDGE
    }

    fn memory(&self) -> Result<Option<Memory>> {
        let (false, Some(agent)) = (self.process_per_pod, self.agents.first()) else { return Ok(None) };
        // The holder's shim is one of ours as well, and counts as a pod.
        let ours = Ours::of(&self.run)?;
        let sum = |pids: &[u32]| pids.iter().map(|pid| pss_kib(*pid)).sum::<Result<u64>>();
        Ok(Some(Memory {
            pods: ours.shims.len(),
            per_pod: vec![("shim".to_owned(), sum(&ours.shims)?), ("pause".to_owned(), sum(&ours.pauses)?)],
            agent: Some((format!("mkubelet, {} pods", self.pods), rss_kib(agent.id())?)),
        }))
    }
}

impl Drop for Mkubelet {
    fn drop(&mut self) {
        let ended = stop(self.agents.drain(..).chain(self.holder.take()).collect());
        if let Err(e) = ended {
            eprintln!("mkubelet: {e:#}");
        }
    }
}

/// Asks agents to end their pods and themselves, and waits for it.
pub fn stop(mut agents: Vec<Child>) -> Result<()> {
    for agent in &agents {
        kill(Pid::from_raw(agent.id() as i32), Signal::SIGTERM)?;
    }
    for agent in &mut agents {
        let status = wait(agent, Duration::from_secs(60))?;
        ensure!(status.success(), "mkubelet run: {status}");
    }
    Ok(())
}
