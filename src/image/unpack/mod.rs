//! Turns a layer's archive into a directory that overlayfs can use as a lower layer.
//!
//! The archive is a stranger's. Its entries are made by name within open directories, see `tree`; they keep their
//! owners, modes (setuid too) and capabilities, for nobody of the host can reach them below a directory of mode 0700.
//! Whiteouts become overlayfs' own, and hide only what the layers below brought, never what the same archive did.

mod attributes;
pub(crate) mod members;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, futimens, makedev, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{fchownat, linkat, symlinkat};
use pathrs::RootRef;
use pathrs::flags::{OpenFlags, ResolverFlags};

use self::attributes::Attributes;
use self::members::{Kind, Member, Members};
use self::tree::{Below, Directory, Place, Tree, below};
use super::at;

/// What starts the name of an entry that hides something.
const WHITEOUT: &[u8] = b".wh.";

/// Hides everything in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Notes of aufs about itself start so.
const AUFS: &[u8] = b".wh..wh.";

/// How much one layer may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Entries in the archive.
    pub(super) entries: u64,
    /// Bytes of the archive, uncompressed.
    pub(super) bytes: u64,
    /// Components of a path.
    pub(super) depth: usize,
}

/// Several times what the largest public images have.
pub(super) const LIMITS: Limits = Limits { entries: 2_000_000, bytes: 128 << 30, depth: 256 };

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive cannot be read to its end, or is none.
    #[error("the archive is damaged: {0}")]
    Archive(#[source] io::Error),
    /// An entry that is not allowed.
    #[error("entry {name:?}: {reason}")]
    Entry {
        /// As written in the archive.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel refused to make an entry.
    #[error("entry {name:?}")]
    Make {
        /// As written in the archive.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive has more entries than are allowed.
    #[error("more than {0} entries")]
    TooManyEntries(u64),
    /// The layer's own directory, or one below it, cannot be used.
    #[error("cannot prepare or complete the layer's directory")]
    Layer(#[source] io::Error),
    /// The uncompressed archive is not what the image's configuration says.
    #[error("its content has the digest {found}, but the image's configuration says {expected}")]
    DiffId {
        /// By the configuration.
        expected: String,
        /// By the bytes.
        found: String,
    },
}

/// Unpacks an archive into an empty directory; `lowers` are the layers below it, topmost first.
///
/// What is left in the directory after an error is of no use.
pub(super) fn unpack(
    archive: impl Read,
    top: &Path,
    lowers: &[PathBuf],
    limits: &Limits,
) -> Result<(), Error> {
    let tree = Tree::open(top, lowers).map_err(Error::Layer)?;
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
        let name = || String::from_utf8_lossy(&member.path).into_owned();
        let mut path = components(&member.path, self.limits.depth)
            .map_err(|reason| Error::Entry { name: name(), reason: reason.to_owned() })?;
        let Some(last) = path.pop() else {
            return self.root(member).map_err(|source| Error::Make { name: name(), source });
        };
        if let Kind::CharDevice { major: 0, minor: 0 } = member.kind {
            let reason = "a device 0:0, which overlayfs would take for a mark of its own".to_owned();
            return Err(Error::Entry { name: name(), reason });
        }
        let made = match last.as_bytes().strip_prefix(WHITEOUT) {
            Some(_) if last.as_bytes() == OPAQUE => self.opaque(&path),
            Some(_) if last.as_bytes().starts_with(AUFS) => Ok(()),
            Some(b"" | b"." | b"..") => {
                return Err(Error::Entry { name: name(), reason: "a whiteout of no name".to_owned() });
            }
            Some(hidden) => self.white_out(&path, OsStr::from_bytes(hidden)),
            None => match &member.kind {
                Kind::HardLink(target) => {
                    let target = components(target, self.limits.depth).map_err(|reason| Error::Entry {
                        name: name(),
                        reason: format!("its target {:?}: {reason}", String::from_utf8_lossy(target)),
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
        self.tree.make_opaque(&directory.path, &directory.top)
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
            self.tree.make_opaque(&path, &directory)?;
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
        let root = RootRef::from_fd(std::os::fd::AsFd::as_fd(&root.top))
            .with_resolver_flags(ResolverFlags::NO_SYMLINKS);
        for (path, mtime) in self.times {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
            let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY | OpenFlags::O_CLOEXEC;
            match root.open_subpath(path, flags) {
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
