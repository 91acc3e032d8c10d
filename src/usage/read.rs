//! Finds the pods of a run directory and their cgroups, and reads the counters.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use super::{ContainerUsage, PodUsage, Sample};
use crate::cgroup::{self, Cgroups};
use crate::config::Layout;
use crate::pod::{ContainerName, Pod, PodUid};
use crate::runtime::observe::{Observed, Sandbox};
use crate::shim::journal;
use crate::shim::protocol::Event;
use crate::state::record::PodRecord;
use crate::state::store;

/// Every pod whose sandbox runs, ordered by namespace and name. One that ends meanwhile is left out.
pub fn read(layout: &Layout, cgroups: &Cgroups) -> Result<Vec<PodUsage>, cgroup::Error> {
    let entries = fs::read_dir(layout.run_pods()).into_iter().flatten().flatten();
    let uids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pods = uids.filter_map(|uid: PodUid| Running::find(layout, &uid));
    let mut usage = pods.map(|pod| pod.usage(cgroups)).collect::<Result<Vec<_>, _>>()?;
    usage.sort_by(|a, b| (&a.key.namespace, &a.key.name).cmp(&(&b.key.namespace, &b.key.name)));
    Ok(usage)
}

/// A pod that runs, as its record, its journal and /proc have it.
struct Running {
    pod: Pod,
    since: Timestamp,
    group: PathBuf,
    observed: Observed,
}

impl Running {
    fn find(layout: &Layout, uid: &PodUid) -> Option<Self> {
        let pod = store::read::<PodRecord>(&layout.pod_record(uid))?.understood().ok()?.pod;
        let (mut observed, mut pause) = (Observed::default(), None);
        for record in journal::read(&layout.journal(uid)).ok()? {
            if let Event::SandboxStarted { pid } = record.event {
                pause = Some(pid);
            }
            observed.fold(record);
        }
        let Sandbox::Ready { since } = observed.sandbox else { return None };
        let group = pod_group(&fs::read_to_string(format!("/proc/{}/cgroup", pause?)).ok()?, uid)?;
        Some(Self { pod, since, group, observed })
    }

    fn usage(self, cgroups: &Cgroups) -> Result<PodUsage, cgroup::Error> {
        let sample = |group: &Path| -> Result<Sample, cgroup::Error> {
            Ok(Sample { stats: cgroups.stats(group)?, at: Timestamp::now(), clock: Instant::now() })
        };
        let whole = sample(&self.group)?;
        let specs = self.pod.spec.every_container();
        let mut containers = Vec::new();
        for name in specs.map(|spec| &spec.name) {
            let Some(running) = self.observed.container(name).running() else { continue };
            let sample = sample(&self.group.join(&running.id))?;
            let (name, id): (ContainerName, String) = (name.clone(), running.id.clone());
            containers.push(ContainerUsage { name, id, since: running.started_at, sample });
        }
        Ok(PodUsage { key: self.pod.key, uid: self.pod.uid, since: self.since, whole, containers })
    }
}

/// The pod's group in /proc/PID/cgroup of one of its processes (cgroups(7)). `None` for a process of somebody else, who has the
/// number now.
fn pod_group(text: &str, uid: &PodUid) -> Option<PathBuf> {
    let name = format!("pod{uid}");
    let mut paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let group = paths.find_map(|path| Path::new(path).ancestors().find(|group| group.ends_with(&name)))?;
    group.strip_prefix("/").ok().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_group_is_found_on_every_kind_of_host_and_never_a_strangers() {
        let uid: PodUid = "u-1".parse().unwrap();
        for (text, expected) in [
            ("0::/kubepods/podu-1/abc\n", Some("kubepods/podu-1")),
            (
                "0::/system.slice/m.service/kubepods/burstable/podu-1/abc\n",
                Some("system.slice/m.service/kubepods/burstable/podu-1"),
            ),
            ("4:memory:/\n3:cpu,cpuacct:/kubepods/podu-1/abc\n", Some("kubepods/podu-1")),
            ("0::/kubepods/podu-12/abc\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(pod_group(text, &uid), expected.map(PathBuf::from), "{text}");
        }
    }
}
