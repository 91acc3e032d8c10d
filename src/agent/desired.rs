//! The images that pods name which the agent's sources want, whether these have been taken on yet or not: none of them is thrown away.

use std::collections::{BTreeMap, BTreeSet};

use crate::pod::spec::VolumeSource;
use crate::pod::{Pod, SourceKind};

/// Images by source; `None` as long as a source has not said what it wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired(BTreeMap<SourceKind, Option<BTreeSet<String>>>);

impl Desired {
    /// Nothing has been heard of these yet.
    pub(super) fn of(sources: &[SourceKind]) -> Self {
        Self(sources.iter().map(|source| (*source, None)).collect())
    }

    /// A source wants these pods, and no others.
    pub(super) fn tell<'p>(&mut self, source: SourceKind, pods: impl Iterator<Item = &'p Pod>) {
        self.0.insert(source, Some(pods.flat_map(images).collect()));
    }

    /// Whether all sources have said what they want.
    pub(super) fn is_complete(&self) -> bool {
        self.0.values().all(Option::is_some)
    }

    /// All images, as the pods write them.
    pub(super) fn images(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self.0.values().flatten().flatten().collect();
        all.into_iter().cloned().collect()
    }
}

fn images(pod: &Pod) -> impl Iterator<Item = String> {
    let volumes = pod.spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Image { reference, .. } => Some(reference.clone()),
        _ => None,
    });
    pod.spec.every_container().map(|container| container.image.clone()).chain(volumes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn each_source_is_waited_for_and_each_takes_back_what_it_wanted() {
        let mut pod = fixture::pod(RestartPolicy::Always, &["i"], &["c"]);
        pod.spec.init_containers[0].image = "init:1".to_owned();
        pod.spec.containers[0].image = "main:1".to_owned();
        let mut desired = Desired::of(&[SourceKind::Api, SourceKind::File]);
        desired.tell(SourceKind::Api, [&pod].into_iter());
        assert!(!desired.is_complete());
        assert_eq!(desired.images(), ["init:1", "main:1"]);
        pod.spec.containers[0].image = "other:1".to_owned();
        desired.tell(SourceKind::File, [&pod].into_iter());
        assert!(desired.is_complete());
        assert_eq!(desired.images(), ["init:1", "main:1", "other:1"]);
        desired.tell(SourceKind::Api, [].into_iter());
        assert_eq!(desired.images(), ["init:1", "other:1"]);
    }
}
