//! Version 2: one hierarchy, whose controllers are enabled from the root down.

pub(crate) mod cpu;
pub(crate) mod cpuset;
pub(crate) mod devices;
pub(crate) mod hugetlb;
pub(crate) mod io;
pub(crate) mod memory;
pub(crate) mod pids;
pub(crate) mod pressure;
pub(crate) mod unified;

use std::path::{Path, PathBuf};

use super::controller::Controller;
use super::group::Group;
use super::hierarchy::{self, Hierarchy as _};
use super::kill::{Freezer, by_signals};
use super::stats::Stats;
use super::{Error, Result, file};

/// The controllers that are used.
const CONTROLLERS: [&Controller; 6] = [
    &cpu::CONTROLLER,
    &memory::CONTROLLER,
    &pids::CONTROLLER,
    &io::CONTROLLER,
    &cpuset::CONTROLLER,
    &hugetlb::CONTROLLER,
];

pub(super) const FREEZER: Freezer = Freezer { file: "cgroup.freeze", frozen: "1", thawed: "0" };

/// The mounted v2 hierarchy.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    mount: PathBuf,
    controllers: Vec<&'static Controller>,
    /// What is written to cgroup.subtree_control: `+cpu +memory`; empty without controllers that every group has.
    enable: String,
    /// Device programs, which need no controller.
    pub(crate) devices: devices::Programs,
}

impl Hierarchy {
    /// The hierarchy mounted at `mount`, with those controllers that no v1 hierarchy has taken.
    pub(crate) fn open(mount: PathBuf) -> Result<Self> {
        let available = file::read(&mount.join("cgroup.controllers"))?;
        let has = |controller: &&Controller| available.split_whitespace().any(|name| name == controller.name);
        let controllers: Vec<_> = CONTROLLERS.into_iter().filter(has).collect();
        let always = controllers.iter().filter(|c| !c.on_demand).map(|c| format!("+{}", c.name));
        let enable = always.collect::<Vec<_>>().join(" ");
        Ok(Self { mount, controllers, enable, devices: devices::Programs::default() })
    }

    /// SIGKILL to everything in `group` and below it.
    pub(crate) fn kill(&self, group: Group<'_>) -> Result<()> {
        match file::write(&self.directory(group).join("cgroup.kill"), "1") {
            // Either there is no such group, and the slow way finds nobody in it, or the kernel is older than 5.14.
            Err(error) if error.is_absent() => by_signals(self, group, FREEZER),
            other => other,
        }
    }

    /// True if there is a process in `group` or below it.
    pub(crate) fn is_populated(&self, group: Group<'_>) -> Result<bool> {
        Ok(file::count(&self.directory(group).join("cgroup.events"), "populated")? > 0)
    }

    /// Enables one controller in all the groups above `group`, from the root down.
    pub(crate) fn enable_for(&self, group: Group<'_>, controller: &Controller) -> Result<()> {
        let above = match group.parent() {
            Some(parent) => {
                self.enable_for(parent, controller)?;
                self.directory(parent)
            }
            None => self.mount.clone(),
        };
        file::write(&above.join("cgroup.subtree_control"), &format!("+{}", controller.name))
    }

    /// Enables the controllers in one group for those below it.
    fn enable(&self, directory: &Path) -> Result<()> {
        match file::write(&directory.join("cgroup.subtree_control"), &self.enable) {
            Err(error) if error.errno() == Some(libc::EBUSY) => {
                Err(Error::InnerProcesses(directory.to_owned()))
            }
            other => other,
        }
    }

    /// Enables what is to be had, one by one: a group above may have been left without some controller.
    fn enable_each(&self, directory: &Path) -> Result<()> {
        for controller in self.controllers.iter().filter(|controller| !controller.on_demand) {
            match file::write(&directory.join("cgroup.subtree_control"), &format!("+{}", controller.name)) {
                Err(error) if error.is_absent() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

impl hierarchy::Hierarchy for Hierarchy {
    fn mount(&self) -> &Path {
        &self.mount
    }

    fn controllers(&self) -> &[&'static Controller] {
        &self.controllers
    }

    fn count(&self, directory: &Path, stats: &mut Stats) -> Result<()> {
        if stats.cpu.is_none() {
            cpu::time(directory, stats)?;
        }
        pressure::count(directory, stats)?;
        self.controllers.iter().try_for_each(|controller| (controller.count)(directory, stats))
    }

    fn open_to_children(&self, directory: &Path) -> Result<()> {
        if self.enable.is_empty() {
            return Ok(());
        }
        match self.enable(directory) {
            // A group can hand on only what the one above hands to it.
            Err(error) if error.is_absent() => match directory.parent().filter(|_| directory != self.mount) {
                Some(parent) => {
                    self.open_to_children(parent)?;
                    self.enable_each(directory)
                }
                None => self.enable_each(directory),
            },
            other => other,
        }
    }
}
