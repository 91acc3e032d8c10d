//! Control groups on v2, v1 and hybrid hosts: detect, create with limits, join, count, kill, remove.
//!
//! A group is named by a path relative to the roots of all hierarchies, such as `kubepods/besteffort/pod1/abc`, and
//! exists under that name in each of them. [`Hierarchy`] is what v1 and v2 have in common; `v1/` and `v2/` hold a file
//! per controller, of the same names, each of which turns OCI limits into the files to write, and files into [`stats`].
//!
//! Grouping, freezing and killing are done on v2 wherever it is mounted, even when every controller is on v1. Only the
//! v1 hierarchies whose controllers are used are joined; freezer is one of them only where there is no v2.
//!
//! Nothing here waits for a process: groups are emptied with [`Cgroups::kill`], and whoever is the parent reaps.

mod controller;
mod delegate;
mod detect;
mod devices;
mod error;
mod file;
mod group;
mod hierarchy;
mod join;
mod kill;
mod remove;
pub mod stats;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

pub use delegate::AGENT_LEAF;
pub use error::{Error, Result};
pub use join::Join;

use group::Group;
use hierarchy::Hierarchy;
use stats::Stats;

use crate::failpoint;

/// The host's cgroup hierarchies, as far as they are used.
#[derive(Debug)]
pub struct Cgroups {
    unified: Option<v2::Hierarchy>,
    legacy: Vec<v1::Hierarchy>,
}

/// What /sys/fs/cgroup is made of in a container that has a cgroup namespace of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerMounts {
    /// One `cgroup2` mount.
    V2,
    /// A tmpfs with one `cgroup` mount for each hierarchy that the container was put in. The others would show the host's root.
    V1 {
        /// Mount options, which are also the directory's name: `memory`, or `cpu,cpuacct`.
        hierarchies: Vec<String>,
    },
}

impl Cgroups {
    /// Finds the hierarchies mounted at or below `mount` (`/sys/fs/cgroup`) in /proc/self/mountinfo.
    pub fn detect(mount: &Path) -> Result<Self> {
        detect::detect(&file::read(Path::new("/proc/self/mountinfo"))?, mount)
    }

    /// Makes `group` with its missing parents in every hierarchy, and sets `limits`. A group that exists is kept, and gets the limits.
    ///
    /// Honoured are of `cpu` shares, quota, period, cpus and mems, of `memory` limit, swap and reservation, `pids`,
    /// `hugepageLimits`, `devices` as far as they are an allow-list, and on v2 `unified`. Another limit is an error that names
    /// it, and so is one whose controller the host has not got. Only shares, which are a preference, are let go there. On an
    /// error nothing of the group is left, unless it was there before; parents may stay.
    pub fn create(&self, group: &Path, limits: &LinuxResources) -> Result<()> {
        let group = Group::new(group)?;
        controller::refuse_unknown(limits)?;
        let mut made = Vec::new();
        self.make(group, limits, &mut made).inspect_err(|_| {
            for dir in made.iter().rev() {
                // The first error is the one to tell; a group without processes can hardly refuse.
                let _ = std::fs::remove_dir(dir);
            }
        })
    }

    /// Sets limits of a group that is there; nothing but these is touched. Device rules stay as they are.
    pub fn update(&self, group: &Path, limits: &LinuxResources) -> Result<()> {
        let group = Group::new(group)?;
        controller::refuse_unknown(limits)?;
        for v1 in self.legacy.iter().filter(|v1| v1.has("memory")) {
            v1::memory::make_room(&v1.directory(group), limits)?;
        }
        for hierarchy in self.hierarchies() {
            let controllers = hierarchy.controllers().iter().filter(|c| c.name != "devices");
            controllers.into_iter().try_for_each(|c| c.apply(&hierarchy.directory(group), limits))?;
        }
        self.apply_unified(group, limits)
    }

    /// The names of the groups right below `group`, in no order. None when there is no such group.
    pub fn children(&self, group: &Path) -> Result<Vec<OsString>> {
        let directory = self.grouping()?.directory(Group::new(group)?);
        let children = hierarchy::children(&directory)?;
        Ok(children.into_iter().filter_map(|child| child.file_name().map(OsStr::to_owned)).collect())
    }

    /// The kernel can kill a whole group for want of memory (`memory.oom.group`).
    pub fn kills_groups(&self) -> bool {
        self.unified.iter().flat_map(|v2| v2.controllers()).any(|controller| controller.name == "memory")
    }

    /// Opens `group` for a process to be put in.
    pub fn join(&self, group: &Path) -> Result<Join> {
        let group = Group::new(group)?;
        let into = self.unified.as_ref().map(|v2| file::open_directory(&v2.directory(group))).transpose()?;
        let mut tasks = Vec::with_capacity(self.legacy.len());
        for v1 in &self.legacy {
            match file::open_for_writing(&v1.directory(group).join("tasks")) {
                Err(error) if v1.is_on_demand() && error.is_absent() => {}
                opened => tasks.push(opened?),
            }
        }
        Ok(Join { into, tasks })
    }

    /// SIGKILL to every process in `group` and below it, whose CPU quotas are taken from them first: ending takes time.
    /// Fine when there is no such group.
    ///
    /// With `cgroup.kill` (Linux 5.14) the kernel does it at once, and this returns before the processes are gone.
    /// Elsewhere the group is frozen and its processes are signalled until none is left, for at most 10 seconds. The
    /// caller must not be in the group.
    pub fn kill(&self, group: &Path) -> Result<()> {
        let group = Group::new(group)?;
        let legacy = self.legacy.iter().map(|v1| v1 as &dyn Hierarchy);
        let hierarchies = legacy.chain(self.unified.iter().map(|v2| v2 as &dyn Hierarchy));
        let limits_cpu = |one: &&dyn Hierarchy| one.controllers().iter().any(|found| found.name == "cpu");
        for hierarchy in hierarchies.filter(limits_cpu) {
            kill::unthrottle(&hierarchy.directory(group));
        }
        match &self.unified {
            Some(v2) => v2.kill(group),
            None => v1::freezer::kill(&self.legacy, group),
        }
    }

    /// True if there is a process in `group` or below it; a zombie does not count. False when there is no such group.
    pub fn is_populated(&self, group: &Path) -> Result<bool> {
        let group = Group::new(group)?;
        match &self.unified {
            Some(v2) => v2.is_populated(group),
            None => Ok(!self.grouping()?.processes(group)?.is_empty()),
        }
    }

    /// Every process in `group` and below it, in no order; processes that this PID namespace cannot see are left out.
    /// None when there is no such group.
    pub fn processes(&self, group: &Path) -> Result<Vec<i32>> {
        self.grouping()?.processes(Group::new(group)?)
    }

    /// Removes `group` and all groups below it. Fine when there is no such group.
    ///
    /// Processes that are about to end are waited for, at most 5 seconds; after that the error names those that stay.
    pub fn remove(&self, group: &Path) -> Result<()> {
        let group = Group::new(group)?;
        let deadline = remove::deadline();
        self.hierarchies().try_for_each(|hierarchy| remove::tree(hierarchy, group, deadline))
    }

    /// Removes `group` where it has neither processes nor groups below it, and leaves it be where it has.
    pub fn remove_if_empty(&self, group: &Path) -> Result<()> {
        let group = Group::new(group)?;
        self.hierarchies().try_for_each(|hierarchy| remove::if_empty(&hierarchy.directory(group)))
    }

    /// How many processes of `group` and the groups below it the kernel has killed for want of memory, whether the limit was its
    /// own, that of a group above, or the machine's end. 0 when there is no such group or no memory controller.
    ///
    /// v2 counts a process in all groups above its own; v1 in its own alone, so that there what is counted in a group goes
    /// with it.
    pub fn oom_kills(&self, group: &Path) -> Result<u64> {
        let group = Group::new(group)?;
        match (self.legacy.iter().find(|v1| v1.has("memory")), &self.unified) {
            (Some(v1), _) => v1::memory::oom_kills(&v1.directory(group)),
            (None, Some(v2)) => v2::memory::oom_kills(&v2.directory(group)),
            (None, None) => Ok(0),
        }
    }

    /// How much CPU time `group` may have, microseconds in each period of `period` microseconds. `None` when there is no limit, no
    /// such group or no cpu controller.
    pub fn cpu_quota(&self, group: &Path, period: u64) -> Result<Option<i64>> {
        let group = Group::new(group)?;
        let found = match (self.legacy.iter().find(|v1| v1.has("cpu")), &self.unified) {
            (Some(v1), _) => v1::cpu::quota(&v1.directory(group))?,
            (None, Some(v2)) => v2::cpu::quota(&v2.directory(group))?,
            (None, None) => None,
        };
        Ok(found
            .map(|(quota, of)| quota.saturating_mul(period) / of.max(1))
            .map(|quota| quota.try_into().unwrap_or(i64::MAX)))
    }

    /// What `group` and the groups below it have used up to now.
    pub fn stats(&self, group: &Path) -> Result<Stats> {
        let group = Group::new(group)?;
        let mut stats = Stats::default();
        self.hierarchies()
            .try_for_each(|hierarchy| hierarchy.count(&hierarchy.directory(group), &mut stats))?;
        Ok(stats)
    }

    /// What /sys/fs/cgroup is made of inside a container whose group is `group`.
    pub fn container_mounts(&self, group: &Path) -> Result<ContainerMounts> {
        let group = Group::new(group)?;
        if self.legacy.is_empty() {
            return Ok(ContainerMounts::V2);
        }
        let joined = self.legacy.iter().filter(|v1| !v1.is_on_demand() || v1.directory(group).is_dir());
        Ok(ContainerMounts::V1 { hierarchies: joined.map(|v1| v1.options().to_owned()).collect() })
    }

    /// The group that systemd delegated to this process (`Delegate=yes`), relative to the root.
    pub fn delegated_root(&self) -> Option<PathBuf> {
        delegate::delegated_root(self.unified.as_ref()?)
    }

    /// Moves every process of `delegated` to the leaf [`AGENT_LEAF`] in it, so that controllers can be enabled for the
    /// groups below: v2 has no processes in inner groups. Does nothing where v2 has no controllers.
    pub fn settle(&self, delegated: &Path) -> Result<()> {
        let delegated = Group::new(delegated)?;
        match &self.unified {
            Some(v2) if !v2.controllers().is_empty() => delegate::settle(v2, delegated),
            _ => Ok(()),
        }
    }

    fn hierarchies(&self) -> impl Iterator<Item = &dyn Hierarchy> {
        let legacy = self.legacy.iter().map(|v1| v1 as &dyn Hierarchy);
        legacy.chain(self.unified.iter().map(|v2| v2 as &dyn Hierarchy))
    }

    /// The hierarchy that says who is in a group.
    fn grouping(&self) -> Result<&dyn Hierarchy> {
        if let Some(v2) = &self.unified {
            return Ok(v2);
        }
        v1::freezer::grouping(&self.legacy).map(|v1| v1 as &dyn Hierarchy)
    }

    /// Writes what is given by the names of v2's files.
    fn apply_unified(&self, group: Group, limits: &LinuxResources) -> Result<()> {
        let available: Vec<&str> =
            self.unified.iter().flat_map(|v2| v2.controllers()).map(|controller| controller.name).collect();
        let settings = v2::unified::settings(limits, &available)?;
        match &self.unified {
            Some(v2) => controller::write_all(&v2.directory(group), settings),
            None => Ok(()),
        }
    }

    fn make(&self, group: Group, limits: &LinuxResources, made: &mut Vec<PathBuf>) -> Result<()> {
        let wants = |hierarchy: &dyn Hierarchy| hierarchy.controllers().iter().any(|c| c.is_wanted(limits));
        let legacy = self.legacy.iter().filter(|v1| !v1.is_on_demand() || wants(*v1));
        let legacy: Vec<&dyn Hierarchy> = legacy.map(|v1| v1 as &dyn Hierarchy).collect();
        let unified = self.unified.iter().map(|v2| v2 as &dyn Hierarchy);
        let hierarchies: Vec<&dyn Hierarchy> = legacy.into_iter().chain(unified).collect();
        for hierarchy in &hierarchies {
            if hierarchy.make(group)? {
                made.push(hierarchy.directory(group));
            }
            failpoint::reached("cgroup.begun");
        }
        if let Some(v2) = &self.unified {
            let needed = v2.controllers().iter().filter(|c| c.on_demand && c.is_wanted(limits));
            needed.into_iter().try_for_each(|controller| v2.enable_for(group, controller))?;
        }
        let mut controllers = Vec::new();
        for hierarchy in &hierarchies {
            for controller in hierarchy.controllers() {
                controllers.push(controller.name);
                controller.apply(&hierarchy.directory(group), limits)?;
            }
        }
        controller::refuse_unavailable(&controllers, limits)?;
        self.apply_unified(group, limits)?;
        match (&self.unified, devices::allow_list(limits)) {
            (Some(v2), Some(permissions)) => v2.devices.attach(&v2.directory(group), permissions),
            (None, Some(_)) if !controllers.contains(&"devices") => {
                Err(Error::NoController { limit: "devices", controller: "devices" })
            }
            _ => Ok(()),
        }
    }
}
