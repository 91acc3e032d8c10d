//! Turns a layer's archive into a directory that overlayfs can use as a lower layer.
//!
//! The archive is a stranger's. Its entries are made by name within open directories, see `tree`; they keep their
//! owners, modes (setuid too) and capabilities, for nobody of the host can reach them below a directory of mode 0700.
//! Whiteouts become overlayfs' own, and hide only what the layers below brought, never what the same archive did.
//!
//! All of that happens in processes of their own, see `process`: what reads a stranger's bytes has nothing else in reach.

mod attributes;
mod child;
mod decompress;
mod error;
pub(crate) mod members;
mod patient;
mod process;
mod sandbox;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, futimens, makedev, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{fchownat, linkat, symlinkat};

use self::attributes::Attributes;
use self::members::{Kind, Member, Members};
use self::tree::{Below, Directory, Place, Tree, below};
use super::at;

pub(super) use self::child::main as child_main;
pub(super) use self::decompress::decompress;
pub use self::error::Error;
pub(super) use self::process::unpack;

/// What starts the name of an entry that hides something.
const WHITEOUT: &[u8] = b".wh.";

/// Hides everything in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Notes of aufs about itself start so.
const AUFS: &[u8] = b".wh..wh.";

/// How much one layer may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Entries in the archive.
    pub(crate) entries: u64,
    /// Bytes of the archive, uncompressed.
    pub(crate) bytes: u64,
    /// Components of a path.
    pub(crate) depth: usize,
    /// Extended attributes of an entry.
    pub(crate) attributes: usize,
}

/// Several times what the largest public images have.
pub(super) const LIMITS: Limits =
    Limits { entries: 2_000_000, bytes: 128 << 30, depth: 256, attributes: 256 };

/// Fills an empty directory with the members of an archive; `lowers` are the layers below it, topmost first.
pub(crate) fn fill(archive: impl Read, top: File, lowers: Vec<File>, limits: &Limits) -> Result<(), Error> {
    let tree = Tree::new(top, lowers).map_err(Error::Layer)?;
    let mut layer = Layer { tree, limits: *limits, times: BTreeMap::new() };
    let mut members = Members::new(archive);
    let mut entries = 0;
    while let Some(member) = members.next().map_err(Error::Archive)? {
        entries += 1;
        if entries > limits.entries {
            return Err(Error::TooManyEntries(limits.entries));
        }
        layer.add(&member, &mut members)?;
    }
    members.finish().map_err(Error::Archive)?;
    layer.finish().map_err(Error::Layer)
}

struct Layer {
    tree: Tree,
    limits: Limits,
    /// Directories' times are set at the end: what is made in them changes them.
    times: BTreeMap<PathBuf, TimeSpec>,
}

impl Layer {
    fn add(&mut self, member: &Member, members: &mut Members<impl Read>) -> Result<(), Error> {
        let name = || members::shown(&member.path);
        let mut path = components(&member.path, self.limits.depth)
            .map_err(|reason| Error::Entry { name: name(), reason: reason.to_owned() })?;
        let Some(last) = path.pop() else {
            return self.root(member).map_err(|source| Error::Make { name: name(), source });
        };
        let refuse = |reason: &str| Err(Error::Entry { name: name(), reason: reason.to_owned() });
        if let Kind::CharDevice { major: 0, minor: 0 } = member.kind {
            return refuse("a device 0:0, which overlayfs would take for a mark of its own");
        }
        if member.attributes.len() > self.limits.attributes {
            return refuse(&format!("more than {} extended attributes", self.limits.attributes));
        }
        let made = match last.as_bytes().strip_prefix(WHITEOUT) {
            Some(_) if last.as_bytes() == OPAQUE => self.opaque(&path),
            Some(_) if last.as_bytes().starts_with(AUFS) => Ok(()),
            Some(b"" | b"." | b"..") => return refuse("a whiteout of no name"),
            Some(hidden) => self.white_out(&path, OsStr::from_bytes(hidden)),
            None => match &member.kind {
                Kind::HardLink(target) => {
                    let target = components(target, self.limits.depth).map_err(|reason| Error::Entry {
                        name: name(),
                        reason: format!("its target {:?}: {reason}", members::shown(target)),
                    })?;
                    self.hard_link(&path, &last, target)
                }
                Kind::Directory => self.directory(&path, &last, member),
                _ => self.file(&path, &last, member, members),
            },
        };
        made.map_err(|source| Error::Make { name: name(), source })
    }

    /// The entry `./`.
    fn root(&mut self, member: &Member) -> io::Result<()> {
        if member.kind != Kind::Directory {
            return Err(io::Error::other("it stands for the layer's root, and is not a directory"));
        }
        self.times.insert(PathBuf::new(), Attributes::from(member).mtime);
        Attributes::from(member).apply(&self.tree.root().top)
    }

    fn opaque(&mut self, path: &[OsString]) -> io::Result<()> {
        let directory = self.tree.directory(path)?;
        self.tree.make_opaque(&directory.path);
        Ok(())
    }

    fn white_out(&mut self, parent: &[OsString], name: &OsStr) -> io::Result<()> {
        let parent = self.tree.directory(parent)?;
        self.tree.white_out(&parent, name)
    }

    fn directory(&mut self, parent: &[OsString], name: &OsStr, member: &Member) -> io::Result<()> {
        let parent = self.tree.directory(parent)?;
        let place = self.tree.place(&parent, name, true)?;
        if place != Place::Directory {
            mkdirat(&parent.top, name, Mode::S_IRWXU)?;
        }
        let directory = at::open_dir(&parent.top, name)?;
        let path = parent.path.join(name);
        if place == Place::Replaced {
            // What was here hid the directory of that name below, and so does what takes its place.
            self.tree.make_opaque(&path);
        }
        let attributes = Attributes::from(member);
        attributes.apply(&directory)?;
        self.times.insert(path, attributes.mtime);
        Ok(())
    }

    fn file(
        &mut self,
        parent: &[OsString],
        name: &OsStr,
        member: &Member,
        members: &mut Members<impl Read>,
    ) -> io::Result<()> {
        let parent = self.tree.directory(parent)?;
        self.tree.place(&parent, name, false)?;
        let attributes = Attributes::from(member);
        let (kind, device) = match &member.kind {
            Kind::File => {
                let mut file = at::create_file(&parent.top, name)?;
                io::copy(&mut members.data(), &mut file)?;
                return attributes.apply(&file);
            }
            Kind::Symlink(target) => return symlink(&parent, name, OsStr::from_bytes(target), &attributes),
            Kind::Fifo => (SFlag::S_IFIFO, 0),
            Kind::CharDevice { major, minor } => (SFlag::S_IFCHR, makedev((*major).into(), (*minor).into())),
            Kind::BlockDevice { major, minor } => (SFlag::S_IFBLK, makedev((*major).into(), (*minor).into())),
            Kind::Directory | Kind::HardLink(_) => return Err(io::Error::other("not a file")),
        };
        mknodat(&parent.top, name, kind, Mode::empty(), device)?;
        set_owner_and_time(&parent, name, &attributes)?;
        // Follows symlinks, but this is none: it was made a moment ago, and nobody else writes here.
        Ok(fchmodat(&parent.top, name, attributes.mode, FchmodatFlags::FollowSymlink)?)
    }

    fn hard_link(&mut self, parent: &[OsString], name: &OsStr, mut target: Vec<OsString>) -> io::Result<()> {
        let target_name = target.pop().ok_or_else(|| io::Error::other("a hard link to the layer's root"))?;
        let target = self.tree.directory(&target)?;
        let missing = || io::Error::other("a hard link to what is not there");
        match at::stat(&target.top, &target_name)? {
            Some(stat) if at::is_whiteout(&stat) => return Err(missing()),
            Some(stat) if at::is_dir(&stat) => return Err(io::Error::other("a hard link to a directory")),
            Some(_) => {}
            // As on a mounted overlay: linking to a file of a lower layer copies it up first.
            None => match below(&target, &target_name)? {
                Below::Nothing => return Err(missing()),
                Below::Directory(_) => return Err(io::Error::other("a hard link to a directory")),
                Below::Other(lower, stat) => copy_up(&lower, &target, &target_name, &stat)?,
            },
        }
        let parent = self.tree.directory(parent)?;
        if parent.path == target.path && name == target_name {
            return Ok(());
        }
        self.tree.place(&parent, name, false)?;
        // Without AT_SYMLINK_FOLLOW: a link to a symlink is one to the symlink itself.
        Ok(linkat(&target.top, target_name.as_os_str(), &parent.top, name, AtFlags::empty())?)
    }

    fn finish(self) -> io::Result<()> {
        let root = self.tree.root();
        self.tree.finish()?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        for (path, mtime) in self.times {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            match openat2(&root.top, path, how) {
                Ok(directory) => futimens(&directory, &TimeSpec::UTIME_OMIT, &mtime)?,
                // A later entry took its place.
                Err(_) => continue,
            }
        }
        Ok(())
    }
}

/// The components of an entry's path, which starts at the layer's root however it is written.
fn components(path: &[u8], depth: usize) -> Result<Vec<OsString>, &'static str> {
    if path.contains(&0) {
        return Err("a NUL in its name");
    }
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let mut components = Vec::new();
    for part in parts {
        if part == b".." {
            return Err("'..' in its name");
        }
        if components.len() == depth {
            return Err("too many directories in its name");
        }
        components.push(OsString::from_vec(part.to_vec()));
    }
    Ok(components)
}

fn symlink(parent: &Rc<Directory>, name: &OsStr, target: &OsStr, attributes: &Attributes) -> io::Result<()> {
    symlinkat(target, &parent.top, name)?;
    set_owner_and_time(parent, name, attributes)
}

fn set_owner_and_time(parent: &Directory, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
    fchownat(&parent.top, name, Some(attributes.uid), Some(attributes.gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let flags = UtimensatFlags::NoFollowSymlink;
    Ok(utimensat(&parent.top, name, &TimeSpec::UTIME_OMIT, &attributes.mtime, flags)?)
}

/// Copies a file or symlink of a lower layer into this one.
fn copy_up(lower: &std::fs::File, parent: &Rc<Directory>, name: &OsStr, stat: &FileStat) -> io::Result<()> {
    match at::kind(stat) {
        SFlag::S_IFREG => {
            let mut from = at::open_file(lower, name)?;
            let mut to = at::create_file(&parent.top, name)?;
            io::copy(&mut from, &mut to)?;
            Attributes::of(&from)?.apply(&to)
        }
        SFlag::S_IFLNK => {
            let target = readlinkat(lower, name)?;
            symlink(parent, name, &target, &Attributes::from(stat))
        }
        _ => Err(io::Error::other("a hard link to a device or FIFO of a layer below")),
    }
}
