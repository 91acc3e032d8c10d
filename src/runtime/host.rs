//! What all pods of an agent share: the node's network, cgroups and images, and facts about the node.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use oci_spec::runtime::{Capability, LinuxResources};

use super::Error;
use super::oci::NodeFacts;
use super::owner::{Admission, make_private_directory};
use super::pod_files::remove_tree;
use super::pull::Puller;
use super::resources;
use super::seccomp::Profiles;
use super::shares::Shares;
use super::shim_process::Program;
use super::user_ids::UserIds;
use crate::cgroup::{self, Cgroups};
use crate::config::node::NodeCare;
use crate::config::{Config, Layout};
use crate::image::Store;
use crate::network::Network;
use crate::pod::downward::Allocatable;
use crate::pod::spec::QosClass;
use crate::pod::{Pod, PodUid};
use crate::probe::Prober;
use crate::state::boot;

/// Where cgroup hierarchies are mounted.
pub const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// Who has which ids. One directory for all agents of the host, since the ids are the host's.
const USER_IDS: &str = "/run/mkubelet-user-ids";

/// Where huge pages are told of.
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages";

/// The group of all pods, below the agent's cgroup root.
const KUBEPODS: &str = "kubepods";

/// The groups below it, by quality of service; guaranteed pods have none of their own.
const QOS_GROUPS: [&str; 2] = ["besteffort", "burstable"];

/// An address that is nobody's (RFC 5737), and so beyond every default gateway.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// How often a sum is made again because pods came or went meanwhile.
const ATTEMPTS: usize = 8;

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
    /// The way to registries.
    pub puller: Puller,
    /// What goes into containers.
    pub facts: NodeFacts,
    /// Which system calls containers may make.
    pub seccomp: Profiles,
    /// The host's ids that pods with a user namespace of their own have.
    pub user_ids: UserIds,
    /// The shim's program.
    pub program: Program,
    /// What probes and hooks of all pods share.
    pub prober: Prober,
    /// Processes and threads that a pod may have; -1 is any number.
    pub pod_max_pids: i64,
    kubepods: PathBuf,
    care: NodeCare,
    /// Processors that are online.
    cpus: u64,
    shares: Shares,
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
        let facts = facts(&cgroups, config);
        let images = Store::open(&layout.images()).map_err(|e| Error::chain(&e))?;
        let host = Self {
            network: Network::new(config).map_err(|e| Error::chain(&e))?,
            puller: Puller::new(images.clone(), config).map_err(|e| Error::chain(&e))?,
            images,
            seccomp: Profiles::new(layout.seccomp()),
            pod_max_pids: config.pod_max_pids,
            cpus: processors(),
            care: config.node.clone(),
            shares: Shares::default(),
            user_ids: UserIds::new(Path::new(USER_IDS), config.user_ids),
            prober: Prober::of_node(facts.address),
            facts,
            program: Program::open().map_err(|e| Error::chain(&e))?,
            kubepods: cgroup_root.join(KUBEPODS),
            cgroup_root: config.cgroup_root.clone().filter(|root| !root.as_os_str().is_empty()),
            cgroups,
            layout,
        };
        host.care.reserved.check(&host.capacity()).map_err(Error)?;
        host.forget_other_boots()?;
        Ok(host)
    }

    /// What a run directory on a disk says of a boot before this one: sandboxes, processes, exits. Nothing of it is there any more.
    fn forget_other_boots(&self) -> Result<(), Error> {
        let _admission = self.admission()?;
        let path = self.layout.boot_id();
        let failed = |error| Error(format!("find out which boot {} is of: {error}", path.display()));
        if boot::is_another(&path).map_err(failed)? {
            for entry in fs::read_dir(self.layout.run_pods()).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(uid) = name.to_str().and_then(|name| name.parse::<PodUid>().ok()) else { continue };
                for group in self.possible_groups(&uid) {
                    self.remove_group(&group)?;
                }
                remove_tree(&self.layout.run_pod(&uid))?;
            }
        }
        boot::write(&path).map_err(failed)
    }

    /// What there is to give to pods: what nobody has kept for the system or for the moment when it runs short, and is in no huge page.
    pub fn allocatable(&self) -> Allocatable {
        let left = self.care.allocatable(&self.capacity());
        let huge = reserved_huge_pages(Path::new(HUGE_PAGES)).into_values().fold(0, u64::saturating_add);
        Allocatable { memory: left.memory.saturating_sub(huge), ..left }
    }

    /// What there is in all.
    pub fn capacity(&self) -> Allocatable {
        let disk =
            statvfs(self.layout.root()).map(|found| found.blocks().saturating_mul(found.fragment_size()));
        Allocatable {
            cpu_millis: self.cpus.saturating_mul(1000),
            memory: self.facts.memory,
            ephemeral_storage: disk.unwrap_or(0),
        }
    }

    /// Sizes of huge pages, bytes, and how many bytes of each there are.
    pub fn huge_pages(&self) -> BTreeMap<u64, u64> {
        reserved_huge_pages(Path::new(HUGE_PAGES))
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

    /// Gives the group of all pods, and that of the new pod's class, the weight that they have beside others.
    pub fn weigh(&self, pod: &Pod) {
        let for_pods = self.care.reserved.taken_from(&self.capacity());
        let memory = Some(for_pods.memory).filter(|_| self.care.reserved.memory > 0);
        let weighed = self.set(&self.kubepods, &resources::of_node(for_pods.cpu_millis, memory));
        let weighed = weighed.and(match pod.spec.qos_class {
            QosClass::Guaranteed => Ok(()),
            QosClass::BestEffort => self.set(&self.kubepods.join(QOS_GROUPS[0]), &resources::of_class(0)),
            QosClass::Burstable => self.weigh_burstable(),
        });
        warn_of(weighed);
    }

    /// Likewise when what a pod requests has changed.
    pub fn weigh_anew(&self, pod: &Pod) {
        self.shares.forget(&pod.uid);
        self.weigh(pod);
    }

    /// All burstable pods together weigh what they request together, those of other agents in the same group too.
    fn weigh_burstable(&self) -> Result<(), cgroup::Error> {
        let group = self.kubepods.join(QOS_GROUPS[1]);
        let mut pods = self.cgroups.children(&group)?;
        // Somebody who comes or goes meanwhile may have written before this does: the last look decides.
        for _ in 0..ATTEMPTS {
            let uids = pods.iter().filter_map(|name| name.to_str()?.strip_prefix("pod")?.parse().ok());
            let millis = self.shares.total(&uids.collect::<Vec<_>>(), &self.layout);
            self.set(&group, &resources::of_class(millis))?;
            let now = self.cgroups.children(&group)?;
            if now.len() == pods.len() && now.iter().all(|name| pods.contains(name)) {
                break;
            }
            pods = now;
        }
        Ok(())
    }

    /// Sets limits of a group that another agent may be removing.
    fn set(&self, group: &Path, limits: &LinuxResources) -> Result<(), cgroup::Error> {
        match self.cgroups.update(group, limits) {
            Err(error) if error.is_absent() => Ok(()),
            other => other,
        }
    }

    /// Kills what is in a pod's group and removes it, and the groups above it that are empty.
    pub fn remove_group(&self, group: &Path) -> Result<(), Error> {
        self.cgroups.kill(group).map_err(|e| Error::chain(&e))?;
        self.cgroups.remove(group).map_err(|e| Error::chain(&e))?;
        if group.parent() == Some(&self.kubepods.join(QOS_GROUPS[1])) {
            warn_of(self.weigh_burstable());
        }
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

/// A weight is a preference among pods; none of them has less than it needs to run or to be removed.
fn warn_of(weighed: Result<(), cgroup::Error>) {
    if let Err(error) = weighed {
        tracing::warn!(%error, "the groups of pods could not be weighed");
    }
}

fn facts(cgroups: &Cgroups, config: &Config) -> NodeFacts {
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    NodeFacts {
        hostname: hostname.unwrap_or_else(|| "localhost".to_owned()),
        cluster_domain: config.cluster_domain.clone(),
        cluster_dns: config.cluster_dns.clone(),
        address: address(),
        memory: fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text)).unwrap_or(0),
        resources: resources::Node {
            huge_pages: huge_pages(Path::new(HUGE_PAGES)),
            kills_groups: cgroups.kills_groups(),
        },
        capabilities: capabilities(),
        thermal: thermal(Path::new("/sys/devices/system/cpu")),
        log_limits: config.log_limits,
    }
}

/// The node's address on its way to the world, which a kubelet takes for the node's, too. Nothing is sent: the kernel only chooses
/// a route (ip(7)).
fn address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((ELSEWHERE, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

/// What this process may do, and so what the shims that it starts can give to containers.
fn capabilities() -> HashSet<Capability> {
    let permitted = caps::read(None, caps::CapSet::Permitted).unwrap_or_default();
    let names = permitted.into_iter().map(|capability| capability.to_string());
    names.filter_map(|name| name.trim_start_matches("CAP_").parse().ok()).collect()
}

/// MemTotal of /proc/meminfo, bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// How many processors are online; one when nobody says.
fn processors() -> u64 {
    let online = fs::read_to_string("/sys/devices/system/cpu/online");
    online.ok().and_then(|list| count(list.trim())).unwrap_or(1)
}

/// How many numbers are in a list such as `0-3,8`.
fn count(list: &str) -> Option<u64> {
    let of = |range: &str| -> Option<u64> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',').map(of).sum()
}

/// The sizes of huge pages, bytes, of which there are some or may be some: below a directory of sysfs, `hugepages-2048kB`.
fn huge_pages(directory: &Path) -> BTreeSet<u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| -> Option<u64> {
        let name = entry.file_name().into_string().ok()?;
        let kibibytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let pages = |file: &str| -> Option<u64> {
            fs::read_to_string(entry.path().join(file)).ok()?.trim().parse().ok()
        };
        let any = ["nr_hugepages", "nr_overcommit_hugepages"].iter().any(|file| pages(file) > Some(0));
        if any { kibibytes.checked_mul(1024) } else { None }
    };
    entries.filter_map(size).collect()
}

/// How many bytes there are in huge pages of each size, from the same directory.
fn reserved_huge_pages(directory: &Path) -> BTreeMap<u64, u64> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let kibibytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let pages: u64 = fs::read_to_string(entry.path().join("nr_hugepages")).ok()?.trim().parse().ok()?;
        let size = kibibytes.checked_mul(1024)?;
        Some((size, size.checked_mul(pages)?))
    };
    entries.filter_map(of).collect()
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
    fn processors_are_counted() {
        for (list, expected) in
            [("0", Some(1)), ("0-3", Some(4)), ("0-1,4,6-7", Some(5)), ("", None), ("3-1", None), ("x", None)]
        {
            assert_eq!(count(list), expected, "{list}");
        }
    }

    #[test]
    fn huge_pages_are_there_when_there_are_some_or_may_be() {
        let dir = tempfile::tempdir().unwrap();
        for (size, pages, overcommit) in
            [("2048kB", "3\n", "0\n"), ("64kB", "0\n", "0\n"), ("1048576kB", "0\n", "1\n")]
        {
            let size = dir.path().join(format!("hugepages-{size}"));
            fs::create_dir(&size).unwrap();
            fs::write(size.join("nr_hugepages"), pages).unwrap();
            fs::write(size.join("nr_overcommit_hugepages"), overcommit).unwrap();
        }
        assert_eq!(huge_pages(dir.path()), [2 << 20, 1 << 30].into());
        assert_eq!(reserved_huge_pages(dir.path()), [(2 << 20, 6 << 20), (64 << 10, 0), (1 << 30, 0)].into());
        assert!(huge_pages(Path::new("/none")).is_empty());
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
