//! Flags and defaults resolved into one `Config`, and `Layout`: every directory and socket path, in one type.

pub mod kubelet;
pub mod node;
pub mod pulls;
pub mod user_id_pool;

use std::io;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use ipnet::Ipv4Net;
use node::NodeCare;
use pulls::PullLimits;
use user_id_pool::UserIdPool;

use crate::container::spec::LogLimits;
use crate::pod::id::is_dns_label;
use crate::pod::quantity::Quantity;
use crate::pod::{ContainerName, PodKey, PodUid, sysctl};

/// Where everything is kept. See "Disk and sockets" in ARCHITECTURE.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    run: PathBuf,
    log: PathBuf,
    log_links: PathBuf,
}

impl Layout {
    /// A layout below three directories: `root` survives a reboot, `run` does not, `log` holds the containers' output. Links to
    /// logs are in `containers`, beside `log`.
    pub fn new(root: impl Into<PathBuf>, run: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        let log = log.into();
        Self { root: root.into(), run: run.into(), log_links: log.with_file_name("containers"), log }
    }

    /// The same with another directory of links to logs.
    pub fn with_log_links(self, log_links: PathBuf) -> Self {
        Self { log_links, ..self }
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

    /// The directory of links to logs, where log collectors look.
    pub fn log_links(&self) -> &Path {
        &self.log_links
    }

    /// The image store.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The objects of the Kubernetes API.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// The record of the machine's last shutdown.
    pub fn shutdown_record(&self) -> PathBuf {
        self.root.join("shutdown.json")
    }

    /// The node's own seccomp profiles, as the kubelet has them.
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// The API's own certificate authority.
    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
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

    /// The file beside it that a container may leave a message in as it ends.
    pub fn termination_log(&self, uid: &PodUid, container: &ContainerName, attempt: u32) -> PathBuf {
        self.attempt(uid, container, attempt).join("termination-log")
    }

    /// The socket of the agent's API.
    pub fn api_socket(&self) -> PathBuf {
        self.run.join("api.sock")
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

    /// The pod's conditions as they were told last.
    pub fn conditions(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("conditions.json")
    }

    /// What the pod's probes have found.
    pub fn probes(&self, uid: &PodUid) -> PathBuf {
        self.run_pod(uid).join("probes.json")
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

    /// Mount point of a volume in memory, in the shim's mount namespace.
    pub fn tmpfs_volume(&self, uid: &PodUid, name: &str) -> PathBuf {
        self.run_pod(uid).join("volumes").join(name)
    }

    /// Which boot of the machine the directory is of.
    pub fn boot_id(&self) -> PathBuf {
        self.run.join("boot_id")
    }

    /// Locked by the one agent of this directory.
    pub fn agent_lock(&self) -> PathBuf {
        self.run.join("agent.lock")
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

    /// The name of the link to the log of the container with that id, cut to a file name's length as by a kubelet.
    pub fn log_link(&self, key: &PodKey, container: &ContainerName, id: &str) -> String {
        const MAX: usize = 255 - ".log".len();
        let mut name = format!("{}_{}_{container}-{id}", key.name, key.namespace);
        if name.len() > MAX {
            name.truncate((0..=MAX).rfind(|at| name.is_char_boundary(*at)).unwrap_or(0));
        }
        name + ".log"
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
    /// Kernel parameters that pods may set.
    pub sysctls: sysctl::Allowed,
    /// Processes and threads that a pod may have; -1 is any number.
    pub pod_max_pids: i64,
    /// User and group ids of the host for pods with a user namespace of their own.
    pub user_ids: UserIdPool,
    /// The domain of the cluster's services, such as `cluster.local`.
    pub cluster_domain: String,
    /// Addresses of the cluster's name service; empty without one.
    pub cluster_dns: Vec<IpAddr>,
    /// What the log of a container may take; `None`: logs are not rotated.
    pub log_limits: Option<LogLimits>,
    /// Where operators say how registries are reached: `HOST/hosts.toml`.
    pub registry_hosts: PathBuf,
    /// Plugins that are asked for registries' credentials.
    pub credential_providers: Option<CredentialProviders>,
    /// How many images are pulled at a time, and how often.
    pub pulls: PullLimits,
    /// Pods that the node may have, as its Node object tells.
    pub max_pods: u32,
    /// Images that its Node object tells of; `None` is any number.
    pub max_images: Option<usize>,
    /// What an agent does for its node.
    pub node: NodeCare,
}

/// Where the plugins are that know credentials for registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialProviders {
    /// A CredentialProviderConfig, or a directory of such files.
    pub config: PathBuf,
    /// The directory of the programs.
    pub bin_dir: PathBuf,
}

/// What the log of a container may take when nobody says otherwise: the kubelet's figures.
pub const LOG_LIMITS: LogLimits = LogLimits { max_bytes: 10 << 20, max_files: 5 };

/// Reads `--container-log-max-size`: a quantity of bytes; `None` for a negative one, which stands for no rotation.
pub fn log_max_bytes(text: &str) -> Result<Option<u64>, String> {
    let size = Quantity::parse(text).map_err(|error| error.to_string())?;
    match size.units() {
        _ if size.is_negative() => Ok(None),
        0 => Err("must be above 0, or below it for logs that are not rotated".to_owned()),
        bytes => Ok(Some(bytes)),
    }
}

/// Where operators say how registries are reached when nobody says otherwise.
pub const REGISTRY_HOSTS: &str = "/etc/mkubelet/certs.d";

/// Pods that a node may have when nobody says otherwise: the kubelet's figure.
pub const MAX_PODS: u32 = 110;

/// Images that a Node object tells of when nobody says otherwise: the kubelet's figure.
pub const MAX_IMAGES: usize = 50;

/// Processes and threads of a pod when nobody says otherwise.
pub const POD_MAX_PIDS: i64 = 4096;

/// Reads `--pod-max-pids`: a number, or -1 for no limit.
pub fn pod_max_pids(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(limit) if limit == -1 || limit > 0 => Ok(limit),
        _ => Err("must be a number above 0, or -1 for no limit".to_owned()),
    }
}

/// The domain of the cluster's services when nobody says otherwise.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// Reads `--cluster-domain`.
pub fn cluster_domain(text: &str) -> Result<String, String> {
    if text.split('.').all(is_dns_label) {
        Ok(text.to_owned())
    } else {
        Err("must be a DNS name: small letters, digits and '-' between dots".to_owned())
    }
}

/// The path of a unix socket may have this many bytes (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// Length of a UUID as text.
const UUID_LENGTH: usize = 36;

/// Longest name of an interface (IFNAMSIZ - 1), bytes.
const INTERFACE_NAME_MAX: usize = 15;

/// Why flags do not make a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A relative path, and no working directory to complete it with.
    #[error("{flag} {}: cannot be made absolute", path.display())]
    Path {
        /// The flag.
        flag: &'static str,
        /// Its value.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Sockets below it would have longer paths than the kernel takes.
    #[error(
        "--run-dir {}: too long, the path of a pod's socket would have {length} bytes and may have {SOCKET_PATH_MAX}",
        path.display()
    )]
    RunDirTooLong {
        /// Its value.
        path: PathBuf,
        /// Of a pod's socket, bytes.
        length: usize,
    },
    /// No name for an interface.
    #[error(
        "--bridge {0:?}: not a name for a network interface: 1 to {INTERFACE_NAME_MAX} bytes, no white space, no '/', ':' or '%'"
    )]
    Bridge(String),
    /// No kernel parameters, or of the whole machine.
    #[error("--allowed-unsafe-sysctls: {0}")]
    Sysctls(#[from] sysctl::InvalidPattern),
    /// No room for a bridge and a pod.
    #[error("--pod-cidr {0}: too small, it must have at least 4 addresses")]
    PodCidr(Ipv4Net),
    /// A group that leaves the hierarchy.
    #[error("--cgroup-root {}: must be a path without . and ..", .0.display())]
    CgroupRoot(PathBuf),
}

impl Config {
    /// Checks what was asked for, and makes paths absolute.
    pub fn new(
        [root, run, log]: [&Path; 3],
        pod_cidr: Ipv4Net,
        bridge: String,
        cgroup_root: Option<&Path>,
    ) -> Result<Self, Error> {
        let absolute = |flag, path: &Path| {
            std::path::absolute(path).map_err(|source| Error::Path { flag, path: path.to_owned(), source })
        };
        let layout = Layout::new(
            absolute("--root-dir", root)?,
            absolute("--run-dir", run)?,
            // Below it no symbolic link is followed, so there may be none above it either.
            resolved(absolute("--log-dir", log)?),
        );
        let length = layout.run.as_os_str().len() + "/pods/".len() + UUID_LENGTH + "/shim.sock".len();
        if length > SOCKET_PATH_MAX {
            return Err(Error::RunDirTooLong { path: layout.run, length });
        }
        if !is_interface_name(&bridge) {
            return Err(Error::Bridge(bridge));
        }
        if pod_cidr.prefix_len() > 30 {
            return Err(Error::PodCidr(pod_cidr));
        }
        let cgroup_root = cgroup_root.map(group).transpose()?;
        Ok(Self {
            layout,
            pod_cidr,
            bridge,
            cgroup_root,
            sysctls: sysctl::Allowed::default(),
            pod_max_pids: POD_MAX_PIDS,
            user_ids: UserIdPool::default(),
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            cluster_dns: Vec::new(),
            log_limits: Some(LOG_LIMITS),
            registry_hosts: REGISTRY_HOSTS.into(),
            credential_providers: None,
            pulls: PullLimits::default(),
            max_pods: MAX_PODS,
            max_images: Some(MAX_IMAGES),
            node: NodeCare::default(),
        })
    }

    /// The same with another directory of links to logs (`--log-links-dir`).
    pub fn with_log_links(self, path: &Path) -> Result<Self, Error> {
        let absolute = std::path::absolute(path);
        let absolute = absolute.map_err(|source| Error::Path {
            flag: "--log-links-dir",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { layout: self.layout.with_log_links(resolved(absolute)), ..self })
    }
}

/// The path without symbolic links, as far as it exists.
fn resolved(path: PathBuf) -> PathBuf {
    let real = path.ancestors().find_map(|ancestor| {
        let rest = path.strip_prefix(ancestor).ok()?;
        ancestor.canonicalize().ok().map(|real| real.join(rest))
    });
    real.unwrap_or(path)
}

/// As the kernel checks it (dev_valid_name); it takes `%` for a template of a name to be numbered.
fn is_interface_name(name: &str) -> bool {
    let refused = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    (1..=INTERFACE_NAME_MAX).contains(&name.len()) && name != "." && name != ".." && !name.contains(refused)
}

/// A group relative to the hierarchies' roots; a leading `/` stands for the roots.
fn group(path: &Path) -> Result<PathBuf, Error> {
    let parts = path.components().filter(|part| *part != Component::RootDir);
    let normal = |part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(Error::CgroupRoot(path.to_owned())),
    };
    parts.map(normal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(run: &str, cidr: &str, bridge: &str, cgroup: Option<&str>) -> Result<Config, String> {
        let dirs = [Path::new("/r"), Path::new(run), Path::new("/l")];
        Config::new(dirs, cidr.parse().unwrap(), bridge.into(), cgroup.map(Path::new))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let long = format!("/{}", "x".repeat(60));
        for (run, cidr, bridge, cgroup, flag) in [
            (long.as_str(), "10.0.0.0/16", "br0", None, "--run-dir"),
            ("/run", "10.0.0.0/31", "br0", None, "--pod-cidr"),
            ("/run", "10.0.0.0/16", "a-name-too-long-x", None, "--bridge"),
            ("/run", "10.0.0.0/16", "", None, "--bridge"),
            ("/run", "10.0.0.0/16", "br%d", None, "--bridge"),
            ("/run", "10.0.0.0/16", "br0", Some("a/../b"), "--cgroup-root"),
        ] {
            let error = config(run, cidr, bridge, cgroup).unwrap_err();
            assert!(error.starts_with(flag), "{error}");
        }
    }

    #[test]
    fn the_directory_of_logs_is_named_without_links() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("link")).unwrap();
        assert_eq!(resolved(dir.path().join("link/no/such/pods")), Path::new("/no/such/pods"));
        assert_eq!(resolved("/no/such/pods".into()), Path::new("/no/such/pods"));
    }

    #[test]
    fn a_log_has_a_size_or_none() {
        for (text, expected) in [
            ("10Mi", Some(Some(10 << 20))),
            ("1", Some(Some(1))),
            ("1.5k", Some(Some(1500))),
            ("-1", Some(None)),
            ("0", None),
            ("", None),
            ("ten", None),
        ] {
            assert_eq!(log_max_bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn paths_become_absolute_and_groups_relative() {
        let here = std::env::current_dir().unwrap();
        let config = config("run", "10.85.0.0/16", "mkubelet0", Some("/a/b")).unwrap();
        assert_eq!(config.layout.run(), here.join("run"));
        assert_eq!(config.cgroup_root.unwrap(), Path::new("a/b"));
    }
}
