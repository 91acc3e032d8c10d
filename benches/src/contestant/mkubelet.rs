//! `mkubelet run`: one process per pod, or one for all.

use std::ffi::OsStr;
use std::fmt::Write as _;
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
use crate::memory::{descendants, processes, pss_kib, rss_kib};

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
        let all = processes()?;
        // The holder's shim is one of ours as well, and counts as a pod.
        let ours = |pid: u32| {
            let run = self.run.to_string_lossy().into_owned();
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&run))
        };
        let shims: Vec<_> =
            all.iter().filter(|it| it.name == "mkubelet-shim" && ours(it.pid)).map(|it| it.pid).collect();
        let pauses: Vec<_> =
            descendants(&shims, &all).iter().filter(|it| it.name == "pause").map(|it| it.pid).collect();
        let sum = |pids: &[u32]| pids.iter().map(|pid| pss_kib(*pid)).sum::<Result<u64>>();
        Ok(Some(Memory {
            pods: shims.len(),
            per_pod: vec![("shim".to_owned(), sum(&shims)?), ("pause".to_owned(), sum(&pauses)?)],
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
