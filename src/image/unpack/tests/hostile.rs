//! More that somebody could try: what each archive becomes, or why it is refused.

use std::io::Cursor;

use super::*;

/// A device of that number.
fn device(name: &str, kind: EntryType, major: u32, minor: u32) -> Tar {
    let name = name.to_owned();
    Tar::new().header(move |header| {
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
    })
}

#[test]
fn no_link_leads_out() {
    if !is_root("no_link_leads_out") {
        return;
    }
    let outside = Layers::new().outside();
    let canary = format!("{outside}/canary");
    let to_canary = format!("-> {canary}");
    // A hard link to a symlink to outside: whatever is then done to it is done to the link.
    let linked = || Tar::new().symlink("s", &canary).link("h", "s");
    check(linked().file("h", "x"), &[("s", &to_canary), ("h", "x")]);
    check(linked().entry("h", EntryType::Fifo, "", b"", 0o600), &[("s", &to_canary), ("h", "special 10600")]);
    check(linked().dir("h").file("h/x", "x"), &[("s", &to_canary), ("h", "directory"), ("h/x", "x")]);
    // A file, a directory and a mark through a symlink to outside are inside.
    let out = format!("-> {outside}");
    let through = || Tar::new().symlink("out", &outside);
    check(through().file("out/canary", "x"), &tree_of(&outside, &[("out", &out)], "canary", "x"));
    check(through().dir("out/empty"), &tree_of(&outside, &[("out", &out)], "empty", "directory"));
    check(
        through().symlink("out/canary", "x").file("out/canary", "y"),
        &tree_of(&outside, &[("out", &out)], "canary", "y"),
    );
    for mark in ["out/.wh.canary", "out/.wh..wh..opq"] {
        let path = outside.strip_prefix('/').unwrap();
        let mut expected: Vec<(&str, &str)> = vec![("out", &out), (path, "directory")];
        expected.extend(path.match_indices('/').map(|(end, _)| (&path[..end], "directory")));
        check(through().file(mark, ""), &expected);
    }
    // Through symlinks of the layer below.
    let lower = || Tar::new().dir("d").file("d/a", "a").symlink("l", "d").symlink("m", "/../../l");
    check_on(lower(), Tar::new().file("m/.wh.a", ""), &[("d", "directory"), ("d/a", "whiteout")]);
    // A chain of links that never ends, and one that is longer than the kernel goes.
    let endless = Tar::new().symlink("a", "b/x").symlink("b", "a/x").file("a/y", "");
    assert!(refused(endless).contains("Too many levels of symbolic links"));
    let long = (0..41).fold(Tar::new(), |tar, n| tar.symlink(&format!("l{n}"), &format!("l{}", n + 1)));
    assert!(refused(long.file("l0/x", "")).contains("Too many levels of symbolic links"));
    let many = (0..39).fold(Tar::new(), |tar, n| tar.symlink(&format!("l{n}"), &format!("l{}", n + 1)));
    Layers::new().add(many.file("l0/x", "")).unwrap();
    // Links that grow on the way.
    let growing = Tar::new().symlink("g", &format!("{}g", "d/../".repeat(19))).file("g/x", "");
    assert!(refused(growing).contains("Too many levels of symbolic links"));
    for (archive, reason) in [
        (Tar::new().dir("d").link("h", "d"), "a hard link to a directory"),
        (Tar::new().link("h", "h"), "what is not there"),
        (Tar::new().link("h", ""), "a hard link to the layer's root"),
        (Tar::new().entry("f", EntryType::Fifo, "", b"", 0o600).file("f/x", ""), "Not a directory"),
    ] {
        assert!(refused(archive).contains(reason), "{reason}");
    }
}

#[test]
fn marks_hide_in_the_layer_whatever_their_name_and_kind() {
    if !is_root("marks_hide_in_the_layer_whatever_their_name_and_kind") {
        return;
    }
    let lower = || Tar::new().dir("d").file("d/a", "a").dir("d/e").file("d/e/b", "b");
    for name in ["/d/.wh.e", "//d//.wh.e", "./d/./.wh.e"] {
        check_on(lower(), Tar::new().file(name, ""), &[("d", "directory"), ("d/e", "whiteout")]);
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Directory, EntryType::Fifo, EntryType::Char]
    {
        let mark = Tar::new().header(|header| {
            header.set_path("d/.wh.e").unwrap();
            header.set_entry_type(kind);
            header.set_device_major(5).unwrap();
            header.set_device_minor(1).unwrap();
        });
        check_on(lower(), mark, &[("d", "directory"), ("d/e", "whiteout")]);
    }
    // With data, which nobody reads.
    check_on(
        lower(),
        Tar::new().file("d/.wh.e", "data").file("f", "f"),
        &[("d", "directory"), ("d/e", "whiteout"), ("f", "f")],
    );
    // Nobody can bring a mark of overlayfs itself: neither as it is, nor by a number that the kernel would cut to it.
    assert!(refused(device("x", EntryType::Char, 0, 0)).contains("a device 0:0"));
    for (major, minor) in [(1 << 12, 0), (0, 1 << 20)] {
        let error = refused(device("x", EntryType::Char, major, minor));
        assert!(error.contains("Invalid argument"), "{major}:{minor}: {error}");
    }
    // A block device of that number is none.
    let mut layers = Layers::new();
    let path = layers.add(device("x", EntryType::Block, 0, 0)).unwrap();
    assert_eq!(fs::metadata(path.join("x")).unwrap().mode(), 0o060_644);
}

#[test]
fn names_are_bytes_of_bounded_length() {
    if !is_root("names_are_bytes_of_bounded_length") {
        return;
    }
    let named = |name: &[u8]| Tar::new().pax(&[("path", name)]).file("x", "x");
    check(named(b"a\nb"), &[("a\nb", "x")]);
    check(named(b"\x1b[2J"), &[("\x1b[2J", "x")]);
    check(named(&[b'n'; 255]), &[(&"n".repeat(255), "x")]);
    for (name, reason) in [
        (&b"a\0b"[..], "a NUL in its name"),
        (b"", "the layer's root"),
        (b"a/../../b", "'..' in its name"),
        (&[b'n'; 256], "File name too long"),
        (&[b'n'; 4096], "File name too long"),
        (&b"d/".repeat(2048), "too many directories"),
    ] {
        let error = refused(named(name));
        assert!(error.contains(reason), "{name:?}: {error}");
    }
    // An error tells the beginning of a name.
    let told = refused(Tar::new().pax(&[("path", &[b'n'; 100_000])]).file("x", ""));
    assert!((256..1024).contains(&told.len()) && told.contains("nnn…"), "{told}");
    // A path that links make longer than the kernel takes.
    let component = "c".repeat(250);
    let mut archive = Tar::new();
    for n in 0..18 {
        archive = archive.pax(&[("path", format!("l{n}/{component}").as_bytes())]).dir("x");
        let target = if n == 0 { component.clone() } else { format!("l{n}/{component}") };
        archive = archive.pax(&[("linkpath", target.as_bytes())]).symlink(&format!("l{}", n + 1), "x");
    }
    assert!(refused(archive).contains("File name too long"));
}

#[test]
fn records_that_lie_are_believed_in_bounds_or_not_at_all() {
    if !is_root("records_that_lie_are_believed_in_bounds_or_not_at_all") {
        return;
    }
    let says = |key: &str, value: &[u8]| Tar::new().pax(&[(key, value)]).file("x", "data");
    for (key, value, reason) in [
        ("size", &b"-1"[..], "not a number"),
        ("size", b"0x10", "not a number"),
        ("size", b"18446744073709551616", "not a number"),
        ("size", b"18446744073709551615", "unexpected end of file"),
        ("size", b"1000000", "unexpected end of file"),
        // What is left is taken for a header.
        ("size", b"0", "the archive is damaged"),
        ("uid", b"-1", "not a number"),
        ("uid", b"4294967295", "an owner of 4294967295"),
        ("gid", b"4294967296", "an owner of 4294967296"),
        ("mtime", b"soon", "not a number"),
        ("mtime", b"99999999999999999999", "not a number"),
        ("GNU.sparse.size", b"1099511627776", "a sparse file"),
        ("GNU.sparse.realsize", b"1099511627776", "a sparse file"),
        ("SCHILY.xattr.user.a\0b", b"v", "Invalid argument"),
    ] {
        let error = refused(says(key, value));
        assert!(error.contains(reason), "{key}={value:?}: {error}");
    }
    let mut layers = Layers::new();
    for time in [&b"-9223372036854775808"[..], b"9223372036854775807.999999999"] {
        // The file system keeps what it can.
        layers.add(says("mtime", time)).unwrap();
    }
    // Lengths of records, as they are written.
    for record in [
        &b"5 a=b\n"[..],
        b"7 a=b\n",
        b"0 \n",
        b"99999999999999999999 a=b\n",
        b"6 ab \n",
        b" a=b\n",
        b"-6 a=b\n",
    ] {
        let bytes = extension(b'x', record);
        let error = line(&Layers::new().add_bytes(&bytes).unwrap_err());
        assert!(error.contains("a malformed PAX record"), "{record:?}: {error}");
    }
}

/// An extension header alone, and a file behind it.
fn extension(kind: u8, text: &[u8]) -> Vec<u8> {
    let header = Tar::new().entry("x", EntryType::new(kind), "", text, 0o644).finish();
    // Without the two blocks that end an archive.
    [&header[..header.len() - 1024], &Tar::new().file("x", "").finish()].concat()
}

#[test]
fn long_names_of_gnu_are_said_once_and_of_something() {
    if !is_root("long_names_of_gnu_are_said_once_and_of_something") {
        return;
    }
    let mut layers = Layers::new();
    let path = layers.add_bytes(&extension(b'L', b"long\0name")).unwrap();
    assert_eq!(tree(&path), [("long".to_owned(), String::new())].into());
    let twice = [&extension(b'L', b"a")[..1024], &extension(b'L', b"b")].concat();
    let alone = &extension(b'K', b"a")[..1024];
    for (bytes, reason) in
        [(&twice[..], "two extension headers"), (alone, "it ends after an extension header")]
    {
        let error = line(&Layers::new().add_bytes(bytes).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
    for kind in [b'S', b'V', b'M', b'N', b'D'] {
        let error = refused(Tar::new().entry("x", EntryType::new(kind), "", b"", 0o644));
        assert!(error.contains("a type that is not supported"), "{error}");
    }
}

#[test]
fn an_entry_takes_the_place_of_another_kind_and_is_never_written_through_it() {
    if !is_root("an_entry_takes_the_place_of_another_kind_and_is_never_written_through_it") {
        return;
    }
    type Make = fn(Tar) -> Tar;
    let kinds: [(Make, &str); 5] = [
        (|tar| tar.file("e", "text"), "text"),
        (|tar| tar.dir("e"), "directory"),
        (|tar| tar.symlink("e", "f"), "-> f"),
        (|tar| tar.entry("e", EntryType::Fifo, "", b"", 0o600), "special 10600"),
        (|tar| tar.link("e", "f"), "f"),
    ];
    for (first, _) in kinds {
        for (second, text) in kinds {
            check(second(first(Tar::new().file("f", "f"))), &[("f", "f"), ("e", text)]);
        }
    }
}

#[test]
fn attributes_are_few_and_small() {
    if !is_root("attributes_are_few_and_small") {
        return;
    }
    let attributes = |count: usize, value: &[u8]| {
        let names: Vec<String> = (0..count).map(|n| format!("SCHILY.xattr.user.{n}")).collect();
        let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), value)).collect();
        Tar::new().pax(&records)
    };
    Layers::new().add(attributes(4, b"v").file("x", "")).unwrap();
    assert!(refused(attributes(5, b"v").file("x", "")).contains("more than 4 extended attributes"));
    // One that is larger than any file system takes.
    let large = refused(attributes(1, &[b'v'; 70_000]).file("x", ""));
    assert!(large.contains("entry \"x\""), "{large}");
    // Headers that say a little more each, about one entry.
    let piece = attributes(4, &[b'v'; 1 << 16]).finish();
    let many = piece[..piece.len() - 1024].repeat(8);
    let error =
        line(&Layers::new().add_bytes(&[many, Tar::new().file("x", "").finish()].concat()).unwrap_err());
    assert!(error.contains("at most 1048576 are read for one entry"), "{error}");
}

/// A reader that brings the same bytes for ever.
struct Endless(Cursor<Vec<u8>>);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => {
                self.0.set_position(0);
                self.0.read(buffer)
            }
            count => Ok(count),
        }
    }
}

#[test]
fn an_archive_without_end_ends_at_the_number_of_its_entries() {
    if !is_root("an_archive_without_end_ends_at_the_number_of_its_entries") {
        return;
    }
    let entry = Tar::new().file("d/x", "").finish();
    let archive = Endless(Cursor::new(entry[..512].to_vec()));
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { entries: 20_000, ..SMALL };
    let error = fill(archive, at::open_root(dir.path()).unwrap(), Vec::new(), &limits).unwrap_err();
    assert_eq!(error.to_string(), "more than 20000 entries");
    assert_eq!(tree(dir.path()).len(), 2);
}
