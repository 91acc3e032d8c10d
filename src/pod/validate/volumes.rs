//! Volumes and where containers mount them.

use std::collections::HashSet;
use std::path::{Component, PathBuf};

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, container, names, one_of, projected, without_nul};
use crate::pod::path::Path;
use crate::pod::quantity::Quantity;
use crate::pod::report::Document;
use crate::pod::spec::{
    HostPathType, Medium, MountPropagation, RecursiveReadOnly, SubPath, Volume, VolumeMount, VolumeSource,
};

const HOST_PATH_TYPES: [(&str, HostPathType); 8] = [
    ("", HostPathType::Unset),
    ("BlockDevice", HostPathType::BlockDevice),
    ("CharDevice", HostPathType::CharDevice),
    ("Directory", HostPathType::Directory),
    ("DirectoryOrCreate", HostPathType::DirectoryOrCreate),
    ("File", HostPathType::File),
    ("FileOrCreate", HostPathType::FileOrCreate),
    ("Socket", HostPathType::Socket),
];

/// The names of all volumes that the pod declares, those among them that something is wrong with.
pub(super) type Declared<'a> = HashSet<&'a str>;

/// The volumes of a pod.
pub(super) fn check(
    volumes: &[k8s::Volume],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<Volume> {
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(volumes.len());
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let name_path = path.field("name");
        if volume.name.is_empty() {
            document.required(&name_path);
        } else if all_invalid(&name_path, &volume.name, names::dns_label(&volume.name), document)
            && !seen.insert(&volume.name)
        {
            document.duplicate(&name_path, &volume.name);
        }
        checked.extend(
            source(volume, &path, document).map(|source| Volume { name: volume.name.clone(), source }),
        );
    }
    checked
}

/// What a volume is made of. Kinds that are not supported count here too, so that only that is said of them.
fn source(volume: &k8s::Volume, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<VolumeSource> {
    let kinds = given_kinds(path, document);
    for further in kinds.iter().skip(1) {
        document.forbidden(&path.field(further), "may not specify more than 1 volume type");
    }
    if let Some(empty_dir) = &volume.empty_dir {
        return self::empty_dir(empty_dir, &path.field("emptyDir"), document);
    }
    if let Some(host_path) = &volume.host_path {
        return self::host_path(host_path, &path.field("hostPath"), document);
    }
    if let Some(config_map) = &volume.config_map {
        return projected::config_map(config_map, &path.field("configMap"), document);
    }
    if let Some(secret) = &volume.secret {
        return projected::secret(secret, &path.field("secret"), document);
    }
    if let Some(downward) = &volume.downward_api {
        return projected::downward_api(downward, &path.field("downwardAPI"), document);
    }
    if let Some(projected) = &volume.projected {
        return projected::projected(projected, &path.field("projected"), document);
    }
    image(volume.image.as_ref()?, &path.field("image"), document)
}

fn empty_dir(
    source: &k8s::EmptyDirVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let size_path = path.field("sizeLimit");
    let size_limit = match source.size_limit.as_ref().map(|quantity| Quantity::parse(&quantity.0)) {
        Some(Ok(size)) if size.is_negative() => {
            document.forbidden(&size_path, "SizeLimit field must be a valid resource quantity");
            None
        }
        // As the kubelet counts it: none.
        Some(Ok(Quantity::ZERO)) | None => None,
        Some(Ok(size)) => Some(size.units()),
        Some(Err(error)) => {
            document.invalid(&size_path, &source.size_limit.as_ref()?.0, error);
            None
        }
    };
    let medium_path = path.field("medium");
    let medium = match source.medium.as_deref().unwrap_or_default() {
        "" => Medium::Disk,
        "Memory" => Medium::Memory,
        medium if medium == "HugePages" || medium.starts_with("HugePages-") => {
            document.not_yet(document.tree().locate(&medium_path), &medium_path);
            return None;
        }
        medium => {
            document.unsupported(&medium_path, medium, &["", "HugePages", "Memory"]);
            return None;
        }
    };
    Some(VolumeSource::EmptyDir { medium, size_limit })
}

fn host_path(
    source: &k8s::HostPathVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let kind = source.type_.as_deref().unwrap_or_default();
    let kind = one_of(kind, &HOST_PATH_TYPES, &path.field("type"), document);
    let path = path.field("path");
    let source = &source.path;
    if source.is_empty() {
        document.required(&path);
    } else if !without_nul(&path, source, document) {
    } else if has_backsteps(source) {
        document.invalid(&path, source, "must not contain '..'");
    } else if !source.starts_with('/') {
        document.invalid(&path, source, "must be an absolute path");
    }
    Some(VolumeSource::HostPath { path: PathBuf::from(source), kind: kind? })
}

fn image(
    source: &k8s::ImageVolumeSource,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<VolumeSource> {
    let policy = source.pull_policy.as_deref().unwrap_or_default();
    let pull_policy = container::pull_policy(policy, &path.field("pullPolicy"), document);
    let reference = source.reference.as_deref().unwrap_or_default();
    let reference = container::image(reference, &path.field("reference"), document);
    Some(VolumeSource::Image { reference, pull_policy: pull_policy? })
}

/// A path below something: relative, and without `..`.
pub(super) fn check_descending(text: &str, path: &Path<'_>, document: &mut Document<'_, '_>) {
    if !without_nul(path, text, document) {
        return;
    }
    if text.starts_with('/') {
        document.invalid(path, text, "must be a relative path");
    }
    if has_backsteps(text) {
        document.invalid(path, text, "must not contain '..'");
    }
}

/// The path of a single file in a volume: none of the names that the kubelet itself uses there.
pub(super) fn check_item_path(text: &str, path: &Path<'_>, document: &mut Document<'_, '_>) {
    if text.is_empty() {
        document.required(path);
    }
    check_descending(text, path, document);
    if text.starts_with("..") && !has_backsteps(text) {
        document.invalid(path, text, "must not start with '..'");
    }
}

fn has_backsteps(text: &str) -> bool {
    text.split('/').any(|part| part == "..")
}

/// The fields of a volume beside its name, as they are written: what could not be read is given too.
fn given_kinds<'d>(path: &Path<'_>, document: &Document<'d, '_>) -> Vec<&'d str> {
    document.given_fields(path).filter(|name| *name != "name").collect()
}

/// The mounts of a container.
pub(super) fn check_mounts(
    mounts: &[k8s::VolumeMount],
    volumes: &Declared<'_>,
    is_privileged: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<VolumeMount> {
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(mounts.len());
    for (index, mount) in mounts.iter().enumerate() {
        let path = path.index(index);
        let name_path = path.field("name");
        if mount.name.is_empty() {
            document.required(&name_path);
        } else if !volumes.contains(mount.name.as_str()) {
            document.not_found(&name_path, &mount.name);
        }
        let target_path = path.field("mountPath");
        let target = &mount.mount_path;
        let mount_path = below_root(target);
        if target.is_empty() {
            document.required(&target_path);
        } else if !without_nul(&target_path, target, document) {
        } else if target.contains(':') {
            document.invalid(&target_path, target, "must not contain ':'");
        } else if !seen.insert(mount_path.clone()) {
            document.invalid(&target_path, target, "must be unique");
        }
        checked.push(VolumeMount {
            volume: mount.name.clone(),
            mount_path,
            read_only: mount.read_only.unwrap_or(false),
            recursive_read_only: recursive_read_only(mount, &path, document),
            propagation: propagation(mount, is_privileged, &path, document),
            sub_path: sub_path(mount, &path, document),
        });
    }
    checked
}

fn recursive_read_only(
    mount: &k8s::VolumeMount,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> RecursiveReadOnly {
    const WORDS: [(&str, RecursiveReadOnly); 3] = [
        ("Disabled", RecursiveReadOnly::Disabled),
        ("Enabled", RecursiveReadOnly::Enabled),
        ("IfPossible", RecursiveReadOnly::IfPossible),
    ];
    let Some(word) = mount.recursive_read_only.as_deref() else { return RecursiveReadOnly::Disabled };
    let path = path.field("recursiveReadOnly");
    let Some(meaning) = one_of(word, &WORDS, &path, document) else { return RecursiveReadOnly::Disabled };
    if meaning != RecursiveReadOnly::Disabled {
        if mount.read_only != Some(true) {
            document.forbidden(&path, "may only be specified when readOnly is true");
        }
        if mount.mount_propagation.as_deref().is_some_and(|propagation| propagation != "None") {
            document.forbidden(&path, "may only be specified when mountPropagation is None or not specified");
        }
    }
    meaning
}

fn propagation(
    mount: &k8s::VolumeMount,
    is_privileged: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> MountPropagation {
    const WORDS: [(&str, MountPropagation); 3] = [
        ("Bidirectional", MountPropagation::Bidirectional),
        ("HostToContainer", MountPropagation::HostToContainer),
        ("None", MountPropagation::None),
    ];
    let Some(word) = mount.mount_propagation.as_deref() else { return MountPropagation::None };
    let path = path.field("mountPropagation");
    let meaning = one_of(word, &WORDS, &path, document).unwrap_or(MountPropagation::None);
    if meaning == MountPropagation::Bidirectional && !is_privileged {
        document
            .forbidden(&path, "Bidirectional mount propagation is available only to privileged containers");
    }
    meaning
}

fn sub_path(mount: &k8s::VolumeMount, path: &Path<'_>, document: &mut Document<'_, '_>) -> Option<SubPath> {
    let plain = mount.sub_path.as_deref().unwrap_or_default();
    let expr = mount.sub_path_expr.as_deref().unwrap_or_default();
    check_descending(plain, &path.field("subPath"), document);
    if !expr.is_empty() {
        let path = path.field("subPathExpr");
        if !plain.is_empty() {
            document.invalid(&path, expr, "subPathExpr and subPath are mutually exclusive");
        }
        check_descending(expr, &path, document);
        return Some(SubPath::Expr(expr.to_owned()));
    }
    (!plain.is_empty()).then(|| SubPath::Plain(plain.to_owned()))
}

/// Absolute, without `.` and doubled or trailing slashes.
fn below_root(target: &str) -> PathBuf {
    let parts = std::path::Path::new(target).components();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    std::iter::once(Component::RootDir).chain(parts).collect()
}
