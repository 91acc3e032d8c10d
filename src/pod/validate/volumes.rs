//! Volumes and where containers mount them.

use std::collections::HashSet;
use std::path::{Component, PathBuf};

use k8s_openapi::api::core::v1 as k8s;

use super::{all_invalid, names, one_of, without_nul};
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::{HostPathType, Volume, VolumeMount, VolumeSource};

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

/// Names of all volumes that the pod declares, those among them that something is wrong with.
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
    if kinds.is_empty() {
        document.required_for(path, "must specify a volume type");
    }
    for further in kinds.iter().skip(1) {
        document.forbidden(&path.field(further), "may not specify more than 1 volume type");
    }
    if volume.empty_dir.is_some() {
        return Some(VolumeSource::EmptyDir);
    }
    let host_path = volume.host_path.as_ref()?;
    let path = path.field("hostPath");
    let kind = host_path.type_.as_deref().unwrap_or_default();
    let kind = one_of(kind, &HOST_PATH_TYPES, &path.field("type"), document);
    let path = path.field("path");
    let source = &host_path.path;
    if source.is_empty() {
        document.required(&path);
    } else if !without_nul(&path, source, document) {
    } else if source.split('/').any(|part| part == "..") {
        document.invalid(&path, source, "must not contain '..'");
    } else if !source.starts_with('/') {
        document.invalid(&path, source, "must be an absolute path");
    }
    Some(VolumeSource::HostPath { path: PathBuf::from(source), kind: kind? })
}

/// The fields of a volume beside its name, as they are written: what could not be read is given too.
fn given_kinds<'d>(path: &Path<'_>, document: &Document<'d, '_>) -> Vec<&'d str> {
    document.given_fields(path).filter(|name| *name != "name").collect()
}

/// The mounts of a container.
pub(super) fn check_mounts(
    mounts: &[k8s::VolumeMount],
    volumes: &Declared<'_>,
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
        });
    }
    checked
}

/// Absolute, without `.` and doubled or trailing slashes.
fn below_root(target: &str) -> PathBuf {
    let parts = std::path::Path::new(target).components();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    std::iter::once(Component::RootDir).chain(parts).collect()
}
