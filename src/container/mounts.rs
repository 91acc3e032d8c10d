//! What is mounted inside a container's root: kernel filesystems, binds, masked and read-only paths.
//!
//! Every mount is made detached, its target is resolved inside the root to a descriptor, and only then are the two joined.
//! Targets of kernel filesystems may not have symlinks on their way, so an image cannot move its /proc; targets of binds
//! follow symlinks as a process inside would, and never onto procfs (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::symlinkat;
use oci_spec::runtime::Mount;
use pathrs::Root;
use pathrs::error::{Error as PathError, ErrorKind};
use pathrs::flags::{OpenFlags, ResolverFlags};

use super::failure::{Failure, Reason, Step};
use super::peers::{self, MountNamespaces};
use super::user_namespace::{IdRange, UserNamespace};
use super::{devices, rootfs};
use crate::cgroup::ContainerMounts;
use crate::sys::beneath;
use crate::sys::mount_api::{self, Attributes, Parameter};

/// The option that says which volume a bind is of.
const VOLUME: &str = "x-mkubelet.volume=";

/// The option that says which part of a bind's source is mounted: a path below it that others may be changing.
const SUB_PATH: &str = "x-mkubelet.subpath=";

/// The option that names a layer of an image, the topmost first.
const LAYER: &str = "x-mkubelet.layer=";

/// The option of a bind whose source is a volume of the pod's own: what is mounted on it shows in the pod's other containers.
const OF_POD: &str = "x-mkubelet.peers=pod";

/// The option that says what a bind's source must be.
const SOURCE_TYPE: &str = "x-mkubelet.type=";

/// Its values, what they stand for, and how that reads.
const SOURCES: [(&str, SFlag, &str); 5] = [
    ("directory", SFlag::S_IFDIR, "a directory"),
    ("file", SFlag::S_IFREG, "a file"),
    ("socket", SFlag::S_IFSOCK, "a socket file"),
    ("char-device", SFlag::S_IFCHR, "a character device"),
    ("block-device", SFlag::S_IFBLK, "a block device"),
];

/// Carries out `mounts` in their order. `cgroups` says what a mount of type `cgroup` is made of on this host.
///
/// In a user namespace, ids in the options of filesystems are the namespace's, and binds with the option `idmap` or `ridmap` show
/// the owners on disk as the namespace's ids.
///
/// With `host_devices` its own /dev has all devices of the host's. Gives the /dev/null of the container's own /dev, if it gets one: opened while nobody else could have touched it.
pub fn mount_all(
    root: &Root,
    mounts: &[Mount],
    cgroups: &ContainerMounts,
    host_devices: bool,
    namespaces: &MountNamespaces,
    user_namespace: Option<&UserNamespace>,
) -> Result<Option<OwnedFd>, Failure> {
    let mut null = None;
    for mount in mounts {
        let mut options = Options::parse(mount.options().as_deref().unwrap_or_default());
        if let Some(namespace) = user_namespace {
            options.shift_ids(namespace.ids);
        }
        let destination = mount.destination();
        match mount.typ().as_deref().unwrap_or("bind") {
            "bind" => bind(root, mount, &options, namespaces, user_namespace),
            "image" => image(root, destination, &options, user_namespace),
            "cgroup" => match cgroups {
                ContainerMounts::V2 => filesystem(root, destination, "cgroup2", &options),
                ContainerMounts::V1 { hierarchies } => cgroup_v1(root, destination, hierarchies, &options),
            },
            "tmpfs" if destination == Path::new("/dev") => {
                own_dev(root, &options, host_devices).map(|opened| null = Some(opened))
            }
            kind => filesystem(root, destination, kind, &options),
        }
        .map_err(|failure| Failure {
            step: format!("mount {}: {}", destination.display(), failure.step),
            ..failure
        })?;
    }
    Ok(null)
}

/// Hides paths: a file shows as /dev/null, a directory as an empty one that is read-only. Absent paths are passed over.
pub fn mask(root: &Root, paths: &[String]) -> Result<(), Failure> {
    let null = devices::open_null(OFlag::O_PATH)?;
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let Some(target) = resolve_kernel_path(root, path).step(|| format!("mask {path}"))? else { continue };
        let cover = if is_directory(target.as_fd()).step(|| format!("mask {path}"))? {
            match &empty {
                Some(first) => mount_api::copy_tree_at(first.as_fd(), false),
                None => empty_directory(),
            }
        } else {
            mount_api::copy_tree_at(null.as_fd(), false)
        };
        let cover = cover.step(|| format!("mask {path}"))?;
        mount_api::set_attributes(cover.as_fd(), mount_api::READ_ONLY, false)
            .and_then(|()| mount_api::attach(cover.as_fd(), target.as_fd()))
            .step(|| format!("mask {path}"))?;
        if empty.is_none() && is_directory(cover.as_fd()).step(|| format!("mask {path}"))? {
            empty = Some(cover);
        }
    }
    Ok(())
}

/// Makes paths read-only, with all that is mounted below them. Absent paths are passed over.
pub fn make_read_only(root: &Root, paths: &[String]) -> Result<(), Failure> {
    for path in paths {
        let step = || format!("make {path} read-only");
        let Some(target) = resolve_kernel_path(root, path).step(step)? else { continue };
        let copy = mount_api::copy_tree_at(target.as_fd(), true).step(step)?;
        mount_api::set_attributes(copy.as_fd(), mount_api::READ_ONLY, true)
            .and_then(|()| mount_api::attach(copy.as_fd(), target.as_fd()))
            .step(step)?;
    }
    Ok(())
}

/// A new instance of a kernel filesystem.
fn filesystem(root: &Root, destination: &Path, kind: &str, options: &Options) -> Result<(), Failure> {
    let target = kernel_target(root, destination)?;
    let mount = new_filesystem(kind, options)?;
    mount_api::attach(mount.as_fd(), target.as_fd()).step(|| "attach")
}

/// A /dev of the container's own; gives its null device.
fn own_dev(root: &Root, options: &Options, host_devices: bool) -> Result<OwnedFd, Failure> {
    let target = kernel_target(root, Path::new("/dev"))?;
    let dev = new_filesystem("tmpfs", options)?;
    devices::populate(dev.as_fd())?;
    if host_devices {
        devices::copy_host(dev.as_fd())?;
    }
    let null = devices::open_own_null(dev.as_fd())?;
    mount_api::attach(dev.as_fd(), target.as_fd()).step(|| "attach")?;
    Ok(null)
}

fn new_filesystem(kind: &str, options: &Options) -> Result<OwnedFd, Failure> {
    mount_api::new_filesystem(kind, &options.parameters(), options.attributes).step(|| format!("new {kind}"))
}

/// A tmpfs that holds one directory per hierarchy, as a host with cgroup v1 has it. Each hierarchy starts at the
/// container's own group, since this is mounted from inside its cgroup namespace.
fn cgroup_v1(
    root: &Root,
    destination: &Path,
    hierarchies: &[String],
    options: &Options,
) -> Result<(), Failure> {
    let parent = kernel_target(root, destination)?;
    let parameters = [Parameter::Value("mode", "755"), Parameter::Value("size", "64k")];
    let tmpfs = mount_api::new_filesystem("tmpfs", &parameters, options.attributes & !mount_api::READ_ONLY)
        .step(|| "new tmpfs")?;
    let mut targets = Vec::with_capacity(hierarchies.len());
    for hierarchy in hierarchies {
        let name = hierarchy.strip_prefix("name=").unwrap_or(hierarchy);
        mkdirat(tmpfs.as_fd(), name, Mode::from_bits_truncate(0o755)).step(|| format!("mkdir {name}"))?;
        if name.contains(',') {
            for controller in name.split(',') {
                symlinkat(name, tmpfs.as_fd(), controller).step(|| format!("symlink {controller}"))?;
            }
        }
        targets.push(name);
    }
    mount_api::attach(tmpfs.as_fd(), parent.as_fd()).step(|| "attach")?;
    let inside = Root::from_fd(tmpfs);
    for (name, hierarchy) in targets.iter().zip(hierarchies) {
        let parameters: Vec<Parameter<'_>> = match hierarchy.strip_prefix("name=") {
            Some(name) => vec![Parameter::Flag("none"), Parameter::Value("name", name)],
            None => hierarchy.split(',').map(Parameter::Flag).collect(),
        };
        let mount = mount_api::new_filesystem("cgroup", &parameters, options.attributes)
            .step(|| format!("new cgroup {hierarchy}"))?;
        let target = inside.resolve_nofollow(name).step(|| format!("open {name}"))?;
        mount_api::attach(mount.as_fd(), target.as_fd()).step(|| format!("attach {hierarchy}"))?;
    }
    mount_api::set_attributes(inside.as_fd(), options.attributes, false).step(|| "set attributes")
}

/// A path of the host, shown inside the container.
fn bind(
    root: &Root,
    mount: &Mount,
    options: &Options,
    namespaces: &MountNamespaces,
    user_namespace: Option<&UserNamespace>,
) -> Result<(), Failure> {
    let source = mount.source().as_deref().ok_or_else(|| Failure::new("bind", "the mount has no source"))?;
    let namespace = options.peers_in(namespaces);
    let (opened, is_directory) = peers::visit(namespace, || open_source(source, options))?;
    let target = bind_target(root, mount.destination(), is_directory)?;

    // What the host mounts reaches no mount that is detached, so that it is attached at once, and set up there: nobody else is
    // in this mount namespace yet.
    let copy = peers::visit(namespace, || {
        mount_api::copy_tree_at(opened.as_fd(), options.recursive)
            .step(|| format!("copy {}", source.display()))
    })?;
    if options.mapped {
        let namespace = user_namespace
            .ok_or_else(|| Failure::new("idmap", "the container has no user namespace of its own"))?;
        let what = options.volume.as_ref().map_or("a bind".to_owned(), |name| format!("volume {name:?}"));
        namespace.map_mount(copy.as_fd(), options.recursive, &what, source)?;
    }
    mount_api::attach(copy.as_fd(), target.as_fd()).step(|| "attach")?;
    mount_api::set_propagation(copy.as_fd(), options.propagation()).step(|| "set propagation")?;
    mount_api::set_attributes(copy.as_fd(), options.attributes, options.is_deep).step(|| "set attributes")
}

/// What is at a bind's source in this process's mount namespace, and whether it is a directory.
#[expect(
    clippy::disallowed_methods,
    reason = "a path of the host; what it leads to is checked on the descriptor"
)]
fn open_source(source: &Path, options: &Options) -> Result<(OwnedFd, bool), Failure> {
    let step = || format!("open {}", source.display());
    let mut opened = open(source, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).step(step)?;
    let mut found = kind_of(opened.as_fd()).step(step)?;
    if let Some(expected) = &options.source {
        check_source(source, expected, found)?;
    }
    if let Some(path) = &options.sub_path {
        let step = || format!("open {path} in {}", source.display());
        opened = beneath::open(opened.as_fd(), Path::new(path)).step(step)?;
        found = kind_of(opened.as_fd()).step(step)?;
    }
    if options.is_shared {
        peers::check_shared(opened.as_fd(), source).map_err(|text| Failure::new(step(), text))?;
    }
    Ok((opened, found == SFlag::S_IFDIR))
}

/// The files of an image, which nobody changes.
fn image(
    root: &Root,
    destination: &Path,
    options: &Options,
    user_namespace: Option<&UserNamespace>,
) -> Result<(), Failure> {
    let mount = rootfs::mount_image(&options.layers, options.sub_path.as_deref(), user_namespace)?;
    let is_directory = is_directory(mount.as_fd()).step(|| "look at the image")?;
    let target = bind_target(root, destination, is_directory)?;
    let attributes = options.attributes | mount_api::READ_ONLY;
    mount_api::set_attributes(mount.as_fd(), attributes, false).step(|| "set attributes")?;
    mount_api::attach(mount.as_fd(), target.as_fd()).step(|| "attach")
}

/// True if mounts that the host makes later are to show in some of these.
pub fn follow_host(mounts: &[Mount]) -> bool {
    mounts.iter().filter_map(|mount| mount.options().as_ref()).flatten().any(|option| option == "rslave")
}

/// Volumes of the pod's own on which containers' mounts are to show in each other.
pub fn shared_in_pod(mounts: &[Mount]) -> impl Iterator<Item = &Path> {
    let is_shared = |mount: &&Mount| mount.options().iter().flatten().any(|option| option == OF_POD);
    mounts.iter().filter(is_shared).filter_map(|mount| mount.source().as_deref())
}

/// The verdict on a hostPath volume's `type`, in the kubelet's words. The volume was looked at before, but another pod may
/// have put something else at its path since; this is about the very file that gets mounted.
fn check_source(source: &Path, expected: &str, found: SFlag) -> Result<(), Failure> {
    let refused = |reason: String| Err(Failure::new(format!("open {}", source.display()), reason));
    match SOURCES.iter().find(|(word, ..)| *word == expected) {
        Some((_, kind, _)) if *kind == found => Ok(()),
        Some((.., text)) => {
            refused(format!("hostPath type check failed: {} is not {text}", source.display()))
        }
        None => refused(format!("{SOURCE_TYPE}{expected} is not known")),
    }
}

/// The directory that a kernel filesystem is mounted on, made when it is missing.
fn kernel_target(root: &Root, destination: &Path) -> Result<OwnedFd, Failure> {
    let step = || format!("{} in the image", destination.display());
    let strict = root.try_clone().step(|| "open the root")?.with_resolver_flags(ResolverFlags::NO_SYMLINKS);
    // Most images have it: looking costs one system call, making sure that it is made safely some sixty.
    let target = match strict.resolve(destination) {
        Err(error) if is_absent(&error) => strict.mkdir_all(destination, &PermissionsExt::from_mode(0o755)),
        found => found,
    };
    let target = target.map_err(|error| {
        let text = match error.kind() {
            ErrorKind::OsError(Some(libc::ELOOP)) => "a symbolic link is in the way".to_owned(),
            ErrorKind::OsError(Some(libc::ENOTDIR | libc::EEXIST)) => "not a directory".to_owned(),
            _ => error.text(),
        };
        Failure { errno: error.errno(), ..Failure::new(step(), text) }
    })?;
    let target = OwnedFd::from(target);
    if !is_directory(target.as_fd()).step(step)? {
        return Err(Failure::new(step(), "not a directory"));
    }
    Ok(target)
}

/// The file or directory that a bind is mounted on, made when it is missing.
fn bind_target(root: &Root, destination: &Path, is_directory: bool) -> Result<OwnedFd, Failure> {
    let step = || format!("{} in the image", destination.display());
    let target: OwnedFd = match root.resolve(destination) {
        Ok(found) => found.into(),
        Err(error) if is_absent(&error) && is_directory => {
            root.mkdir_all(destination, &PermissionsExt::from_mode(0o755)).step(step)?.into()
        }
        Err(error) if is_absent(&error) => {
            if let Some(parent) = destination.parent().filter(|parent| *parent != Path::new("/")) {
                root.mkdir_all(parent, &PermissionsExt::from_mode(0o755)).step(step)?;
            }
            let flags = OpenFlags::O_CREAT | OpenFlags::O_CLOEXEC | OpenFlags::O_NOFOLLOW;
            root.create_file(destination, flags, &PermissionsExt::from_mode(0o644)).step(step)?;
            root.resolve_nofollow(destination).step(step)?.into()
        }
        Err(error) => return Err(error).step(step),
    };
    if fstatfs(target.as_fd()).step(step)?.filesystem_type() == PROC_SUPER_MAGIC {
        return Err(Failure::new(step(), "nothing may be mounted inside /proc"));
    }
    if self::is_directory(target.as_fd()).step(step)? != is_directory {
        let (source, there) =
            if is_directory { ("a directory", "a file") } else { ("a file", "a directory") };
        return Err(Failure::new(step(), format!("cannot mount {source} over {there}")));
    }
    Ok(target)
}

/// A path below /proc or /sys, which are mounted by now; `None` when this kernel does not have it.
fn resolve_kernel_path(root: &Root, path: &str) -> Result<Option<OwnedFd>, PathError> {
    match root.resolve_nofollow(path) {
        Ok(found) => Ok(Some(found.into())),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn empty_directory() -> std::io::Result<OwnedFd> {
    let parameters = [Parameter::Value("mode", "555"), Parameter::Value("size", "0")];
    let attributes = mount_api::NO_SUID | mount_api::NO_DEV | mount_api::NO_EXEC;
    mount_api::new_filesystem("tmpfs", &parameters, attributes)
}

fn is_absent(error: &PathError) -> bool {
    matches!(error.kind(), ErrorKind::OsError(Some(libc::ENOENT)))
}

fn is_directory(fd: BorrowedFd<'_>) -> nix::Result<bool> {
    kind_of(fd).map(|kind| kind == SFlag::S_IFDIR)
}

fn kind_of(fd: BorrowedFd<'_>) -> nix::Result<SFlag> {
    fstat(fd).map(|found| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT)
}

/// The options of a mount in the OCI configuration: attributes of the mount, and parameters of its filesystem.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    attributes: Attributes,
    recursive: bool,
    /// The attributes are those of all mounts below it, too.
    is_deep: bool,
    /// The host's mounts show in it.
    is_slave: bool,
    /// Likewise, and what is mounted in it shows where it comes from.
    is_shared: bool,
    /// Which is the pod, not the host.
    is_of_pod: bool,
    /// The part of a bind's source that is mounted.
    sub_path: Option<String>,
    /// The layers of an image.
    layers: Vec<PathBuf>,
    /// What a bind's source must be.
    source: Option<String>,
    /// The owners of a bind's files are ids of the user namespace.
    mapped: bool,
    /// Which volume a bind is of, to be told to a person.
    volume: Option<String>,
    rest: Vec<String>,
}

impl Options {
    fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            match option.as_str() {
                "ro" => parsed.attributes |= mount_api::READ_ONLY,
                "rro" => {
                    parsed.attributes |= mount_api::READ_ONLY;
                    parsed.is_deep = true;
                }
                "rslave" => parsed.is_slave = true,
                "rshared" => parsed.is_shared = true,
                OF_POD => parsed.is_of_pod = true,
                "nosuid" => parsed.attributes |= mount_api::NO_SUID,
                "nodev" => parsed.attributes |= mount_api::NO_DEV,
                "noexec" => parsed.attributes |= mount_api::NO_EXEC,
                "strictatime" => parsed.attributes |= mount_api::STRICT_ATIME,
                "rbind" => parsed.recursive = true,
                // The mapping is the container's own, and covers what `rbind` does.
                "idmap" | "ridmap" => parsed.mapped = true,
                // The kernel's defaults, and what every bind gets here anyway.
                "rw" | "suid" | "dev" | "exec" | "bind" | "relatime" | "private" | "rprivate" => {}
                other => parsed.word(other),
            }
        }
        parsed
    }

    /// The mount namespace in which a bind has its peers; `None`: it has none.
    fn peers_in<'a>(&self, namespaces: &'a MountNamespaces) -> Option<BorrowedFd<'a>> {
        let namespace = if self.is_of_pod { &namespaces.pod } else { &namespaces.host };
        self.is_shared.then(|| namespace.as_fd())
    }

    fn propagation(&self) -> libc::c_ulong {
        match self {
            Self { is_shared: true, .. } => libc::MS_SHARED,
            Self { is_slave: true, .. } => libc::MS_SLAVE,
            _ => libc::MS_PRIVATE,
        }
    }

    fn word(&mut self, word: &str) {
        if let Some(kind) = word.strip_prefix(SOURCE_TYPE) {
            self.source = Some(kind.to_owned());
        } else if let Some(name) = word.strip_prefix(VOLUME) {
            self.volume = Some(name.to_owned());
        } else if let Some(path) = word.strip_prefix(SUB_PATH) {
            self.sub_path = Some(path.to_owned());
        } else if let Some(layer) = word.strip_prefix(LAYER) {
            self.layers.push(layer.into());
        } else {
            self.rest.push(word.to_owned());
        }
    }

    /// Turns `uid=` and `gid=` into the host's ids: the filesystem is made before the namespace is joined.
    fn shift_ids(&mut self, ids: IdRange) {
        for option in &mut self.rest {
            if let Some((key @ ("uid" | "gid"), value)) = option.split_once('=')
                && let Some(host) = value.parse().ok().and_then(|id| ids.host(id))
            {
                *option = format!("{key}={host}");
            }
        }
    }

    fn parameters(&self) -> Vec<Parameter<'_>> {
        self.rest
            .iter()
            .map(|option| match option.split_once('=') {
                Some((key, value)) => Parameter::Value(key, value),
                None => Parameter::Flag(option),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_attributes_or_parameters() {
        let words =
            ["nosuid", "noexec", "newinstance", "mode=0620", "rbind", "rprivate", "ro"].map(str::to_owned);
        let options = Options::parse(&words);
        let attributes = mount_api::NO_SUID | mount_api::NO_EXEC | mount_api::READ_ONLY;
        assert_eq!(options.attributes, attributes);
        assert!(options.recursive);
        assert_eq!(options.parameters(), [Parameter::Flag("newinstance"), Parameter::Value("mode", "0620")]);
    }

    #[test]
    fn ids_in_options_are_the_namespaces() {
        let words =
            ["newinstance", "gid=5", "uid=0", "mode=0620", "gid=x", "ridmap", "x-mkubelet.volume=data"];
        let mut options = Options::parse(&words.map(str::to_owned));
        options.shift_ids(IdRange { first: 65_536, count: 65_536 });
        assert!(options.mapped);
        assert_eq!(options.volume.as_deref(), Some("data"));
        let value = |key, value| Parameter::Value(key, value);
        let expected = [
            Parameter::Flag("newinstance"),
            value("gid", "65541"),
            value("uid", "65536"),
            value("mode", "0620"),
            value("gid", "x"),
        ];
        assert_eq!(options.parameters(), expected);
    }

    #[test]
    fn a_source_that_is_not_what_was_asked_for_is_refused_in_the_kubelets_words() {
        let options = Options::parse(&["rbind".to_owned(), "x-mkubelet.type=socket".to_owned()]);
        assert_eq!((options.source.as_deref(), options.parameters()), (Some("socket"), vec![]));
        let problem = |expected, found| {
            check_source(Path::new("/data"), expected, found).err().map(|failure| failure.text)
        };
        for (expected, kind, text) in SOURCES {
            assert_eq!(problem(expected, kind), None);
            let other = if kind == SFlag::S_IFDIR { SFlag::S_IFREG } else { SFlag::S_IFDIR };
            let wanted = format!("hostPath type check failed: /data is not {text}");
            assert_eq!(problem(expected, other), Some(wanted));
        }
        assert_eq!(problem("fifo", SFlag::S_IFIFO).as_deref(), Some("x-mkubelet.type=fifo is not known"));
    }
}
