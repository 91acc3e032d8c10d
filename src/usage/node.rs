//! What the whole machine uses, as /proc has it: its processes outside of pods count, too.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// Processor time is counted in hundredths of a second (USER_HZ), whatever the kernel's own tick; proc_stat(5).
const TICK: Duration = Duration::from_millis(10);

/// Counters of the machine, and when they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSample {
    /// By a clock that nobody sets.
    pub clock: Instant,
    /// Time that all processors together have worked since boot.
    pub busy: Duration,
    /// Memory that is used, but for files that were not touched for a while, bytes: as the kubelet computes it on cgroup v2.
    pub working_set: u64,
}

impl NodeSample {
    /// Reads them. Fails where /proc is not that of Linux.
    pub fn read() -> io::Result<Self> {
        let (stat, memory) = (fs::read_to_string("/proc/stat")?, fs::read_to_string("/proc/meminfo")?);
        let unknown =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not understood"));
        Ok(Self {
            clock: Instant::now(),
            busy: busy(&stat).ok_or_else(|| unknown("/proc/stat"))?,
            working_set: working_set(&memory).ok_or_else(|| unknown("/proc/meminfo"))?,
        })
    }

    /// Processors that worked since an earlier sample: 1.0 is one of them. `None` when no time has passed.
    pub fn processors_since(&self, earlier: &Self) -> Option<f64> {
        let elapsed =
            self.clock.checked_duration_since(earlier.clock).filter(|time| *time > Duration::ZERO)?;
        Some(self.busy.saturating_sub(earlier.busy).as_secs_f64() / elapsed.as_secs_f64())
    }
}

/// user, nice, system, irq, softirq and steal, not idle and iowait. The time of guests is part of user's.
fn busy(stat: &str) -> Option<Duration> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u32> = all.split_whitespace().map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let idle = |index: &usize| [3, 4].contains(index);
    let worked = ticks.iter().enumerate().take(8).filter(|(index, _)| !idle(index));
    Some(worked.map(|(_, ticks)| TICK * *ticks).sum())
}

fn working_set(memory: &str) -> Option<u64> {
    let kibibytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let used = kibibytes("MemTotal")?.checked_sub(kibibytes("MemFree")?)?;
    Some(used.saturating_sub(kibibytes("Inactive(file)")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_processors_do_not_work() {
        let stat = "cpu  100 10 20 9000 50 3 4 5 60 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy(stat), Some(Duration::from_millis(1420)));
        for bad in ["", "cpu0 1 2", "cpu  1 x 3"] {
            assert_eq!(busy(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_that_nobody_touches_are_not_in_the_working_set() {
        let memory = "MemTotal:  1000 kB\nMemFree:    300 kB\nInactive:  500 kB\nInactive(file):  200 kB\n";
        assert_eq!(working_set(memory), Some(500 * 1024));
        assert_eq!(working_set("MemTotal: 1000 kB\n"), None);
    }

    #[test]
    fn a_machine_works_no_more_than_it_has_processors() {
        let earlier = NodeSample::read().unwrap();
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {}
        let now = NodeSample::read().unwrap();
        let worked = now.processors_since(&earlier).unwrap();
        let processors = std::thread::available_parallelism().unwrap().get();
        // A tick more or less is what the kernel's count is good for.
        assert!(worked >= 0.0 && worked < processors as f64 * 2.0 + 1.0, "{worked} of {processors}");
        assert!(now.working_set > 0);
        assert_eq!(earlier.processors_since(&earlier), None);
    }
}
