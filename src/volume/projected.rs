//! configMap, secret, downwardAPI and projected: files that say what an object, or the pod itself, says.

use std::fmt;
use std::os::fd::BorrowedFd;

use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, fchown};

use super::atomic_writer::{self, Content, Payload};
use super::{Error, Surroundings};
use crate::pod::downward;
use crate::pod::spec::{DownwardContent, KeyToPath, ObjectProjection, Projection};

/// What a group of the pod's may do with a file that shows read-only.
const GROUP_FILE_MODE: u32 = 0o440;

/// As a tmpfs of the kubelet's has it.
const ROOT_MODE: u32 = 0o1777;

/// Likewise when a group owns it.
const GROUP_ROOT_MODE: u32 = 0o3777;

/// What a volume should show and nobody has. In the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(Vec<String>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [only] => f.write_str(only),
            several => write!(f, "[{}]", several.join(", ")),
        }
    }
}

impl std::error::Error for Missing {}

/// Writes the files into the volume with this root, if they are not there yet. What is missing later, once they have been
/// there, leaves the volume as it is.
pub(super) fn prepare(
    root: BorrowedFd<'_>,
    sources: &[Projection],
    default_mode: u32,
    around: Surroundings<'_>,
) -> Result<(), Error> {
    let fs_group = around.pod.spec.fs_group;
    let payload = match payload(sources, default_mode, around) {
        Ok(payload) => payload,
        Err(missing) if atomic_writer::is_written(root)? => {
            tracing::warn!(pod = %around.pod.key, %missing, "a volume cannot be brought up to date");
            return Ok(());
        }
        Err(missing) => return Err(Error::Missing(missing)),
    };
    atomic_writer::write(root, &payload, fs_group)?;
    own_root(root, fs_group)
}

/// Opens the volume to the pod.
fn own_root(root: BorrowedFd<'_>, group: Option<u32>) -> Result<(), Error> {
    let failed =
        |action| move |errno: nix::Error| Error::Io { action, path: ".".into(), source: errno.into() };
    let mode = if group.is_some() { GROUP_ROOT_MODE } else { ROOT_MODE };
    let found = fstat(root).map_err(failed("look at"))?;
    if found.st_mode & 0o7777 != mode || group.is_some_and(|group| found.st_gid != group) {
        fchown(root, None, group.map(Gid::from_raw)).map_err(failed("set the group of"))?;
        fchmod(root, Mode::from_bits_truncate(mode)).map_err(failed("set the mode of"))?;
    }
    Ok(())
}

/// The files that the sources come to.
fn payload(sources: &[Projection], default_mode: u32, around: Surroundings<'_>) -> Result<Payload, Missing> {
    let Surroundings { pod, objects, facts, .. } = around;
    let mut payload = Payload::new();
    let mut missing = Vec::new();
    let of_group = if pod.spec.fs_group.is_some() { GROUP_FILE_MODE } else { 0 };
    let content = |bytes: &[u8], mode: Option<u32>| Content {
        bytes: bytes.to_vec(),
        mode: mode.unwrap_or(default_mode) | of_group,
    };
    for source in sources {
        match source {
            Projection::ConfigMap(wanted) => {
                let Some(map) = objects.config_map(&pod.key.namespace, &wanted.name) else {
                    missing.extend(absent("configmap", wanted));
                    continue;
                };
                let all = map.data.iter().map(|(key, text)| (key, text.as_bytes()));
                let all = all.chain(map.binary_data.iter().map(|(key, bytes)| (key, bytes.as_slice())));
                let unknown = "configmap references non-existent config key";
                for (file, bytes) in chosen(wanted, all, unknown, &mut missing) {
                    payload.insert(file.path, content(bytes, file.mode));
                }
            }
            Projection::Secret(wanted) => {
                let Some(secret) = objects.secret(&pod.key.namespace, &wanted.name) else {
                    missing.extend(absent("secret", wanted));
                    continue;
                };
                let all = secret.data.iter().map(|(key, bytes)| (key, bytes.as_slice()));
                let unknown = "references non-existent secret key";
                for (file, bytes) in chosen(wanted, all, unknown, &mut missing) {
                    payload.insert(file.path, content(bytes, file.mode));
                }
            }
            Projection::DownwardApi(files) => {
                for file in files {
                    let text = match &file.content {
                        DownwardContent::Field(selector) => Ok(downward::field(pod, selector, facts)),
                        DownwardContent::Resource(selector) => downward::resource(pod, None, selector, facts),
                    };
                    match text {
                        Ok(text) => {
                            payload.insert(file.path.clone(), content(text.as_bytes(), file.mode));
                        }
                        Err(error) => missing.push(error.to_string()),
                    }
                }
            }
        }
    }
    if missing.is_empty() { Ok(payload) } else { Err(Missing(missing)) }
}

fn absent(kind: &str, wanted: &ObjectProjection) -> Option<String> {
    (!wanted.optional).then(|| format!("{kind} {:?} not found", wanted.name))
}

/// The keys that are wanted, with the files that they go to.
fn chosen<'a>(
    wanted: &ObjectProjection,
    all: impl Iterator<Item = (&'a String, &'a [u8])>,
    unknown: &str,
    missing: &mut Vec<String>,
) -> Vec<(KeyToPath, &'a [u8])> {
    let all: Vec<(&String, &[u8])> = all.collect();
    if wanted.items.is_empty() {
        let file = |key: &String| KeyToPath { key: key.clone(), path: key.into(), mode: None };
        return all.into_iter().map(|(key, bytes)| (file(key), bytes)).collect();
    }
    let mut files = Vec::with_capacity(wanted.items.len());
    for item in &wanted.items {
        match all.iter().find(|(key, _)| **key == item.key) {
            Some((_, bytes)) => files.push((item.clone(), *bytes)),
            None if wanted.optional => {}
            None => missing.push(format!("{unknown}: {}", item.key)),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::pod::downward::{Facts, FieldSelector};
    use crate::pod::objects::{ConfigMap, ObjectKey, Objects, Secret};
    use crate::pod::spec::{DownwardFile, RestartPolicy};
    use crate::runtime::fixture;

    fn objects() -> Objects {
        let key = |name: &str| ObjectKey { namespace: "default".to_owned(), name: name.to_owned() };
        let map = ConfigMap {
            data: [("colour".to_owned(), "blue".to_owned())].into(),
            binary_data: [("blob".to_owned(), vec![0, 255])].into(),
            immutable: false,
        };
        let secret = Secret { data: [("password".to_owned(), b"old".to_vec())].into(), ..Secret::default() };
        Objects { config_maps: [(key("settings"), map)].into(), secrets: [(key("login"), secret)].into() }
    }

    fn object(name: &str, items: &[(&str, &str, Option<u32>)], optional: bool) -> ObjectProjection {
        let item = |&(key, path, mode): &(&str, &str, Option<u32>)| KeyToPath {
            key: key.to_owned(),
            path: PathBuf::from(path),
            mode,
        };
        ObjectProjection { name: name.to_owned(), items: items.iter().map(item).collect(), optional }
    }

    /// The files as `path=text(mode)`, or what is missing.
    fn shown(sources: &[Projection], fs_group: Option<u32>) -> String {
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
        pod.spec.fs_group = fs_group;
        let (objects, facts) = (objects(), Facts::default());
        let layout = crate::config::Layout::new("/root", "/run", "/log");
        let around = Surroundings { layout: &layout, pod: &pod, objects: &objects, facts: &facts };
        match payload(sources, 0o644, around) {
            Ok(payload) => payload
                .iter()
                .map(|(path, Content { bytes, mode })| {
                    format!("{}={}({mode:o})", path.display(), bytes.escape_ascii())
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(missing) => missing.to_string(),
        }
    }

    #[test]
    fn sources_become_files_as_the_kubelet_makes_them() {
        use Projection::*;
        let name = DownwardFile {
            path: "me/name".into(),
            content: DownwardContent::Field(FieldSelector::Name),
            mode: Some(0o600),
        };
        let key = [("colour", "a/b", Some(0o400))];
        let cases: Vec<(Vec<Projection>, &str)> = vec![
            (vec![ConfigMap(object("settings", &[], false))], "blob=\\x00\\xff(644) colour=blue(644)"),
            (vec![ConfigMap(object("settings", &key, false))], "a/b=blue(400)"),
            (vec![Secret(object("login", &[("password", "p", None)], false))], "p=old(644)"),
            (vec![DownwardApi(vec![name.clone()])], "me/name=web(600)"),
            (
                vec![
                    Secret(object("login", &[], false)),
                    DownwardApi(vec![name]),
                    ConfigMap(object("none", &[], true)),
                ],
                "me/name=web(600) password=old(644)",
            ),
            (vec![ConfigMap(object("none", &[], false))], "configmap \"none\" not found"),
            (vec![Secret(object("none", &[], false))], "secret \"none\" not found"),
            (
                vec![ConfigMap(object("settings", &[("x", "x", None)], false))],
                "configmap references non-existent config key: x",
            ),
            (
                vec![Secret(object("login", &[("x", "x", None)], false))],
                "references non-existent secret key: x",
            ),
            (vec![Secret(object("login", &[("x", "x", None), ("password", "p", None)], true))], "p=old(644)"),
            (
                vec![ConfigMap(object("none", &[], false)), Secret(object("other", &[], false))],
                "[configmap \"none\" not found, secret \"other\" not found]",
            ),
        ];
        for (sources, expected) in cases {
            assert_eq!(shown(&sources, None), expected);
        }
    }

    #[test]
    fn a_group_of_the_pod_may_read_whatever_the_mode_says() {
        let key = [("password", "p", Some(0o400))];
        assert_eq!(shown(&[Projection::Secret(object("login", &key, false))], Some(5)), "p=old(440)");
    }
}
