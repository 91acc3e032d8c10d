//! What pods cost that run: probed every second, executed in, and with an API that knows them.
//!
//! `upkeep --programs DIR --mkubelet FILE --out DIR [--pods N] [--spans N] [--execs N] [--only probes|exec|node]`

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use mkubelet_bench::answer::first_answers;
use mkubelet_bench::contestant::mkubelet::{self, BRIDGE, Directories};
use mkubelet_bench::exec;
use mkubelet_bench::node::Node;
use mkubelet_bench::probes::Probes;
use mkubelet_bench::table::{Measure, Series, render};
use mkubelet_bench::upkeep::{Load, Measurement};
use serde_json::json;

/// How long the agent is watched for one figure.
const SPAN: Duration = Duration::from_secs(10);

struct Options {
    programs: PathBuf,
    mkubelet: PathBuf,
    out: PathBuf,
    pods: usize,
    spans: usize,
    execs: usize,
    only: Option<String>,
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    let scratch = options.out.join(format!("scratch-{}", std::process::id()));
    // Short, for the sake of socket paths, and in memory, as it is in earnest.
    let run = PathBuf::from(format!("/run/mkbench-{}", std::process::id()));
    fs::create_dir_all(&run)?;
    let measured = measure(&options, &scratch, &run);
    let remove = |dir: &Path| fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()));
    let removed = remove(&scratch).and(remove(&run));
    measured.and(removed)
}

fn measure(options: &Options, scratch: &Path, run: &Path) -> Result<()> {
    let rootfs = scratch.join("rootfs");
    fs::create_dir_all(rootfs.join("proc"))?;
    fs::copy(options.programs.join("server"), rootfs.join("server")).context("copy server")?;
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let directories = |name: &str| Directories { scratch: scratch.join(name), run: run.join(name) };
    let measurement = |name: &str| Measurement {
        program: &options.mkubelet,
        directories: directories(name),
        rootfs: &rootfs,
        pods: options.pods,
        spans: options.spans,
        span: SPAN,
    };

    let mut execs = Vec::new();
    if wanted("exec") {
        eprintln!("exec ...");
        execs = execute(options, &rootfs, &directories("exec"))?.to_vec();
        let title =
            format!("{} times /server exit in a running container: to the program's end", options.execs);
        println!("{}", render(&title, Measure::Median, &execs));
    }
    let mut loads = Vec::new();
    if wanted("probes") {
        for (name, probes) in [("none", Probes::None), ("network", Probes::Network), ("execs", Probes::Exec)]
        {
            eprintln!("probes: {name} ...");
            loads.extend(measurement(name).probes(probes)?);
        }
        print_loads(options, &loads);
    }

    let mut node = None;
    if wanted("node") {
        eprintln!("node ...");
        node = Some(measurement("node").node()?);
        node.iter().for_each(|node| print_node(options, node));
    }

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let document = json!({
        "format": "mkubelet.dev/bench-upkeep",
        "version": 1,
        "unix_time": now,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processors": thread::available_parallelism()?.get(),
        "load_average": read("/proc/loadavg"),
        "exec": execs.iter().map(Series::json).collect::<Vec<_>>(),
        "probes": loads.iter().map(Load::json).collect::<Vec<_>>(),
        "node": node.as_ref().map(Node::json),
        "pods": options.pods,
    });
    let path = options.out.join(format!("{now}-upkeep.json"));
    fs::write(&path, serde_json::to_string_pretty(&document)?)?;
    println!("\nAll figures: {}", path.display());
    Ok(())
}

/// One pod, and programs in it.
fn execute(options: &Options, rootfs: &Path, directories: &Directories) -> Result<[Series; 2]> {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: bench\nspec:\n  containers:\n  - name: server\n    image: dir:{}\n    \
         command: [/server]\n",
        rootfs.display()
    );
    let (send, receive) = mpsc::channel();
    let agent = mkubelet::run(&options.mkubelet, directories, &manifest, &send)?;
    drop(send);
    let compared = first_answers(&receive, 1, BRIDGE)
        .and_then(|_| exec::compare(&options.programs.join("floor_exec"), &directories.run, options.execs));
    let stopped = mkubelet::stop(vec![agent]);
    compared.and_then(|series| stopped.map(|()| series))
}

fn print_loads(options: &Options, loads: &[Load]) {
    let (pods, spans) = (options.pods, options.spans);
    println!(
        "{pods} pods, probed every second: processor time (median of {spans} times {} s)",
        SPAN.as_secs()
    );
    println!(
        "{:<46}{:>11}{:>11}{:>11}{:>14}{:>10}",
        "", "a second", "agent", "shims", "a question", "x floor"
    );
    let floor = loads.iter().find(|load| load.name.starts_with("kernel floor"));
    for load in loads {
        let (agent, shims) = (Load::median(&load.agent), Load::median(&load.shims));
        let each = |share: f64| share * 1e6 / load.questions as f64;
        let mut line = format!(
            "{:<46}{:>11}{:>9.2} %{:>9.2} %",
            load.name,
            load.questions,
            agent * 100.0,
            shims * 100.0
        );
        if load.questions > 0 {
            line += &format!("{:>11.0} us", each(agent + shims));
        }
        if let Some(floor) = floor.filter(|floor| floor.questions == load.questions) {
            line += &format!("{:>10.2}", agent / Load::median(&floor.agent));
        }
        println!("{line}");
    }
}

fn print_node(options: &Options, node: &Node) {
    let line = |what: &str, figure: String| println!("{what:<64}{figure:>14}");
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    println!("An agent with an API, and {} pods of it", node.pods);
    line("memory of the agent without pods (RSS)", format!("{} KiB", node.empty));
    line("memory of the agent with all pods (RSS)", format!("{} KiB", node.full));
    line("memory of the next agent, with the same pods (RSS)", format!("{} KiB", node.taken_over));
    line("memory of a pod's shim (PSS)", format!("{} KiB", node.shim));
    line("memory of a pod's pause (PSS)", format!("{} KiB", node.pause));
    line("from the first order to the last pod's answer", ms(node.started));
    let idle =
        format!("idle: time of a processor, agent (median of {} times {} s)", options.spans, SPAN.as_secs());
    line(&idle, format!("{:.2} %", Load::median(&node.idle.agent) * 100.0));
    line("idle: all shims and pauses", format!("{:.2} %", Load::median(&node.idle.shims) * 100.0));
    line("agent killed: from its start, the next one's API answers", ms(node.listening));
    line("and a pod whose manifest came meanwhile answers", ms(node.acting));
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            programs: PathBuf::new(),
            mkubelet: PathBuf::new(),
            out: PathBuf::new(),
            pods: 110,
            spans: 5,
            execs: 500,
            only: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--programs" => options.programs = value.into(),
                "--mkubelet" => options.mkubelet = value.into(),
                "--out" => options.out = value.into(),
                "--pods" => options.pods = value.parse()?,
                "--spans" => options.spans = value.parse()?,
                "--execs" => options.execs = value.parse()?,
                "--only" => options.only = Some(value),
                _ => bail!("unknown flag {flag}"),
            }
        }
        fs::create_dir_all(&options.out)?;
        options.out = fs::canonicalize(&options.out)?;
        Ok(options)
    }
}
