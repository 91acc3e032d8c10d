//! A pod's logs on this node's disk: which attempts' stay, and the links by which log collectors find them.
//!
//! ```text
//!   /var/log/pods/<ns>_<pod>_<uid>/<container>/<attempt>.log      written by the shim
//!   /var/log/containers/<pod>_<ns>_<container>-<id>.log ──> it
//! ```
//!
//! A pod may have got write access to either directory: a link on the way to them is an error, never followed.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use pathrs::Root;
use pathrs::flags::ResolverFlags;

use super::Error;
use super::pod_files::remove_tree;
use crate::config::Layout;
use crate::logs::name::Name;
use crate::pod::{ContainerName, Pod, PodUid};

/// Makes room for the log of an attempt: its directory, and a link to it. As by a kubelet the last attempt's log stays, which
/// tells why the container was restarted; all others go, so that a container that restarts for ever does not fill the disk.
pub(super) fn prepare(
    pod: &Pod,
    container: &ContainerName,
    attempt: u32,
    id: &str,
    layout: &Layout,
) -> Result<(), Error> {
    let path = layout.container_log(&pod.key, &pod.uid, container, attempt);
    let logs = path.parent().unwrap_or(layout.log());
    let failed = |error: io::Error| Error(format!("make the directory {}: {error}", logs.display()));
    let directory = make(logs, 0o750).map_err(failed)?;
    let stays = |name: &Name| name.attempt == attempt || attempt.checked_sub(1) == Some(name.attempt);
    for name in names(&directory).map_err(failed)?.iter().filter(|name| !stays(name)) {
        // Whoever removed it before has done what was to be done.
        let _ = unlinkat(&directory, name.to_string().as_str(), UnlinkatFlags::NoRemoveDir);
    }
    if let Err(error) = link(pod, container, id, &path, &stays, layout) {
        // Of use to collectors alone.
        tracing::warn!(pod = %pod.key, podUID = %pod.uid, containerName = %container, %error, "no link to the container's log");
    }
    Ok(())
}

/// Makes the link to a log, and removes those to logs that are gone.
fn link(
    pod: &Pod,
    container: &ContainerName,
    id: &str,
    log: &Path,
    stays: &impl Fn(&Name) -> bool,
    layout: &Layout,
) -> io::Result<()> {
    let links = make(layout.log_links(), 0o755)?;
    let of_container = layout.log_link(&pod.key, container, "");
    let is_stale = |target: &Path| {
        target.parent() == log.parent() && target.file_name().and_then(name).is_none_or(|name| !stays(&name))
    };
    remove_links(&links, of_container.trim_end_matches(".log"), is_stale)?;
    match symlinkat(log, &links, layout.log_link(&pod.key, container, id).as_str()) {
        // An earlier agent may have asked for the same start; and names that are cut may be the same.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes all logs of a pod, and the links to them.
pub(super) fn remove(pod: &Pod, layout: &Layout) -> Result<(), Error> {
    let logs = layout.pod_logs(&pod.key, &pod.uid);
    let prefix = format!("{}_{}_", pod.key.name, pod.key.namespace);
    remove_links_in(layout, &prefix, |target| target.starts_with(&logs));
    remove_tree(&logs)
}

/// Likewise for a pod of which nothing but the uid is known.
pub fn remove_of(uid: &PodUid, layout: &Layout) -> Result<(), Error> {
    let ending = format!("_{uid}");
    for entry in fs::read_dir(layout.log()).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().ends_with(&ending) {
            let logs = entry.path();
            remove_links_in(layout, "", |target| target.starts_with(&logs));
            remove_tree(&logs)?;
        }
    }
    Ok(())
}

fn remove_links_in(layout: &Layout, prefix: &str, is_stale: impl Fn(&Path) -> bool) {
    // Without the directory there is no link.
    let Ok(links) = open(layout.log_links()) else { return };
    if let Err(error) = remove_links(&links, prefix, is_stale) {
        tracing::warn!(directory = %layout.log_links().display(), %error, "links to logs stay behind");
    }
}

/// Removes the links whose names begin so and that lead to what is stale.
fn remove_links(links: &OwnedFd, prefix: &str, is_stale: impl Fn(&Path) -> bool) -> io::Result<()> {
    let mut stale = Vec::new();
    for entry in list(links)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        // Whatever else is there is not ours.
        if name.to_bytes().starts_with(prefix.as_bytes())
            && readlinkat(links, name).is_ok_and(|target| is_stale(Path::new(&target)))
        {
            stale.push(name.to_owned());
        }
    }
    for name in stale {
        unlinkat(links, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
    }
    Ok(())
}

/// The log files in a directory.
fn names(directory: &OwnedFd) -> io::Result<Vec<Name>> {
    let mut found = Vec::new();
    for entry in list(directory)?.iter() {
        found.extend(entry?.file_name().to_str().ok().and_then(|text| text.parse::<Name>().ok()));
    }
    Ok(found)
}

fn name(text: &std::ffi::OsStr) -> Option<Name> {
    text.to_str()?.parse().ok()
}

fn list(directory: &OwnedFd) -> io::Result<Dir> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(Dir::openat(directory, ".", flags, Mode::empty())?)
}

fn make(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let made = root().and_then(|root| root.mkdir_all(path, &Permissions::from_mode(mode)));
    // Its own descriptor only names a place.
    made.and_then(|made| made.reopen(pathrs::flags::OpenFlags::O_DIRECTORY))
        .map(OwnedFd::from)
        .map_err(io::Error::other)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let found = root().and_then(|root| root.open_subpath(path, pathrs::flags::OpenFlags::O_DIRECTORY));
    found.map(OwnedFd::from).map_err(io::Error::other)
}

fn root() -> Result<Root, pathrs::error::Error> {
    Root::open("/").map(|root| root.with_resolver_flags(ResolverFlags::NO_SYMLINKS))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    /// Directories, and the pod `default/web` with a container `a`.
    struct Scene {
        _directory: tempfile::TempDir,
        layout: Layout,
        pod: Pod,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            let layout = Layout::new(at("root"), at("run"), at("pods")).with_log_links(at("containers"));
            Self { layout, pod: fixture::pod(RestartPolicy::Always, &[], &["a"]), _directory: directory }
        }

        fn prepare(&self, attempt: u32, id: &str) {
            prepare(&self.pod, &fixture::name("a"), attempt, id, &self.layout).unwrap();
            fs::write(self.log(&format!("{attempt}.log")), id).unwrap();
        }

        fn log(&self, name: &str) -> PathBuf {
            self.layout.pod_logs(&self.pod.key, &self.pod.uid).join("a").join(name)
        }

        fn logs(&self) -> Vec<String> {
            sorted(self.log("").as_path())
        }

        fn links(&self) -> Vec<String> {
            sorted(self.layout.log_links())
        }
    }

    fn sorted(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_logs_of_two_attempts_stay_with_a_link_to_each() {
        let scene = Scene::new();
        let rotated = "log.20261125-160102.000000345";
        for attempt in 0..5 {
            scene.prepare(attempt, &format!("id{attempt}"));
            fs::write(scene.log(&format!("{attempt}.{rotated}")), "").unwrap();
        }
        fs::write(scene.log("notes"), "").unwrap();
        assert_eq!(
            scene.logs(),
            ["3.log", &format!("3.{rotated}"), "4.log", &format!("4.{rotated}"), "notes"]
        );
        assert_eq!(scene.links(), ["web_default_a-id3.log", "web_default_a-id4.log"]);
        let link = scene.layout.log_links().join("web_default_a-id4.log");
        assert_eq!(fs::read_to_string(link).unwrap(), "id4");

        // As after a reboot: the count begins anew.
        scene.prepare(0, "new");
        assert_eq!(scene.logs(), ["0.log", "notes"]);
        assert_eq!(scene.links(), ["web_default_a-new.log"]);
    }

    #[test]
    fn a_pods_links_go_with_it_and_nobody_elses() {
        for is_known in [true, false] {
            let scene = Scene::new();
            scene.prepare(0, "id");
            let links = scene.layout.log_links();
            symlink("/elsewhere/0.log", links.join("web_default_a-other.log")).unwrap();
            fs::write(links.join("web_default_file"), "").unwrap();
            if is_known {
                remove(&scene.pod, &scene.layout).unwrap();
            } else {
                remove_of(&scene.pod.uid, &scene.layout).unwrap();
            }
            assert_eq!(scene.links(), ["web_default_a-other.log", "web_default_file"]);
            assert!(!scene.layout.pod_logs(&scene.pod.key, &scene.pod.uid).exists());
        }
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let scene = Scene::new();
        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), scene.layout.log_links()).unwrap();
        scene.prepare(0, "id");
        assert!(sorted(elsewhere.path()).is_empty());
        remove(&scene.pod, &scene.layout).unwrap();
        symlink(elsewhere.path(), scene.layout.log()).ok();
        assert!(sorted(elsewhere.path()).is_empty());
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_as_the_kubelet_cuts_it() {
        let mut scene = Scene::new();
        scene.pod.key.name = "p".repeat(190);
        let link = scene.layout.log_link(&scene.pod.key, &fixture::name("a"), &"f".repeat(64));
        assert_eq!(link, format!("{}_default_a-{}.log", "p".repeat(190), "f".repeat(251 - 201)));
        scene.prepare(0, &"f".repeat(64));
        assert_eq!(scene.links(), [link]);
    }
}
