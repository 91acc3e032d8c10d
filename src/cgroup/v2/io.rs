//! Input and output of block devices on v2: counted, not limited.

use std::path::Path;

use crate::cgroup::controller::Controller;
use crate::cgroup::stats::{Io, Stats};
use crate::cgroup::{Result, file};

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "io", settings: |_| Vec::new(), count, on_demand: false };

fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    stats.io = file::read_if_there(&directory.join("io.stat"))?.as_deref().map(sum);
    Ok(())
}

/// All devices together: `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn sum(text: &str) -> Io {
    let mut io = Io::default();
    for (key, number) in text.split_whitespace().filter_map(|field| field.split_once('=')) {
        let number: u64 = number.parse().unwrap_or(0);
        let figure = match key {
            "rbytes" => &mut io.read_bytes,
            "wbytes" => &mut io.written_bytes,
            "rios" => &mut io.reads,
            "wios" => &mut io.writes,
            _ => continue,
        };
        *figure = figure.saturating_add(number);
    }
    io
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_added_up_and_what_is_unknown_is_passed_over() {
        let text = "8:0 rbytes=4096 wbytes=10 rios=1 wios=2 dbytes=99 dios=9 cost.usage=5\n\
                    254:0 rbytes=1 wbytes=x rios=1 wios=1\n7:0 \n";
        assert_eq!(sum(text), Io { read_bytes: 4097, written_bytes: 10, reads: 2, writes: 3 });
        assert_eq!(sum(""), Io::default());
    }
}
