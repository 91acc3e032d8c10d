//! A layer that is being filled, seen together with the layers below it.
//!
//! An archive may leave out the directories on the way to its entries, and may go through symlinks that a lower layer
//! brought. What it means is decided by what a container would see: so names are looked up through all layers, one
//! component at a time, and the directories on the way are made in the new layer with the attributes that they have
//! below. An absolute symlink starts at the layer's root, and `..` stops there.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::attributes::Attributes;
use crate::image::at;
use crate::sys::tree::remove_at;

/// Symlinks on the way to one entry, as the kernel counts them.
const MAX_SYMLINKS: usize = 40;

/// The longest path that the kernel takes.
const MAX_PATH: usize = 4096;

/// The layers, the new one on top.
pub(super) struct Tree {
    root: Rc<Directory>,
    /// Directories of the new layer, by path, that hide what is below them.
    opaque: BTreeSet<PathBuf>,
    /// The parent of the entry before, as its path was written: archives list directories' entries together.
    last: Option<(Vec<OsString>, Rc<Directory>)>,
}

/// A directory of the new layer, and what it is merged with.
pub(super) struct Directory {
    /// From the layer's root, without symlinks; empty for the root.
    pub(super) path: PathBuf,
    /// In the new layer.
    pub(super) top: File,
    /// In the layers below, topmost first.
    lowers: Vec<File>,
}

/// What the layers below have under a name.
pub(super) enum Below {
    /// Nothing, or it is hidden.
    Nothing,
    /// A directory: the parts that are merged, topmost first.
    Directory(Vec<File>),
    /// Something else, in this directory.
    Other(File, FileStat),
}

/// What was under the name of an entry that is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing in this layer.
    Free,
    /// A directory that stays: it gets new attributes.
    Directory,
    /// Something that is now gone.
    Replaced,
}

impl Tree {
    /// A tree whose new layer is the directory `top`; `lowers` are the layers below it, topmost first.
    pub(super) fn new(top: File, lowers: Vec<File>) -> io::Result<Tree> {
        if let Some(lower) = lowers.first() {
            Attributes::of(lower)?.apply(&top)?;
        }
        let root = Rc::new(Directory { path: PathBuf::new(), top, lowers });
        Ok(Tree { root, opaque: BTreeSet::new(), last: None })
    }

    /// The layers' root.
    pub(super) fn root(&self) -> Rc<Directory> {
        Rc::clone(&self.root)
    }

    /// The directory of that path, made in the new layer where it is missing there.
    pub(super) fn directory(&mut self, path: &[OsString]) -> io::Result<Rc<Directory>> {
        if let Some((last, directory)) = &self.last
            && last == path
        {
            return Ok(Rc::clone(directory));
        }
        let directory = self.walk(path)?;
        self.last = Some((path.to_vec(), Rc::clone(&directory)));
        Ok(directory)
    }

    /// Makes room for an entry: a directory may stay for a directory, all else of that name goes.
    pub(super) fn place(
        &mut self,
        parent: &Directory,
        name: &OsStr,
        for_directory: bool,
    ) -> io::Result<Place> {
        let Some(stat) = at::stat(&parent.top, name)? else {
            return Ok(Place::Free);
        };
        if at::is_dir(&stat) && for_directory {
            return Ok(Place::Directory);
        }
        self.last = None;
        if at::is_dir(&stat) {
            remove_at(parent.top.as_fd(), name)?;
        } else {
            unlinkat(&parent.top, name, UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(Place::Replaced)
    }

    /// Hides what the layers below have under a name, unless this layer has something else there: that stays, and a
    /// directory of this layer is no longer merged with theirs.
    pub(super) fn white_out(&mut self, parent: &Directory, name: &OsStr) -> io::Result<()> {
        match at::stat(&parent.top, name)? {
            Some(stat) if at::is_dir(&stat) => self.make_opaque(&parent.path.join(name)),
            Some(_) => {}
            // A mark where there is nothing to hide would be seen as a device by whoever lists the directory.
            None if matches!(below(parent, name)?, Below::Nothing) => {}
            None => mark(parent, name)?,
        }
        Ok(())
    }

    /// Hides what the layers below have in a directory.
    ///
    /// That is marked at the end, name by name. Overlayfs has a mark for a whole directory, but not for a layer's root, and
    /// setting it takes CAP_SYS_ADMIN.
    pub(super) fn make_opaque(&mut self, path: &Path) {
        self.last = None;
        self.opaque.insert(path.to_owned());
    }

    /// To be called after the last entry.
    pub(super) fn finish(self) -> io::Result<()> {
        let is_covered = |path: &Path| path.ancestors().skip(1).any(|above| self.opaque.contains(above));
        for path in self.opaque.iter().filter(|path| !is_covered(path)) {
            if let Some(directory) = self.merged(path)? {
                hide(&directory)?;
            }
        }
        Ok(())
    }

    /// The directory of that path with all that is below it, hidden or not; `None` when something else took its place.
    fn merged(&self, path: &Path) -> io::Result<Option<Rc<Directory>>> {
        let mut here = self.root();
        for name in path {
            match at::stat(&here.top, name)? {
                Some(stat) if at::is_dir(&stat) => here = Rc::new(within(&here, name)?),
                _ => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    fn walk(&mut self, path: &[OsString]) -> io::Result<Rc<Directory>> {
        let mut here = self.root_of_walk()?;
        let mut symlinks = 0;
        // Components still to go, the next one last.
        let mut ahead: Vec<OsString> = path.iter().rev().cloned().collect();
        while let Some(name) = ahead.pop() {
            if name == ".." {
                // Up again from the root: `here` is a path without symlinks.
                let up = here.path.parent().unwrap_or(Path::new("")).to_owned();
                ahead.extend(up.iter().rev().map(OsStr::to_owned));
                here = self.root_of_walk()?;
                continue;
            }
            match self.step(&here, &name)? {
                Step::Into(directory) => here = Rc::new(directory),
                Step::Symlink(target) => {
                    symlinks += 1;
                    if symlinks > MAX_SYMLINKS {
                        return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
                    }
                    if target.as_bytes().starts_with(b"/") {
                        here = self.root_of_walk()?;
                    }
                    let parts = target.as_bytes().split(|byte| *byte == b'/').rev();
                    ahead.extend(
                        parts
                            .filter(|part| !matches!(*part, b"" | b"."))
                            .map(|part| OsString::from_vec(part.to_vec())),
                    );
                }
            }
        }
        Ok(here)
    }

    /// The root, merged with nothing when it is opaque.
    fn root_of_walk(&self) -> io::Result<Rc<Directory>> {
        if self.opaque.contains(Path::new("")) && !self.root.lowers.is_empty() {
            let top = self.root.top.try_clone()?;
            return Ok(Rc::new(Directory { path: PathBuf::new(), top, lowers: Vec::new() }));
        }
        Ok(self.root())
    }

    fn step(&mut self, here: &Directory, name: &OsStr) -> io::Result<Step> {
        let path = here.path.join(name);
        if path.as_os_str().len() >= MAX_PATH {
            return Err(io::Error::from_raw_os_error(nix::libc::ENAMETOOLONG));
        }
        let not_a_directory = || Err(io::Error::from_raw_os_error(nix::libc::ENOTDIR));
        match at::stat(&here.top, name)? {
            Some(stat) if at::is_dir(&stat) => {
                let lowers = match below(here, name)? {
                    Below::Directory(lowers) if !self.opaque.contains(&path) => lowers,
                    _ => Vec::new(),
                };
                Ok(Step::Into(Directory { path, top: at::open_dir(&here.top, name)?, lowers }))
            }
            Some(stat) if at::kind(&stat) == SFlag::S_IFLNK => {
                Ok(Step::Symlink(readlinkat(&here.top, name)?))
            }
            Some(stat) if at::is_whiteout(&stat) => {
                unlinkat(&here.top, name, UnlinkatFlags::NoRemoveDir)?;
                let top = make_directory(here, name, &Attributes::default())?;
                self.make_opaque(&path);
                Ok(Step::Into(Directory { path, top, lowers: Vec::new() }))
            }
            Some(_) => not_a_directory(),
            None => match below(here, name)? {
                Below::Nothing => {
                    let top = make_directory(here, name, &Attributes::default())?;
                    Ok(Step::Into(Directory { path, top, lowers: Vec::new() }))
                }
                Below::Directory(lowers) => {
                    let top = make_directory(here, name, &Attributes::of(&lowers[0])?)?;
                    Ok(Step::Into(Directory { path, top, lowers }))
                }
                Below::Other(lower, stat) if at::kind(&stat) == SFlag::S_IFLNK => {
                    Ok(Step::Symlink(readlinkat(&lower, name)?))
                }
                Below::Other(..) => not_a_directory(),
            },
        }
    }
}

/// What the layers below have under a name of a directory.
pub(super) fn below(parent: &Directory, name: &OsStr) -> io::Result<Below> {
    let mut parts = Vec::new();
    for lower in &parent.lowers {
        match at::stat(lower, name)? {
            None => {}
            Some(stat) if at::is_dir(&stat) => {
                parts.push(at::open_dir(lower, name)?);
            }
            Some(stat) if !at::is_whiteout(&stat) && parts.is_empty() => {
                return Ok(Below::Other(lower.try_clone()?, stat));
            }
            Some(_) => break,
        }
    }
    Ok(if parts.is_empty() { Below::Nothing } else { Below::Directory(parts) })
}

/// A directory of the new layer within another, with what is below it.
fn within(parent: &Directory, name: &OsStr) -> io::Result<Directory> {
    let lowers = match below(parent, name)? {
        Below::Directory(lowers) => lowers,
        Below::Nothing | Below::Other(..) => Vec::new(),
    };
    Ok(Directory { path: parent.path.join(name), top: at::open_dir(&parent.top, name)?, lowers })
}

/// Marks what the layers below have in a directory, but for what the new layer has there itself.
fn hide(directory: &Directory) -> io::Result<()> {
    let mut names = BTreeSet::new();
    for lower in &directory.lowers {
        names.extend(at::names(lower)?);
    }
    for name in &names {
        match (at::stat(&directory.top, name)?, below(directory, name)?) {
            (_, Below::Nothing) => {}
            (None, _) => mark(directory, name)?,
            (Some(stat), Below::Directory(_)) if at::is_dir(&stat) => hide(&within(directory, name)?)?,
            (Some(_), _) => {}
        }
    }
    Ok(())
}

/// Hides one name, as overlayfs has it.
fn mark(parent: &Directory, name: &OsStr) -> io::Result<()> {
    Ok(mknodat(&parent.top, name, SFlag::S_IFCHR, Mode::empty(), 0)?)
}

enum Step {
    Into(Directory),
    Symlink(OsString),
}

fn make_directory(parent: &Directory, name: &OsStr, attributes: &Attributes) -> io::Result<File> {
    mkdirat(&parent.top, name, Mode::S_IRWXU)?;
    let directory = at::open_dir(&parent.top, name)?;
    attributes.apply(&directory)?;
    Ok(directory)
}
