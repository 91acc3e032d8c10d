//! Memory of processes, from /proc.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A process that could be of interest.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its ID.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its name, as the kernel knows it (at most 15 bytes).
    pub name: String,
}

/// All processes of this moment. One that goes away while we look is left out.
pub fn processes() -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in brackets and may contain some; what follows does not.
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let parent = stat[close + 1..].split_whitespace().nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
        found.push(Process { pid, parent, name: stat[open + 1..close].to_owned() });
    }
    Ok(found)
}

/// All descendants of some processes.
pub fn descendants(of: &[u32], all: &[Process]) -> Vec<Process> {
    let mut family = of.to_vec();
    let mut found = Vec::new();
    while let Some(parent) = family.pop() {
        for child in all.iter().filter(|process| process.parent == parent) {
            family.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

/// Proportional set size: what the process holds, shared pages divided among their users. In KiB.
pub fn pss_kib(pid: u32) -> Result<u64> {
    field(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:")
}

/// Resident set size, in KiB.
pub fn rss_kib(pid: u32) -> Result<u64> {
    field(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")
}

fn field(path: &Path, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("{} has no {name}", path.display()))
}
