//! A tar archive that a container wrote, as files below one destination.
//!
//! The container may be hostile, and so may its `tar`. It can write no other path than those below the destination: names that lead out
//! of it are left out (CVE-2018-1002100, CVE-2019-1002101), no link of any kind is made (CVE-2019-11246, CVE-2019-11249), and none that is there already is
//! followed (CVE-2019-11251): directories are opened one by one, by the kernel's rule that no link is on the way. No device, FIFO or set-user-ID bit is made
//! either, and headers are bounded, whatever sizes they claim.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use pathrs::Root;
use pathrs::flags::{OpenFlags, ResolverFlags};

use super::pack::quoted;
use crate::image::unpack::members::{Kind, Members};

/// What new directories and files may at most be, before the umask.
const DIRECTORY: u32 = 0o755;
const FILE: u32 = 0o666;

/// Unpacks what was packed as `prefix` to `destination`, which becomes the file or the directory that this was. What is left out is said.
pub(super) fn unpack(
    archive: impl Read,
    prefix: &str,
    destination: &Path,
    say: &dyn Fn(&str),
) -> anyhow::Result<()> {
    let mut members = Members::new(archive);
    while let Some(member) = members.next().context("read the archive")? {
        let rest = rest(&member.path, prefix.as_bytes()).context("tar contents corrupted")?;
        let Some(below) = inside(rest) else {
            let name = String::from_utf8_lossy(&member.path).into_owned();
            say(&format!("warning: file {name:?} is outside target destination, skipping"));
            continue;
        };
        let shown = || quoted(&destination.join(&below));
        match &member.kind {
            Kind::Directory => make_directory(destination, &below)?,
            Kind::File => {
                let mut file = create(destination, &below)?;
                io::copy(&mut members.data(), &mut file).with_context(|| format!("write {}", shown()))?;
            }
            Kind::Symlink(target) => {
                let target = String::from_utf8_lossy(target).into_owned();
                say(&format!("warning: skipping symlink: {} -> {target:?}", shown()));
            }
            Kind::HardLink(target) => {
                let target = String::from_utf8_lossy(target).into_owned();
                say(&format!("warning: skipping hard link: {} -> {target:?}", shown()));
            }
            _ => say(&format!("warning: skipping special file: {}", shown())),
        }
    }
    // Read to the end: who writes it is not to be disturbed.
    members.finish().context("read the archive")
}

/// What follows the prefix in a member's name.
fn rest<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let mut name = name;
    while let Some(below) = name.strip_prefix(b"./") {
        name = below;
    }
    let rest = name.strip_prefix(prefix)?;
    (prefix.is_empty() || rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// The path below the destination; none when it leads out of it.
fn inside(rest: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in rest.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.into_iter().map(std::ffi::OsStr::from_bytes).collect())
}

fn make_directory(destination: &Path, below: &Path) -> anyhow::Result<()> {
    let root = open(destination)?;
    if !below.as_os_str().is_empty() {
        let made = root.mkdir_all(below, &Permissions::from_mode(DIRECTORY));
        made.with_context(|| format!("make directory {}", quoted(&destination.join(below))))?;
    }
    Ok(())
}

fn create(destination: &Path, below: &Path) -> anyhow::Result<File> {
    let path = destination.join(below);
    let creating = || format!("create {}", quoted(&path));
    let Some(parent) = below.parent() else {
        // The destination itself: whoever named it may have named a link.
        if let Some(parent) = destination.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).with_context(creating)?;
        }
        let file = File::options().write(true).create(true).truncate(true).mode(FILE).open(destination);
        return file.with_context(creating);
    };
    make_directory(destination, parent)?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_TRUNC | OpenFlags::O_NOFOLLOW;
    open(destination)?.create_file(below, flags, &Permissions::from_mode(FILE)).with_context(creating)
}

/// The destination, in which no link is followed.
fn open(destination: &Path) -> anyhow::Result<Root> {
    std::fs::create_dir_all(destination)
        .with_context(|| format!("make directory {}", quoted(destination)))?;
    let root = Root::open(destination).with_context(|| format!("open {}", quoted(destination)))?;
    Ok(root.with_resolver_flags(ResolverFlags::NO_SYMLINKS))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tar::{Builder, EntryType, Header};

    use super::*;

    /// An archive of members with any name that a header has room for, written as they are.
    fn archive(members: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (kind, name, content) in members {
            let mut header = Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o4777);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            let (mut data, mut link) = (*content, "");
            if !kind.is_file() {
                (data, link) = ("", content);
            }
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_size(data.len() as u64);
            header.set_cksum();
            archive.append(&header, std::mem::take(&mut data).as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// A directory with a destination `to` and a file beside it that nobody may touch.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::write(root.path().join("canary"), "alive").unwrap();
            Self(root)
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn unpack(
            &self,
            prefix: &str,
            members: &[(EntryType, &str, &str)],
        ) -> (anyhow::Result<()>, Vec<String>) {
            let said = std::cell::RefCell::new(Vec::new());
            let bytes = archive(members);
            let say = |text: &str| said.borrow_mut().push(text.to_owned());
            let unpacked = unpack(bytes.as_slice(), prefix, &self.at("to"), &say);
            (unpacked, said.into_inner())
        }

        #[track_caller]
        fn check_nothing_else_was_touched(&self) {
            assert_eq!(fs::read_to_string(self.at("canary")).unwrap(), "alive");
            let mut names: Vec<_> =
                fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.retain(|name| name != "to" && name != "canary" && name != "away");
            assert_eq!(names, [""; 0]);
        }
    }

    use EntryType::{Char, Directory, Fifo, Link, Regular, Symlink};

    #[test]
    fn a_file_becomes_the_destination_and_a_directory_what_is_in_it() {
        let world = World::new();
        world.unpack("tmp/a", &[(Regular, "tmp/a", "text")]).0.unwrap();
        assert_eq!(fs::read_to_string(world.at("to")).unwrap(), "text");
        fs::remove_file(world.at("to")).unwrap();
        let tree = [
            (Directory, "tmp/d/", ""),
            (Regular, "tmp/d/x", "1"),
            (Regular, "tmp/d/deep/er/y", "2"),
            (Directory, "tmp/d/empty", ""),
        ];
        for _ in 0..2 {
            let (unpacked, said) = world.unpack("tmp/d", &tree);
            unpacked.unwrap();
            assert_eq!(said, [""; 0]);
        }
        assert_eq!(fs::read_to_string(world.at("to/x")).unwrap(), "1");
        assert_eq!(fs::read_to_string(world.at("to/deep/er/y")).unwrap(), "2");
        assert!(world.at("to/empty").is_dir());
        assert_eq!(fs::metadata(world.at("to/x")).unwrap().permissions().mode() & 0o7111, 0);
        world.unpack("", &[(Regular, "./z", "3")]).0.unwrap();
        assert_eq!(fs::read_to_string(world.at("to/z")).unwrap(), "3");
    }

    #[test]
    fn a_hostile_archive_writes_nothing_outside_the_destination() {
        for (members, is_error) in [
            // CVE-2018-1002100: names that lead out.
            (vec![(Regular, "d/../../canary", "dead")], false),
            (vec![(Regular, "d/x/../../../canary", "dead")], false),
            (vec![(Directory, "d/../../made", "")], false),
            // Names that do not begin as they must.
            (vec![(Regular, "../canary", "dead")], true),
            (vec![(Regular, "dx/../canary", "dead")], true),
            (vec![(Regular, "/canary", "dead")], true),
            // CVE-2019-1002101, CVE-2019-11246: a link, and then a file through it.
            (vec![(Symlink, "d/l", ".."), (Regular, "d/l/canary", "dead")], false),
            (vec![(Symlink, "d/l", "../canary"), (Regular, "d/l", "dead")], false),
            // CVE-2019-11249, CVE-2019-11251: two links, of which each stays inside.
            (vec![(Symlink, "d/a", "."), (Symlink, "d/a/b", ".."), (Regular, "d/a/b/canary", "dead")], false),
            (vec![(Symlink, "d", ".."), (Regular, "d/canary", "dead")], false),
            // Links of the other kind, and what is no file.
            (vec![(Link, "d/l", "canary"), (Regular, "d/l", "dead")], false),
            (vec![(Char, "d/null", ""), (Fifo, "d/fifo", "")], false),
            // A file in the place of a directory.
            (vec![(Regular, "d", "x"), (Regular, "d/y", "x")], true),
        ] {
            let world = World::new();
            let (unpacked, said) = world.unpack("d", &members);
            assert_eq!(unpacked.is_err(), is_error, "{members:?}: {unpacked:?}");
            assert!(is_error || !said.is_empty(), "{members:?} is said");
            world.check_nothing_else_was_touched();
            assert!(!world.at("to/l").is_symlink() && !world.at("to/null").exists(), "{members:?}");
        }
    }

    #[test]
    fn a_link_that_is_there_already_is_not_followed() {
        for members in
            [[(Regular, "d/l/canary", "dead")], [(Regular, "d/f", "dead")], [(Directory, "d/l/new", "")]]
        {
            let world = World::new();
            fs::create_dir_all(world.at("away")).unwrap();
            fs::create_dir_all(world.at("to")).unwrap();
            symlink("..", world.at("to/l")).unwrap();
            symlink("../canary", world.at("to/f")).unwrap();
            assert!(world.unpack("d", &members).0.is_err(), "{members:?}");
            world.check_nothing_else_was_touched();
        }
    }

    #[test]
    fn names_cannot_move_the_cursor_and_what_is_no_archive_is_an_error() {
        let world = World::new();
        let (_, said) = world.unpack("d", &[(Symlink, "d/\u{1b}[2J", "\u{1b}x")]);
        assert!(!said[0].contains('\u{1b}'), "{said:?}");
        let error = unpack([7_u8; 2048].as_slice(), "d", &world.at("to"), &|_| {}).unwrap_err();
        assert!(format!("{error:#}").starts_with("read the archive: "), "{error:#}");
    }
}
