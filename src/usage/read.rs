//! Finds the pods of a run directory and their cgroups, and reads the counters.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;

use super::network::{self, Interface};
use super::{ContainerUsage, PodUsage, Sample};
use crate::cgroup::{self, Cgroups};
use crate::config::Layout;
use crate::pod::{Pod, PodUid};
use crate::runtime::observe::{Observed, Sandbox};
use crate::runtime::pause;
use crate::shim::journal;
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
    network: Vec<Interface>,
    observed: Observed,
}

impl Running {
    fn find(layout: &Layout, uid: &PodUid) -> Option<Self> {
        let pod = store::read::<PodRecord>(&layout.pod_record(uid))?.understood().ok()?.pod;
        let records = journal::read(&layout.journal(uid)).ok()?;
        let pause = pause::of_records(&records)?;
        let mut observed = Observed::default();
        records.into_iter().for_each(|record| observed.fold(record));
        let Sandbox::Ready { since } = observed.sandbox else { return None };
        let group = pause::pod_group(&fs::read_to_string(format!("/proc/{pause}/cgroup")).ok()?, uid)?;
        let network = match pod.spec.host_network {
            true => Vec::new(),
            false => {
                network::parse(&fs::read_to_string(format!("/proc/{pause}/net/dev")).unwrap_or_default())
            }
        };
        Some(Self { pod, since, group, network, observed })
    }

    fn usage(self, cgroups: &Cgroups) -> Result<PodUsage, cgroup::Error> {
        let sample = |group: &Path| -> Result<Sample, cgroup::Error> {
            Ok(Sample { stats: cgroups.stats(group)?, at: Timestamp::now(), clock: Instant::now() })
        };
        let whole = sample(&self.group)?;
        let specs = self.pod.spec.every_container();
        let mut containers = Vec::new();
        for spec in specs {
            let Some(running) = self.observed.container(&spec.name).running() else { continue };
            let group = self.group.join(&running.id);
            containers.push(ContainerUsage {
                name: spec.name.clone(),
                id: running.id.clone(),
                sample: sample(&group)?,
                group: from_root(&group),
                image: spec.image.to_string(),
                asks: spec.resources.clone(),
                since: running.started_at,
            });
        }
        let group = from_root(&self.group);
        let Self { pod, since, network, .. } = self;
        Ok(PodUsage { key: pod.key, uid: pod.uid, since, group, network, whole, containers })
    }
}

fn from_root(group: &Path) -> String {
    format!("/{}", group.display())
}
