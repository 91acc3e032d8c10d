//! Archives as strangers write them, and what overlayfs will see of them.

mod breakouts;
mod hostile;
mod processes;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use tar::EntryType;
use tempfile::TempDir;

use super::*;
use crate::image::tests::{Tar, is_root, tree};

const SMALL: Limits = Limits { entries: 100, bytes: 1 << 20, depth: 16, attributes: 4 };

/// Layers on top of each other, and files outside that must not change.
struct Layers {
    dir: TempDir,
    paths: Vec<PathBuf>,
    before: Vec<String>,
}

impl Layers {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir_all(outside.join("empty")).unwrap();
        for (name, mode) in [("canary", 0o400), ("other", 0o640)] {
            fs::write(outside.join(name), "canary").unwrap();
            fs::set_permissions(outside.join(name), Permissions::from_mode(mode)).unwrap();
        }
        let before = look(&outside);
        Self { dir, paths: Vec::new(), before }
    }

    /// Unpacks a layer on top of those before.
    fn add(&mut self, archive: Tar) -> Result<PathBuf, Error> {
        self.add_bytes(&archive.finish())
    }

    fn add_bytes(&mut self, archive: &[u8]) -> Result<PathBuf, Error> {
        let path = self.dir.path().join(self.paths.len().to_string());
        fs::create_dir(&path).unwrap();
        let lowers = self.paths.iter().map(|lower| at::open_root(lower).unwrap()).collect();
        let result = fill(archive, at::open_root(&path).unwrap(), lowers, &SMALL);
        self.paths.insert(0, path.clone());
        assert_eq!(look(&self.dir.path().join("outside")), self.before);
        result.map(|()| path)
    }

    fn outside(&self) -> String {
        self.dir.path().join("outside").display().to_string()
    }
}

/// All that could change of a directory and what is below it.
fn look(path: &Path) -> Vec<String> {
    let metadata = path.symlink_metadata().unwrap();
    let bytes = if metadata.is_file() { fs::read(path).unwrap() } else { Vec::new() };
    let (inode, links, owner) = (metadata.ino(), metadata.nlink(), (metadata.uid(), metadata.gid()));
    let changed = (metadata.mode(), metadata.mtime_nsec(), metadata.ctime_nsec());
    let mut seen = vec![format!("{} {inode} {links} {owner:?} {changed:?} {bytes:?}", path.display())];
    if metadata.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        seen.extend(entries.iter().flat_map(|entry| look(entry)));
    }
    seen
}

/// What one layer alone becomes.
fn check(archive: Tar, expected: &[(&str, &str)]) {
    let mut layers = Layers::new();
    compare(&layers.add(archive).unwrap(), expected);
}

/// What a layer becomes on top of another.
fn check_on(lower: Tar, upper: Tar, expected: &[(&str, &str)]) {
    let mut layers = Layers::new();
    layers.add(lower).unwrap();
    compare(&layers.add(upper).unwrap(), expected);
}

fn compare(layer: &Path, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    assert_eq!(tree(layer), expected);
}

fn refused(archive: Tar) -> String {
    line(&Layers::new().add(archive).unwrap_err())
}

/// An error with its cause.
fn line(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) if !error.to_string().contains(&source.to_string()) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

#[test]
fn names_stay_in_the_layer() {
    if !is_root("names_stay_in_the_layer") {
        return;
    }
    let layers = Layers::new();
    let outside = layers.outside();
    check(Tar::new().file("/etc/x", "x"), &[("etc", "directory"), ("etc/x", "x")]);
    check(Tar::new().file("././/a//./b", "x"), &[("a", "directory"), ("a/b", "x")]);
    for name in ["../x", "a/../../x", "..", "a/.."] {
        assert!(refused(Tar::new().file(name, "")).contains("'..' in its name"), "{name}");
    }
    assert!(refused(Tar::new().link("a", "../../etc/passwd")).contains("'..' in its name"));
    assert!(refused(Tar::new().link("a", "/etc/passwd")).contains("what is not there"));
    assert!(refused(Tar::new().link("a", "/")).contains("the layer's root"));
    assert!(refused(Tar::new().file(".", "")).contains("not a directory"));
    assert!(refused(Tar::new().pax(&[("path", b"a\0b")]).file("x", "")).contains("a NUL in its name"));
    assert!(refused(Tar::new().file(&"d/".repeat(17), "")).contains("too many directories"));

    // A symlink is only text, and what goes through it stays inside.
    check(
        Tar::new().symlink("out", &outside).file("out/x", "x").symlink("up", "../../..").file("up/y", "y"),
        &tree_of(&outside, &[("out", &format!("-> {outside}")), ("up", "-> ../../.."), ("y", "y")], "x", "x"),
    );
    // A hard link to a symlink is one to the symlink.
    check(
        Tar::new().symlink("s", &format!("{outside}/canary")).link("h", "s").file("s", "new"),
        &[("s", "new"), ("h", &format!("-> {outside}/canary"))],
    );
    assert!(
        refused(Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", "")).contains("symbolic links")
    );
    assert!(refused(Tar::new().file("f", "").file("f/x", "")).contains("Not a directory"));
}

/// The entries, and the directories on the way to a file in a directory of the host's name, inside the layer.
fn tree_of<'a>(
    path: &'a str,
    entries: &[(&'a str, &'a str)],
    name: &str,
    text: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let path = path.strip_prefix('/').unwrap();
    let mut all = entries.to_vec();
    all.extend(path.match_indices('/').map(|(end, _)| (&path[..end], "directory")));
    all.push((path, "directory"));
    all.push((format!("{path}/{name}").leak(), text));
    all
}

#[test]
fn what_is_made_is_what_the_archive_says() {
    if !is_root("what_is_made_is_what_the_archive_says") {
        return;
    }
    let mut layers = Layers::new();
    let capability: &[u8] =
        b"\x00\x00\x00\x02\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let archive = Tar::new()
        .entry("./", EntryType::Directory, "", b"", 0o711)
        .pax(&[("uid", b"70000"), ("SCHILY.xattr.security.capability", capability)])
        .entry("su", EntryType::Regular, "", b"su", 0o6755)
        .pax(&[
            ("SCHILY.xattr.user.kept", b"a=b\nc"),
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/x"),
        ])
        .dir("d")
        .file("d/x", "")
        .entry("fifo", EntryType::Fifo, "", b"", 0o622)
        .header(|header| {
            header.set_path("null").unwrap();
            header.set_entry_type(EntryType::Char);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            header.set_mode(0o666);
        })
        .link("su2", "su");
    let path = layers.add(archive).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o711);
    let su = fs::metadata(path.join("su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.nlink(), su.mtime()), (0o6755, 70000, 2, 1_000_000_000));
    assert_eq!(xattr::get(path.join("su"), "security.capability").unwrap().as_deref(), Some(capability));
    let names: Vec<_> = xattr::list(path.join("d")).unwrap().collect();
    assert_eq!(names, ["user.kept"]);
    assert_eq!(xattr::get(path.join("d"), "user.kept").unwrap().as_deref(), Some(&b"a=b\nc"[..]));
    assert_eq!(fs::metadata(path.join("d")).unwrap().mtime(), 1_000_000_000);
    let null = fs::metadata(path.join("null")).unwrap();
    assert_eq!((null.mode(), null.rdev()), (0o020_666, makedev(1, 3)));
    assert_eq!(fs::metadata(path.join("fifo")).unwrap().mode(), 0o010_622);
}

#[test]
fn the_last_of_equal_names_wins() {
    if !is_root("the_last_of_equal_names_wins") {
        return;
    }
    check(Tar::new().file("a", "1").file("a", "2"), &[("a", "2")]);
    check(Tar::new().dir("a").file("a/b", "1").dir("a/"), &[("a", "directory"), ("a/b", "1")]);
    check(Tar::new().dir("a").file("a/b", "1").file("a", "2"), &[("a", "2")]);
    check(Tar::new().file("a", "1").dir("a").file("a/b", "2"), &[("a", "directory"), ("a/b", "2")]);
    check(Tar::new().symlink("a", "b").dir("a").file("a/x", "1"), &[("a", "directory"), ("a/x", "1")]);
    check(Tar::new().file("a", "1").link("b", "a").file("a", "2"), &[("a", "2"), ("b", "1")]);
    check(Tar::new().file("a", "1").link("a", "a"), &[("a", "1")]);
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_else() {
    if !is_root("whiteouts_hide_what_is_below_and_nothing_else") {
        return;
    }
    let lower = || Tar::new().dir("d").file("d/a", "a").file("d/b", "b").file("f", "f");

    check_on(lower(), Tar::new().file("d/.wh.a", ""), &[("d", "directory"), ("d/a", "whiteout")]);
    check_on(lower(), Tar::new().file(".wh.d", ""), &[("d", "whiteout")]);
    // What the same layer brought stays, whichever comes first.
    check_on(
        lower(),
        Tar::new().file("d/a", "new").file("d/.wh.a", ""),
        &[("d", "directory"), ("d/a", "new")],
    );
    check_on(
        lower(),
        Tar::new().file("d/.wh.a", "").file("d/a", "new"),
        &[("d", "directory"), ("d/a", "new")],
    );
    check_on(
        lower(),
        Tar::new().file("d/c", "c").file(".wh.d", ""),
        &[("d", "directory"), ("d/a", "whiteout"), ("d/b", "whiteout"), ("d/c", "c")],
    );
    check_on(
        lower(),
        Tar::new().file(".wh.d", "").file("d/c", "c"),
        &[("d", "directory"), ("d/a", "whiteout"), ("d/b", "whiteout"), ("d/c", "c")],
    );
    check_on(
        lower(),
        Tar::new().file("d", "file").dir("d"),
        &[("d", "directory"), ("d/a", "whiteout"), ("d/b", "whiteout")],
    );
    // A whole directory.
    check_on(
        lower(),
        Tar::new().file("d/c", "c").file("d/.wh..wh..opq", ""),
        &[("d", "directory"), ("d/a", "whiteout"), ("d/b", "whiteout"), ("d/c", "c")],
    );
    check_on(
        lower(),
        Tar::new().file(".wh..wh..opq", "").file("d/c", "c"),
        &[("d", "directory"), ("d/a", "whiteout"), ("d/b", "whiteout"), ("d/c", "c"), ("f", "whiteout")],
    );
    // What is hidden is so at any depth, and what the same layer brought is seen at any depth.
    let deep =
        || Tar::new().dir("d").dir("d/e").file("d/e/a", "").file("d/e/b", "").dir("d/f").file("d/f/a", "");
    check_on(
        deep(),
        Tar::new().file("d/e/b", "new").file("d/.wh..wh..opq", "").file("d/e/.wh..wh..opq", ""),
        &[
            ("d", "directory"),
            ("d/e", "directory"),
            ("d/e/a", "whiteout"),
            ("d/e/b", "new"),
            ("d/f", "whiteout"),
        ],
    );
    check_on(
        deep(),
        Tar::new().file("d/.wh..wh..opq", "").file("d/e", "file"),
        &[("d", "directory"), ("d/e", "file"), ("d/f", "whiteout")],
    );
    // Nothing to hide: no mark that somebody could see.
    check_on(lower(), Tar::new().file(".wh.nothing", ""), &[]);
    check(Tar::new().dir("d").file("d/.wh..wh..opq", "").file("d/.wh.x", ""), &[("d", "directory")]);
    check_on(lower(), Tar::new().file(".wh..wh.plnk", "").file(".wh..wh.aufs", ""), &[]);

    for name in [".wh.", ".wh..", ".wh...", "d/.wh.."] {
        assert!(refused(Tar::new().file(name, "")).contains("a whiteout of no name"), "{name}");
    }
    let device = Tar::new().header(|header| {
        header.set_path("x").unwrap();
        header.set_entry_type(EntryType::Char);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
    });
    assert!(refused(device).contains("a device 0:0"));
}

#[test]
fn what_is_hidden_in_between_is_not_seen_from_above() {
    if !is_root("what_is_hidden_in_between_is_not_seen_from_above") {
        return;
    }
    let mut layers = Layers::new();
    layers.add(Tar::new().dir("d").file("d/a", "a").dir("e").file("e/a", "a").file("g", "")).unwrap();
    layers.add(Tar::new().file("d/.wh..wh..opq", "").file(".wh.e", "").file(".wh.g", "")).unwrap();
    let top = layers.add(Tar::new().file("d/.wh.a", "").file("e/.wh.a", "")).unwrap();
    assert_eq!(tree(&top).get("d/a"), None);
    assert_eq!(tree(&top).get("e/a"), None);
    let error = layers.add(Tar::new().link("h", "g")).unwrap_err();
    assert!(format!("{error:?}").contains("what is not there"), "{error:?}");
}

#[test]
fn layers_below_decide_what_is_not_in_the_archive() {
    if !is_root("layers_below_decide_what_is_not_in_the_archive") {
        return;
    }
    // Directories on the way keep their modes and owners.
    let mut layers = Layers::new();
    let lower = Tar::new().entry("./", EntryType::Directory, "", b"", 0o700).entry(
        "tmp",
        EntryType::Directory,
        "",
        b"",
        0o1777,
    );
    layers.add(lower).unwrap();
    let top = layers.add(Tar::new().file("tmp/x", "x")).unwrap();
    assert_eq!(fs::metadata(&top).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(fs::metadata(top.join("tmp")).unwrap().mode() & 0o7777, 0o1777);

    // As on a system whose /lib is a link to /usr/lib.
    let lower = || Tar::new().dir("usr").dir("usr/lib").symlink("lib", "usr/lib").symlink("loop", "loop");
    check_on(
        lower(),
        Tar::new().file("lib/x", "x"),
        &[("usr", "directory"), ("usr/lib", "directory"), ("usr/lib/x", "x")],
    );
    check_on(lower(), Tar::new().dir("lib").file("lib/x", "x"), &[("lib", "directory"), ("lib/x", "x")]);
    // A hard link to a file of a lower layer copies it.
    check_on(Tar::new().file("a", "a"), Tar::new().link("b", "a"), &[("a", "a"), ("b", "a")]);
    check_on(lower(), Tar::new().link("b", "lib"), &[("lib", "-> usr/lib"), ("b", "-> usr/lib")]);
}

#[test]
fn an_archive_cannot_claim_more_than_it_has() {
    if !is_root("an_archive_cannot_claim_more_than_it_has") {
        return;
    }
    let huge_name = Tar::new().header(|header| {
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(1 << 40);
    });
    assert!(refused(huge_name).contains("an extension header of 1099511627776 bytes"));
    let huge_file = Tar::new().header(|header| {
        header.set_path("x").unwrap();
        header.set_size(u64::MAX >> 1);
    });
    assert!(refused(huge_file).contains("unexpected end of file"));
    let long_name = Tar::new().pax(&[("path", "n".repeat(300).as_bytes())]).file("x", "");
    assert!(refused(long_name).contains("File name too long"));
    let sparse = Tar::new().pax(&[("GNU.sparse.major", b"1")]).file("x", "");
    assert!(refused(sparse).contains("a sparse file"));
    let nobody = Tar::new().pax(&[("uid", b"4294967295")]).file("x", "");
    assert!(refused(nobody).contains("an owner of 4294967295"));
    let twice = Tar::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("x", "");
    assert!(refused(twice).contains("two extension headers"));
    let strange = Tar::new().entry("x", EntryType::new(b'Z'), "", b"", 0);
    assert!(refused(strange).contains("a type that is not supported"));
    let many = (0..101).fold(Tar::new(), |tar, n| tar.file(&n.to_string(), ""));
    assert!(refused(many).contains("more than 100 entries"));
}

#[test]
fn an_archive_that_is_cut_or_goes_on_is_refused() {
    if !is_root("an_archive_that_is_cut_or_goes_on_is_refused") {
        return;
    }
    let whole = Tar::new().file("a", "data").finish();
    for end in [1, 511, 513, 600] {
        assert!(
            matches!(Layers::new().add_bytes(&whole[..end]), Err(Error::Archive(_) | Error::Make { .. })),
            "{end}"
        );
    }
    let mut flipped = whole.clone();
    flipped[0] ^= 1;
    assert!(matches!(Layers::new().add_bytes(&flipped), Err(Error::Archive(_))));
    let text = "root:x:0:0:root:/root:/bin/sh\n".repeat(40);
    let told = line(&Layers::new().add_bytes(text.as_bytes()).unwrap_err());
    assert_eq!(
        told, "the archive is damaged: a header whose checksum cannot be read",
        "and not a word of the text"
    );
    let more = [whole.as_slice(), b"more"].concat();
    assert!(matches!(Layers::new().add_bytes(&more), Err(Error::Archive(_))));
    // Padding is not: tar fills a record of twenty blocks.
    Layers::new().add_bytes(&[whole.as_slice(), &[0; 10240]].concat()).unwrap();
    // Nor is an archive without the zeros at its end.
    Layers::new().add_bytes(&whole[..1024]).unwrap();
}
