//! Version 1: a hierarchy per controller, or per few of them.

pub(crate) mod cpu;
pub(crate) mod cpuacct;
pub(crate) mod cpuset;
pub(crate) mod devices;
pub(crate) mod freezer;
pub(crate) mod hugetlb;
pub(crate) mod io;
pub(crate) mod memory;
pub(crate) mod pids;

use std::path::{Path, PathBuf};

use super::Result;
use super::controller::Controller;
use super::hierarchy;

/// The controllers that are used.
const CONTROLLERS: [&Controller; 8] = [
    &cpu::CONTROLLER,
    &cpuacct::CONTROLLER,
    &memory::CONTROLLER,
    &pids::CONTROLLER,
    &io::CONTROLLER,
    &devices::CONTROLLER,
    &cpuset::CONTROLLER,
    &hugetlb::CONTROLLER,
];

/// A mounted v1 hierarchy.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    mount: PathBuf,
    /// Every controller that is mounted here, limits or not.
    names: Vec<String>,
    options: String,
    controllers: Vec<&'static Controller>,
}

impl Hierarchy {
    /// The hierarchy of these controllers, mounted together at `mount`.
    pub(crate) fn new(mount: PathBuf, names: Vec<String>) -> Self {
        let controllers =
            CONTROLLERS.into_iter().filter(|c| names.iter().any(|name| name == c.name)).collect();
        Self { mount, options: names.join(","), names, controllers }
    }

    /// True if the controller is mounted here.
    pub(crate) fn has(&self, controller: &str) -> bool {
        self.names.iter().any(|name| name == controller)
    }

    /// Joined only by groups with a limit of its own.
    pub(crate) fn is_on_demand(&self) -> bool {
        self.controllers.len() == self.names.len() && self.controllers.iter().all(|c| c.on_demand)
    }

    /// What to mount it with: the controllers, comma-separated.
    pub(crate) fn options(&self) -> &str {
        &self.options
    }
}

impl hierarchy::Hierarchy for Hierarchy {
    fn mount(&self) -> &Path {
        &self.mount
    }

    fn controllers(&self) -> &[&'static Controller] {
        &self.controllers
    }

    fn prepare(&self, directory: &Path) -> Result<()> {
        if self.has(cpuset::CONTROLLER.name) { cpuset::inherit(directory) } else { Ok(()) }
    }

    /// Every group of a v1 hierarchy has its controllers.
    fn open_to_children(&self, _directory: &Path) -> Result<()> {
        Ok(())
    }
}
