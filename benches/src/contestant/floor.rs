//! `floor`: as many of it as there are processors, each making one pod after another.

use std::io::Write;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Contestant, address, wait};
use crate::answer::Target;
use crate::net::Netlink;

const BRIDGE: &str = "floor0";
const NETWORK: [u8; 2] = [10, 207];

/// See `bin/floor.rs`.
#[derive(Debug)]
pub struct Floor {
    program: PathBuf,
    rootfs: PathBuf,
    scratch: PathBuf,
    /// Holds pod 0, and so the bridge's carrier.
    holder: Option<Child>,
    makers: Vec<Child>,
}

impl Floor {
    /// Makes the bridge.
    pub fn new(program: &Path, rootfs: &Path, scratch: &Path) -> Result<Self> {
        let mut netlink = Netlink::open()?;
        netlink.delete(BRIDGE)?;
        netlink.add_bridge(BRIDGE, gateway(), 16)?;
        std::fs::create_dir_all(scratch)?;
        let (program, rootfs, scratch) = (program.to_owned(), rootfs.to_owned(), scratch.to_owned());
        Ok(Self { program, rootfs, scratch, holder: None, makers: Vec::new() })
    }

    /// Processes that wait for orders.
    fn prepare(&mut self) -> Result<()> {
        while self.makers.len() < thread::available_parallelism()?.get() {
            let maker = self.maker()?;
            self.makers.push(maker);
        }
        if self.holder.is_none() {
            self.holder = Some(self.maker()?);
        }
        Ok(())
    }

    fn maker(&self) -> Result<Child> {
        Command::new(&self.program)
            .arg(BRIDGE)
            .args([&self.rootfs, &self.scratch])
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))
    }
}

impl Contestant for Floor {
    fn name(&self) -> String {
        "kernel floor".to_owned()
    }

    fn start(&mut self, pods: Range<u32>, targets: &Sender<Target>) -> Result<()> {
        self.prepare()?;
        for number in pods {
            let makers = self.makers.len();
            let maker = match number {
                0 => self.holder.as_mut().context("no holder")?,
                _ => &mut self.makers[number as usize % makers],
            };
            let order = format!("{number} {} 16 {}\n", address(NETWORK, number), gateway());
            maker.stdin.as_mut().context("stdin")?.write_all(order.as_bytes())?;
            targets.send(Target { ip: address(NETWORK, number) })?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        for mut maker in self.makers.drain(..) {
            drop(maker.stdin.take());
            let status = wait(&mut maker, Duration::from_secs(30))?;
            ensure!(status.success(), "floor: {status}");
        }
        // For the next round, so that its start is not measured.
        self.prepare()
    }

    fn bridge(&self) -> &str {
        BRIDGE
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        for maker in self.makers.iter_mut().chain(&mut self.holder) {
            drop(maker.stdin.take());
            let _ = wait(maker, Duration::from_secs(30));
        }
        let _ = Netlink::open().and_then(|mut netlink| netlink.delete(BRIDGE));
    }
}

fn gateway() -> Ipv4Addr {
    Ipv4Addr::new(NETWORK[0], NETWORK[1], 0, 1)
}
