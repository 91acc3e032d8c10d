//! Input and output of block devices on v1: counted, not limited.

use std::path::Path;

use crate::cgroup::controller::Controller;
use crate::cgroup::stats::{Io, Stats};
use crate::cgroup::{Result, file};

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "blkio", settings: |_| Vec::new(), count, on_demand: false };

/// From the throttling policy, which counts whatever the disks' schedulers are. v1 counts what a process itself writes, and
/// not what the page cache writes for it.
fn count(directory: &Path, stats: &mut Stats) -> Result<()> {
    let read = |name: &str| file::read_if_there(&directory.join(name));
    let bytes = read("blkio.throttle.io_service_bytes_recursive")?;
    if let (Some(bytes), Some(requests)) = (bytes, read("blkio.throttle.io_serviced_recursive")?) {
        stats.io = Some(Io {
            read_bytes: sum(&bytes, "Read"),
            written_bytes: sum(&bytes, "Write"),
            reads: sum(&requests, "Read"),
            writes: sum(&requests, "Write"),
        });
    }
    Ok(())
}

/// One kind of all devices: `8:0 Read 4096`.
fn sum(text: &str, kind: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.split_once(' ')?.1.split_once(' '));
    let numbers = lines.filter(|(found, _)| *found == kind).filter_map(|(_, number)| number.parse().ok());
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_added_up_by_kind() {
        let text = "8:0 Read 4096\n8:0 Write 1\n8:0 Sync 7\n8:0 Total 4097\n254:0 Read 4\nTotal 4101\n";
        assert_eq!((sum(text, "Read"), sum(text, "Write"), sum(text, "Discard")), (4100, 1, 0));
    }
}
