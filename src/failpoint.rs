//! Points at which a test has a process die as by kill -9: beside every step that changes what outlives the process.
//!
//! With the cargo feature `failpoints`, which no binary that is shipped has, each point is one of the crate `fail`: `FAILPOINTS` names for
//! each a file, its token, as `POINT=return(PATH);...`. Whoever reaches a point and can remove its token has found it armed, and kills itself:
//! once, so that the process that comes after it passes. Without the feature there is nothing: no dependency, no call, no name.
//!
//! [`POINTS`] is the table of all. A unit test holds it against the sources, and `tests/e2e/failpoints` demands of each point that a process
//! has died there, and that what comes back is right.

use std::path::Path;

/// The variable of the environment that says where tokens are.
#[cfg(feature = "failpoints")]
const VARIABLE: &str = "FAILPOINTS";

/// Every point, by what has happened when it is reached.
pub const POINTS: &[&str] = &[
    // The steps of `state::replace`, for each file that is replaced so. The scratch file is there and empty; it is complete; it is on the
    // disk; it has the file's name; that name is on the disk. What need not survive the loss of power is not waited for.
    "pod.json.created",
    "pod.json.written",
    "pod.json.synced",
    "pod.json.renamed",
    "pod.json.kept",
    "probes.json.created",
    "probes.json.written",
    "probes.json.renamed",
    "conditions.json.created",
    "conditions.json.written",
    "conditions.json.renamed",
    "revisions.json.created",
    "revisions.json.written",
    "revisions.json.synced",
    "revisions.json.renamed",
    "revisions.json.kept",
    "oci-layout.created",
    "oci-layout.written",
    "oci-layout.synced",
    "oci-layout.renamed",
    "oci-layout.kept",
    "index.json.created",
    "index.json.written",
    "index.json.synced",
    "index.json.renamed",
    "index.json.kept",
    // The number of the boot is beside its file, and in it.
    "boot.written",
    "boot.renamed",
    // A pod has its run directory and its lock, and no record.
    "admission.owned",
    // A control group is there in one hierarchy; in all, with its limits.
    "cgroup.begun",
    "cgroup.made",
    // The shim's socket is bound; the shim is on its way.
    "shim.bound",
    "shim.spawned",
    // The file of an address is there and empty; it names the pod; the address is the last one that was given.
    "ipam.created",
    "ipam.written",
    "ipam.noted",
    // The network's table is there without its bridge; the bridge, without an address; both are whole.
    "network.table_made",
    "network.bridge_made",
    "network.bridge_ready",
    // The pod's cable is plugged in; its end has its address.
    "network.cable_made",
    "network.cable_ready",
    // A file of the pod's /etc is there and empty.
    "etc.created",
    // The host's ids of a pod: the file is there and empty; it names the pod.
    "ids.created",
    "ids.written",
    // A volume of files: they are there, beside those that count; the link is there, beside the one that counts; it counts.
    "files.written",
    "files.linked",
    "files.renamed",
    // The directory of an attempt is there; so are its log's and the link to that; the shim has answered.
    "attempt.made",
    "attempt.logged",
    "attempt.started",
    // The end of a pod, step by step.
    "removal.shim_ended",
    "removal.group_removed",
    "removal.ids_released",
    "removal.cable_removed",
    "removal.address_released",
    "removal.leases_removed",
    "removal.bridge_removed",
    "removal.table_removed",
    "removal.network_removed",
    "removal.logs_removed",
    "removal.files_removed",
    "removal.run_removed",
    // The objects of the API: their file is there, without a table; a change is in it, and not committed; it is committed; it is told;
    // what could wait is about to be flushed; it is.
    "objects.created",
    "objects.written",
    "objects.committed",
    "objects.applied",
    "objects.flushing",
    "objects.flushed",
    // Images: a blob is there without its name; it has it, among those that are on their way, and in the store. A layer's directory is there and
    // empty; it is full, without its name; it has it. A layer that nobody needs has no name any more; it is gone.
    "download.received",
    "download.kept",
    "blob.received",
    "blob.kept",
    "layer.begun",
    "layer.unpacked",
    "layer.kept",
    "layer.moved",
    "layer.removed",
    // The shim: its journal is there; each event is about to be in it; is in it, and not told.
    "journal.opened",
    "shimStarted.next",
    "shimStarted.written",
    "sandboxStarted.next",
    "sandboxStarted.written",
    "sandboxExited.next",
    "sandboxExited.written",
    "containerStarting.next",
    "containerStarting.written",
    "containerStarted.next",
    "containerStarted.written",
    "containerStartFailed.next",
    "containerStartFailed.written",
    "containerExited.next",
    "containerExited.written",
    "containersReset.next",
    "containersReset.written",
    // /dev/shm is mounted; pause is cloned; a container is; its group is gone after its end.
    "sandbox.mounted",
    "sandbox.cloned",
    "container.cloned",
    "container.removed",
    // A log's rotation: the oldest file is gone; the full one has another name; the new one is there.
    "log.dropped",
    "log.moved",
    "log.begun",
];

/// Reads the environment. Points are armed for as long as what is returned lives.
#[cfg(feature = "failpoints")]
pub fn set_up() -> fail::FailScenario<'static> {
    fail::FailScenario::setup()
}

/// Dies if the point is armed: at once, or after as many milliseconds as the token says, of which others make use.
#[cfg(feature = "failpoints")]
pub fn reached(point: &str) {
    fail::fail_point!(point, |token| {
        let Some(token) = token else { return };
        let delay = std::fs::read_to_string(&token).ok().and_then(|text| text.parse().ok());
        if std::fs::remove_file(token).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(delay.unwrap_or(0)));
            // Nothing is unwound, flushed or told. It cannot fail: a process may always signal itself.
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    });
}

/// Likewise at a step of writing a file, or an event, which is a point of its own for each: the file's name, then the step's.
#[cfg(feature = "failpoints")]
pub fn reached_of(subject: impl AsRef<Path>, step: &str) {
    let name = subject.as_ref().file_name().unwrap_or_default().to_string_lossy();
    reached(&format!("{name}.{step}"));
}

/// Gives a program that is started from here the same points.
#[cfg(feature = "failpoints")]
pub fn pass_on(command: &mut std::process::Command) {
    if let Some(points) = std::env::var_os(VARIABLE) {
        command.env(VARIABLE, points);
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn reached(_point: &str) {}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reached_of(_subject: impl AsRef<Path>, _step: &str) {}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn pass_on(_command: &mut std::process::Command) {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sources(directory: &Path, found: &mut String) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("failpoint.rs")
            {
                found.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    /// The last argument of each call, which is in quotes.
    fn named<'a>(text: &'a str, call: &'a str) -> Vec<&'a str> {
        text.split(call).skip(1).filter_map(|rest| rest.split(");").next()?.split('"').nth(1)).collect()
    }

    #[test]
    fn every_place_of_the_sources_is_in_the_table_and_no_name_is_there_twice() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let (places, steps) = (named(&text, "failpoint::reached("), named(&text, "failpoint::reached_of("));
        for place in &places {
            assert!(POINTS.contains(place), "{place} is not in the table");
            assert_eq!(places.iter().filter(|other| *other == place).count(), 1, "{place} is at two places");
        }
        for point in POINTS {
            assert_eq!(POINTS.iter().filter(|other| *other == point).count(), 1, "{point} is there twice");
            let step = point.rsplit('.').next().unwrap();
            assert!(places.contains(point) || steps.contains(&step), "{point} is nowhere");
        }
        for step in steps {
            assert!(
                POINTS.iter().any(|point| !places.contains(point) && point.ends_with(&format!(".{step}"))),
                "{step}"
            );
        }
    }
}
