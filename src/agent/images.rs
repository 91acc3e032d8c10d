//! The images that a Node object tells of, as a kubelet tells them: schedulers prefer the node that has a pod's image.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ContainerImage;

use crate::image::Stored;

/// Names of an image that are told (the kubelet's MaxNamesPerImageInNodeStatus).
const MAX_NAMES: usize = 5;

/// The images, the largest first, no more than `most` of them; `None` is any number.
pub(super) fn images(stored: Vec<Stored>, most: Option<usize>) -> Vec<ContainerImage> {
    let mut images: BTreeMap<String, (u64, Vec<Stored>)> = BTreeMap::new();
    for image in stored {
        let (size, names) = images.entry(image.id.clone()).or_default();
        *size = image.size.max(*size);
        names.push(image);
    }
    let mut images: Vec<_> = images.into_values().collect();
    images.sort_by_key(|(size, _)| Reverse(*size));
    let told = |(size, names): (u64, Vec<Stored>)| {
        // One whose name has moved on is found by its digest alone.
        let tags = names.iter().filter(|image| !image.replaced).map(|image| image.reference.clone());
        let mut all: Vec<String> = names.iter().filter_map(Stored::by_digest).collect();
        all.dedup();
        all.extend(tags);
        all.truncate(MAX_NAMES);
        ContainerImage { names: Some(all), size_bytes: i64::try_from(size).ok() }
    };
    images.into_iter().take(most.unwrap_or(usize::MAX)).map(told).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn stored(reference: &str, id: &str, size: u64, replaced: bool) -> Stored {
        Stored {
            reference: reference.to_owned(),
            id: id.to_owned(),
            size,
            digest: format!("sha256:{id}"),
            created: None,
            imported: Timestamp::UNIX_EPOCH,
            is_local: false,
            replaced,
        }
    }

    #[test]
    fn each_image_is_told_once_with_its_digests_first_and_the_largest_first() {
        let all = || {
            vec![
                stored("r.io/a:1", "a", 10, false),
                stored("r.io/a:2", "a", 10, false),
                stored("oci:/srv/b", "b", 30, false),
                stored("r.io/c:1", "c", 20, true),
            ]
        };
        let told = |most| {
            let image = |image: ContainerImage| (image.names.unwrap().join(" "), image.size_bytes.unwrap());
            images(all(), most).into_iter().map(image).collect::<Vec<_>>()
        };
        let a = "r.io/a@sha256:a r.io/a:1 r.io/a:2";
        let expected = [("oci:/srv/b", 30), ("r.io/c@sha256:c", 20), (a, 10)];
        assert_eq!(told(None), expected.map(|(names, size)| (names.to_owned(), size)));
        assert_eq!(told(Some(2)).len(), 2);
        let many = (0..9).map(|tag| stored(&format!("r.io/a:{tag}"), "a", 1, false)).collect();
        assert_eq!(images(many, None)[0].names.as_ref().unwrap().len(), 5);
    }
}
