//! Local files as a tar archive.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tar::{Builder, Header};

/// Writes the file or the directory at `source` as `name`. What is neither, nor a link, is said and left out.
pub(super) fn pack(source: &Path, name: &str, to: impl Write, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let mut archive = Builder::new(BufWriter::with_capacity(32 << 10, to));
    // In an order that a disk and a person would choose, and without recursion: trees may be deep.
    let mut left = vec![(source.to_owned(), PathBuf::from(name))];
    while let Some((path, name)) = left.pop() {
        let reading = || format!("read {}", path.display());
        let metadata = fs::symlink_metadata(&path).with_context(reading)?;
        if metadata.is_dir() {
            let mut entries = fs::read_dir(&path)
                .and_then(|entries| {
                    entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()
                })
                .with_context(reading)?;
            // Others are made of the names of what is in them, and keep what they are where they are there already.
            if entries.is_empty() && name != Path::new(".") {
                archive.append_data(&mut header(&metadata), &name, io::empty())?;
            }
            entries.sort_by(|one, other| other.cmp(one));
            left.extend(entries.into_iter().map(|entry| (path.join(&entry), name.join(&entry))));
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).with_context(reading)?;
            archive.append_link(&mut header(&metadata), &name, &target)?;
        } else if metadata.is_file() {
            add_file(&mut archive, &path, &name, say)?;
        } else {
            say(&format!("warning: skipping special file: {}", quoted(&path)));
        }
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn add_file(
    archive: &mut Builder<impl Write>,
    path: &Path,
    name: &Path,
    say: &dyn Fn(&str),
) -> anyhow::Result<()> {
    // What became a FIFO meanwhile is not waited for.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        say(&format!("warning: skipping special file: {}", quoted(path)));
        return Ok(());
    }
    // As many bytes as the header says, whatever becomes of the file meanwhile.
    let data = file.chain(io::repeat(0)).take(metadata.len());
    archive.append_data(&mut header(&metadata), name, data)?;
    Ok(())
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(metadata);
    if !metadata.is_file() {
        header.set_size(0);
    }
    header
}

/// A path for people to read, without what would move the cursor of their terminal.
pub(super) fn quoted(path: &Path) -> String {
    format!("{:?}", String::from_utf8_lossy(OsStr::as_bytes(path.as_os_str())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::image::unpack::members::{Kind, Members};

    #[test]
    fn a_tree_is_packed_with_links_and_empty_directories_and_without_what_is_no_file() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("d/empty")).unwrap();
        fs::write(at("d/b"), "text").unwrap();
        symlink("../away", at("d/link")).unwrap();
        let long = "x".repeat(200);
        fs::write(at("d").join(&long), "").unwrap();
        nix::unistd::mkfifo(&at("d/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = std::cell::RefCell::new(Vec::new());
        let mut bytes = Vec::new();
        pack(&at("d"), "new", &mut bytes, &|text| said.borrow_mut().push(text.to_owned())).unwrap();
        let mut members = Members::new(bytes.as_slice());
        let mut found = Vec::new();
        while let Some(member) = members.next().unwrap() {
            let mut data = String::new();
            members.data().read_to_string(&mut data).unwrap();
            found.push((String::from_utf8(member.path).unwrap(), member.kind, data));
        }
        let expected = [
            ("new/b".to_owned(), Kind::File, "text".to_owned()),
            ("new/empty".to_owned(), Kind::Directory, String::new()),
            ("new/link".to_owned(), Kind::Symlink(b"../away".to_vec()), String::new()),
            (format!("new/{long}"), Kind::File, String::new()),
        ];
        let found: Vec<_> = found
            .into_iter()
            .map(|(path, kind, data)| (path.trim_end_matches('/').to_owned(), kind, data))
            .collect();
        assert_eq!(found, expected);
        let said = said.into_inner();
        assert!(said.len() == 1 && said[0].ends_with("d/fifo\""), "{said:?}");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_its_path() {
        let error = pack(Path::new("/nonexistent/x"), "x", io::sink(), &|_| {}).unwrap_err();
        assert_eq!(format!("{error:#}"), "read /nonexistent/x: No such file or directory (os error 2)");
    }
}
