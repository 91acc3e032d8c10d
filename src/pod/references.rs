//! Which objects of its namespace a pod refers to.

use std::collections::BTreeSet;

use super::spec::{ObjectKind, Projection, ValueSource, VolumeSource};
use super::{ContainerSpec, PodSpec};

/// The kinds and names of the ConfigMaps and Secrets that environments and volumes of the pod use, optional ones too.
pub fn of(spec: &PodSpec) -> BTreeSet<(ObjectKind, &str)> {
    let containers = spec.init_containers.iter().chain(&spec.containers).chain(&spec.ephemeral_containers);
    let volumes = spec.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Projected { sources, .. } => Some(sources),
        _ => None,
    });
    let projected = volumes.flatten().filter_map(|projection| match projection {
        Projection::ConfigMap(object) => Some((ObjectKind::ConfigMap, object.name.as_str())),
        Projection::Secret(object) => Some((ObjectKind::Secret, object.name.as_str())),
        Projection::DownwardApi(_) => None,
    });
    containers.flat_map(of_container).chain(projected).collect()
}

fn of_container(container: &ContainerSpec) -> impl Iterator<Item = (ObjectKind, &str)> {
    let single = container.env.iter().filter_map(|variable| match variable.value_from.as_ref()? {
        ValueSource::ConfigMapKey(key) => Some((ObjectKind::ConfigMap, key.name.as_str())),
        ValueSource::SecretKey(key) => Some((ObjectKind::Secret, key.name.as_str())),
        ValueSource::Field(_) | ValueSource::Resource(_) | ValueSource::FileKey(_) => None,
    });
    single.chain(container.env_from.iter().map(|from| (from.kind, from.name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_and_volumes_of_every_kind_of_container_count() {
        let text = "
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: i, image: i, env: [{name: A, valueFrom: {configMapKeyRef: {name: one, key: k}}}]}
  containers:
  - name: c
    image: i
    env: [{name: B, valueFrom: {secretKeyRef: {name: two, key: k}}}, {name: C, value: x}]
    envFrom: [{configMapRef: {name: three}}, {secretRef: {name: four, optional: true}}]
  volumes:
  - {name: v1, configMap: {name: five}}
  - {name: v2, secret: {secretName: six}}
  - {name: v3, projected: {sources: [{configMap: {name: one}}, {secret: {name: seven}}]}}
  - {name: v4, emptyDir: {}}
";
        let manifest = crate::pod::decode(text.as_bytes(), "f").unwrap_or_else(|why| panic!("{why}"));
        let found = of(&manifest.pods[0].spec);
        let names =
            |kind| found.iter().filter(|(of, _)| *of == kind).map(|(_, name)| *name).collect::<Vec<_>>();
        assert_eq!(names(ObjectKind::ConfigMap), ["five", "one", "three"]);
        assert_eq!(names(ObjectKind::Secret), ["four", "seven", "six", "two"]);
    }
}
