//! Which pods of this root directory name which images: those images stay.
//!
//! Read from the pods' records on disk, the only thing that all agents of a root directory share. A record that cannot
//! be read is passed over: it starts no container either.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

/// Largest record that is read.
const MAX_RECORD: u64 = 16 << 20;

/// A pod and the images that its containers were made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    /// `namespace/name`.
    pub(super) name: String,
    /// As the pod wrote them.
    pub(super) images: Vec<String>,
}

/// Reads `pods/*/pod.json`.
pub(super) fn read(pods: &Path) -> Vec<Pod> {
    let Ok(entries) = std::fs::read_dir(pods) else {
        return Vec::new();
    };
    entries.filter_map(|entry| read_one(&entry.ok()?.path().join("pod.json"))).collect()
}

// The part of the record that matters here; the state room writes it.
#[derive(Deserialize)]
struct Record {
    pod: PodPart,
}

#[derive(Deserialize)]
struct PodPart {
    key: Key,
    spec: Spec,
}

#[derive(Deserialize)]
struct Key {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(default)]
    init_containers: Vec<Container>,
    containers: Vec<Container>,
    #[serde(default)]
    ephemeral_containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
struct Volume {
    source: Source,
}

/// What a volume is made of; most kinds are no images.
#[derive(Deserialize)]
#[serde(untagged)]
enum Source {
    #[serde(rename_all = "PascalCase")]
    Image {
        image: VolumeImage,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct VolumeImage {
    reference: String,
}

#[derive(Deserialize)]
struct Container {
    image: String,
}

fn read_one(path: &Path) -> Option<Pod> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
    let PodPart { key, spec } = serde_json::from_slice::<Record>(&bytes).ok()?.pod;
    let containers = spec.init_containers.into_iter().chain(spec.containers).chain(spec.ephemeral_containers);
    let volumes = spec.volumes.into_iter().filter_map(|volume| match volume.source {
        Source::Image { image } => Some(image.reference),
        Source::Other(_) => None,
    });
    Some(Pod {
        name: format!("{}/{}", key.namespace, key.name),
        images: containers.map(|container| container.image).chain(volumes).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_containers_and_of_volumes_are_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("uid");
        std::fs::create_dir(&pod).unwrap();
        let record = r#"{"version": 1, "pod": {"key": {"namespace": "shop", "name": "web"}, "spec": {
            "init_containers": [{"image": "first"}],
            "containers": [{"image": "nginx", "name": "c"}],
            "ephemeral_containers": [{"image": "debug"}],
            "volumes": [
                {"name": "a", "source": {"EmptyDir": {"medium": "Disk", "size_limit": null}}},
                {"name": "b", "source": {"Image": {"reference": "files:1", "pull_policy": "Never"}}},
                {"name": "c", "source": {"Projected": {"sources": [], "default_mode": 420}}}
            ]}}}"#;
        std::fs::write(pod.join("pod.json"), record).unwrap();
        let images = ["first", "nginx", "debug", "files:1"].map(str::to_owned).to_vec();
        assert_eq!(read(dir.path()), [Pod { name: "shop/web".to_owned(), images }]);
    }
}
