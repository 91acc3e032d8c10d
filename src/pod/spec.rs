//! The validated pod: ours, built from the k8s-openapi types by `pod::build`, valid by construction.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{ContainerName, PodKey, PodUid};
pub use super::probe::{Grpc, HttpGet, Probe, ProbeHandler, TcpSocket};

mod env;
mod names;
mod volumes;

pub use env::*;
pub use names::*;
pub use volumes::*;

/// A pod that passed validation, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// The manifest's `metadata.uid`, or a hash of the manifest when it has none (as the kubelet does for static pods).
    pub uid: PodUid,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.generation`: which version of the spec this is, where somebody counts.
    #[serde(default)]
    pub generation: Option<i64>,
    /// What should run.
    pub spec: PodSpec,
}

/// The part of a Pod's spec that is carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodSpec {
    /// When a container that ended is started again.
    pub restart_policy: RestartPolicy,
    /// Time between SIGTERM and SIGKILL.
    pub termination_grace_period: Duration,
    /// How long the pod may be active on the node, from the start of its first sandbox; then it is ended and has failed.
    #[serde(default)]
    pub active_deadline: Option<Duration>,
    /// The host name inside the pod: `hostnameOverride`, else `hostname`, else the pod's name, cut to 63 characters.
    /// Pods with `host_network` keep the node's name instead.
    pub hostname: String,
    /// Says in which domain of the cluster the pod has its name. `None` with `hostnameOverride`.
    #[serde(default)]
    pub subdomain: Option<String>,
    /// The kernel tells the name with its domain, where there is one.
    #[serde(default)]
    pub set_hostname_as_fqdn: bool,
    /// Further lines of /etc/hosts.
    #[serde(default)]
    pub host_aliases: Vec<HostAlias>,
    /// Whose name service the pod uses.
    #[serde(default)]
    pub dns_policy: DnsPolicy,
    /// What the pod adds to it.
    #[serde(default)]
    pub dns_config: Option<DnsConfig>,
    /// Share the node's network and UTS namespaces.
    pub host_network: bool,
    /// Share the node's PID namespace. Not together with `share_process_namespace`.
    #[serde(default)]
    pub host_pid: bool,
    /// Share the node's IPC namespace, and its /dev/shm.
    #[serde(default)]
    pub host_ipc: bool,
    /// The containers share one PID namespace, whose PID 1 is pause.
    #[serde(default)]
    pub share_process_namespace: bool,
    /// Started one after another, before the containers. Sidecars stay, the others must succeed first.
    pub init_containers: Vec<ContainerSpec>,
    /// Run together; at least one.
    pub containers: Vec<ContainerSpec>,
    /// Added while the pod runs, to look into it: started at once, never started again, and nothing depends on them (KEP-277).
    #[serde(default)]
    pub ephemeral_containers: Vec<ContainerSpec>,
    /// Referred to by name from `ContainerSpec::volume_mounts`.
    pub volumes: Vec<Volume>,
    /// Kernel parameters of the pod's namespaces, in the manifest's order. Names are written with dots, and allowed here.
    pub sysctls: Vec<Sysctl>,
    /// False gives the pod a user namespace of its own: root inside is nobody outside.
    pub host_users: bool,
    /// Supplementary groups of every container's process.
    pub supplemental_groups: Vec<u32>,
    /// Whether the groups of the image's /etc/group count as well.
    pub supplemental_groups_policy: SupplementalGroupsPolicy,
    /// A supplementary group of every container's process, and the group of what the pod's own volumes hold.
    pub fs_group: Option<u32>,
    /// When the group of a volume's files is set.
    pub fs_group_change_policy: FsGroupChangePolicy,
    /// Requests and limits of the pod as a whole; `None` is "not set".
    pub resources: Resources,
    /// Decides the pod's place in the cgroup tree.
    pub qos_class: QosClass,
    /// How important the pod is beside others: `priority`, or what a system class stands for.
    #[serde(default)]
    pub priority: i32,
    /// `imagePullSecrets`: names of Secrets that open registries.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// One of its `tolerations` is of a node that runs short of memory.
    #[serde(default)]
    pub tolerates_memory_pressure: bool,
}

impl ContainerSpec {
    /// An init container that stays beside the containers (KEP-753). Meaningless for a container.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == Some(RestartPolicy::Always)
    }

    /// The files in volumes that variables of it come from; one as often as there are variables.
    pub fn env_files(&self) -> impl Iterator<Item = &EnvFile> {
        self.env.iter().filter_map(|var| match &var.value_from {
            Some(ValueSource::FileKey(selector)) => Some(&selector.file),
            _ => None,
        })
    }
}

impl PodSpec {
    /// Init containers, containers and ephemeral containers.
    pub fn every_container(&self) -> impl Iterator<Item = &ContainerSpec> {
        self.init_containers.iter().chain(&self.containers).chain(&self.ephemeral_containers)
    }

    /// True of an ephemeral container's name.
    pub fn is_ephemeral(&self, name: &ContainerName) -> bool {
        self.ephemeral_containers.iter().any(|container| container.name == *name)
    }

    /// The one of them with that name.
    pub fn container(&self, name: &ContainerName) -> Option<&ContainerSpec> {
        self.every_container().find(|c| c.name == *name)
    }
}

/// `spec.restartPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Whatever its exit code.
    Always,
    /// When its exit code is not 0.
    OnFailure,
    /// Never.
    Never,
}

/// An entry of `securityContext.sysctls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// `net.ipv4.tcp_syncookies`.
    pub name: String,
    /// One line, as it is written to the file.
    pub value: String,
}

/// `securityContext.supplementalGroupsPolicy` (KEP-3619).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupplementalGroupsPolicy {
    /// The manifest's groups and those that the image's /etc/group lists for the user.
    Merge,
    /// The manifest's groups alone.
    Strict,
}

/// `securityContext.fsGroupChangePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FsGroupChangePolicy {
    /// At every start of the pod.
    Always,
    /// Only when the volume's root does not have it yet.
    OnRootMismatch,
}

/// Quality of service, as Kubernetes derives it from requests and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QosClass {
    /// Every container has limits of cpu and memory, and requests equal to them.
    Guaranteed,
    /// Some container has a request or a limit.
    Burstable,
    /// None has.
    BestEffort,
}

/// One init container or container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in the pod, init containers included.
    pub name: ContainerName,
    /// The image as written: a name in the store, or `dir:/path`, `oci:/path`, `archive:/path.tar`.
    pub image: String,
    /// `imagePullPolicy`.
    pub image_pull_policy: PullPolicy,
    /// Replaces the image's ENTRYPOINT; not yet expanded. Empty when the manifest has none.
    pub command: Vec<String>,
    /// Replaces the image's CMD; not yet expanded. Empty when the manifest has none.
    pub args: Vec<String>,
    /// Replaces the image's WorkingDir. An absolute path.
    pub working_dir: Option<String>,
    /// In the manifest's order; values not yet expanded (`$(NAME)`, see `pod::env`).
    pub env: Vec<EnvVar>,
    /// Variables that come before those, in the manifest's order.
    #[serde(default)]
    pub env_from: Vec<EnvFrom>,
    /// Informational, and the names that probes may use.
    pub ports: Vec<ContainerPort>,
    /// Unique by `mount_path`.
    pub volume_mounts: Vec<VolumeMount>,
    /// Requests and limits.
    pub resources: Resources,
    /// What becomes of the running container when they change.
    #[serde(default)]
    pub resize_policy: ResizePolicy,
    /// Pod-level and container-level securityContext, merged: the container's word wins.
    pub security: Security,
    /// Restarts the container when it fails. On init containers only sidecars have one.
    pub liveness_probe: Option<Probe>,
    /// Says whether the container is ready. Likewise.
    pub readiness_probe: Option<Probe>,
    /// Holds the other probes back until it has succeeded once; restarts the container when it fails. Likewise.
    pub startup_probe: Option<Probe>,
    /// When it is started again, where that differs from the pod's policy. `Always` makes an init container a sidecar.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// Exit codes after which it, or all of the pod, is started again whatever the policy (KEP-5307).
    #[serde(default)]
    pub restart_rules: Vec<RestartRule>,
    /// The container whose processes an ephemeral container sees, being in its PID namespace.
    #[serde(default)]
    pub target: Option<ContainerName>,
    /// What happens after its start and before its end. On init containers only sidecars have one.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// How it may tell why it ended.
    #[serde(default)]
    pub termination_message: TerminationMessage,
    /// It reads what is sent by whoever attaches.
    #[serde(default)]
    pub stdin: bool,
    /// That ends with the first who attaches.
    #[serde(default)]
    pub stdin_once: bool,
    /// It has a terminal.
    #[serde(default)]
    pub tty: bool,
}

/// `terminationMessagePath` and `terminationMessagePolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminationMessage {
    /// A file inside the container that it may write the message to. Absolute.
    pub path: PathBuf,
    /// What is the message when that file is empty.
    pub policy: TerminationMessagePolicy,
}

impl Default for TerminationMessage {
    fn default() -> Self {
        Self { path: "/dev/termination-log".into(), policy: TerminationMessagePolicy::File }
    }
}

/// `terminationMessagePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TerminationMessagePolicy {
    /// There is none then.
    File,
    /// The end of its log, if it failed.
    FallbackToLogsOnError,
}

/// An entry of `restartPolicyRules`. The rules are looked at in order; the first one that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRule {
    /// What follows.
    #[serde(default)]
    pub action: RestartAction,
    /// When.
    #[serde(flatten)]
    pub exit_codes: ExitCodes,
}

impl RestartRule {
    /// True if it says what follows that exit code.
    pub fn matches(&self, exit_code: i32) -> bool {
        match &self.exit_codes {
            ExitCodes::In(codes) => codes.contains(&exit_code),
            ExitCodes::NotIn(codes) => !codes.contains(&exit_code),
        }
    }
}

/// What follows the end of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartAction {
    /// It is started again.
    #[default]
    Restart,
    /// All containers of the pod are killed and started again, init containers first (KEP-5532).
    RestartAllContainers,
}

/// Exit codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCodes {
    /// One of these.
    In(Vec<i32>),
    /// Any other than these.
    NotIn(Vec<i32>),
}

/// `lifecycle`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Begins when the container has been started. A container whose hook fails is ended.
    pub post_start: Option<Hook>,
    /// Runs before the stop signal, within the grace period.
    pub pre_stop: Option<Hook>,
    /// The signal that asks the container to end, such as `SIGUSR1`; `None`: the image's, else `SIGTERM` (KEP-4960).
    pub stop_signal: Option<String>,
}

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// Runs a program in the container, without a shell; exit code 0 is a success. Not empty.
    Exec(Vec<String>),
    /// GET; a code from 200 to 399 is a success.
    HttpGet(HttpGet),
    /// Opens a connection and closes it.
    TcpSocket(TcpSocket),
    /// Waits; 0 is allowed (KEP-3960).
    Sleep(Duration),
}

/// `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Ask it when the image is not in the store.
    IfNotPresent,
    /// Never ask.
    Never,
}

/// An entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerPort {
    /// An IANA service name, unique in the container.
    pub name: Option<String>,
    /// 1 to 65535.
    pub container_port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// Requests and limits; `None` is "not set".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_request_millis: Option<u64>,
    /// Thousandths of a CPU.
    pub cpu_limit_millis: Option<u64>,
    /// Bytes.
    pub memory_request: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<u64>,
    /// Bytes on disk: writable layers, logs and emptyDir volumes.
    pub ephemeral_storage_request: Option<u64>,
    /// Likewise.
    pub ephemeral_storage_limit: Option<u64>,
    /// Bytes by size of a page in bytes. Huge pages have no request of their own: it equals the limit.
    pub hugepage_limits: BTreeMap<u64, u64>,
}

/// `resizePolicy` (KEP-1287): whether a change of a container's resources restarts it. False is `NotRequired`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizePolicy {
    /// When its request or limit of cpu changes.
    pub cpu_restarts: bool,
    /// Likewise of memory.
    pub memory_restarts: bool,
}

/// securityContext as it applies to one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// `None`: the image's USER.
    pub run_as_user: Option<u32>,
    /// `None`: the user's group in the image's /etc/passwd, else 0.
    pub run_as_group: Option<u32>,
    /// Refuse to start as uid 0, or as a user whose uid cannot be known before the start.
    pub run_as_non_root: bool,
    /// Without `CAP_`, upper case, known to this program; or `ALL`.
    pub capabilities_add: Vec<String>,
    /// Likewise.
    pub capabilities_drop: Vec<String>,
    /// The root filesystem is mounted read-only.
    pub read_only_root_filesystem: bool,
    /// False sets no_new_privs.
    pub allow_privilege_escalation: bool,
    /// All capabilities and devices, no masks, no seccomp: root on the node.
    pub privileged: bool,
    /// What of /proc is hidden and read-only.
    pub proc_mount: ProcMount,
    /// Which system calls are allowed.
    pub seccomp: SeccompProfile,
    /// What AppArmor allows; `None` is what the node does by default.
    pub app_armor: Option<AppArmorProfile>,
}

/// `securityContext.procMount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcMount {
    /// The usual masked and read-only paths.
    Default,
    /// None of them. Only with `hostUsers: false`.
    Unmasked,
}

/// `securityContext.seccompProfile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompProfile {
    /// The one in this program. Also when the manifest is silent.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A file of the node.
    Localhost {
        /// Relative to the directory of profiles, without `..`.
        path: PathBuf,
    },
}

/// `securityContext.appArmorProfile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppArmorProfile {
    /// The node's default for containers.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A profile that is loaded on the node.
    Localhost {
        /// Its name.
        name: String,
    },
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a manifest that says nothing comes to, without a container.
    pub(crate) fn pod_spec() -> PodSpec {
        PodSpec {
            restart_policy: RestartPolicy::Always,
            termination_grace_period: Duration::from_secs(30),
            active_deadline: None,
            hostname: String::new(),
            subdomain: None,
            set_hostname_as_fqdn: false,
            host_aliases: Vec::new(),
            dns_policy: DnsPolicy::ClusterFirst,
            dns_config: None,
            host_network: false,
            host_pid: false,
            host_ipc: false,
            share_process_namespace: false,
            init_containers: Vec::new(),
            containers: Vec::new(),
            ephemeral_containers: Vec::new(),
            volumes: Vec::new(),
            sysctls: Vec::new(),
            host_users: true,
            supplemental_groups: Vec::new(),
            supplemental_groups_policy: SupplementalGroupsPolicy::Merge,
            fs_group: None,
            fs_group_change_policy: FsGroupChangePolicy::Always,
            resources: Resources::default(),
            qos_class: QosClass::BestEffort,
            priority: 0,
            image_pull_secrets: Vec::new(),
            tolerates_memory_pressure: false,
        }
    }

    /// A question put each second, of which one answer is enough.
    pub(crate) fn probe(handler: ProbeHandler) -> Probe {
        Probe {
            handler,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 1,
            termination_grace_period: None,
        }
    }

    /// A variable with a literal value.
    pub(crate) fn env_var(name: &str, value: &str) -> EnvVar {
        EnvVar { name: name.to_owned(), value: value.to_owned(), value_from: None }
    }

    /// A plain mount.
    pub(crate) fn volume_mount(volume: &str, mount_path: &str, read_only: bool) -> VolumeMount {
        VolumeMount {
            volume: volume.to_owned(),
            mount_path: mount_path.into(),
            read_only,
            recursive_read_only: RecursiveReadOnly::Disabled,
            propagation: MountPropagation::None,
            sub_path: None,
        }
    }

    /// A container with nothing but a name and an image: what tests of other rooms start from.
    pub(crate) fn container(name: &str) -> ContainerSpec {
        ContainerSpec {
            name: name.parse().unwrap(),
            image: "nginx".to_owned(),
            image_pull_policy: PullPolicy::IfNotPresent,
            command: Vec::new(),
            args: Vec::new(),
            working_dir: None,
            env: Vec::new(),
            env_from: Vec::new(),
            ports: Vec::new(),
            volume_mounts: Vec::new(),
            resources: Resources::default(),
            resize_policy: ResizePolicy::default(),
            security: Security {
                run_as_user: None,
                run_as_group: None,
                run_as_non_root: false,
                capabilities_add: Vec::new(),
                capabilities_drop: Vec::new(),
                read_only_root_filesystem: false,
                allow_privilege_escalation: true,
                privileged: false,
                proc_mount: ProcMount::Default,
                seccomp: SeccompProfile::RuntimeDefault,
                app_armor: None,
            },
            liveness_probe: None,
            readiness_probe: None,
            startup_probe: None,
            restart_policy: None,
            restart_rules: Vec::new(),
            target: None,
            lifecycle: Lifecycle::default(),
            termination_message: TerminationMessage::default(),
            stdin: false,
            stdin_once: false,
            tty: false,
        }
    }
}
