//! What a pod has on this node's disks: its record, the directories of its attempts, its logs.

use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::host::Host;
use super::owner::make_private_directory;
use super::{Error, pod_logs};
use crate::failpoint;
use crate::pod::{ContainerSpec, Pod};
use crate::state::record::PodRecord;
use crate::state::store::{self, Survive};
use crate::sys::tree;

/// Writes the record of a pod into its directory, which is made if it is missing.
pub fn write_record(record: &PodRecord, host: &Host, survive: Survive) -> Result<(), Error> {
    let uid = &record.pod.uid;
    let directory = host.layout.pod(uid);
    make_private_directory(&directory)
        .map_err(|error| Error(format!("make the directory {}: {error}", directory.display())))?;
    store::write(&host.layout.pod_record(uid), record, survive).map_err(|e| Error::chain(&e))
}

/// The directories of an attempt's writable layer and log, and the file of its last message; those of attempts that nobody asks for any more go.
pub(super) fn make_directories(
    pod: &Pod,
    spec: &ContainerSpec,
    attempt: u32,
    id: &str,
    host: &Host,
) -> Result<(), Error> {
    let layout = &host.layout;
    let attempt_dir = layout.attempt(&pod.uid, &spec.name, attempt);
    let failed =
        |path: &Path, error: io::Error| Error(format!("make the directory {}: {error}", path.display()));
    make_private_directory(&attempt_dir).map_err(|error| failed(&attempt_dir, error))?;
    failpoint::reached("attempt.made");
    let message = layout.termination_log(&pod.uid, &spec.name, attempt);
    make_termination_log(&message)
        .map_err(|error| Error(format!("make the termination log {}: {error}", message.display())))?;
    pod_logs::prepare(pod, &spec.name, attempt, id, layout)?;
    failpoint::reached("attempt.logged");
    if let Some(last) = attempt.checked_sub(1) {
        remove_tree(&layout.attempt(&pod.uid, &spec.name, last))?;
    }
    Ok(())
}

/// Makes the file that a container may leave a message in, whoever it runs as: nobody else gets into its directory. One that
/// is there already stays as it is, since an earlier agent may have asked for the same start.
fn make_termination_log(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)?;
    // The mode of open is subject to the umask.
    file.set_permissions(Permissions::from_mode(0o666))
}

/// Everything of the pod below the agent's directories. The run directory goes last: its lock keeps others away.
pub(super) fn remove_files(pod: &Pod, host: &Host) -> Result<(), Error> {
    let layout = &host.layout;
    pod_logs::remove(pod, layout)?;
    failpoint::reached("removal.logs_removed");
    remove_tree(&layout.pod(&pod.uid))?;
    failpoint::reached("removal.files_removed");
    remove_tree(&layout.run_pod(&pod.uid))?;
    failpoint::reached("removal.run_removed");
    host.remove_empty_directories()
}

/// Removes a directory and all below it. Fine when it is not there.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    tree::remove(path).map_err(|error| Error(format!("remove {}: {error}", path.display())))
}
