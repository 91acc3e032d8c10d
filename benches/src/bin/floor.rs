//! The kernel floor: makes pods with nothing but system calls. Whatever a node agent adds on top is its own doing.
//!
//! ```text
//! floor BRIDGE ROOTFS SCRATCH      then one line per pod on stdin: NUMBER IP PREFIX_LEN GATEWAY
//!   clone3 (net, ipc, uts)  ──> sleeps: what a pause process does
//!   veth pair               ──> one end on the bridge, the other in the new network namespace
//!   clone3 (pid, mnt)       ──> joins net, ipc, uts; lo, eth0, address, route; overlay; pivot_root; execve /server
//! kills all pods when stdin ends
//! ```
//!
//! No cgroup, no log, no /proc, /sys or /dev, no user, capability or filter is set: those are an agent's to pay for.

use std::fs;
use std::io::BufRead;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mkubelet_bench::clone::{Clone, clone};
use mkubelet_bench::net::{Netlink, index};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, execve, pause, pivot_root};

struct Floor {
    netlink: Netlink,
    bridge: u32,
    rootfs: PathBuf,
    scratch: PathBuf,
    processes: Vec<Pid>,
    veths: Vec<String>,
}

struct Pod {
    number: String,
    ip: Ipv4Addr,
    prefix_len: u8,
    gateway: Ipv4Addr,
}

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [bridge, rootfs, scratch] = args.as_slice() else { bail!("usage: floor BRIDGE ROOTFS SCRATCH") };
    let mut floor = Floor {
        netlink: Netlink::open()?,
        bridge: index(bridge)?,
        rootfs: fs::canonicalize(rootfs)?,
        scratch: fs::canonicalize(scratch)?,
        processes: Vec::new(),
        veths: Vec::new(),
    };
    let mut made = Ok(());
    for line in std::io::stdin().lock().lines() {
        made = line.map_err(Into::into).and_then(|line| floor.make(&parse(&line)?));
        if made.is_err() {
            break;
        }
    }
    for process in floor.processes {
        // It may have failed and gone by itself.
        let _ = kill(process, Signal::SIGKILL);
        waitpid(process, None)?;
    }
    // The kernel clears namespaces away in its own time; the next pods may have the same names.
    for veth in floor.veths {
        floor.netlink.delete(&veth)?;
    }
    made
}

fn parse(line: &str) -> Result<Pod> {
    let [number, ip, prefix_len, gateway] = line.split(' ').collect::<Vec<_>>()[..] else {
        bail!("not NUMBER IP PREFIX_LEN GATEWAY: {line:?}")
    };
    Ok(Pod {
        number: number.to_owned(),
        ip: ip.parse()?,
        prefix_len: prefix_len.parse()?,
        gateway: gateway.parse()?,
    })
}

impl Floor {
    fn make(&mut self, pod: &Pod) -> Result<()> {
        let shared = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
        let sandbox = match clone(shared).context("clone3(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)")? {
            Clone::Parent(pid, pidfd) => {
                self.processes.push(pid);
                (pid, pidfd)
            }
            Clone::Child => loop {
                pause();
            },
        };
        let netns = fs::File::open(format!("/proc/{}/ns/net", sandbox.0))?;
        let veth = format!("floorveth{}", pod.number);
        self.netlink.add_veth(&veth, self.bridge, netns.as_fd(), pod.ip)?;
        self.veths.push(veth);

        match clone(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)
            .context("clone3(CLONE_NEWPID | CLONE_NEWNS)")?
        {
            Clone::Parent(pid, _) => self.processes.push(pid),
            Clone::Child => {
                let failed = self.become_server(pod, &sandbox.1, shared);
                eprintln!("floor: pod {}: {failed:#}", pod.number);
                std::process::exit(1);
            }
        }
        Ok(())
    }

    fn become_server(&self, pod: &Pod, sandbox: &OwnedFd, shared: CloneFlags) -> anyhow::Error {
        let result = (|| -> Result<()> {
            setns(sandbox, shared).context("setns")?;
            Netlink::open()?.configure(pod.ip, pod.prefix_len, pod.gateway)?;
            self.enter_rootfs(&self.scratch.join(&pod.number))?;
            execve(c"/server", &[c"/server"], &[] as &[&std::ffi::CStr]).context("execve /server")?;
            Ok(())
        })();
        match result {
            Err(e) => e,
            Ok(()) => anyhow::anyhow!("execve returned"),
        }
    }

    fn enter_rootfs(&self, scratch: &Path) -> Result<()> {
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| scratch.join(name));
        for dir in [&upper, &work, &merged] {
            fs::create_dir_all(dir)?;
        }
        let none = None::<&Path>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make / private")?;
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.rootfs.display(),
            upper.display(),
            work.display()
        );
        mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
            .context("overlay")?;
        chdir(&merged)?;
        pivot_root(".", ".").context("pivot_root")?;
        umount2(".", MntFlags::MNT_DETACH).context("umount the old root")?;
        Ok(chdir("/")?)
    }
}
