//! An archive that is a stream, or compressed, as a file that can be read in any order. The file has no name, so whatever
//! happens to this process, nothing of it stays.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::image::digest::Digesting;
use crate::image::durable;
use crate::image::error::Error;
use crate::image::manifest::Compression;
use crate::image::unpack;

/// Bytes by which a compression is known.
const START: usize = 4;

/// True if a file is an archive that is packed once more.
pub(super) fn is_compressed(file: &File) -> bool {
    let mut start = [0; START];
    file.read_exact_at(&mut start, 0).is_ok() && Compression::detect(&start) != Compression::None
}

/// Copies a stream, decompressed, to a file below the directory `scratch`.
pub(super) fn spool(mut stream: impl Read, origin: &Path, scratch: &Path) -> Result<File, Error> {
    let read = || Error::io("read", origin);
    let mut file = durable::unnamed(scratch)?;
    let mut start = Vec::new();
    stream.by_ref().take(START as u64).read_to_end(&mut start).map_err(read())?;
    let compression = Compression::detect(&start);
    let whole = io::Cursor::new(start).chain(stream);
    let plain = unpack::decompress(whole, compression).map_err(read())?;
    io::copy(&mut Digesting::new(plain, unpack::LIMITS.bytes), &mut file).map_err(read())?;
    file.rewind().map_err(read())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn spooled(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut file = spool(bytes, Path::new("stdin"), dir.path()).map_err(|error| error.to_string())?;
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "it has no name");
        let mut found = Vec::new();
        file.read_to_end(&mut found).unwrap();
        Ok(found)
    }

    #[test]
    fn what_comes_compressed_is_there_as_it_was() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let zstd = zstd::encode_all(&b"hello"[..], 1).unwrap();
        for bytes in [b"hello".to_vec(), gzip.finish().unwrap(), zstd] {
            assert_eq!(spooled(&bytes).unwrap(), b"hello");
        }
        assert_eq!(spooled(b"").unwrap(), b"");
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let whole = gzip.finish().unwrap();
        assert_eq!(spooled(&whole[..whole.len() - 6]).unwrap_err(), "cannot read stdin");
    }
}
