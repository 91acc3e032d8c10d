//! The members of a tar archive, read from a stream that cannot be trusted.
//!
//! ustar with the extensions that image builders use: GNU long names, and PAX records for names, sizes, owners, times
//! and extended attributes. Whatever else would change what a member means is an error, so that no other tar program
//! can see another archive in the same bytes. Headers are bounded: nothing here grows with what the archive claims.
//! The crate `tar` decodes header blocks; its own iterator reads extension headers of any length into memory, and
//! splits PAX records at newlines, which a file's capabilities may contain.

use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;

use tar::{EntryType, Header};

/// Size of a header, and what data is padded to.
const BLOCK: u64 = 512;

/// Bytes of a name that an error tells.
const MAX_SHOWN: usize = 256;

/// All extension headers of a member. Hold the largest extended attribute (64 KiB) several times.
const MAX_EXTENSION: u64 = 1 << 20;

/// A member, apart from its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// As written in the archive.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// Bytes of data; 0 for all but regular files.
    pub(crate) size: u64,
    /// Extended attributes, as they come.
    pub(crate) attributes: Vec<(OsString, Vec<u8>)>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

/// An archive that is read from its beginning to its end.
pub(crate) struct Members<R> {
    input: R,
    /// How to pass over bytes that nobody reads.
    skip: fn(&mut R, u64) -> io::Result<()>,
    position: u64,
    /// Data of the current member that has not been read, and the padding behind it.
    left: u64,
    padding: u64,
}

impl<R: Read> Members<R> {
    /// Reads from a stream.
    pub(crate) fn new(input: R) -> Self {
        Self { input, skip: read_over, position: 0, left: 0, padding: 0 }
    }

    /// The next member; `None` at the end of the archive. The previous member's data is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut extensions = Extensions::default();
        let mut room = MAX_EXTENSION;
        loop {
            self.pass_over_data()?;
            let Some(header) = self.header()? else {
                return if extensions == Extensions::default() {
                    Ok(None)
                } else {
                    Err(invalid("it ends after an extension header"))
                };
            };
            let text = match header.entry_type() {
                EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
                | EntryType::XGlobalHeader => self.extension(&header, &mut room)?,
                _ => return self.member(&header, extensions).map(Some),
            };
            match header.entry_type() {
                EntryType::GNULongName => set_once(&mut extensions.path, until_nul(text))?,
                EntryType::GNULongLink => set_once(&mut extensions.link, until_nul(text))?,
                EntryType::XHeader => extensions.add_records(&text)?,
                // Comments, as git writes them. A record that changes members has no place in an image.
                _ => {}
            }
        }
    }

    /// The current member's data, or what is left of it.
    pub(crate) fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// Where the current member's data starts.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// After the last member: nothing but zeros may follow.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.input.read(&mut buffer)? {
                0 => return Ok(()),
                count if buffer[..count].iter().all(|byte| *byte == 0) => {}
                _ => return Err(invalid("there are bytes after its end")),
            }
        }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        // Some programs leave out the zeros at the end.
        if self.input.read(&mut block[..1])? == 0 {
            return Ok(None);
        }
        self.input.read_exact(&mut block[1..])?;
        self.position += BLOCK;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) })
            .sum();
        if readable("checksum", header.cksum())? != sum {
            return Err(invalid("a header has a wrong checksum"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, header: &Header, room: &mut u64) -> io::Result<Vec<u8>> {
        let size = readable("size", header.entry_size())?;
        *room = room.checked_sub(size).ok_or_else(|| {
            invalid(&format!(
                "an extension header of {size} bytes; at most {MAX_EXTENSION} are read for one entry"
            ))
        })?;
        self.expect_data(size);
        let mut text = Vec::new();
        self.data().read_to_end(&mut text)?;
        Ok(text)
    }

    fn member(&mut self, header: &Header, extensions: Extensions) -> io::Result<Member> {
        let path = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let link = link.unwrap_or_default();
        let kind = match header.entry_type() {
            // Before ustar, a directory was a file whose name ends in a slash.
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link),
            EntryType::Link => Kind::HardLink(link),
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => Kind::CharDevice { major: major(header)?, minor: minor(header)? },
            EntryType::Block => Kind::BlockDevice { major: major(header)?, minor: minor(header)? },
            other => {
                let name = shown(&path);
                return Err(invalid(&format!(
                    "entry {name:?} is of a type that is not supported ({:?})",
                    other.as_byte() as char
                )));
            }
        };
        // Only files have data; some programs repeat a file's size in a hard link to it.
        let size = match kind {
            Kind::File => extensions.size.map_or_else(|| readable("size", header.entry_size()), Ok)?,
            _ => 0,
        };
        self.expect_data(size);
        Ok(Member {
            path,
            kind,
            mode: (field(&header.as_old().mode, || header.mode().map(u64::from))? & 0o7777) as u32,
            uid: extensions.uid.map_or_else(|| id(field(&header.as_old().uid, || header.uid())?), Ok)?,
            gid: extensions.gid.map_or_else(|| id(field(&header.as_old().gid, || header.gid())?), Ok)?,
            mtime: match extensions.mtime {
                Some(mtime) => mtime,
                None => i64::try_from(field(&header.as_old().mtime, || header.mtime())?).unwrap_or(0),
            },
            size,
            attributes: extensions.attributes,
        })
    }

    fn expect_data(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK;
    }

    fn pass_over_data(&mut self) -> io::Result<()> {
        // Separately: their sum may not fit.
        for count in [self.left, self.padding] {
            (self.skip)(&mut self.input, count)?;
            self.position += count;
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

impl<R: Read + Seek> Members<R> {
    /// Reads from a file, over whose data it can jump. That the file ends early is then not always noticed.
    pub(crate) fn seeking(input: R) -> Self {
        Self { skip: seek_over, ..Self::new(input) }
    }
}

/// A reader of one member's data.
pub(crate) struct Data<'a, R>(&'a mut Members<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.0.input.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.left -= count as u64;
        self.0.position += count as u64;
        Ok(count)
    }
}

/// What the headers before a member say about it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    attributes: Vec<(OsString, Vec<u8>)>,
}

impl Extensions {
    /// PAX records: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
    fn add_records(&mut self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            let (key, value, rest) = record(text).ok_or_else(|| invalid("a malformed PAX record"))?;
            text = rest;
            match key {
                b"path" => set_once(&mut self.path, value.to_vec())?,
                b"linkpath" => set_once(&mut self.link, value.to_vec())?,
                b"size" => set_once(&mut self.size, number(value)?)?,
                b"uid" => set_once(&mut self.uid, id(number(value)?)?)?,
                b"gid" => set_once(&mut self.gid, id(number(value)?)?)?,
                b"mtime" => set_once(&mut self.mtime, seconds(value)?)?,
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(invalid("a sparse file, which is not supported"));
                }
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.attributes.push((OsString::from_vec(name.to_vec()), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Key, value, and what follows the first record.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let (record, rest) = text.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> io::Result<()> {
    if slot.replace(value).is_some() {
        return Err(invalid("two extension headers that say the same of one entry"));
    }
    Ok(())
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

fn number(text: &[u8]) -> io::Result<u64> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| invalid("a PAX record that is not a number"))
}

/// `-1.5` and the like; the fraction is dropped.
fn seconds(text: &[u8]) -> io::Result<i64> {
    let text = std::str::from_utf8(text).ok();
    let number = text.and_then(|text| text.split('.').next()).and_then(|whole| whole.parse().ok());
    number.ok_or_else(|| invalid("a PAX time that is not a number"))
}

/// A field of a header; one that was left blank is 0.
fn field(bytes: &[u8], read: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
    if bytes.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { readable("number", read()) }
}

/// A number of a header. What is there instead is not repeated: it is whatever somebody has written.
fn readable<T>(field: &str, read: io::Result<T>) -> io::Result<T> {
    read.map_err(|_| invalid(&format!("a header whose {field} cannot be read")))
}

/// The largest number means "unchanged" to chown, and is nobody's.
fn id(number: u64) -> io::Result<u32> {
    u32::try_from(number)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| invalid(&format!("an owner of {number}, which is out of range")))
}

fn major(header: &Header) -> io::Result<u32> {
    readable("device", header.device_major())?.ok_or_else(|| invalid("a device without a number"))
}

fn minor(header: &Header) -> io::Result<u32> {
    readable("device", header.device_minor())?.ok_or_else(|| invalid("a device without a number"))
}

fn read_over<R: Read>(input: &mut R, count: u64) -> io::Result<()> {
    if io::copy(&mut input.take(count), &mut io::sink())? == count {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn seek_over<R: Seek>(input: &mut R, count: u64) -> io::Result<()> {
    let count = i64::try_from(count).map_err(|_| invalid("an entry larger than a file can be"))?;
    input.seek(SeekFrom::Current(count)).map(drop)
}

/// A name as errors tell it: its beginning, for it may have a million bytes, and what is told goes into events and logs.
pub(super) fn shown(name: &[u8]) -> String {
    let beginning = String::from_utf8_lossy(&name[..name.len().min(MAX_SHOWN)]);
    if name.len() > MAX_SHOWN { format!("{beginning}…") } else { beginning.into_owned() }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
