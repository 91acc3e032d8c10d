//! `mkubelet stats`: what the pods of this run directory use, as `kubectl top pod --containers` shows it.

use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::say;
use crate::cgroup::Cgroups;
use crate::cgroup::stats::Stats;
use crate::config::Config;
use crate::runtime::host::CGROUP_MOUNT;
use crate::usage::read::read;
use crate::usage::summary::summary;
use crate::usage::{ContainerUsage, PodUsage};

/// How fast CPU time is used is measured for so long.
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// More columns, or the JSON of the kubelet's Summary API.
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Wide,
    Json,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let cgroups = Cgroups::detect(Path::new(CGROUP_MOUNT))?;
    let earlier = read(&config.layout, &cgroups)?;
    thread::sleep(WINDOW);
    let now = read(&config.layout, &cgroups)?;
    if arguments.output == Some(Output::Json) {
        let node = nix::unistd::gethostname()?;
        let summary = summary(&node.to_string_lossy(), &earlier, &now);
        return say(&format!("{}\n", serde_json::to_string_pretty(&summary)?));
    }
    say(&table(&earlier, &now, arguments.output == Some(Output::Wide)))
}

/// A line for each container that runs.
fn table(earlier: &[PodUsage], now: &[PodUsage], wide: bool) -> String {
    let mut header = vec!["NAMESPACE", "POD", "NAME", "CPU(cores)", "MEMORY(bytes)"];
    if wide {
        header.extend(["RSS", "PIDS", "THROTTLED", "READ", "WRITTEN", "PRESSURE(cpu,memory,io)"]);
    }
    let mut rows: Vec<Vec<String>> = vec![header.into_iter().map(str::to_owned).collect()];
    for pod in now {
        let before = earlier.iter().find(|before| before.uid == pod.uid);
        for container in &pod.containers {
            let before = before.and_then(|pod| pod.container(&container.id));
            let mut row = vec![pod.key.namespace.clone(), pod.key.name.clone(), container.name.to_string()];
            row.extend([processors(before, container), memory(&container.sample.stats, |m| m.working_set)]);
            if wide {
                row.extend(more(&container.sample.stats));
            }
            rows.push(row);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn processors(before: Option<&ContainerUsage>, now: &ContainerUsage) -> String {
    let share = before.and_then(|before| now.sample.processors_since(&before.sample));
    known(share.map(|share| format!("{}m", (share * 1000.0).ceil())))
}

fn more(stats: &Stats) -> [String; 6] {
    let throttled = stats.throttling.filter(|throttling| throttling.periods > 0);
    let pressure = stats.pressure.map(|p| [p.cpu, p.memory, p.io].map(|stalls| stalls.some.avg10));
    [
        memory(stats, |memory| memory.rss),
        known(stats.pids.map(|pids| pids.current.to_string())),
        known(throttled.map(|t| format!("{:.0}%", 100.0 * t.throttled as f64 / t.periods as f64))),
        known(stats.io.map(|io| mebibytes(io.read_bytes))),
        known(stats.io.map(|io| mebibytes(io.written_bytes))),
        known(pressure.map(|[cpu, memory, io]| format!("{cpu:.0}%,{memory:.0}%,{io:.0}%"))),
    ]
}

fn memory(stats: &Stats, figure: impl Fn(crate::cgroup::stats::Memory) -> u64) -> String {
    known(stats.memory.map(|memory| mebibytes(figure(memory))))
}

/// What this host does not count is a dash.
fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn mebibytes(bytes: u64) -> String {
    format!("{}Mi", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::cgroup::stats::{Io, Memory, Pids, Pressure, Throttling};
    use crate::usage::tests::usage;

    #[test]
    fn a_line_for_each_container_and_a_dash_for_what_nobody_counts() {
        let clock = Instant::now();
        let earlier = usage(clock, 10, Duration::from_millis(1000));
        let mut now = usage(clock, 11, Duration::from_millis(1250));
        assert_eq!(
            table(&[], std::slice::from_ref(&now), true),
            "NAMESPACE   POD   NAME   CPU(cores)   MEMORY(bytes)   RSS   PIDS   THROTTLED   READ   WRITTEN   \
             PRESSURE(cpu,memory,io)\n\
             default     web   a      -            -               -     -      -           -      -         -\n"
        );
        now.containers[0].sample.stats = Stats {
            throttling: Some(Throttling { periods: 8, throttled: 2, time: Duration::ZERO }),
            memory: Some(Memory { working_set: 5 << 20, rss: (2 << 20) + 1, ..Memory::default() }),
            io: Some(Io { read_bytes: 1, ..Io::default() }),
            pids: Some(Pids { current: 3, limit: None }),
            pressure: Some(Pressure::default()),
            ..now.containers[0].sample.stats.clone()
        };
        let now = [now];
        assert_eq!(
            table(std::slice::from_ref(&earlier), &now, false),
            "NAMESPACE   POD   NAME   CPU(cores)   MEMORY(bytes)\n\
             default     web   a      250m         5Mi\n"
        );
        let wide = table(std::slice::from_ref(&earlier), &now, true);
        let cells: Vec<&str> = wide.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells[3..], ["250m", "5Mi", "3Mi", "3", "25%", "1Mi", "0Mi", "0%,0%,0%"]);
    }
}
