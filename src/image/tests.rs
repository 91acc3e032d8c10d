//! The store as a whole: where images come from, what is found again, what is kept and what goes. Also what the tests
//! of this room share.

mod archives;
mod prune;
mod together;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use oci_spec::image::Arch;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::digest::Digest;
use super::{Error, Image, Store};

/// True for root. Otherwise says aloud what is skipped; where a skipped test must not pass for one, it fails.
pub(super) fn is_root(test: &str) -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "{test} must run as root");
    // In one piece: tests run side by side.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {test}: must run as root\n").as_bytes());
    false
}

/// An archive in the making: what an image's author, or an attacker, puts there.
pub(super) struct Tar(Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(name, EntryType::Directory, "", b"", 0o755)
    }

    pub(super) fn file(self, name: &str, data: &str) -> Self {
        self.entry(name, EntryType::Regular, "", data.as_bytes(), 0o644)
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Symlink, target, b"", 0o777)
    }

    pub(super) fn link(self, name: &str, target: &str) -> Self {
        self.entry(name, EntryType::Link, target, b"", 0o644)
    }

    /// Writes the name as it is: the crate's own functions refuse what attackers write.
    pub(super) fn entry(mut self, name: &str, kind: EntryType, link: &str, data: &[u8], mode: u32) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        self.append(header, data)
    }

    pub(super) fn header(mut self, change: impl FnOnce(&mut Header)) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(0);
        change(&mut header);
        self.append(header, b"")
    }

    pub(super) fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn append(&mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        Self(std::mem::replace(&mut self.0, Builder::new(Vec::new())))
    }
}

/// Everything below a directory: name to a short description.
pub(super) fn tree(root: &Path) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let kind = metadata.file_type();
            let text = if kind.is_dir() {
                todo.push(path.clone());
                assert_eq!(xattr::get(&path, "trusted.overlay.opaque").unwrap(), None);
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if kind.is_char_device() && metadata.rdev() == 0 {
                "whiteout".to_owned()
            } else if kind.is_file() {
                fs::read_to_string(&path).unwrap()
            } else {
                format!("special {:o}", metadata.mode())
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text);
        }
    }
    found
}

/// A root directory with a store in it.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> Store {
        Store::open(&self.path("images")).unwrap()
    }

    /// Writes an OCI image layout with the given layers, gzip'ed.
    fn layout(&self, name: &str, layers: &[Vec<u8>]) -> PathBuf {
        let path = self.path(name);
        let mut blobs = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in layers {
            diff_ids.push(Digest::of(layer).to_string());
            blobs.push(("application/vnd.oci.image.layer.v1.tar+gzip", gzip(layer)));
        }
        write_layout(&path, &config(&diff_ids), &blobs);
        path
    }

    fn pod(&self, uid: &str, name: &str, image: &str) {
        let record = json!({"version": 1, "pod": {"key": {"namespace": "default", "name": name}, "uid": uid, "spec":
            {"init_containers": [], "containers": [{"name": "main", "image": image}], "unknown": {}}}});
        fs::create_dir_all(self.path("pods").join(uid)).unwrap();
        fs::write(self.path("pods").join(uid).join("pod.json"), record.to_string()).unwrap();
    }

    /// Names of blobs, layers, and what is being made.
    fn content(&self) -> [usize; 3] {
        ["blobs/sha256", "layers", "ingest"]
            .map(|name| fs::read_dir(self.path("images").join(name)).unwrap().count())
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(diff_ids: &[String]) -> Value {
    json!({"os": "linux", "architecture": Arch::default().to_string(), "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "StopSignal": "SIGQUIT", "User": "www-data", "WorkingDir": "/srv"}})
}

fn add_blob(layout: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
}

fn write_layout(path: &Path, config: &Value, layers: &[(&str, Vec<u8>)]) {
    let layers: Vec<Value> =
        layers.iter().map(|(media_type, bytes)| add_blob(path, media_type, bytes)).collect();
    let config = add_blob(path, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
    let manifest =
        add_blob(path, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    write_index(path, &[manifest]);
}

fn write_index(path: &Path, manifests: &[Value]) {
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(path.join("index.json"), json!({"schemaVersion": 2, "manifests": manifests}).to_string())
        .unwrap();
}

fn hello() -> Vec<u8> {
    Tar::new().dir("./").dir("etc/").file("etc/hello", "hello").finish()
}

fn text(image: &Image, path: &str) -> String {
    fs::read_to_string(image.layers[0].join(path)).unwrap()
}

/// The error and its causes.
fn problem(error: Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn an_imported_image_is_found_by_each_of_its_names() {
    if !is_root("an_imported_image_is_found_by_each_of_its_names") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let layout = node.layout("layout", &[hello()]);
    let row = store.import(&layout, "nginx:1.14").unwrap();
    assert_eq!(row.reference, "docker.io/library/nginx:1.14");
    assert_eq!(store.list().unwrap(), std::slice::from_ref(&row));

    let image = store.resolve("nginx:1.14").unwrap();
    assert_eq!(image.id, row.id);
    assert_eq!(text(&image, "etc/hello"), "hello");
    assert_eq!(image.config.cmd().as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!(image.config.stop_signal().as_deref(), Some("SIGQUIT"));
    for name in ["docker.io/library/nginx:1.14", "docker.io/nginx:1.14", "library/nginx:1.14"] {
        assert_eq!(store.resolve(name).unwrap(), image, "{name}");
    }
    // Of a store that others opened, too.
    assert_eq!(node.store().resolve("nginx:1.14").unwrap(), image);
    // Nobody of the host reaches the layers.
    assert_eq!(fs::metadata(node.path("images/layers")).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(&image.layers[0]).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_missing_image_says_what_was_looked_for_and_where() {
    let node = Node::new();
    let store = node.store();
    let images = node.path("images").display().to_string();
    let cases = [
        (
            "nginx:1.14".to_owned(),
            format!(
                "image \"nginx:1.14\" is not in the store {images}; import one with: mkubelet image import LAYOUT_OR_DIR \
                 --name nginx:1.14"
            ),
        ),
        (
            "dir:/no/such".to_owned(),
            "image \"dir:/no/such\" is not there: /no/such does not exist on this machine".to_owned(),
        ),
        (
            "oci:/no/such".to_owned(),
            "image \"oci:/no/such\" is not there: /no/such does not exist on this machine".to_owned(),
        ),
        (
            "archive:/no.tar".to_owned(),
            "image \"archive:/no.tar\" is not there: /no.tar does not exist on this machine".to_owned(),
        ),
    ];
    for (image, message) in cases {
        let error = store.resolve(&image).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
    assert!(matches!(store.remove("nginx").unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(store.resolve("oci:relative").unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(store.resolve("No Name").unwrap_err(), Error::Reference(_)));
}

#[test]
fn a_directory_is_used_as_it_is() {
    let node = Node::new();
    fs::create_dir(node.path("root")).unwrap();
    let reference = format!("dir:{}", node.path("root").display());
    let image = node.store().resolve(&reference).unwrap();
    assert_eq!(image.layers, [node.path("root")]);
    assert_eq!(image.reference, reference);
    assert_eq!(node.content(), [0, 0, 0]);

    fs::write(node.path("file"), "").unwrap();
    let error = node.store().resolve(&format!("dir:{}", node.path("file").display())).unwrap_err();
    assert!(error.to_string().ends_with("it is not a directory"), "{error}");

    let path = node.path("layout");
    fs::create_dir(&path).unwrap();
    for file in ["oci-layout", "index.json"] {
        fs::write(path.join(file), "{}").unwrap();
    }
    let error = node.store().resolve(&format!("dir:{}", path.display())).unwrap_err();
    assert!(error.to_string().ends_with(&format!("write oci:{}", path.display())), "{error}");
}

#[test]
fn an_imported_directory_keeps_owners_modes_links_and_attributes() {
    if !is_root("an_imported_directory_keeps_owners_modes_links_and_attributes") {
        return;
    }
    let node = Node::new();
    let root = node.path("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("bin/su"), "su").unwrap();
    std::os::unix::fs::chown(root.join("bin/su"), Some(7), Some(8)).unwrap();
    fs::set_permissions(root.join("bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("bin/su"), root.join("bin/su2")).unwrap();
    std::os::unix::fs::symlink("/bin/su", root.join("link")).unwrap();
    // CAP_DAC_OVERRIDE and CAP_FOWNER: their bits are a newline's.
    let mut capability = [0u8; 20];
    (capability[3], capability[4]) = (2, 0x0a);
    fs::write(root.join("capable"), "").unwrap();
    xattr::set(root.join("capable"), "security.capability", &capability).unwrap();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    fs::create_dir(root.join("d".repeat(200))).unwrap();
    fs::write(root.join(&long), "long").unwrap();

    node.store().import(&root, "mine").unwrap();
    let image = node.store().resolve("mine").unwrap();
    let layer = &image.layers[0];
    assert_eq!(tree(layer), tree(&root));
    let su = fs::metadata(layer.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 7, 8, 2));
    assert_eq!(xattr::get(layer.join("capable"), "security.capability").unwrap().unwrap(), capability);
    assert_eq!(image.config.cmd(), &None);
    assert!(image.config.env().as_ref().unwrap()[0].starts_with("PATH=/"));

    // The same tree is the same image.
    let again = node.store().import(&root, "again").unwrap();
    assert_eq!(again.id, image.id);
}

#[test]
fn a_layout_of_a_pod_is_imported_once() {
    if !is_root("a_layout_of_a_pod_is_imported_once") {
        return;
    }
    let node = Node::new();
    let layout = node.layout("layout", &[hello()]);
    let name = format!("oci:{}", layout.display());
    let image = node.store().resolve(&name).unwrap();
    assert_eq!(text(&image, "etc/hello"), "hello");
    assert_eq!(image.reference, name);

    // The second time nothing but its documents is read.
    let blob = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let layer = blob.max_by_key(|path| u8::from(fs::read(path).unwrap().starts_with(&[0x1f, 0x8b]))).unwrap();
    fs::remove_file(layer).unwrap();
    assert_eq!(node.store().resolve(&name).unwrap(), image);

    // Another image at the same path is another image.
    let layout = node.layout("layout", &[Tar::new().dir("./").file("other", "other").finish()]);
    let other = node.store().resolve(&format!("oci:{}", layout.display())).unwrap();
    assert_eq!(text(&other, "other"), "other");
    assert!(!image.layers[0].exists(), "nobody needs the first any more");

    node.store().remove(&name).unwrap();
    assert_eq!(node.content(), [0, 0, 0]);
}

#[test]
fn archives_of_layouts_and_of_docker_save_are_read() {
    if !is_root("archives_of_layouts_and_of_docker_save_are_read") {
        return;
    }
    let node = Node::new();
    let layout = node.layout("layout", &[hello()]);
    let mut oci = Builder::new(Vec::new());
    oci.append_dir_all(".", &layout).unwrap();
    fs::write(node.path("oci.tar"), oci.into_inner().unwrap()).unwrap();

    let second = Tar::new().dir("etc/").file("etc/second", "2").finish();
    let config = config(&[Digest::of(&hello()).to_string(), Digest::of(&second).to_string()]).to_string();
    let manifest =
        json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}])
            .to_string();
    let mut docker = Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        docker.append_data(&mut header, name, bytes).unwrap();
    };
    add("c.json", config.as_bytes());
    add("b/layer.tar", &second);
    add("shared/layer.tar", &hello());
    add("manifest.json", manifest.as_bytes());
    let mut link = Header::new_gnu();
    link.set_entry_type(EntryType::Symlink);
    link.set_size(0);
    docker.append_link(&mut link, "a/layer.tar", "../shared/layer.tar").unwrap();
    fs::write(node.path("docker.tar"), docker.into_inner().unwrap()).unwrap();

    for (file, layers) in [("oci.tar", 1), ("docker.tar", 2)] {
        let name = format!("archive:{}", node.path(file).display());
        let image = node.store().resolve(&name).unwrap();
        assert_eq!(image.layers.len(), layers);
        assert_eq!(fs::read_to_string(image.layers.last().unwrap().join("etc/hello")).unwrap(), "hello");
        assert_eq!(node.store().resolve(&name).unwrap(), image);
    }
    // The first layer is the same, and is there once.
    assert_eq!(node.content()[1], 2);

    fs::write(node.path("gzip.tar"), gzip(b"x")).unwrap();
    let error = node.store().import(&node.path("gzip.tar"), "x").unwrap_err();
    assert!(error.to_string().contains("is compressed; decompress it first"), "{error}");
    fs::write(node.path("text.tar"), "no archive").unwrap();
    assert!(matches!(node.store().import(&node.path("text.tar"), "x").unwrap_err(), Error::Source { .. }));
}

#[test]
fn the_image_for_this_machine_is_chosen() {
    if !is_root("the_image_for_this_machine_is_chosen") {
        return;
    }
    let node = Node::new();
    let layout = node.layout("layout", &[hello()]);
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let ours = index["manifests"][0].clone();
    let with = |os: &str, arch: &str| {
        let mut descriptor = ours.clone();
        descriptor["platform"] = json!({"os": os, "architecture": arch});
        descriptor
    };
    let here = Arch::default().to_string();

    let list = json!({"schemaVersion": 2, "manifests": [with("linux", "s390x"), with("linux", &here), with("unknown", "unknown")]});
    let nested = add_blob(&layout, "application/vnd.oci.image.index.v1+json", list.to_string().as_bytes());
    write_index(&layout, &[nested]);
    node.store().import(&layout, "nested").unwrap();

    write_index(&layout, &[with("linux", "s390x"), with("windows", &here)]);
    let error = node.store().import(&layout, "foreign").unwrap_err().to_string();
    assert!(error.ends_with(&format!("none of its 2 images is for linux/{here}")), "{error}");

    let mut other = ours.clone();
    other["digest"] = Digest::of(b"other").to_string().into();
    other["annotations"] = json!({"org.opencontainers.image.ref.name": "other"});
    write_index(&layout, &[ours, other]);
    let error = node.store().import(&layout, "two").unwrap_err().to_string();
    assert!(error.contains("it has several images for this machine: sha256:"), "{error}");
}

#[test]
fn damage_is_noticed_and_leaves_nothing() {
    if !is_root("damage_is_noticed_and_leaves_nothing") {
        return;
    }
    let gz = "application/vnd.oci.image.layer.v1.tar+gzip";
    let diff_id = Digest::of(&hello()).to_string();
    let packed = gzip(&hello());
    let trailing = [packed.as_slice(), b"trailing"].concat();
    let mut data_after = hello();
    data_after.extend([1; 512]);
    let cut = packed[..packed.len() - 9].to_vec();
    let cases = [
        (gzip(&Tar::new().finish()), diff_id.clone(), "has the digest sha256:"),
        (cut, diff_id.clone(), "the archive is damaged"),
        (trailing, diff_id.clone(), "the archive is damaged"),
        (gzip(&data_after), Digest::of(&data_after).to_string(), "there are bytes after its end"),
        (b"not gzip".to_vec(), diff_id.clone(), "the archive is damaged"),
    ];
    for (blob, diff_id, reason) in cases {
        let node = Node::new();
        write_layout(&node.path("layout"), &config(&[diff_id]), &[(gz, blob)]);
        let problem = problem(node.store().import(&node.path("layout"), "x").unwrap_err());
        assert!(problem.contains(reason), "{problem}\nshould contain: {reason}");
        assert_eq!(node.content()[1], 0, "no layer is in use");
        assert!(matches!(node.store().resolve("x").unwrap_err(), Error::NotFound { .. }));

        // What was left is in nobody's way, and goes with the next change.
        fs::remove_dir_all(node.path("layout")).unwrap();
        node.store().import(&node.layout("layout", &[hello()]), "x").unwrap();
        assert_eq!(node.content(), [3, 1, 0]);
    }
}

#[test]
fn blobs_that_are_not_what_their_names_say_are_refused() {
    if !is_root("blobs_that_are_not_what_their_names_say_are_refused") {
        return;
    }
    let node = Node::new();
    let layout = node.layout("layout", &[hello()]);
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let file = |digest: &Value| {
        layout.join("blobs/sha256").join(digest.as_str().unwrap().strip_prefix("sha256:").unwrap())
    };
    let manifest_path = file(&index["manifests"][0]["digest"]);
    let manifest: Value = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
    let layer_path = file(&manifest["layers"][0]["digest"]);
    let layer = fs::read(&layer_path).unwrap();
    let import = || problem(node.store().import(&layout, "x").unwrap_err());

    let mut other = layer.clone();
    other[12] ^= 1;
    fs::write(&layer_path, &other).unwrap();
    assert!(import().contains("its bytes have the digest sha256:"), "{}", import());
    fs::write(&layer_path, [&layer[..], b"x"].concat()).unwrap();
    assert!(import().contains(&format!("more than {} bytes", layer.len())), "{}", import());
    fs::write(&layer_path, &layer[1..]).unwrap();
    assert!(
        import().contains(&format!("it has {} bytes, and {}", layer.len() - 1, layer.len())),
        "{}",
        import()
    );
    fs::remove_file(&layer_path).unwrap();
    assert!(import().contains("it has no blobs/sha256/"), "{}", import());
    nix::unistd::mkfifo(&layer_path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(import().contains("is not a regular file"), "{}", import());
    fs::remove_file(&layer_path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &layer_path).unwrap();
    assert!(import().contains("it has no blobs/sha256/"), "{}", import());

    fs::write(&manifest_path, "{}").unwrap();
    assert!(import().contains("its bytes have the digest sha256:"), "{}", import());
    fs::write(layout.join("index.json"), vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(import().contains("it has more than 4 MiB"), "{}", import());
}

#[test]
fn layers_are_shared_and_go_with_the_last_image() {
    if !is_root("layers_are_shared_and_go_with_the_last_image") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let top = |text: &str| Tar::new().dir("etc/").file("etc/top", text).finish();
    store.import(&node.layout("a", &[hello(), top("a")]), "a").unwrap();
    store.import(&node.layout("b", &[hello(), top("b")]), "b").unwrap();
    assert_eq!(node.content(), [7, 3, 0]);
    let (a, b) = (store.resolve("a").unwrap(), store.resolve("b").unwrap());
    assert_eq!(a.layers[1], b.layers[1]);

    store.remove("a").unwrap();
    assert_eq!(node.content(), [4, 2, 0]);
    assert_eq!(store.resolve("b").unwrap(), b);
    store.remove("b").unwrap();
    assert_eq!(node.content(), [0, 0, 0]);
    assert_eq!(store.list().unwrap(), []);
}

#[test]
fn what_a_pod_uses_stays() {
    if !is_root("what_a_pod_uses_stays") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    store.import(&node.layout("a", &[hello()]), "app:1").unwrap();
    let first = store.resolve("app:1").unwrap();
    node.pod("u1", "web", "docker.io/library/app:1");
    // Records that cannot be read are passed over.
    fs::create_dir_all(node.path("pods/u2")).unwrap();
    fs::write(node.path("pods/u2/pod.json"), "{").unwrap();

    let error = store.remove("app:1").unwrap_err();
    assert_eq!(error.to_string(), "image \"app:1\" is used by pod default/web");

    // Its name moves on, its files stay.
    store.import(&node.layout("b", &[Tar::new().dir("./").finish()]), "app:1").unwrap();
    assert!(first.layers[0].exists());
    let rows: Vec<_> =
        store.list().unwrap().into_iter().map(|row| (row.id == first.id, row.replaced)).collect();
    assert_eq!(rows, [(false, false), (true, true)]);
    assert_ne!(store.resolve("app:1").unwrap().id, first.id);

    fs::remove_dir_all(node.path("pods")).unwrap();
    store.remove("app:1").unwrap();
    assert_eq!(node.content(), [0, 0, 0]);
}

#[test]
fn a_damaged_image_is_in_nobodys_way() {
    if !is_root("a_damaged_image_is_in_nobodys_way") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    store.import(&node.layout("a", &[hello()]), "a").unwrap();
    for blob in fs::read_dir(node.path("images/blobs/sha256")).unwrap() {
        fs::write(blob.unwrap().path(), "damaged").unwrap();
    }
    let error = store.resolve("a").unwrap_err();
    assert!(error.to_string().ends_with("has other bytes"), "{error}");

    store.import(&node.layout("b", &[Tar::new().dir("./").finish()]), "b").unwrap();
    let names: Vec<_> = store.list().unwrap().into_iter().map(|row| row.reference).collect();
    assert_eq!(names, ["docker.io/library/b:latest"]);
    store.remove("a").unwrap();
    assert_eq!(node.content(), [3, 1, 0]);
}

#[test]
fn a_damaged_index_is_set_aside_and_what_it_named_stays() {
    if !is_root("a_damaged_index_is_set_aside_and_what_it_named_stays") {
        return;
    }
    let node = Node::new();
    let store = node.store();
    let image = store.import(&node.layout("a", &[hello()]), "a").unwrap();
    let before = store.resolve("a").unwrap();
    fs::write(node.path("images/index.json"), "{\"schemaVersion\": 2, \"manifests\": [{]}").unwrap();
    assert_eq!(store.list().unwrap(), []);
    assert!(store.resolve("a").unwrap_err().to_string().contains("is not in the store"));

    let other = node.layout("b", &[Tar::new().dir("./").finish()]);
    let source = format!("oci:{}", other.display());
    store.resolve(&source).unwrap();
    assert!(node.path("images/index.json.bad").exists());
    assert_eq!(text(&before, "etc/hello"), "hello", "a container may run from it");

    assert_eq!(store.import(&node.layout("a2", &[hello()]), "a").unwrap().id, image.id);
    let names: Vec<_> = store.list().unwrap().into_iter().map(|row| row.reference).collect();
    assert_eq!(names, ["docker.io/library/a:latest", &source]);
}

#[test]
fn names_of_an_archive_are_bytes() {
    // A file name that is not UTF-8 is kept as it is, in a layer made of a directory too.
    if !is_root("names_of_an_archive_are_bytes") {
        return;
    }
    let node = Node::new();
    let name = <OsString as std::os::unix::ffi::OsStringExt>::from_vec(b"\xff\xfe".to_vec());
    fs::create_dir(node.path("root")).unwrap();
    fs::write(node.path("root").join(&name), "bytes").unwrap();
    node.store().import(&node.path("root"), "x").unwrap();
    let image = node.store().resolve("x").unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join(&name)).unwrap(), "bytes");
}
