//! A pod's user namespace: what its ids are to the host, and how a container's first process gets into it.
//!
//! Root inside is a user of the host that owns nothing and may do nothing. All mounts are made outside, with the host's
//! privileges, before the process joins. The mount namespace that it then gets belongs to the user namespace, so the
//! kernel locks what was mounted (mount_namespaces(7)): whatever capabilities a container has, it can take away no mask
//! and no `ro`. Files keep the owners that they have on disk, seen through idmapped mounts (mount_setattr(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, setfsgid, setfsuid, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, Step};
use super::mount_info::MountInfo;
use super::user::Identity;
use crate::sys::clone::{self, Child};
use crate::sys::{mount_api, process};

/// Stands for every id that has no other in the namespace; the kernel's overflowuid.
const NOBODY: u32 = 65534;

/// The host's ids that are 0 to `count` - 1 in a user namespace, of users and groups alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdRange {
    /// What 0 is to the host.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl IdRange {
    /// What an id of the namespace is to the host; `None` when the namespace does not have it.
    pub fn host(self, id: u32) -> Option<u32> {
        if id < self.count { self.first.checked_add(id) } else { None }
    }

    /// Likewise; one that the namespace does not have is nobody's, as the kernel shows it.
    pub fn host_or_nobody(self, id: u32) -> u32 {
        self.host(id).or_else(|| self.host(NOBODY)).unwrap_or(self.first)
    }
}

/// A pod's user namespace.
#[derive(Debug)]
pub struct UserNamespace {
    namespace: OwnedFd,
    /// Its ids.
    pub ids: IdRange,
}

impl UserNamespace {
    /// Maps the ids of the namespace that a child was cloned into.
    pub fn map(child: &Child, ids: IdRange) -> Result<Self, Failure> {
        let IdRange { first, count } = ids;
        clone::map_user_namespace(child, first, count)
            .step(|| format!("map {count} ids from {first} on into the user namespace"))?;
        let namespace = clone::user_namespace(child).step(|| "open the user namespace")?;
        Ok(Self { namespace, ids })
    }

    /// Gives a detached mount of the file or directory `path` the owners that it has on disk, as ids of the namespace. `what`
    /// names it to a person.
    pub fn map_mount(
        &self,
        mount: BorrowedFd<'_>,
        recursive: bool,
        what: &str,
        path: &Path,
    ) -> Result<(), Failure> {
        mount_api::map_ids(mount, self.namespace.as_fd(), recursive).map_err(|error| Failure {
            step: format!("idmap {what}"),
            errno: error.raw_os_error(),
            text: format!(
                "hostUsers: false needs idmapped mounts, and the filesystem of {} ({}){} refuses them: {error}",
                path.display(),
                filesystem(path).unwrap_or_else(|| "unknown".to_owned()),
                if recursive { " or one that is mounted below" } else { "" },
            ),
        })
    }

    /// Files that this process makes from here on belong to root inside. It keeps the host's capabilities until it joins.
    pub fn make_files_as_root(&self) -> Result<(), Failure> {
        // Else the kernel would take away what it takes from whoever is not root.
        process::keep_capabilities_across_user_ids().step(|| "set the secure bits")?;
        // What these return is the id before, error or not.
        setfsgid(Gid::from_raw(self.ids.first));
        setfsuid(Uid::from_raw(self.ids.first));
        Ok(())
    }

    /// Joins, with mount and cgroup namespaces that belong to it; the root is the container's already. All capabilities from here
    /// on are over what belongs to this user namespace, and none over the host.
    pub fn enter(&self) -> Result<(), Failure> {
        // It also sets the secure bits back.
        setns(&self.namespace, CloneFlags::CLONE_NEWUSER).step(|| "join the user namespace")?;
        become_root()?;
        process::new_session_keyring().step(|| "join a new session keyring")?;
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)
            .step(|| "unshare the mount namespace for the user namespace")
    }
}

/// Becomes root of the user namespace that was just joined: until then a process is there as nobody, though with all
/// capabilities. A session keyring made from here on is root's inside, and counts against nobody else's quota (keyrings(7)).
pub fn become_root() -> Result<(), Failure> {
    let (root, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[]).step(|| "setgroups")?;
    setresgid(group, group, group).step(|| "setresgid 0")?;
    setresuid(root, root, root).step(|| "setresuid 0")?;
    // A change of identity sets it to what fs.suid_dumpable says, and this is still a copy of the shim.
    prctl::set_dumpable(false).step(|| "PR_SET_DUMPABLE")
}

/// What the user and the group of an identity are to the host. All its ids must be the namespace's, if the pod has one.
pub fn owner(ids: Option<IdRange>, identity: &Identity) -> Result<(Uid, Gid), Failure> {
    let host = |what: &str, id: u32| match ids {
        None => Ok(id),
        Some(ids) => ids.host(id).ok_or_else(|| {
            let text =
                format!("{what} {id} is not in the pod's user namespace, which has 0 to {}", ids.count - 1);
            Failure::new("look up the user", text)
        }),
    };
    for group in &identity.groups {
        host("gid", *group)?;
    }
    Ok((Uid::from_raw(host("uid", identity.uid)?), Gid::from_raw(host("gid", identity.gid)?)))
}

/// The type of the filesystem that holds a path of the host, for an error.
#[expect(clippy::disallowed_methods, reason = "a path of the host, and only asked what it is on")]
fn filesystem(path: &Path) -> Option<String> {
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    MountInfo::of(file.as_fd()).map(|found| found.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: IdRange = IdRange { first: 131_072, count: 65_536 };

    #[test]
    fn an_id_inside_is_another_outside_or_none() {
        for (id, host, or_nobody) in [
            (0, Some(131_072), 131_072),
            (1000, Some(132_072), 132_072),
            (65_535, Some(196_607), 196_607),
            (65_536, None, 196_606),
            (u32::MAX, None, 196_606),
        ] {
            assert_eq!((IDS.host(id), IDS.host_or_nobody(id)), (host, or_nobody), "{id}");
        }
        assert_eq!(IdRange { first: u32::MAX, count: 2 }.host(1), None);
    }

    #[test]
    fn an_identity_beyond_the_namespace_is_refused_by_its_id() {
        let identity = |uid, gid, group| Identity { uid, gid, groups: vec![gid, group], home: None };
        let check = |uid, gid, group| {
            owner(Some(IDS), &identity(uid, gid, group))
                .map(|(uid, gid)| (uid.as_raw(), gid.as_raw()))
                .map_err(|failure| failure.text)
        };
        let refused =
            |id: &str| Err(format!("{id} is not in the pod's user namespace, which has 0 to 65535"));
        assert_eq!(check(0, 7, 9), Ok((131_072, 131_079)));
        assert_eq!(check(65_536, 0, 0), refused("uid 65536"));
        assert_eq!(check(0, 70_000, 0), refused("gid 70000"));
        assert_eq!(check(0, 0, 70_001), refused("gid 70001"));
        let host = owner(None, &identity(70_000, 70_000, 70_001)).unwrap();
        assert_eq!(host, (Uid::from_raw(70_000), Gid::from_raw(70_000)));
    }

    #[test]
    fn a_filesystem_has_a_name() {
        assert_eq!(filesystem(Path::new("/proc/sys")).as_deref(), Some("proc"));
        assert_eq!(filesystem(Path::new("/no/such")), None);
    }
}
