//! `podman kube play`, with storage, state and network of its own, so that nothing of the host's is touched.
//!
//! It runs in a mount namespace of its own as well: its mounts go with that, and on a host with hybrid cgroups, which
//! crun 1.8 refuses, the v2 hierarchy is taken away there, so that it finds plain v1.

use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Contestant, Memory, address, wait};
use crate::answer::Target;
use crate::memory::{descendants, processes, pss_kib};
use crate::net::Netlink;

const BRIDGE: &str = "podbench0";
const NETWORK: [u8; 2] = [10, 208];
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const IMAGE: &str = "localhost/mkubelet-bench-server:latest";

#[derive(Debug)]
struct Play {
    child: Child,
    pods: Range<u32>,
    /// What it had to say.
    log: PathBuf,
}

/// Debian's podman.
#[derive(Debug)]
pub struct Podman {
    scratch: PathBuf,
    run: PathBuf,
    process_per_pod: bool,
    /// Tables of nftables that were there before.
    tables: Vec<String>,
    /// Whether the host forwarded before.
    forwarding: String,
    /// Lives in the mount namespace that all podmans enter.
    keeper: Child,
    plays: Vec<Play>,
}

impl Podman {
    /// Is it installed?
    pub fn is_installed() -> bool {
        Command::new("podman")
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Imports the image. `process_per_pod`: a `podman kube play` for each pod; otherwise one for all pods of an order.
    pub fn new(rootfs: &Path, scratch: &Path, run: &Path, process_per_pod: bool) -> Result<Self> {
        fs::create_dir_all(scratch.join("net"))?;
        // Without CAP_SYS_RESOURCE the limits that podman gives containers by default cannot be set.
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=32768:32768\"]\n";
        fs::write(scratch.join("containers.conf"), limits)?;
        let [a, b] = NETWORK;
        let network = format!(
            r#"{{"name": "bench", "id": "{}", "driver": "bridge", "network_interface": "{BRIDGE}",
                "subnets": [{{"subnet": "{a}.{b}.0.0/16", "gateway": "{a}.{b}.0.1"}}], "ipv6_enabled": false,
                "internal": false, "dns_enabled": false, "ipam_options": {{"driver": "host-local"}}}}"#,
            "0".repeat(64)
        );
        fs::write(scratch.join("net/bench.json"), network)?;

        let mut keeper = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg("umount /sys/fs/cgroup/unified 2>/dev/null; echo ready; exec cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start unshare")?;
        let mut ready = String::new();
        BufReader::new(keeper.stdout.take().context("stdout")?).read_line(&mut ready)?;
        ensure!(ready == "ready\n", "unshare --mount failed");
        let (scratch, run) = (scratch.to_owned(), run.to_owned());
        let forwarding = fs::read_to_string(FORWARDING)?;
        let podman =
            Self { scratch, run, process_per_pod, tables: tables(), forwarding, keeper, plays: Vec::new() };

        let archive = podman.scratch.join("server.tar");
        let tar = Command::new("tar").arg("-C").arg(rootfs).arg("-cf").arg(&archive).arg(".").status()?;
        ensure!(tar.success(), "tar: {tar}");
        podman.call(&["import", "--quiet", &archive.to_string_lossy(), IMAGE])?;
        Ok(podman)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.keeper.id())).arg("podman");
        command
            .arg("--root")
            .arg(self.scratch.join("storage"))
            .arg("--network-config-dir")
            .arg(self.scratch.join("net"));
        // At most 50 bytes.
        command.arg("--runroot").arg(&self.run);
        command
            .args(["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--log-level", "error"])
            .env("CONTAINERS_CONF", self.scratch.join("containers.conf"));
        command
    }

    fn call(&self, args: &[&str]) -> Result<()> {
        let output = self.command().args(args).output()?;
        if !output.status.success() {
            bail!("podman {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn play(&mut self, pods: Range<u32>) -> Result<()> {
        let path = self.scratch.join(format!("pods-{}-{}.yaml", pods.start, pods.end));
        let mut text = String::new();
        let mut command = self.command();
        command.args(["kube", "play", "--network", "bench"]);
        for number in pods.clone() {
            command.arg("--ip").arg(address(NETWORK, number).to_string());
            text += &format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: bench-{number}\nspec:\n  containers:\n  \
                 - name: server\n    image: {IMAGE}\n    imagePullPolicy: Never\n    command: [/server]\n"
            );
        }
        fs::write(&path, text)?;
        let log = path.with_extension("log");
        let output = fs::File::create(&log)?;
        let child =
            command.arg(&path).stdout(output.try_clone()?).stderr(output).spawn().context("start podman")?;
        self.plays.push(Play { child, pods, log });
        Ok(())
    }
}

impl Contestant for Podman {
    fn name(&self) -> String {
        let how = if self.process_per_pod { "a process per pod" } else { "one process, one manifest" };
        format!("podman kube play ({how})")
    }

    fn start(&mut self, pods: Range<u32>, targets: &Sender<Target>) -> Result<()> {
        if self.process_per_pod {
            for number in pods.clone() {
                self.play(number..number + 1)?;
            }
        } else {
            self.play(pods.clone())?;
        }
        for number in pods {
            targets.send(Target { ip: address(NETWORK, number) })?;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        for play in &mut self.plays {
            let status = wait(&mut play.child, Duration::from_secs(120))?;
            if !status.success() {
                bail!("podman kube play: {status}: {}", fs::read_to_string(&play.log)?.trim());
            }
        }
        let numbers = self.plays.drain(..).flat_map(|play| play.pods).filter(|number| *number != 0);
        let names: Vec<_> = numbers.map(|number| format!("bench-{number}")).collect();
        let mut args = vec!["pod", "rm", "--force", "--time", "0"];
        args.extend(names.iter().map(String::as_str));
        self.call(&args)
    }

    fn bridge(&self) -> &str {
        BRIDGE
    }

    fn memory(&self) -> Result<Option<Memory>> {
        if self.process_per_pod {
            return Ok(None);
        }
        let all = processes()?;
        let ours = |pid: u32| {
            let scratch = self.scratch.to_string_lossy().into_owned();
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&scratch))
        };
        let conmons: Vec<_> =
            all.iter().filter(|it| it.name == "conmon" && ours(it.pid)).map(|it| it.pid).collect();
        let infras: Vec<_> =
            descendants(&conmons, &all).iter().filter(|it| it.name == "catatonit").map(|it| it.pid).collect();
        let sum = |pids: &[u32]| pids.iter().map(|pid| pss_kib(*pid)).sum::<Result<u64>>();
        Ok(Some(Memory {
            pods: infras.len(),
            per_pod: vec![("conmon (two)".to_owned(), sum(&conmons)?), ("infra".to_owned(), sum(&infras)?)],
            agent: None,
        }))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for play in &mut self.plays {
            let _ = wait(&mut play.child, Duration::from_secs(120));
        }
        if let Err(e) = self.call(&["pod", "rm", "--force", "--all", "--time", "0"]) {
            eprintln!("{e:#}");
        }
        let _ = Netlink::open().and_then(|mut netlink| netlink.delete(BRIDGE));
        // What podman's rules were in stays behind, empty.
        for table in tables().iter().filter(|table| !self.tables.contains(table)) {
            let _ = Command::new("nft").arg(format!("delete {table}")).status();
        }
        let _ = fs::write(FORWARDING, &self.forwarding);
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Lines such as `table ip nat`; none without the program nft.
fn tables() -> Vec<String> {
    let output = Command::new("nft").args(["list", "tables"]).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines()
        .filter(|line| ["table ip nat", "table ip filter"].contains(line))
        .map(str::to_owned)
        .collect()
}
