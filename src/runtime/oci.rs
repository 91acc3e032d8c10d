//! From a container's spec and its image to what the shim is told, in the words of the OCI runtime specification. Pure.
//!
//! Everything that isolates a container and can be said in OCI's words is decided here: mounts, masks, capabilities, limits.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capability, LinuxCapabilities, Mount, PosixRlimitBuilder, PosixRlimitType};

use super::{host_name, resources};
use crate::config::Layout;
use crate::container::spec::{
    ContainerConfig, LogLimits, Process, Root, StandardInput, TerminationMessage, UserRequest,
};
use crate::image::Image;
use crate::pod::env::{self, Variables};
use crate::pod::spec::{
    HostPathType, MountPropagation, ProcMount, RecursiveReadOnly, Security, SupplementalGroupsPolicy,
    TerminationMessagePolicy, VolumeMount, VolumeSource,
};
use crate::pod::{ContainerSpec, Pod, sub_path};
use crate::volume::Source;

/// PATH of a container whose image and manifest say nothing of it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a container may do when its manifest does not say otherwise.
const DEFAULT_CAPABILITIES: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::Setfcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
];

/// Files that tell of, or change, the whole machine: hidden.
const MASKED: [&str; 11] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];

/// Likewise, with a path that is long.
const MASKED_POWERCAP: &str = "/sys/devices/virtual/powercap";

/// Files that programs need to read, and must not write.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Open files: soft and hard limit.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

/// Why a container cannot be described.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither the manifest nor the image names a program.
    #[error("no command specified: the container has none, and image {image} has neither Entrypoint nor Cmd")]
    NoCommand {
        /// The image as it was asked for.
        image: String,
    },
    /// A name that is too long for the kernel.
    #[error(transparent)]
    HostName(#[from] host_name::TooLong),
    /// A wish that this node's kernel cannot fulfil.
    #[error(transparent)]
    NoGroupKill(#[from] resources::NoGroupKill),
    /// A part of a volume that cannot be.
    #[error(transparent)]
    SubPath(#[from] sub_path::Invalid),
    /// Mounts that the kernel does not let out of the container, or that have nowhere to show.
    #[error("mountPropagation of volume {volume}: Bidirectional is not possible when {why}")]
    Bidirectional {
        /// The volume's name.
        volume: String,
        /// A clause.
        why: &'static str,
    },
    /// A mount of a volume that was not prepared.
    #[error("volume {volume} is not ready")]
    Volume {
        /// The volume's name.
        volume: String,
    },
}

/// What is true of the node, and goes into every container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its host name, which pods with `hostNetwork` share.
    pub hostname: String,
    /// The domain of the cluster's services.
    pub cluster_domain: String,
    /// Addresses of the cluster's name service; empty without one.
    pub cluster_dns: Vec<IpAddr>,
    /// The address by which it reaches the world.
    pub address: Option<IpAddr>,
    /// Its memory, bytes.
    pub memory: u64,
    /// What can be handed out.
    pub resources: resources::Node,
    /// What its root may do: as a rule everything that the kernel knows of.
    pub capabilities: HashSet<Capability>,
    /// Files of sysfs that tell of its processors' heat, and through it what others do: hidden.
    pub thermal: Vec<String>,
    /// What the log of a container may take.
    pub log_limits: Option<LogLimits>,
}

/// One attempt to start a container.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its container.
    pub spec: &'a ContainerSpec,
    /// The container's image.
    pub image: &'a Image,
    /// A new id.
    pub id: &'a str,
    /// Which start it is, from 0.
    pub attempt: u32,
    /// The pod's group, relative to the hierarchies' roots.
    pub pod_group: &'a Path,
    /// The host's files and directories behind the pod's volumes.
    pub volumes: &'a BTreeMap<String, Source>,
    /// The manifest's variables.
    pub env: &'a Variables,
}

/// Describes the container to the shim.
pub fn config(start: Start<'_>, layout: &Layout, node: &NodeFacts) -> Result<ContainerConfig, Error> {
    let Start { pod, spec, image, id, attempt, .. } = start;
    let security = &spec.security;
    let is_masked = !security.privileged && security.proc_mount == ProcMount::Default;
    let masked = MASKED.into_iter().chain([MASKED_POWERCAP]).map(str::to_owned);
    let masked = masked.chain(node.thermal.iter().cloned()).filter(|_| is_masked);
    Ok(ContainerConfig {
        id: id.to_owned(),
        name: spec.name.to_string(),
        attempt,
        // As a kubelet with containerd tells it: one that no registry knows has its own digest.
        image_id: Some(image.repo_digest.as_ref().unwrap_or(&image.id).clone()),
        stays: pod.spec.is_ephemeral(&spec.name),
        target: spec.target.as_ref().map(ToString::to_string),
        log_path: layout.container_log(&pod.key, &pod.uid, &spec.name, attempt),
        log_limits: node.log_limits,
        termination_message: Some(TerminationMessage {
            file: layout.termination_log(&pod.uid, &spec.name, attempt),
            or_log: spec.termination_message.policy == TerminationMessagePolicy::FallbackToLogsOnError,
        }),
        root: Root {
            lower: image.layers.clone(),
            attempt_dir: layout.attempt(&pod.uid, &spec.name, attempt),
            readonly: spec.security.read_only_root_filesystem,
        },
        mounts: mounts(start, layout)?,
        // Root of another user namespace may make no device file.
        host_devices: security.privileged && pod.spec.host_users,
        masked_paths: masked.collect(),
        readonly_paths: READ_ONLY.map(str::to_owned).into_iter().filter(|_| is_masked).collect(),
        cgroups_path: start.pod_group.join(id),
        resources: resources::of_container(pod, spec, &node.resources)?,
        stdin: match (spec.stdin, spec.stdin_once) {
            (false, _) => StandardInput::Nothing,
            (true, false) => StandardInput::Open,
            (true, true) => StandardInput::Once,
        },
        terminal: spec.tty,
        process: process(start, node)?,
    })
}

fn process(start: Start<'_>, node: &NodeFacts) -> Result<Process, Error> {
    let Start { pod, spec, image, .. } = start;
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let args = env::argv(spec, &words(image.config.entrypoint()), &words(image.config.cmd()), start.env);
    if args.is_empty() {
        return Err(Error::NoCommand { image: spec.image.clone() });
    }
    let image_cwd = image.config.working_dir().clone().unwrap_or_default();
    let cwd = Path::new("/").join(spec.working_dir.as_ref().unwrap_or(&image_cwd));

    let open_files = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNofile);
    let open_files = open_files.soft(OPEN_FILES.0).hard(OPEN_FILES.1).build();

    Ok(Process {
        args,
        env: environment(spec, &words(image.config.env()), &host_name::of_kernel(pod, node)?, start.env),
        cwd,
        user: UserRequest {
            image_user: image.config.user().clone().unwrap_or_default(),
            uid: spec.security.run_as_user,
            gid: spec.security.run_as_group,
            supplemental_groups: pod
                .spec
                .supplemental_groups
                .iter()
                .copied()
                .chain(pod.spec.fs_group)
                .collect(),
            strict_groups: pod.spec.supplemental_groups_policy == SupplementalGroupsPolicy::Strict,
            non_root: spec.security.run_as_non_root,
        },
        capabilities: capabilities(&spec.security, &node.capabilities),
        // Every field has a default: building it cannot fail.
        rlimits: open_files.into_iter().collect(),
        oom_score_adj: resources::oom_score_adj(pod, spec, node.memory),
        no_new_privileges: !spec.security.allow_privilege_escalation,
        // These depend on what is loaded in the kernel, or is in a file of the node: whoever asked for this adds them.
        apparmor_profile: None,
        seccomp: None,
    })
}

/// The image's variables, then HOSTNAME, then the manifest's; a later one replaces an earlier one in its place. TERM is for a terminal,
/// as containerd has it.
fn environment(spec: &ContainerSpec, image: &[String], hostname: &str, manifest: &Variables) -> Vec<String> {
    let mut variables = Variables::default();
    variables.set("PATH", DEFAULT_PATH);
    if spec.tty {
        variables.set("TERM", "xterm");
    }
    let image = image.iter().filter_map(|variable| variable.split_once('='));
    for (name, value) in image.chain([("HOSTNAME", hostname)]).chain(manifest.iter()) {
        variables.set(name, value);
    }
    variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The defaults and what is added, less what is dropped; `ALL` comes before single names, and stands for what the node has.
/// A privileged container has all of them whatever else is asked for, as with containerd. Nothing is inheritable or ambient.
fn capabilities(security: &Security, node: &HashSet<Capability>) -> LinuxCapabilities {
    let is_all = |name: &String| name == "ALL";
    let named =
        |names: &[String]| -> Vec<Capability> { names.iter().filter_map(|name| name.parse().ok()).collect() };
    let mut set: HashSet<Capability> = match () {
        () if security.privileged => node.clone(),
        () if security.capabilities_drop.iter().any(is_all) => HashSet::new(),
        () if security.capabilities_add.iter().any(is_all) => node.clone(),
        () => DEFAULT_CAPABILITIES.into(),
    };
    if !security.privileged {
        set.extend(named(&security.capabilities_add));
        for dropped in named(&security.capabilities_drop) {
            set.remove(&dropped);
        }
    }
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(Some(set.clone()));
    capabilities.set_effective(Some(set.clone()));
    capabilities.set_permitted(Some(set));
    capabilities.set_inheritable(Some(HashSet::new()));
    capabilities.set_ambient(Some(HashSet::new()));
    capabilities
}

/// In the order in which they are to be mounted: parents before children, and the pod's own files last.
fn mounts(start: Start<'_>, layout: &Layout) -> Result<Vec<Mount>, Error> {
    let Start { pod, spec, .. } = start;
    let shm = if pod.spec.host_ipc { PathBuf::from("/dev/shm") } else { layout.shm(&pod.uid) };
    // The kernel's own files stay closed to programs and devices in any case.
    let kernel = if spec.security.privileged { "nosuid,noexec,nodev" } else { "nosuid,noexec,nodev,ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,noexec,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        mount("/dev/shm", "bind", &shm, "rbind,rprivate,nosuid,noexec,nodev"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "sysfs", kernel),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", kernel),
    ];

    let mut volumes: Vec<_> = spec.volume_mounts.iter().collect();
    volumes.sort_by(|a, b| a.mount_path.cmp(&b.mount_path));
    for volume in volumes {
        let source = start.volumes.get(&volume.volume);
        let source = source.ok_or_else(|| Error::Volume { volume: volume.volume.clone() })?;
        check_propagation(pod, volume, source)?;
        mounts.push(match source {
            Source::Path(path) => bind(pod, volume, path, start.env)?,
            Source::Image(layers) => image_volume(volume, layers, start.env)?,
        });
    }

    let taken = |path: &str| spec.volume_mounts.iter().any(|volume| volume.mount_path == Path::new(path));
    let own_files = [
        ("/etc/hosts", layout.etc_hosts(&pod.uid)),
        ("/etc/hostname", layout.etc_hostname(&pod.uid)),
        ("/etc/resolv.conf", layout.resolv_conf(&pod.uid)),
    ];
    let access = if spec.security.read_only_root_filesystem { "ro" } else { "rw" };
    for (path, source) in own_files.iter().filter(|(path, _)| !taken(path)) {
        mounts.push(mount(path, "bind", source, &format!("rbind,rprivate,{access}{}", owners(pod, None))));
    }
    // Writable whatever the root is, like the kubelet's: it is what a container that fails has left to write to.
    let options = format!("rbind,rprivate,rw,nosuid,nodev,noexec{}", owners(pod, None));
    let message = layout.termination_log(&pod.uid, &spec.name, start.attempt);
    mounts.push(mount(&spec.termination_message.path, "bind", message, &options));
    Ok(mounts)
}

/// A part of a volume, or all of it, as one mount of a container shows it.
fn bind(pod: &Pod, volume: &VolumeMount, source: &Path, env: &Variables) -> Result<Mount, Error> {
    let is_read_only = volume.read_only || is_always_read_only(pod, &volume.volume);
    let access = match volume.recursive_read_only {
        // Every kernel that is supported can.
        RecursiveReadOnly::Enabled | RecursiveReadOnly::IfPossible => "rro",
        RecursiveReadOnly::Disabled if is_read_only => "ro",
        RecursiveReadOnly::Disabled => "rw",
    };
    let propagation = match volume.propagation {
        MountPropagation::None => "rprivate",
        MountPropagation::HostToContainer => "rslave",
        MountPropagation::Bidirectional => "rshared",
    };
    let source_type = source_type(pod, &volume.volume);
    let owners = owners(pod, Some(&volume.volume));
    let peers = if is_shared_in_pod(pod, &volume.volume) { ",x-mkubelet.peers=pod" } else { "" };
    let options = format!("rbind,{propagation},{access}{source_type}{owners}{peers}");
    let mut mount = mount(&volume.mount_path, "bind", source, &options);
    if let Some(path) = sub_path::of(volume, env)? {
        // It may have a comma in it.
        mount.options_mut().get_or_insert_default().push(format!("x-mkubelet.subpath={path}"));
    }
    Ok(mount)
}

/// An image's files. There is nothing to be executed among them, nor a device to be opened.
fn image_volume(volume: &VolumeMount, layers: &[PathBuf], env: &Variables) -> Result<Mount, Error> {
    let mut mount = mount(&volume.mount_path, "image", "image", "ro,nosuid,nodev,noexec");
    let options = mount.options_mut().get_or_insert_default();
    options.extend(layers.iter().map(|layer| format!("x-mkubelet.layer={}", layer.display())));
    options.extend(sub_path::of(volume, env)?.map(|path| format!("x-mkubelet.subpath={path}")));
    Ok(mount)
}

/// The mount options that show owners on disk as ids of the pod's user namespace; empty where that is the host's. A volume is
/// named, for the case that its filesystem refuses.
fn owners(pod: &Pod, volume: Option<&str>) -> String {
    match volume {
        _ if pod.spec.host_users => String::new(),
        None => ",ridmap".to_owned(),
        Some(name) => format!(",ridmap,x-mkubelet.volume={name}"),
    }
}

/// True if containers share their mounts on a volume of the pod's own. It is not the host's business then.
fn is_shared_in_pod(pod: &Pod, volume: &str) -> bool {
    let is_own = |source: &VolumeSource| !matches!(source, VolumeSource::HostPath { .. });
    let mut mounts = pod.spec.every_container().flat_map(|container| &container.volume_mounts);
    pod.spec.volumes.iter().any(|found| found.name == volume && is_own(&found.source))
        && mounts.any(|mount| mount.volume == volume && mount.propagation == MountPropagation::Bidirectional)
}

/// Why mounts of a container cannot show elsewhere, if that is asked for.
fn check_propagation(pod: &Pod, volume: &VolumeMount, source: &Source) -> Result<(), Error> {
    let refused = |why| Err(Error::Bidirectional { volume: volume.volume.clone(), why });
    match source {
        _ if volume.propagation != MountPropagation::Bidirectional => Ok(()),
        // mount_namespaces(7): to one of another user namespace, shared mounts are slaves.
        _ if !pod.spec.host_users => refused("hostUsers is false"),
        Source::Image(_) => refused("the volume is an image"),
        Source::Path(_) => Ok(()),
    }
}

/// Nobody in the pod changes what the agent writes.
fn is_always_read_only(pod: &Pod, volume: &str) -> bool {
    let found = pod.spec.volumes.iter().find(|candidate| candidate.name == volume);
    found.is_some_and(|found| matches!(found.source, VolumeSource::Projected { .. }))
}

/// The mount option that has the shim check a hostPath volume's `type` on what it mounts; empty where nothing is checked.
fn source_type(pod: &Pod, volume: &str) -> &'static str {
    let source =
        pod.spec.volumes.iter().find(|candidate| candidate.name == volume).map(|found| &found.source);
    let Some(VolumeSource::HostPath { kind, .. }) = source else { return "" };
    match kind {
        HostPathType::Unset => "",
        HostPathType::Directory | HostPathType::DirectoryOrCreate => ",x-mkubelet.type=directory",
        HostPathType::File | HostPathType::FileOrCreate => ",x-mkubelet.type=file",
        HostPathType::Socket => ",x-mkubelet.type=socket",
        HostPathType::CharDevice => ",x-mkubelet.type=char-device",
        HostPathType::BlockDevice => ",x-mkubelet.type=block-device",
    }
}

fn mount(destination: impl AsRef<Path>, kind: &str, source: impl AsRef<Path>, options: &str) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(destination.as_ref().to_owned());
    mount.set_typ(Some(kind.to_owned()));
    mount.set_source(Some(source.as_ref().to_owned()));
    mount.set_options(Some(options.split(',').map(str::to_owned).collect()));
    mount
}

#[cfg(test)]
mod tests;
