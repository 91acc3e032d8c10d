//! Who is measured. Each starts pods when told, and says where they are as soon as it knows.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::answer::Target;

pub mod floor;
pub mod mkubelet;
pub mod podman;

/// Pods are numbered from 1 on; number 0 is made before any measurement, so that bridges and tables are there.
pub trait Contestant {
    /// For the table.
    fn name(&self) -> String;

    /// Orders pods, all at once. Returns when the order is given; the IPs come out of `targets`.
    fn start(&mut self, pods: Range<u32>, targets: &Sender<Target>) -> Result<()>;

    /// Ends all pods but number 0.
    fn stop(&mut self) -> Result<()>;

    /// The bridge of its pods.
    fn bridge(&self) -> &str;

    /// What the pods cost, while they run; `None` if that makes no sense here.
    fn memory(&self) -> Result<Option<Memory>> {
        Ok(None)
    }
}

/// What a number of pods hold, besides their containers.
#[derive(Debug, Clone)]
pub struct Memory {
    /// How many pods.
    pub pods: usize,
    /// The processes that each pod has, and the proportional set size of all of them in KiB, in all pods together.
    pub per_pod: Vec<(String, u64)>,
    /// The process that looks after all of them, and its resident set size in KiB.
    pub agent: Option<(String, u64)>,
}

/// The `number`th address for a pod behind the second one of a network.
fn address(network: [u8; 2], number: u32) -> Ipv4Addr {
    let [high, low] = [(number + 2) / 256, (number + 2) % 256];
    Ipv4Addr::new(network[0], network[1], high as u8, low as u8)
}

/// Waits for a process, and kills it when it takes too long.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > patience {
            child.kill().context("kill a process that does not end")?;
            child.wait()?;
            bail!("process {} did not end within {patience:?}", child.id());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
