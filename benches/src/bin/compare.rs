//! Runs all contestants on this machine, one after the other, and prints how they did.
//!
//! `compare --programs DIR --mkubelet FILE --out DIR [--pods N] [--at-once N] [--only NAME]`

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use mkubelet_bench::answer::first_answers;
use mkubelet_bench::contestant::floor::Floor;
use mkubelet_bench::contestant::mkubelet::Mkubelet;
use mkubelet_bench::contestant::podman::Podman;
use mkubelet_bench::contestant::{Contestant, Memory};
use mkubelet_bench::table::{Measure, Series, render};
use serde_json::json;

struct Options {
    programs: PathBuf,
    mkubelet: PathBuf,
    out: PathBuf,
    pods: u32,
    at_once: u32,
    only: Option<String>,
}

/// What is asked of a contestant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discipline {
    OneAfterAnother,
    AtOnce,
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    let scratch = options.out.join(format!("scratch-{}", std::process::id()));
    // Short, for the sake of socket paths, and in memory, as it is in earnest.
    let run = PathBuf::from(format!("/run/mkbench-{}", std::process::id()));
    fs::create_dir_all(&run)?;
    let compared = compare(&options, &scratch, &run);
    let remove = |dir: &Path| fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()));
    let removed = remove(&scratch).and(remove(&run));
    compared.and(removed)
}

fn compare(options: &Options, scratch: &Path, run: &Path) -> Result<()> {
    let rootfs = scratch.join("rootfs");
    fs::create_dir_all(&rootfs)?;
    fs::copy(options.programs.join("server"), rootfs.join("server")).context("copy server")?;
    fs::create_dir_all(rootfs.join("proc"))?;

    let mut serial = Vec::new();
    let mut at_once = Vec::new();
    let mut memories = Vec::new();
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut measure = |contestant: &mut dyn Contestant, disciplines: &[Discipline]| -> Result<()> {
        let name = contestant.name();
        prepare(contestant).with_context(|| format!("{name}: first pod"))?;
        for discipline in disciplines {
            eprintln!("{name} ...");
            match discipline {
                Discipline::OneAfterAnother => serial.push(one_after_another(contestant, options.pods)?),
                Discipline::AtOnce => {
                    at_once.push(all_at_once(contestant, options.at_once)?);
                    memories.extend(contestant.memory()?.map(|memory| (name.clone(), memory)));
                }
            }
            contestant.stop().with_context(|| format!("{name}: stop"))?;
            // The kernel clears network namespaces away in the background.
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    };

    let both = [Discipline::OneAfterAnother, Discipline::AtOnce];
    if wanted("floor") {
        let floor = options.programs.join("floor");
        measure(&mut Floor::new(&floor, &rootfs, &scratch.join("floor"))?, &both)?;
    }
    if wanted("mkubelet") && options.mkubelet.exists() {
        let new = |dir: &str, process_per_pod| {
            Mkubelet::new(&options.mkubelet, &rootfs, &scratch.join(dir), &run.join(dir), process_per_pod)
        };
        measure(&mut new("mk-many", true), &both)?;
        measure(&mut new("mk-one", false), &both[1..])?;
    }
    if wanted("podman") && Podman::is_installed() {
        let new = |dir: &str, process_per_pod| {
            Podman::new(&rootfs, &scratch.join(dir), &run.join(dir), process_per_pod)
        };
        measure(&mut new("podman-many", true)?, &both)?;
        measure(&mut new("podman-one", false)?, &both[1..])?;
    }
    report(options, &serial, &at_once, &memories)
}

/// Pod 0, so that bridge and rules are there.
fn prepare(contestant: &mut dyn Contestant) -> Result<()> {
    let (send, receive) = mpsc::channel();
    contestant.start(0..1, &send)?;
    drop(send);
    first_answers(&receive, 1, contestant.bridge())?;
    Ok(())
}

fn one_after_another(contestant: &mut dyn Contestant, count: u32) -> Result<Series> {
    let mut times = Vec::new();
    let begin = Instant::now();
    for number in 1..=count {
        times.extend(timed(contestant, number..number + 1)?);
    }
    Ok(Series { name: contestant.name(), times, total: begin.elapsed() })
}

fn all_at_once(contestant: &mut dyn Contestant, count: u32) -> Result<Series> {
    let times = timed(contestant, 1..count + 1)?;
    Ok(Series { name: contestant.name(), total: times.iter().max().copied().unwrap_or_default(), times })
}

/// Orders pods, and waits for the first answer of each.
fn timed(contestant: &mut dyn Contestant, pods: Range<u32>) -> Result<Vec<Duration>> {
    let count = pods.len();
    let (send, receive) = mpsc::channel();
    let order = Instant::now();
    contestant.start(pods, &send)?;
    drop(send);
    let answers = first_answers(&receive, count, contestant.bridge()).with_context(|| contestant.name())?;
    Ok(answers.iter().map(|answer| answer.at.duration_since(order)).collect())
}

fn report(
    options: &Options,
    serial: &[Series],
    at_once: &[Series],
    memories: &[(String, Memory)],
) -> Result<()> {
    let title = format!("{} pods, one after another: from the order to the first HTTP answer", options.pods);
    println!("{}", render(&title, Measure::Median, serial));
    let title = format!("{} pods at once: the same, and until the last one answers", options.at_once);
    println!("{}", render(&title, Measure::Total, at_once));
    println!("Memory, besides the containers");
    for (name, memory) in memories {
        let pods = memory.pods.max(1) as u64;
        let parts: Vec<_> =
            memory.per_pod.iter().map(|(what, kib)| format!("{what} {}", kib / pods)).collect();
        let sum: u64 = memory.per_pod.iter().map(|(_, kib)| kib).sum();
        println!("{name}: {} KiB per pod (PSS: {})", sum / pods, parts.join(", "));
        if let Some((agent, kib)) = &memory.agent {
            println!("{agent}: {kib} KiB (RSS)");
        }
    }

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let document = json!({
        "format": "mkubelet.dev/bench",
        "version": 1,
        "unix_time": now,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "processors": thread::available_parallelism()?.get(),
        "load_average": read("/proc/loadavg"),
        "one_after_another": serial.iter().map(Series::json).collect::<Vec<_>>(),
        "at_once": at_once.iter().map(Series::json).collect::<Vec<_>>(),
        "memory": memories.iter().map(|(name, memory)| json!({
            "contestant": name,
            "pods": memory.pods,
            "pss_kib": memory.per_pod.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "agent_rss_kib": memory.agent.as_ref().map(|(_, kib)| kib),
        })).collect::<Vec<_>>(),
    });
    let path = options.out.join(format!("{now}.json"));
    fs::write(&path, serde_json::to_string_pretty(&document)?)?;
    println!("\nAll figures: {}", path.display());
    Ok(())
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self {
            programs: PathBuf::new(),
            mkubelet: PathBuf::new(),
            out: PathBuf::new(),
            pods: 20,
            at_once: 50,
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
                "--at-once" => options.at_once = value.parse()?,
                "--only" => options.only = Some(value),
                _ => bail!("unknown flag {flag}"),
            }
        }
        fs::create_dir_all(&options.out)?;
        options.out = fs::canonicalize(&options.out)?;
        Ok(options)
    }
}
