//! Loading and saving: archives of others and our own.

use oci_spec::image::ANNOTATION_REF_NAME;

use super::super::Format;
use super::super::source::CONTAINERD_NAME;
use super::*;

/// An archive of these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

/// As `docker save` writes it: two images with a layer in common, one of them with two names.
fn of_docker() -> Vec<u8> {
    let second = Tar::new().dir("etc/").file("etc/second", "2").finish();
    let [one, two] = [vec![hello()], vec![hello(), second.clone()]].map(|layers| {
        config(&layers.iter().map(|layer| Digest::of(layer).to_string()).collect::<Vec<_>>()).to_string()
    });
    let manifest = json!([
        {"Config": "one.json", "RepoTags": ["one:1", "example.org/one:latest"], "Layers": ["a/layer.tar"]},
        {"Config": "two.json", "RepoTags": ["two"], "Layers": ["a/layer.tar", "b/layer.tar"]},
    ]);
    archive(&[
        ("one.json", one.as_bytes()),
        ("a/layer.tar", &hello()),
        ("b/layer.tar", &second),
        ("two.json", two.as_bytes()),
        ("manifest.json", manifest.to_string().as_bytes()),
    ])
}

fn names(loaded: &[super::super::Stored]) -> Vec<&str> {
    loaded.iter().map(|image| image.reference.as_str()).collect()
}

fn save(store: &Store, names: &[&str], format: Format) -> Result<Vec<u8>, String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut bytes = Vec::new();
    store.save(&names, format, &mut bytes, Path::new("out")).map_err(problem)?;
    Ok(bytes)
}

/// Puts names of an index's entries into a layout.
fn annotate(layout: &Path, entries: &[Value]) {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = entries.iter().map(|more| {
        let mut entry = index["manifests"][0].clone();
        for (key, value) in more.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    });
    write_index(layout, &named.collect::<Vec<_>>());
}

#[test]
fn all_images_of_docker_save_are_loaded_with_all_their_names() {
    if !is_root("all_images_of_docker_save_are_loaded_with_all_their_names") {
        return;
    }
    let all = ["docker.io/library/one:1", "example.org/one:latest", "docker.io/library/two:latest"];
    let zstd = zstd::encode_all(of_docker().as_slice(), 1).unwrap();
    for bytes in [of_docker(), gzip(&of_docker()), zstd] {
        let node = Node::new();
        fs::write(node.path("images.tar"), &bytes).unwrap();
        let store = node.store();
        assert_eq!(names(&store.load(&node.path("images.tar"), None).unwrap()), all);
        assert_eq!(store.resolve("two").unwrap().layers.len(), 2);
        assert_eq!(node.content(), [6, 2, 0]);
        let again = store.load_from(bytes.as_slice(), Path::new("standard input"), None).unwrap();
        assert_eq!(names(&again), all);
        assert_eq!(node.content(), [6, 2, 0]);
        let several = store.load(&node.path("images.tar"), Some("x")).unwrap_err();
        assert!(several.to_string().ends_with("it has 2 images, and one name was given"), "{several}");
    }
}

#[test]
fn names_of_a_layout_are_found_whoever_wrote_it() {
    if !is_root("names_of_a_layout_are_found_whoever_wrote_it") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let foreign = json!({"os": "linux", "architecture": "s390x"});
    let here = json!({"os": "linux", "architecture": Arch::default().to_string()});
    let cases = [
        // podman and skopeo
        (vec![json!({"annotations": {ANNOTATION_REF_NAME: "localhost/a:1"}})], Ok(vec!["localhost/a:1"])),
        // containerd and docker
        (
            vec![
                json!({"annotations": {ANNOTATION_REF_NAME: "1", CONTAINERD_NAME: "docker.io/library/b:1"}}),
            ],
            Ok(vec!["docker.io/library/b:1"]),
        ),
        // one name for several platforms, and what was attested of one
        (
            vec![
                json!({"annotations": {ANNOTATION_REF_NAME: "c:1"}, "platform": foreign}),
                json!({"annotations": {ANNOTATION_REF_NAME: "c:1"}, "platform": here}),
                json!({"platform": {"os": "unknown", "architecture": "unknown"}}),
            ],
            Ok(vec!["docker.io/library/c:1"]),
        ),
        (
            vec![
                json!({"annotations": {ANNOTATION_REF_NAME: "d:1"}}),
                json!({"annotations": {ANNOTATION_REF_NAME: "d:2"}}),
            ],
            Ok(vec!["docker.io/library/d:1", "docker.io/library/d:2"]),
        ),
        (
            vec![json!({"annotations": {ANNOTATION_REF_NAME: "v1"}})],
            Err("an image in it has no name, only the tag \"v1\"; give it one with --name"),
        ),
        (vec![json!({})], Err("an image in it has no name; give it one with --name")),
        (vec![], Err("it has no image")),
        (
            vec![json!({"annotations": {ANNOTATION_REF_NAME: "e:1"}, "platform": foreign})],
            Err("none of its 1 images is for linux/"),
        ),
    ];
    for (number, (entries, expected)) in cases.into_iter().enumerate() {
        let layout = node.layout(&format!("layout{number}"), &[hello()]);
        annotate(&layout, &entries);
        match (store.load(&layout, None), expected) {
            (Ok(loaded), Ok(expected)) => assert_eq!(names(&loaded), expected),
            (Err(error), Err(reason)) => assert!(error.to_string().contains(reason), "{error}"),
            (found, expected) => panic!("{entries:?}: {found:?}, not {expected:?}"),
        }
    }
    let layout = node.layout("unnamed", &[hello()]);
    assert_eq!(names(&store.load(&layout, Some("f")).unwrap()), ["docker.io/library/f:latest"]);
    fs::create_dir(node.path("plain")).unwrap();
    let error = store.load(&node.path("plain"), Some("g")).unwrap_err();
    assert!(error.to_string().ends_with("a plain directory is taken in by image import"), "{error}");
}

#[test]
fn an_archive_that_is_bad_in_part_is_not_loaded_at_all() {
    if !is_root("an_archive_that_is_bad_in_part_is_not_loaded_at_all") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let load = |bytes: &[u8]| problem(store.load_from(bytes, Path::new("stdin"), None).unwrap_err());
    let good = config(&[Digest::of(&hello()).to_string()]).to_string();
    let with = |manifest: Value| {
        archive(&[
            ("c.json", good.as_bytes()),
            ("l.tar", &hello()),
            ("other.tar", &Tar::new().dir("./").finish()),
            ("manifest.json", manifest.to_string().as_bytes()),
        ])
    };
    let image = |layer: &str, name: &str| json!({"Config": "c.json", "RepoTags": [name], "Layers": [layer]});
    let cut = of_docker();
    for (bytes, reason) in [
        (with(json!([image("l.tar", "a:1"), image("other.tar", "b:1")])), "by the image configuration"),
        (with(json!([image("l.tar", "a:1"), image("none.tar", "b:1")])), "it has no none.tar"),
        (with(json!([image("l.tar", "a:1"), image("l.tar", "B")])), "invalid image name \"B\""),
        (with(json!([image("l.tar", "a:1"), {"Config": 1}])), "invalid manifest.json"),
        (with(json!([image("l.tar", "a:1"), image("l.tar", "a:1")])), "two of its images are called"),
        (archive(&[("x", b"y")]), "it has neither an index.json"),
        (cut[..cut.len() / 2].to_vec(), "stdin"),
        (gzip(&of_docker())[..100].to_vec(), "cannot read stdin"),
        (b"no archive".to_vec(), "not a tar archive of an image"),
        (Vec::new(), "it has neither an index.json"),
    ] {
        let told = load(&bytes);
        assert!(told.to_lowercase().contains(&reason.to_lowercase()), "{told}\nshould contain: {reason}");
        assert!(!told.contains('\n'), "{told}");
        assert_eq!((node.content(), store.list().unwrap()), ([0, 0, 0], vec![]), "{reason}");
    }
}

#[test]
fn what_is_saved_can_be_loaded_again_and_equal_images_give_equal_bytes() {
    if !is_root("what_is_saved_can_be_loaded_again_and_equal_images_give_equal_bytes") {
        return;
    }
    let (first, second) = (Node::new(), Node::new());
    let (store, other) = (first.store(), second.store());
    let top = Tar::new().dir("etc/").file("etc/top", "x").finish();
    let images = [("a:1", vec![hello()]), ("b:1", vec![hello(), top])];
    for (name, layers) in &images {
        store.import(&first.layout(name, layers), name).unwrap();
    }
    for (name, layers) in images.iter().rev() {
        other.import(&second.layout(name, layers), name).unwrap();
    }
    store.import(&first.path("a:1"), "host:5000/again:2").unwrap();
    other.import(&second.path("a:1"), "host:5000/again:2").unwrap();

    for format in [Format::OciArchive, Format::DockerArchive] {
        let bytes = save(&store, &["a:1", "b:1", "host:5000/again:2", "a:1"], format).unwrap();
        assert_eq!(save(&other, &["host:5000/again:2", "b:1", "a:1"], format).unwrap(), bytes);
        let node = Node::new();
        let loaded = node.store().load_from(bytes.as_slice(), Path::new("stdin"), None).unwrap();
        for image in &loaded {
            let kept = store.list().unwrap().into_iter().find(|kept| kept.reference == image.reference);
            let kept = kept.unwrap();
            assert_eq!(image.id, kept.id);
            // An archive of docker has no manifest in it.
            assert_eq!(image.digest == kept.digest, format == Format::OciArchive);
        }
        assert_eq!(loaded.len(), 3);
        // Blobs of layers are the same, byte by byte: by their names.
        let blobs = |node: &Node| tree(&node.path("images/layers")).into_iter().collect::<HashMap<_, _>>();
        assert_eq!(blobs(&node), blobs(&first));
    }
    store.save_layout(&["a:1".to_owned()], &first.path("saved")).unwrap();
    assert_eq!(names(&second.store().load(&first.path("saved"), None).unwrap()), ["docker.io/library/a:1"]);
    let full = problem(store.save_layout(&["a:1".to_owned()], &first.path("saved")).unwrap_err());
    assert!(full.starts_with("cannot write") && full.contains("not empty"), "{full}");
    let missing = save(&store, &["a:1", "none:1"], Format::OciArchive).unwrap_err();
    assert!(missing.starts_with("image \"none:1\" is not in the store"), "{missing}");
}

#[test]
fn a_damaged_layer_is_not_saved() {
    if !is_root("a_damaged_layer_is_not_saved") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    store.import(&node.layout("a", &[hello()]), "a").unwrap();
    let layer = store.inspect("a").unwrap().layers.remove(0);
    let blob = node.path("images/blobs/sha256").join(layer.digest.strip_prefix("sha256:").unwrap());
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    for (damage, reason) in [(bytes.clone(), "its bytes have the digest"), (vec![0; 3], "it has 3 bytes")] {
        fs::write(&blob, damage).unwrap();
        let told = save(&store, &["a"], Format::OciArchive).unwrap_err();
        assert!(told.starts_with(&format!("invalid blob {}: {reason}", layer.digest)), "{told}");
        assert!(store.save_layout(&["a".to_owned()], &node.path("out")).is_err());
        assert!(!node.path("out").exists());
    }
}

#[test]
fn an_image_is_found_by_its_id_and_told_with_all_its_names() {
    if !is_root("an_image_is_found_by_its_id_and_told_with_all_its_names") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let layout = node.layout("a", &[hello()]);
    let stored = store.import(&layout, "a:1").unwrap();
    store.import(&layout, "example.org/b:2").unwrap();
    for name in ["a:1", &stored.id, stored.short_id(), &stored.id["sha256:".len()..]] {
        let details = store.inspect(name).unwrap();
        assert_eq!(details.id, stored.id);
        assert_eq!(details.names, ["docker.io/library/a:1", "example.org/b:2"]);
        assert_eq!(details.digests[0], format!("docker.io/library/a@{}", stored.digest));
        assert_eq!((details.size, details.layers.len()), (stored.size, 1));
        assert_eq!(details.configuration["config"]["User"], "www-data");
        assert!(details.is_local);
    }
    for (name, reason) in [
        (&stored.short_id()[..3], "is not in the store"),
        ("none:1", "is not in the store"),
        ("NO", "invalid image name"),
    ] {
        let error = store.inspect(name).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // By its id all its names go.
    node.pod("u1", "web", "example.org/b:2");
    assert!(matches!(store.remove(stored.short_id()), Err(Error::InUse { .. })));
    fs::remove_dir_all(node.path("pods")).unwrap();
    store.remove(stored.short_id()).unwrap();
    assert_eq!(node.content(), [0, 0, 0]);
}
