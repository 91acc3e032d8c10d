//! Processors and memory nodes on v1, where a new group has none until it is told.

use std::path::Path;

use crate::cgroup::controller::Controller;
use crate::cgroup::{Result, file, v2};

/// The controller: the same files and values as on v2.
pub(crate) const CONTROLLER: Controller = v2::cpuset::CONTROLLER;

/// Gives a new group all that the group above has: one without processors or memory takes no process in.
pub(crate) fn inherit(directory: &Path) -> Result<()> {
    let Some(above) = directory.parent() else { return Ok(()) };
    for name in ["cpuset.cpus", "cpuset.mems"] {
        file::write(&directory.join(name), file::read(&above.join(name))?.trim_end())?;
    }
    Ok(())
}
