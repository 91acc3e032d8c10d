//! Version 1: a hierarchy per controller, or per few of them.

pub(crate) mod cpu;
pub(crate) mod devices;
pub(crate) mod freezer;
pub(crate) mod memory;
pub(crate) mod pids;

use std::path::{Path, PathBuf};

use super::Result;
use super::controller::Controller;
use super::hierarchy;

/// The controllers whose limits can be set.
const CONTROLLERS: [&Controller; 4] =
    [&cpu::CONTROLLER, &memory::CONTROLLER, &pids::CONTROLLER, &devices::CONTROLLER];

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

    /// Every group of a v1 hierarchy has its controllers.
    fn open_to_children(&self, _directory: &Path) -> Result<()> {
        Ok(())
    }
}
