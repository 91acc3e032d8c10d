//! A plain directory as an image: one layer with all that is in it.
//!
//! File systems that are mounted below the directory are left out: they are the host's (/proc of a chroot, a bind
//! mount), not the image's. The same tree gives the same bytes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, SFlag, fstat, major, minor};
use oci_spec::image::Arch;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::image::at;
use crate::image::digest::Digest;
use crate::image::error::Error;

/// The PATH of an image that says nothing about itself.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Directories within directories.
const MAX_DEPTH: usize = 256;

/// The configuration of such an image: no command, so a pod has to give one.
pub(in crate::image) fn config(diff_id: &Digest) -> Vec<u8> {
    let config = json!({
        "architecture": Arch::default().to_string(),
        "os": "linux",
        "config": {"Env": [PATH]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]},
    });
    config.to_string().into_bytes()
}

/// Writes the directory's tree as a layer.
pub(in crate::image) fn write_layer(path: &Path, output: impl Write) -> Result<(), Error> {
    let root = at::open_root(path).map_err(Error::io("open", path))?;
    let stat = fstat(&root).map_err(Error::io("look at", path))?;
    let mut layer = Layer { path, device: stat.st_dev, archive: Builder::new(output), links: HashMap::new() };
    layer.directory(&root, &stat, Path::new("./"), 0)?;
    layer.archive.finish().map_err(Error::io("pack", path))
}

struct Layer<'a, W: Write> {
    path: &'a Path,
    device: u64,
    archive: Builder<W>,
    /// The first name of each file that has several.
    links: HashMap<u64, PathBuf>,
}

impl<W: Write> Layer<'_, W> {
    fn directory(&mut self, dir: &File, stat: &FileStat, name: &Path, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(self.refuse(name, "it is too deep"));
        }
        let fail = Error::io("pack", &self.path.join(name));
        let mut header = header(stat, EntryType::Directory);
        let written =
            self.attributes(dir).and_then(|()| self.archive.append_data(&mut header, name, io::empty()));
        written.map_err(fail)?;
        if stat.st_dev != self.device {
            return Ok(());
        }
        for child in at::names(dir).map_err(Error::io("list", &self.path.join(name)))? {
            let path = name.join(&child);
            let fail = |error| Error::Io { action: "pack", path: self.path.join(&path), source: error };
            let Some(stat) = at::stat(dir, &child).map_err(fail)? else {
                continue;
            };
            if child.as_bytes().starts_with(b".wh.") {
                return Err(self.refuse(&path, "its name would be taken for a whiteout"));
            }
            if at::is_dir(&stat) {
                let child = at::open_dir(dir, &child).map_err(fail)?;
                self.directory(&child, &stat, &path, depth + 1)?;
            } else {
                self.file(dir, &child, &stat, &path).map_err(|error| Error::Io {
                    action: "pack",
                    path: self.path.join(&path),
                    source: error,
                })?;
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: &File, child: &OsStr, stat: &FileStat, name: &Path) -> io::Result<()> {
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                let mut header = header(stat, EntryType::Link);
                return self.archive.append_link(&mut header, name, first);
            }
            self.links.insert(stat.st_ino, name.to_owned());
        }
        match at::kind(stat) {
            SFlag::S_IFREG => {
                let file = at::open_file(dir, child)?;
                self.attributes(&file)?;
                // The size as it is now, and no more than that: the file may grow.
                let stat = fstat(&file)?;
                let mut header = header(&stat, EntryType::Regular);
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                header.set_size(size);
                self.archive.append_data(&mut header, name, io::Read::take(file, size))
            }
            SFlag::S_IFLNK => {
                let target = readlinkat(dir, child)?;
                self.archive.append_link(&mut header(stat, EntryType::Symlink), name, &target)
            }
            SFlag::S_IFIFO => self.archive.append_data(&mut header(stat, EntryType::Fifo), name, io::empty()),
            SFlag::S_IFCHR => self.device(stat, EntryType::Char, name),
            SFlag::S_IFBLK => self.device(stat, EntryType::Block, name),
            // A socket is nothing without the process that listens.
            _ => Ok(()),
        }
    }

    fn device(&mut self, stat: &FileStat, kind: EntryType, name: &Path) -> io::Result<()> {
        let mut header = header(stat, kind);
        let number = |number: u64| u32::try_from(number).map_err(io::Error::other);
        header.set_device_major(number(major(stat.st_rdev))?)?;
        header.set_device_minor(number(minor(stat.st_rdev))?)?;
        self.archive.append_data(&mut header, name, io::empty())
    }

    fn attributes(&mut self, file: &File) -> io::Result<()> {
        let attributes = at::attributes(file)?;
        let names: Vec<String> = attributes
            .iter()
            .filter_map(|(name, _)| name.to_str().map(|name| format!("SCHILY.xattr.{name}")))
            .collect();
        let records =
            names.iter().map(String::as_str).zip(attributes.iter().map(|(_, value)| value.as_slice()));
        self.archive.append_pax_extensions(records)
    }

    fn refuse(&self, name: &Path, reason: &str) -> Error {
        Error::Source { path: self.path.join(name), reason: reason.to_owned() }
    }
}

fn header(stat: &FileStat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}
