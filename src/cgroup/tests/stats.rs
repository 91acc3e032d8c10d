//! The same use, counted by v2, v1 and a hybrid host, in files as Linux 6.1 and 6.18 print them.

use std::path::Path;
use std::time::Duration;

use super::fixture::Tree;
use crate::cgroup::stats::{Cpu, Io, Memory, Pids, Pressure, Stall, Stalls, Stats, Throttling};

const V2_CPU: &str = "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\ncore_sched.force_idle_usec 0\nnr_periods 10\n\
    nr_throttled 4\nthrottled_usec 5000\nnr_bursts 0\nburst_usec 0\n";
const V2_MEMORY: &str = "anon 4096\nfile 40960\nkernel 8192\nfile_mapped 12288\ninactive_anon 0\nactive_anon 4096\ninactive_file 20480\n\
    active_file 20480\npgfault 33\npgmajfault 3\n";
const V1_MEMORY: &str = "cache 1\nrss 2\ninactive_file 3\npgfault 4\npgmajfault 5\nhierarchical_memory_limit 1048576\n\
    total_cache 40960\ntotal_rss 4096\ntotal_mapped_file 12288\ntotal_swap 8192\ntotal_pgfault 33\ntotal_pgmajfault 3\ntotal_inactive_file 20480\n";
const V1_BYTES: &str =
    "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:0 Async 4608\n8:0 Total 4608\nTotal 4608\n";
const V1_REQUESTS: &str = "8:0 Read 2\n8:0 Write 1\n8:0 Total 3\nTotal 3\n";
const CALM: &str =
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
const STALLED: &str =
    "some avg10=12.50 avg60=3.00 avg300=0.60 total=250000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n";

fn v2(tree: Tree) -> Tree {
    pressure(tree.v2("", "cpu io memory pids"), "a")
        .file("a/cpu.stat", V2_CPU)
        .file("a/memory.current", "53248\n")
        .file("a/memory.stat", V2_MEMORY)
        .file("a/memory.max", "1048576\n")
        .file("a/memory.swap.current", "8192\n")
        .file("a/memory.peak", "65536\n")
        .file("a/memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n")
        .file("a/io.stat", "8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n")
        .file("a/pids.current", "7\n")
        .file("a/pids.max", "4096\n")
}

fn pressure(tree: Tree, at: &str) -> Tree {
    tree.file(&format!("{at}/cpu.pressure"), STALLED)
        .file(&format!("{at}/memory.pressure"), CALM)
        .file(&format!("{at}/io.pressure"), CALM)
}

fn v1(tree: Tree) -> Tree {
    tree.v1("cpu,cpuacct", "cpu,cpuacct")
        .v1("memory", "memory")
        .v1("blkio", "blkio")
        .v1("pids", "pids")
        .file("cpu,cpuacct/a/cpuacct.usage", "3000000\n")
        .file("cpu,cpuacct/a/cpuacct.usage_user", "2000000\n")
        .file("cpu,cpuacct/a/cpuacct.usage_sys", "1000000\n")
        .file(
            "cpu,cpuacct/a/cpu.stat",
            "nr_periods 10\nnr_throttled 4\nthrottled_time 5000000\nnr_bursts 0\nburst_time 0\n",
        )
        .file("memory/a/memory.usage_in_bytes", "53248\n")
        .file("memory/a/memory.stat", V1_MEMORY)
        .file("memory/a/memory.limit_in_bytes", "1048576\n")
        .file("memory/a/memory.max_usage_in_bytes", "65536\n")
        .file("memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
        .file("blkio/a/blkio.throttle.io_service_bytes_recursive", V1_BYTES)
        .file("blkio/a/blkio.throttle.io_serviced_recursive", V1_REQUESTS)
        .file("pids/a/pids.current", "7\n")
        .file("pids/a/pids.max", "4096\n")
}

fn used() -> Stats {
    let micros = Duration::from_micros;
    let stalled = Stalls {
        some: Stall { avg10: 12.5, avg60: 3.0, avg300: 0.6, total: micros(250_000) },
        full: Stall { total: micros(9), ..Stall::default() },
    };
    Stats {
        cpu: Some(Cpu { usage: micros(3000), user: micros(2000), system: micros(1000) }),
        throttling: Some(Throttling { periods: 10, throttled: 4, time: micros(5000) }),
        memory: Some(Memory {
            usage: 53248,
            working_set: 32768,
            rss: 4096,
            cache: 40960,
            mapped: 12288,
            swap: 8192,
            peak: Some(65536),
            limit: Some(1 << 20),
            oom_kills: 2,
            faults: 33,
            major_faults: 3,
        }),
        io: Some(Io { read_bytes: 4096, written_bytes: 512, reads: 2, writes: 1 }),
        pids: Some(Pids { current: 7, limit: Some(4096) }),
        pressure: Some(Pressure { cpu: stalled, ..Pressure::default() }),
    }
}

#[test]
fn use_is_the_same_whoever_counts_it_and_only_v2_knows_pressure() {
    let group = Path::new("a");
    assert_eq!(v2(Tree::new()).cgroups().stats(group).unwrap(), used());
    let without = Stats { pressure: None, ..used() };
    assert_eq!(v1(Tree::new()).cgroups().stats(group).unwrap(), without);
    // What a v2 without controllers says of CPU time is not all that it could be.
    let hybrid = v1(Tree::new()).v2("unified", "").file("unified/a/cpu.stat", "usage_usec 1\n");
    assert_eq!(hybrid.cgroups().stats(group).unwrap(), without, "a kernel without PSI");
    assert_eq!(pressure(hybrid, "unified/a").cgroups().stats(group).unwrap(), used());
}

#[test]
fn no_limit_is_none_and_use_below_what_is_idle_is_no_use() {
    for tree in [
        v2(Tree::new())
            .file("a/memory.max", "max\n")
            .file("a/pids.max", "max\n")
            .file("a/memory.current", "1\n"),
        v1(Tree::new())
            .file("memory/a/memory.limit_in_bytes", "9223372036854771712\n")
            .file("pids/a/pids.max", "max\n")
            .file("memory/a/memory.usage_in_bytes", "1\n"),
    ] {
        let stats = tree.cgroups().stats(Path::new("a")).unwrap();
        let (memory, pids) = (stats.memory.unwrap(), stats.pids.unwrap());
        assert_eq!((memory.limit, pids.limit), (None, None));
        assert_eq!((memory.usage, memory.working_set), (1, 0));
    }
}

#[test]
fn of_a_group_that_is_not_there_nothing_is_known() {
    for tree in [v2(Tree::new()), v1(Tree::new()), v1(Tree::new()).v2("unified", "")] {
        assert_eq!(tree.cgroups().stats(Path::new("b")).unwrap(), Stats::default());
    }
}
