//! What a container's status repeats of its spec: resources and mounts. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, VolumeMountStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pod::quantity::Amount;
use crate::pod::spec::{RecursiveReadOnly, Resources, VolumeMount};

type List = BTreeMap<String, Quantity>;

/// Requests and limits; `None` if there are none.
pub fn resources(resources: &Resources) -> Option<ResourceRequirements> {
    let limits = limits(resources);
    let requests = requests(resources);
    (limits.is_some() || requests.is_some()).then_some(ResourceRequirements {
        limits,
        requests,
        ..ResourceRequirements::default()
    })
}

/// What it requests; `None` if that is nothing. Huge pages are requested as they are limited.
pub fn requests(resources: &Resources) -> Option<List> {
    let Resources { cpu_request_millis, memory_request, ephemeral_storage_request, .. } = *resources;
    list(resources, cpu_request_millis, memory_request, ephemeral_storage_request)
}

fn limits(resources: &Resources) -> Option<List> {
    let Resources { cpu_limit_millis, memory_limit, ephemeral_storage_limit, .. } = *resources;
    list(resources, cpu_limit_millis, memory_limit, ephemeral_storage_limit)
}

fn list(resources: &Resources, cpu: Option<u64>, memory: Option<u64>, storage: Option<u64>) -> Option<List> {
    let named = [
        ("cpu", cpu.map(Amount::Millis)),
        ("memory", memory.map(Amount::Bytes)),
        ("ephemeral-storage", storage.map(Amount::Bytes)),
    ];
    let named = named.into_iter().filter_map(|(name, amount)| Some((name.to_owned(), amount?)));
    let pages = resources
        .hugepage_limits
        .iter()
        .map(|(size, limit)| (format!("hugepages-{}", Amount::Bytes(*size)), Amount::Bytes(*limit)));
    let list: List = named.chain(pages).map(|(name, amount)| (name, Quantity(amount.to_string()))).collect();
    (!list.is_empty()).then_some(list)
}

/// The mounts, with what became of `recursiveReadOnly`; `None` if there are none.
pub fn volume_mounts(mounts: &[VolumeMount]) -> Option<Vec<VolumeMountStatus>> {
    let one = |mount: &VolumeMount| VolumeMountStatus {
        name: mount.volume.clone(),
        mount_path: mount.mount_path.display().to_string(),
        read_only: mount.read_only.then_some(true),
        recursive_read_only: mount.read_only.then(|| match mount.recursive_read_only {
            RecursiveReadOnly::Disabled => "Disabled".to_owned(),
            // Every kernel that is supported can do it.
            RecursiveReadOnly::IfPossible | RecursiveReadOnly::Enabled => "Enabled".to_owned(),
        }),
        ..VolumeMountStatus::default()
    };
    (!mounts.is_empty()).then(|| mounts.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::tests::volume_mount;

    #[test]
    fn resources_are_written_as_kubernetes_writes_them() {
        let asked = Resources {
            cpu_request_millis: Some(250),
            cpu_limit_millis: Some(2000),
            memory_limit: Some(64 << 20),
            hugepage_limits: [(2 << 20, 8 << 20)].into(),
            ..Resources::default()
        };
        let said = resources(&asked).unwrap();
        let text = |list: &Option<List>| -> String {
            let entries = list.iter().flatten().map(|(name, amount)| format!("{name}={}", amount.0));
            entries.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(text(&said.requests), "cpu=250m hugepages-2Mi=8Mi");
        assert_eq!(text(&said.limits), "cpu=2 hugepages-2Mi=8Mi memory=64Mi");
        assert_eq!(resources(&Resources::default()), None);
    }

    #[test]
    fn mounts_tell_what_became_of_recursive_read_only() {
        let mut mounts = vec![volume_mount("data", "/data", false), volume_mount("conf", "/etc/conf", true)];
        mounts.push(VolumeMount { recursive_read_only: RecursiveReadOnly::IfPossible, ..mounts[1].clone() });
        let said = volume_mounts(&mounts).unwrap();
        let modes: Vec<_> = said.iter().map(|m| (m.read_only, m.recursive_read_only.as_deref())).collect();
        assert_eq!(modes, [(None, None), (Some(true), Some("Disabled")), (Some(true), Some("Enabled"))]);
        assert_eq!((said[0].name.as_str(), said[0].mount_path.as_str()), ("data", "/data"));
    }
}
