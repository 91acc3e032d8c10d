//! Killing on v1: the freezer holds a group still while its processes are signalled.

use crate::cgroup::group::Group;
use crate::cgroup::kill::{Freezer, by_signals};
use crate::cgroup::{Error, Result};

use super::Hierarchy;

const FREEZER: Freezer = Freezer { file: "freezer.state", frozen: "FROZEN", thawed: "THAWED" };

/// The hierarchy that says who is in a group: the freezer's, else any.
pub(crate) fn grouping(hierarchies: &[Hierarchy]) -> Result<&Hierarchy> {
    let freezer = hierarchies.iter().find(|hierarchy| hierarchy.has("freezer"));
    freezer.or_else(|| hierarchies.first()).ok_or_else(|| Error::NotMounted("/sys/fs/cgroup".into()))
}

/// Kills everything in `group` and below it.
pub(crate) fn kill(hierarchies: &[Hierarchy], group: Group<'_>) -> Result<()> {
    by_signals(grouping(hierarchies)?, group, FREEZER)
}
