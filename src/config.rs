//! Flags and defaults resolved into one `Config`, and `Layout`: every directory and socket path, in one type.

use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use crate::pod::{ContainerName, PodKey, PodUid};

/// Where everything is kept. See DESIGN section 6 in ARCHITECTURE.md, "Disk and sockets".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    run: PathBuf,
    log: PathBuf,
}

impl Layout {
    /// A layout below three directories: `root` survives a reboot, `run` does not, `log` holds the containers' output.
    pub fn new(root: impl Into<PathBuf>, run: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), run: run.into(), log: log.into() }
    }

    /// The directory that survives a reboot, 0700.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that is gone at reboot, 0700.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The directory of pod logs.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The image store.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// All pods' directories on disk.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// What one pod keeps on disk.
    pub fn pod(&self, uid: &PodUid) -> PathBuf {
        self.pods().join(uid.as_str())
    }

    /// The record of the desired pod.
    pub fn pod_record(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("pod.json")
    }

    /// The hosts file that every container of the pod gets as /etc/hosts.
    pub fn etc_hosts(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Likewise /etc/hostname.
    pub fn etc_hostname(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("etc-hostname")
    }

    /// Likewise /etc/resolv.conf.
    pub fn resolv_conf(&self, uid: &PodUid) -> PathBuf {
        self.pod(uid).join("resolv.conf")
    }

    /// A volume's own directory, named as the kubelet names it (`kubernetes.io~empty-dir/NAME`).
    pub fn volume(&self, uid: &PodUid, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin).join(name)
    }

    /// One attempt's writable layer: holds `upper`, `work` and the mount point `rootfs`.
    pub fn attempt(&self, uid: &PodUid, container: &ContainerName, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(container.as_str()).join(attempt.to_string())
    }

    /// All pods' run directories.
    pub fn run_pods(&self) -> PathBuf {
        self.run.join("pods")
    }

    /// What one pod keeps until reboot.
    pub fn run_pod(&self, uid: &PodUid) -> PathBuf {
        self.run_pods().join(uid.as_str())
    }

    /// The shim's listening socket.
    pub fn shim_socket(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("shim.sock")
    }

    /// The shim's record of starts and exits.
    pub fn journal(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("journal")
    }

    /// Where a shim writes what it has to say about itself.
    pub fn shim_log(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("shim.log")
    }

    /// Locked by the agent that looks after the pod.
    pub fn owner_lock(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("owner.lock")
    }

    /// Mount point of the pod's shared /dev/shm, in the shim's mount namespace.
    pub fn shm(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("shm")
    }

    /// Addresses in use: one file each.
    pub fn ipam(&self) -> PathBuf {
        self.run.join("ipam")
    }

    /// Locked while the bridge and the nftables table are set up or removed.
    pub fn network_lock(&self) -> PathBuf {
        self.run.join("network.lock")
    }

    /// A pod's directory of logs: `<namespace>_<name>_<uid>`, as the kubelet names it.
    pub fn pod_logs(&self, key: &PodKey, uid: &PodUid) -> PathBuf {
        self.log.join(format!("{}_{}_{}", key.namespace, key.name, uid))
    }

    /// One attempt's log.
    pub fn container_log(
        &self,
        key: &PodKey,
        uid: &PodUid,
        container: &ContainerName,
        attempt: u32,
    ) -> PathBuf {
        self.pod_logs(key, uid).join(container.as_str()).join(format!("{attempt}.log"))
    }
}

/// What the global flags come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directories and sockets.
    pub layout: Layout,
    /// Addresses of pods; the first is the bridge's.
    pub pod_cidr: Ipv4Net,
    /// Name of the bridge, at most 15 bytes.
    pub bridge: String,
    /// Group below which `kubepods` is made, relative to the hierarchies' roots; `None`: the delegated group when
    /// systemd gives one, else the root.
    pub cgroup_root: Option<PathBuf>,
}
