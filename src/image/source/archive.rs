//! A tar archive of an image: its members by name, read in any order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use super::spool::is_compressed;
use super::{Content, Files, refuse};
use crate::image::error::Error;
use crate::image::unpack::members::{Kind, Members};

/// Members of an archive: a layer or a document each, and directories.
const MAX_MEMBERS: usize = 100_000;

/// Links from one member to another.
const MAX_LINKS: usize = 8;

/// The archive and where its members are.
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    members: HashMap<PathBuf, Place>,
}

enum Place {
    Data {
        at: u64,
        size: u64,
    },
    /// Old versions of docker store a layer once, and link to it.
    Link(PathBuf),
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = open_file(path)?;
        if is_compressed(&file) {
            return Err(refuse(
                path,
                "the archive is compressed; decompress it first, or load it: mkubelet image load",
            ));
        }
        Self::of(file, path)
    }

    /// An archive that is open; `path` is what the person called it.
    pub(super) fn of(file: File, path: &Path) -> Result<Self, Error> {
        let members = members(&file)
            .map_err(|error| refuse(path, &format!("not a tar archive of an image: {error}")))?;
        Ok(Self { path: path.to_owned(), file, members })
    }
}

/// Opens a file that is not waited for, should it have become a FIFO.
pub(super) fn open_file(path: &Path) -> Result<File, Error> {
    File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).map_err(Error::io("open", path))
}

impl Files for Archive {
    fn open(&self, name: &str) -> Result<Option<Content<'_>>, Error> {
        let mut name = PathBuf::from(name);
        for _ in 0..MAX_LINKS {
            match self.members.get(&name) {
                Some(Place::Data { at, size }) => {
                    let section = Section { file: &self.file, at: *at, left: *size };
                    return Ok(Some((Box::new(section), *size)));
                }
                Some(Place::Link(target)) => name = target.clone(),
                None => return Ok(None),
            }
        }
        Err(refuse(&self.path, &format!("{} is a link to itself", name.display())))
    }

    fn origin(&self) -> &Path {
        &self.path
    }
}

fn members(file: &File) -> io::Result<HashMap<PathBuf, Place>> {
    let mut found = HashMap::new();
    let mut members = Members::seeking(file);
    while let Some(member) = members.next()? {
        let name = lexical(Path::new(std::ffi::OsStr::from_bytes(&member.path)));
        let place = match &member.kind {
            Kind::File => Place::Data { at: members.position(), size: member.size },
            Kind::Symlink(target) => {
                let parent = name.parent().unwrap_or(Path::new(""));
                Place::Link(lexical(&parent.join(std::ffi::OsStr::from_bytes(target))))
            }
            Kind::HardLink(target) => Place::Link(lexical(Path::new(std::ffi::OsStr::from_bytes(target)))),
            _ => continue,
        };
        found.insert(name, place);
        if found.len() > MAX_MEMBERS {
            return Err(io::Error::other(format!("more than {MAX_MEMBERS} members")));
        }
    }
    Ok(found)
}

/// A key, not a path that anybody opens: `..` takes the component before it away.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// A part of a file, without moving the file's position.
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
