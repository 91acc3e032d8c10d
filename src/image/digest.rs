//! SHA-256 digests: parsed before they become a path, and computed while bytes stream by.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::error::Error;

/// A digest, kept as 64 lower-case hexadecimal digits: safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Digest {
        Digest::from_hash(Sha256::digest(bytes).as_ref())
    }

    /// The digest of all that a hash has seen.
    pub(crate) fn of_hash(hash: Sha256) -> Digest {
        Digest::from_hash(hash.finalize().as_ref())
    }

    /// The digits, without `sha256:`.
    pub(crate) fn hex(&self) -> &str {
        &self.0
    }

    fn from_hash(hash: &[u8]) -> Digest {
        Digest(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
            .map(|hex| Digest(hex.to_owned()))
            .ok_or_else(|| Error::Invalid {
                what: format!("digest {text:?}"),
                reason: "it is not sha256: and 64 lower-case hexadecimal digits".to_owned(),
            })
    }
}

/// A reader that counts and digests what is read through it, and fails when it is more than a limit.
pub(crate) struct Digesting<R> {
    input: R,
    hash: Sha256,
    size: u64,
    limit: u64,
}

impl<R: Read> Digesting<R> {
    /// Reads from `input`, at most `limit` bytes.
    pub(crate) fn new(input: R, limit: u64) -> Self {
        Self { input, hash: Sha256::new(), size: 0, limit }
    }

    /// Digest and number of the bytes that were read.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest::of_hash(self.hash), self.size)
    }

    /// Digest and number of all bytes, which nobody else wants.
    pub(crate) fn read_over(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.finish())
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        if self.size > self.limit {
            return Err(io::Error::other(format!("more than {} bytes", self.limit)));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_cannot_become_another_path() {
        let hex = "0a".repeat(32);
        assert_eq!(format!("sha256:{hex}").parse::<Digest>().unwrap().hex(), hex);
        for bad in ["", "sha256:", &hex, &format!("sha512:{hex}"), &format!("sha256:{}", "0A".repeat(32))] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
        assert!(format!("sha256:../{}", &hex[3..]).parse::<Digest>().is_err());
    }

    #[test]
    fn what_streams_by_is_counted_digested_and_limited() {
        let mut reader = Digesting::new(&b"hello"[..], 5);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(reader.finish(), (format!("sha256:{hex}").parse().unwrap(), 5));

        let mut reader = Digesting::new(&b"hello"[..], 4);
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap_err().to_string(), "more than 4 bytes");
    }
}
