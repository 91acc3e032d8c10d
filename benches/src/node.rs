//! What an agent costs that has an API and a node full of pods: memory, time of a processor while nothing happens, and how soon after
//! it was killed its next one acts.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::answer::{Target, first_answers};
use crate::contestant::mkubelet::{self, BRIDGE, Ours};
use crate::contestant::wait;
use crate::memory::{pss_kib, rss_kib};
use crate::upkeep::{Load, Measurement};

/// From the pods' first answers until nothing happens any more.
const SETTLE: Duration = Duration::from_secs(20);

/// Only what hangs takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Of the API: all pods of the namespace.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// What was found.
#[derive(Debug, Clone)]
pub struct Node {
    /// How many pods there were.
    pub pods: usize,
    /// VmRSS of an agent that has just come up, without pods; KiB.
    pub empty: u64,
    /// VmRSS of the agent with all pods; KiB.
    pub full: u64,
    /// VmRSS of the next agent, which has taken over all pods; KiB.
    pub taken_over: u64,
    /// PSS of a pod's shim; KiB.
    pub shim: u64,
    /// PSS of a pod's pause; KiB.
    pub pause: u64,
    /// From the first order by the API to the last pod's answer.
    pub started: Duration,
    /// While nothing happens.
    pub idle: Load,
    /// From the start of the next agent to the answer of its own socket.
    pub listening: Duration,
    /// From the start of the next agent to the answer of a pod whose manifest was written meanwhile.
    pub acting: Duration,
}

impl Node {
    /// For the file.
    pub fn json(&self) -> Value {
        json!({
            "pods": self.pods,
            "agent_empty_kib": self.empty,
            "agent_full_kib": self.full,
            "agent_taken_over_kib": self.taken_over,
            "shim_pss_kib": self.shim,
            "pause_pss_kib": self.pause,
            "started_ms": self.started.as_secs_f64() * 1e3,
            "idle": self.idle.json(),
            "listening_ms": self.listening.as_secs_f64() * 1e3,
            "acting_ms": self.acting.as_secs_f64() * 1e3,
        })
    }
}

impl Measurement<'_> {
    /// Runs the agent and its pods, kills it, and starts another; ends all of it.
    pub fn node(&self) -> Result<Node> {
        fs::create_dir_all(self.manifests())?;
        let (mut agent, targets) = self.agent()?;
        let measured = self.measure(&mut agent, &targets);
        let ended = self.end(agent);
        measured.and_then(|node| ended.map(|()| node))
    }

    fn measure(&self, agent: &mut Child, targets: &Receiver<Target>) -> Result<Node> {
        self.listens(agent)?;
        // What it does at its beginning is over.
        thread::sleep(Duration::from_secs(2));
        let empty = rss_kib(agent.id())?;

        let begin = Instant::now();
        for number in 1..=self.pods {
            self.ask("POST", PODS, &self.pod(&format!("bench-{number}")).to_string())?;
        }
        let answers = first_answers(targets, self.pods, BRIDGE)?;
        let last = answers.iter().map(|answer| answer.at).max().context("no pod")?;
        let started = last.duration_since(begin);
        let known: BTreeSet<Ipv4Addr> = answers.iter().map(|answer| answer.ip).collect();
        thread::sleep(SETTLE);

        let ours = self.ours()?;
        let load = Load { name: "nothing happens".to_owned(), ..Load::default() };
        let idle = self.watch(agent.id(), &ours.all(), load)?;
        let full = rss_kib(agent.id())?;
        let each = |pids: &[u32]| -> Result<u64> {
            Ok(pids.iter().map(|pid| pss_kib(*pid)).sum::<Result<u64>>()? / self.pods as u64)
        };
        let (shim, pause) = (each(&ours.shims)?, each(&ours.pauses)?);

        agent.kill()?;
        agent.wait()?;
        fs::write(self.manifests().join("late.json"), self.pod("late").to_string())?;
        let begin = Instant::now();
        let (next, targets) = self.agent()?;
        *agent = next;
        let (listening, acting) = thread::scope(|scope| {
            let listening = scope.spawn(|| self.answers().map(|()| begin.elapsed()));
            let acting = first_of_another(targets, &known).map(|at| at.duration_since(begin));
            (listening.join(), acting)
        });
        let listening = listening.map_err(|_| anyhow!("the asking thread panicked"))??;
        let acting = acting?;
        thread::sleep(SETTLE);
        let taken_over = rss_kib(agent.id())?;
        ensure!(self.ours()?.pauses.len() == self.pods + 1, "pods were lost");
        let pods = self.pods;
        Ok(Node { pods, empty, full, taken_over, shim, pause, started, idle, listening, acting })
    }

    fn ours(&self) -> Result<Ours> {
        Ours::of(&self.directories.run)
    }

    fn manifests(&self) -> PathBuf {
        self.directories.scratch.join("manifests")
    }

    fn agent(&self) -> Result<(Child, Receiver<Target>)> {
        let (send, receive) = mpsc::channel();
        let manifests = self.manifests();
        let words = ["agent".as_ref(), "--manifests".as_ref(), manifests.as_os_str()];
        Ok((mkubelet::start(self.program, &self.directories, &words, "", &send)?, receive))
    }

    fn pod(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "containers": [{
                    "name": "server", "image": format!("dir:{}", self.rootfs.display()), "command": ["/server"],
                }],
            },
        })
    }

    /// Waits until the agent answers on its socket.
    fn listens(&self, agent: &mut Child) -> Result<()> {
        self.answers().with_context(|| format!("the agent: {:?}", agent.try_wait()))
    }

    fn answers(&self) -> Result<()> {
        let begin = Instant::now();
        while let Err(why) = self.ask("GET", "/readyz", "") {
            ensure!(begin.elapsed() < PATIENCE, "no answer from the agent: {why:#}");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// A request to the agent's socket.
    fn ask(&self, verb: &str, path: &str, body: &str) -> Result<String> {
        let mut stream = UnixStream::connect(self.directories.run.join("api.sock"))?;
        write!(
            stream,
            "{verb} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let first = answer.lines().next().unwrap_or_default();
        match first.split(' ').nth(1) {
            Some(code) if code.starts_with('2') => Ok(answer),
            _ => bail!("{verb} {path}: {answer}"),
        }
    }

    /// Ends the pods and the agent.
    fn end(&self, mut agent: Child) -> Result<()> {
        let late = self.manifests().join("late.json");
        if late.exists() {
            fs::remove_file(late)?;
        }
        self.ask("DELETE", PODS, "")?;
        let begin = Instant::now();
        while !self.ours()?.shims.is_empty() {
            ensure!(begin.elapsed() < PATIENCE, "pods do not end");
            thread::sleep(Duration::from_millis(100));
        }
        kill(Pid::from_raw(agent.id().try_into()?), Signal::SIGTERM)?;
        let status = wait(&mut agent, PATIENCE)?;
        ensure!(status.success(), "mkubelet agent: {status}");
        Ok(())
    }
}

/// When a pod answers that is none of the known ones, which an agent that has just come up tells of again.
fn first_of_another(targets: Receiver<Target>, known: &BTreeSet<Ipv4Addr>) -> Result<Instant> {
    let (send, another) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let others = targets.into_iter().filter(|target| !known.contains(&target.ip));
            // One is enough: the end of the agent is not waited for.
            others.take(1).for_each(|target| drop(send.send(target)));
        });
        let answers = first_answers(&another, 1, BRIDGE)?;
        answers.first().map(|answer| answer.at).context("no pod")
    })
}
