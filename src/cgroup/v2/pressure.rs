//! Pressure stall information, which v2 has for every group, controllers or not.

use std::path::Path;
use std::time::Duration;

use crate::cgroup::stats::{Pressure, Stall, Stalls, Stats};
use crate::cgroup::{Result, file};

/// Reads the three files. A kernel without CONFIG_PSI has none, and one that was booted with `psi=0` refuses to read them.
pub(crate) fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    let stalls = |name: &str| match file::read_if_there(&directory.join(name)) {
        Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(None),
        text => text.map(|text| text.as_deref().and_then(parse)),
    };
    let (cpu, memory, io) = (stalls("cpu.pressure")?, stalls("memory.pressure")?, stalls("io.pressure")?);
    if let (Some(cpu), Some(memory), Some(io)) = (cpu, memory, io) {
        stats.pressure = Some(Pressure { cpu, memory, io });
    }
    Ok(())
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, microseconds, and the same for `full`, which kernels before 5.13 leave out
/// for the processors.
fn parse(text: &str) -> Option<Stalls> {
    let stall = |line: &str| -> Option<Stall> {
        let field = |name: &str| {
            line.split(' ').find_map(|field| field.split_once('=').filter(|(key, _)| *key == name))
        };
        let share = |name: &str| field(name)?.1.parse().ok();
        let total = Duration::from_micros(field("total")?.1.trim().parse().ok()?);
        Some(Stall { avg10: share("avg10")?, avg60: share("avg60")?, avg300: share("avg300")?, total })
    };
    let of = |kind: &str| text.lines().find(|line| line.starts_with(kind)).map(stall);
    Some(Stalls { some: of("some")??, full: of("full").unwrap_or(Some(Stall::default()))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read_and_one_may_be_missing() {
        let some = Stall { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: Duration::from_micros(4242) };
        let full = Stall { avg10: 0.5, total: Duration::from_micros(7), ..Stall::default() };
        let first = "some avg10=1.50 avg60=0.25 avg300=0.00 total=4242\n";
        let second = "full avg10=0.50 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(parse(&format!("{first}{second}")), Some(Stalls { some, full }));
        assert_eq!(parse(first), Some(Stalls { some, full: Stall::default() }));
        for bad in ["", second, "some avg10=x avg60=0 avg300=0 total=0", "some avg10=1 avg60=1 avg300=1"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
