//! What Prometheus' clients tell of their own process, from /proc (proc(5)).

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};

use super::text::{Exposition, Kind};

/// Clock ticks of /proc are hundredths of a second on every machine (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// Writes what is known of this process. What cannot be read is left out.
pub fn write(text: &mut Exposition) {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|size| u64::try_from(size).ok());
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| parse(&text));
    if let (Some(stat), Some(page)) = (stat, page) {
        let help = "Total user and system CPU time spent in seconds.";
        text.family("process_cpu_seconds_total", Kind::Counter, help).sample(&[], stat.cpu.as_secs_f64());
        let help = "Resident memory size in bytes.";
        let resident = stat.resident_pages.saturating_mul(page);
        text.family("process_resident_memory_bytes", Kind::Gauge, help).sample(&[], resident as f64);
        let help = "Virtual memory size in bytes.";
        text.family("process_virtual_memory_bytes", Kind::Gauge, help).sample(&[], stat.virtual_bytes as f64);
        if let Some(boot) = boot_time() {
            let help = "Start time of the process since unix epoch in seconds.";
            let start = boot as f64 + stat.started.as_secs_f64();
            text.family("process_start_time_seconds", Kind::Gauge, help).sample(&[], start);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let help = "Number of open file descriptors.";
        text.family("process_open_fds", Kind::Gauge, help).sample(&[], open.count() as f64);
    }
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let help = "Maximum number of open file descriptors.";
        text.family("process_max_fds", Kind::Gauge, help).sample(&[], most as f64);
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu: Duration,
    /// After the machine's boot.
    started: Duration,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// /proc/PID/stat; the name in it may have anything but says where it ends.
fn parse(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // The first is field 3 of proc_pid_stat(5).
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = |field| Some(TICK * u32::try_from(number(field)?).ok()?);
    Some(Stat {
        cpu: ticks(14)? + ticks(15)?,
        started: Duration::from_millis(number(22)?.saturating_mul(10)),
        virtual_bytes: number(23)?,
        resident_pages: number(24)?,
    })
}

/// Seconds since 1970 at which the machine was booted.
pub fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_look_like_its_figures() {
        let text =
            "7 (a) 1 (b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 1234 4096 25 18446744073709551615";
        let expected = Stat {
            cpu: Duration::from_secs(2),
            started: Duration::from_millis(12_340),
            virtual_bytes: 4096,
            resident_pages: 25,
        };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_all_figures() {
        let mut text = Exposition::default();
        write(&mut text);
        let text = text.finish();
        super::super::lint::check(&text);
        assert_eq!(text.lines().filter(|line| line.starts_with("process_")).count(), 6, "{text}");
    }
}
