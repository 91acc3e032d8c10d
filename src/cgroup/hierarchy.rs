//! What a v1 hierarchy and the v2 hierarchy have in common: groups are directories, members are in cgroup.procs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::controller::Controller;
use super::group::Group;
use super::stats::Stats;
use super::{Result, file};

/// How often a parent that somebody else removes meanwhile is made again.
const ATTEMPTS: usize = 8;

/// One mounted hierarchy.
pub(crate) trait Hierarchy {
    /// Where it is mounted.
    fn mount(&self) -> &Path;

    /// The controllers whose limits can be set in it.
    fn controllers(&self) -> &[&'static Controller];

    /// Lets the groups below `directory` have limits, once it is to have such groups.
    fn open_to_children(&self, directory: &Path) -> Result<()>;

    /// Makes a new group fit for processes.
    fn prepare(&self, _directory: &Path) -> Result<()> {
        Ok(())
    }

    /// Reads what is counted in a group's directory.
    fn count(&self, directory: &Path, stats: &mut Stats) -> Result<()> {
        self.controllers().iter().try_for_each(|controller| (controller.count)(directory, stats))
    }

    /// Where `group` is.
    fn directory(&self, group: Group<'_>) -> PathBuf {
        self.mount().join(group.as_path())
    }

    /// Makes `group`, its parents too when they are missing. True if it was not there before.
    fn make(&self, group: Group<'_>) -> Result<bool> {
        let new = self.make_directory(group, ATTEMPTS)?;
        let above = group.parent().map_or_else(|| self.mount().to_owned(), |parent| self.directory(parent));
        // Controllers for a group that was there as well: who made it may have got no further.
        let opened = self.open_to_children(&above);
        let prepared = opened.and_then(|()| if new { self.prepare(&self.directory(group)) } else { Ok(()) });
        prepared.inspect_err(|_| {
            if new {
                // Of the two failures the first is the one to tell.
                let _ = fs::remove_dir(self.directory(group));
            }
        })?;
        Ok(new)
    }

    /// Makes the directory first, and a parent only when it turns out to be missing: as a rule this is one system call.
    fn make_directory(&self, group: Group<'_>, attempts: usize) -> Result<bool> {
        let directory = self.directory(group);
        match (fs::create_dir(&directory), group.parent()) {
            (Ok(()), _) => Ok(true),
            (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound && attempts > 0 => {
                self.make(parent)?;
                self.make_directory(group, attempts - 1)
            }
            (Err(error), _) => Err(file::failed("mkdir", &directory, error)),
        }
    }

    /// The processes in `group` and below it.
    fn processes(&self, group: Group<'_>) -> Result<Vec<i32>> {
        let mut processes = Vec::new();
        collect_processes(&self.directory(group), &mut processes)?;
        Ok(processes)
    }
}

/// The groups right below a group; none when it is not there.
pub(crate) fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file::failed("read directory", directory, error)),
    };
    let groups = entries.filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => Some(Ok(entry.path())),
        Ok(_) => None,
        Err(error) => Some(Err(file::failed("read directory", directory, error))),
    });
    groups.collect()
}

fn collect_processes(directory: &Path, processes: &mut Vec<i32>) -> Result<()> {
    match file::read(&directory.join("cgroup.procs")) {
        // Processes outside of this PID namespace are listed as 0, which as the target of a signal means one's own group.
        Ok(text) => {
            processes.extend(text.lines().filter_map(|line| line.parse().ok()).filter(|pid: &i32| *pid > 0))
        }
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    }
    children(directory)?.iter().try_for_each(|child| collect_processes(child, processes))
}
