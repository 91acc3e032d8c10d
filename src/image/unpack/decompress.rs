//! What an archive is packed with, taken away.

use std::io::{self, BufReader, Read};

use crate::image::manifest::Compression;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// The archive in a blob.
pub(in crate::image) fn decompress<'b>(
    blob: impl Read + 'b,
    compression: Compression,
) -> io::Result<Box<dyn Read + 'b>> {
    let blob = BufReader::with_capacity(PIECE, blob);
    Ok(match compression {
        Compression::None => Box::new(blob),
        // Several members, as parallel and seekable compressors write them, are one stream.
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(blob)?),
    })
}
