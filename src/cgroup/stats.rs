//! What a group has used up to now, in the same words whichever version counted it.

use std::path::Path;
use std::time::Duration;

use super::{Result, file};

/// What a group with all groups below it has used. What this host does not count is `None`; of a group that is not there
/// everything is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// CPU time.
    pub cpu: Option<Cpu>,
    /// How its quota of CPU time held it back; all zero without one.
    pub throttling: Option<Throttling>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Block devices.
    pub io: Option<Io>,
    /// Processes and threads.
    pub pids: Option<Pids>,
    /// How long it waited (PSI). Only v2 counts it, a v2 without controllers too.
    pub pressure: Option<Pressure>,
}

/// CPU time, all processors together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In all.
    pub usage: Duration,
    /// In user mode.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

/// Periods of the quota (cpu.max, cpu.cfs_quota_us).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    /// In which it wanted to run.
    pub periods: u64,
    /// In which it had used its quota up.
    pub throttled: u64,
    /// How long it was held back, all processors together.
    pub time: Duration,
}

/// Memory, bytes; as the kubelet and cAdvisor define the words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// All that is charged to it, the page cache too.
    pub usage: u64,
    /// `usage` without file pages that have not been used for long: what could not be taken back easily.
    pub working_set: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// File pages, those of tmpfs too.
    pub cache: u64,
    /// File pages that are mapped.
    pub mapped: u64,
    /// What is in swap space; 0 where the kernel does not account it.
    pub swap: u64,
    /// The largest `usage` there has been; `None` before Linux 5.19 on v2.
    pub peak: Option<u64>,
    /// Its own limit; `None`: it has none.
    pub limit: Option<u64>,
    /// Processes that were killed for want of memory, those in groups below too.
    pub oom_kills: u64,
    /// Page faults, major ones included.
    pub faults: u64,
    /// Page faults that had to wait for a disk.
    pub major_faults: u64,
}

/// What went from and to block devices. What the page cache answers is not counted, nor what it has not written back yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Io {
    /// Bytes.
    pub read_bytes: u64,
    /// Bytes.
    pub written_bytes: u64,
    /// Requests.
    pub reads: u64,
    /// Requests.
    pub writes: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pids {
    /// That there are.
    pub current: u64,
    /// That there may be; `None`: any number.
    pub limit: Option<u64>,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Stalls,
    /// Waiting for memory to be freed, or to come back from a disk.
    pub memory: Stalls,
    /// Waiting for block devices.
    pub io: Stalls,
}

/// Waiting for one resource.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stalls {
    /// Some process waited.
    pub some: Stall,
    /// All processes that had something to do waited, so that nothing was done.
    pub full: Stall,
}

/// A share of the time, and the time itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last 5 minutes.
    pub avg300: f64,
    /// Since the group was made.
    pub total: Duration,
}

/// What a controller does that counts nothing.
pub(crate) fn nothing(_directory: &Path, _stats: &mut Stats) -> Result<()> {
    Ok(())
}

/// A group's file whose text is one number. `None` when it is not there, or says `max`.
pub(crate) fn number(directory: &Path, name: &str) -> Result<Option<u64>> {
    Ok(file::read_if_there(&directory.join(name))?.and_then(|text| text.trim().parse().ok()))
}

/// A group's file of lines `key number`. `None` when it is not there.
pub(crate) fn counters(directory: &Path, name: &str) -> Result<Option<Counters>> {
    Ok(file::read_if_there(&directory.join(name))?.map(Counters))
}

/// The text of a file of lines `key number`.
pub(crate) struct Counters(String);

impl Counters {
    /// The number beside a key; 0 when there is none.
    pub(crate) fn get(&self, key: &str) -> u64 {
        file::value(&self.0, key).unwrap_or(0)
    }
}
