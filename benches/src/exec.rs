//! What it costs to execute a program in a running container, by the pod's shim and by the bare kernel, in turn.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::table::Series;

/// Executions that are not counted, at first.
const WARM_UP: usize = 20;

/// Runs `/server exit` so many times in the container of the one pod below this run directory, in turn with the floor.
pub fn compare(floor: &Path, run: &Path, count: usize) -> Result<[Series; 2]> {
    let pod = fs::read_dir(run.join("pods"))?.next().context("no pod")??.path();
    let container = Container::find(&pod)?;
    let mut floor = Floor::start(floor, container.pid)?;
    let mut shim = Shim::connect(&pod, container)?;
    let mut times: [Vec<Duration>; 2] = Default::default();
    for round in 0..WARM_UP + count {
        let both = [floor.exec()?, shim.exec()?];
        if round >= WARM_UP {
            times.iter_mut().zip(both).for_each(|(times, took)| times.push(took));
        }
    }
    let series =
        |name: &str, times: Vec<Duration>| Series { name: name.to_owned(), total: times.iter().sum(), times };
    let [floor, shim] = times;
    Ok([
        series("kernel floor (setns, clone3, setns, execve)", floor),
        series("the shim, asked over its socket", shim),
    ])
}

/// The pod's container, as its journal has it.
struct Container {
    id: String,
    pid: i64,
    /// The version of the shim's protocol.
    version: u64,
}

impl Container {
    fn find(pod: &Path) -> Result<Self> {
        let journal = fs::read_to_string(pod.join("journal"))?;
        let events: Vec<Value> =
            journal.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("journal")?;
        let find = |kind: &str| {
            let found = events.iter().map(|record| &record["event"][kind]).find(|event| event.is_object());
            found.with_context(|| format!("no {kind} in the journal"))
        };
        let started = find("containerStarted")?;
        Ok(Self {
            id: started["container"]["id"].as_str().context("container id")?.to_owned(),
            pid: started["pid"].as_i64().context("container pid")?,
            version: find("shimStarted")?["version"].as_u64().context("version")?,
        })
    }
}

/// `floor_exec`.
struct Floor {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Floor {
    fn start(program: &Path, pid: i64) -> Result<Self> {
        let mut child = Command::new(program)
            .args([&pid.to_string(), "/server", "exit"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let lines = BufReader::new(child.stdout.take().context("stdout")?);
        Ok(Self { child, lines })
    }

    fn exec(&mut self) -> Result<Duration> {
        self.child.stdin.as_mut().context("stdin")?.write_all(b"\n")?;
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(Duration::from_nanos(line.trim().parse().context("floor_exec")?))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A connection to the pod's shim: frames of a length, little-endian, and JSON.
struct Shim {
    socket: UnixStream,
    container: String,
    requests: u64,
}

impl Shim {
    fn connect(pod: &Path, container: Container) -> Result<Self> {
        let socket = UnixStream::connect(pod.join("shim.sock"))?;
        let mut shim = Self { socket, container: container.id, requests: 0 };
        // Beyond the last record: nothing of the past is of interest here.
        shim.ask(&json!({"subscribe": {"version": container.version, "from": 1_000_000}}))?;
        shim.until(|message| message.get("reply").is_some())?;
        Ok(shim)
    }

    /// From the request to the news of the program's end.
    fn exec(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        self.ask(&json!({"exec": {
            "id": self.container, "args": ["/server", "exit"], "env": [], "cwd": null, "timeoutMs": 10_000,
            "streams": {"stdin": false, "stdout": false, "stderr": false},
        }}))?;
        let exited = self.until(|message| message.get("execExited").is_some())?;
        let took = begin.elapsed();
        ensure!(exited["execExited"]["exit"]["code"] == 0, "the program: {exited}");
        Ok(took)
    }

    fn ask(&mut self, call: &Value) -> Result<()> {
        self.requests += 1;
        let body = json!({"id": self.requests, "call": call}).to_string();
        let frame = [&u32::try_from(body.len())?.to_le_bytes(), body.as_bytes()].concat();
        Ok(self.socket.write_all(&frame)?)
    }

    fn until(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let mut length = [0; 4];
            self.socket.read_exact(&mut length).context("the shim's socket")?;
            let mut body = vec![0; usize::try_from(u32::from_le_bytes(length))?];
            self.socket.read_exact(&mut body)?;
            let message: Value = serde_json::from_slice(&body)?;
            if let Some(result) = message.get("reply").map(|reply| &reply["result"])
                && (result.get("Err").is_some() || result["Ok"].get("execFailed").is_some())
            {
                bail!("the shim: {result}");
            }
            if is_wanted(&message) {
                return Ok(message);
            }
        }
    }
}
