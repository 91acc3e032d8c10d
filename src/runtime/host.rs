//! What all pods of an agent share: the node's network, cgroups and images, and facts about the node.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

use super::Error;
use super::oci::NodeFacts;
use super::owner::{Admission, make_private_directory};
use super::seccomp::Profiles;
use super::shim_process::Program;
use crate::cgroup::Cgroups;
use crate::config::{Config, Layout};
use crate::image::Store;
use crate::network::Network;
use crate::pod::spec::QosClass;
use crate::pod::{Pod, PodUid};

/// Where cgroup hierarchies are mounted.
pub const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// The group of all pods, below the agent's cgroup root.
const KUBEPODS: &str = "kubepods";

/// The groups below it, by quality of service; guaranteed pods have none of their own.
const QOS_GROUPS: [&str; 2] = ["besteffort", "burstable"];

/// The node, as an agent uses it.
#[derive(Debug)]
pub struct Host {
    /// Directories and sockets.
    pub layout: Layout,
    /// Addresses and links.
    pub network: Network,
    /// Control groups.
    pub cgroups: Cgroups,
    /// Images.
    pub images: Store,
    /// What goes into containers.
    pub facts: NodeFacts,
    /// Which system calls containers may make.
    pub seccomp: Profiles,
    /// The shim's program.
    pub program: Program,
    kubepods: PathBuf,
    /// The group that was asked for by name. It is made when it is missing, and removed when it is empty.
    cgroup_root: Option<PathBuf>,
}

impl Host {
    /// Finds out what the node is like, and makes the directories.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let layout = config.layout.clone();
        for directory in [layout.root(), layout.run()] {
            make_private_directory(directory)
                .map_err(|error| Error(format!("make the directory {}: {error}", directory.display())))?;
        }
        let cgroups = Cgroups::detect(Path::new(CGROUP_MOUNT)).map_err(|e| Error::chain(&e))?;
        let cgroup_root = match (&config.cgroup_root, cgroups.delegated_root()) {
            (Some(root), _) => root.clone(),
            (None, Some(delegated)) => {
                cgroups.settle(&delegated).map_err(|e| Error::chain(&e))?;
                delegated
            }
            (None, None) => PathBuf::new(),
        };
        Ok(Self {
            network: Network::new(config).map_err(|e| Error::chain(&e))?,
            images: Store::open(&layout.images()).map_err(|e| Error::chain(&e))?,
            facts: facts(),
            seccomp: Profiles::new(layout.seccomp()),
            program: Program::open().map_err(|e| Error::chain(&e))?,
            kubepods: cgroup_root.join(KUBEPODS),
            cgroup_root: config.cgroup_root.clone().filter(|root| !root.as_os_str().is_empty()),
            cgroups,
            layout,
        })
    }

    /// Keeps other agents from taking pods on or away while it lives.
    pub fn admission(&self) -> Result<Admission, Error> {
        Admission::wait(self.layout.run()).map_err(|e| Error::chain(&e))
    }

    /// A pod's cgroup, as the kubelet names it.
    pub fn pod_group(&self, pod: &Pod) -> PathBuf {
        let class = match pod.spec.qos_class {
            QosClass::Guaranteed => self.kubepods.clone(),
            QosClass::BestEffort => self.kubepods.join(QOS_GROUPS[0]),
            QosClass::Burstable => self.kubepods.join(QOS_GROUPS[1]),
        };
        class.join(format!("pod{}", pod.uid))
    }

    /// Every place where a pod's cgroup may be, for one of which nothing but the uid is known.
    pub fn possible_groups(&self, uid: &PodUid) -> Vec<PathBuf> {
        let classes = QOS_GROUPS.iter().map(|class| self.kubepods.join(class));
        classes.chain([self.kubepods.clone()]).map(|class| class.join(format!("pod{uid}"))).collect()
    }

    /// Makes a group, also while another agent removes an empty one above it.
    pub fn make_group(&self, group: &Path, limits: &LinuxResources) -> Result<(), Error> {
        self.cgroups.create(group, limits).map_err(|e| Error::chain(&e))
    }

    /// Kills what is in a pod's group and removes it, and the groups above it that are empty.
    pub fn remove_group(&self, group: &Path) -> Result<(), Error> {
        self.cgroups.kill(group).map_err(|e| Error::chain(&e))?;
        self.cgroups.remove(group).map_err(|e| Error::chain(&e))?;
        let classes = QOS_GROUPS.iter().map(|class| self.kubepods.join(class));
        for parent in classes.chain([self.kubepods.clone()]).chain(self.cgroup_root.clone()) {
            self.cgroups.remove_if_empty(&parent).map_err(|e| Error::chain(&e))?;
        }
        Ok(())
    }

    /// Removes the directories above pods' own, where they are empty.
    pub fn remove_empty_directories(&self) -> Result<(), Error> {
        let _admission = self.admission()?;
        for directory in [self.layout.pods(), self.layout.run_pods()] {
            // Not empty, or gone already: either is fine.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }
}

fn facts() -> NodeFacts {
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    NodeFacts {
        hostname: hostname.unwrap_or_else(|| "localhost".to_owned()),
        memory: fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text)).unwrap_or(0),
        thermal: thermal(Path::new("/sys/devices/system/cpu")),
    }
}

/// MemTotal of /proc/meminfo, bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The `thermal_throttle` of every processor below a directory of sysfs.
fn thermal(cpus: &Path) -> Vec<String> {
    let entries = fs::read_dir(cpus).into_iter().flatten().flatten();
    let numbered = entries.filter(|entry| {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("cpu"));
        number.is_some_and(|number| number.bytes().next().is_some_and(|digit| digit.is_ascii_digit()))
    });
    let paths = numbered.map(|entry| entry.path().join("thermal_throttle")).filter(|path| path.exists());
    let mut paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total_memory("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        for bad in ["", "MemTotal: x kB\n", "MemTotal: 12\n", "MemTotal: 99999999999999999999 kB\n"] {
            assert_eq!(total_memory(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_processors_heat_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cpu0/thermal_throttle", "cpu1", "cpu10/thermal_throttle", "cpufreq/thermal_throttle"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let found = thermal(dir.path());
        let short: Vec<_> = found.iter().map(|p| p.rsplit('/').nth(1).unwrap()).collect();
        assert_eq!(short, ["cpu0", "cpu10"]);
    }
}
