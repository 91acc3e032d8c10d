//! The two processes that read a layer, seen from within: `mkubelet unpack-layer PARENT ROLE WORD...`.
//!
//! Standard input is the blob or the archive, standard output the archive or nothing, standard error the answer: JSON, or
//! whatever a process says that dies.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use super::decompress::decompress;
use super::{Error, Limits, fill, sandbox};
use crate::container::failure::{Failure, Step};
use crate::image::manifest::Compression;
use crate::sys::process;

/// The first argument.
pub(super) const WORD: &str = "unpack-layer";

/// The first descriptor behind the standard streams.
const STREAMS: u32 = 3;

/// What one of the processes is for.
#[derive(Debug, PartialEq)]
pub(super) enum Role {
    /// Makes an archive of a blob.
    Decompress(Compression),
    /// Makes a layer's directory of an archive.
    Unpack {
        /// What the layer may have; how large the archive is, is for the parent to say.
        limits: Limits,
        /// The directory.
        top: PathBuf,
        /// Those of the layers below, topmost first.
        lowers: Vec<PathBuf>,
    },
}

impl Role {
    /// As errors say it.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Decompress(_) => "decompresses",
            Self::Unpack { .. } => "unpacks",
        }
    }

    /// The arguments after [`WORD`], for a child of that parent.
    pub(super) fn words(&self, parent: u32) -> Vec<OsString> {
        let mut words = vec![parent.to_string().into(), self.verb().into()];
        match self {
            Self::Decompress(compression) => words.push(compression.media_type().into()),
            Self::Unpack { limits, top, lowers } => {
                let Limits { entries, bytes, depth, attributes } = limits;
                words.push(format!("{entries},{bytes},{depth},{attributes}").into());
                words.push(top.into());
                words.extend(lowers.iter().map(OsString::from));
            }
        }
        words
    }

    /// The parent, and the role.
    fn parse(mut words: impl Iterator<Item = OsString>) -> Option<(u32, Self)> {
        let mut text = || words.next()?.into_string().ok();
        let (parent, verb, detail) = (text()?.parse().ok()?, text()?, text()?);
        let role = match verb.as_str() {
            "decompresses" => {
                let known = [Compression::Gzip, Compression::Zstd];
                Self::Decompress(known.into_iter().find(|known| known.media_type() == detail)?)
            }
            "unpacks" => {
                let numbers: Option<Vec<u64>> = detail.split(',').map(|number| number.parse().ok()).collect();
                let [entries, bytes, depth, attributes] = numbers?.try_into().ok()?;
                let (depth, attributes) = (depth.try_into().ok()?, attributes.try_into().ok()?);
                let top = words.next()?.into();
                let limits = Limits { entries, bytes, depth, attributes };
                Self::Unpack { limits, top, lowers: words.map(PathBuf::from).collect() }
            }
            _ => return None,
        };
        Some((parent, role))
    }
}

/// Does the work and ends, if this process was started for that; `None` for any other.
pub(in crate::image) fn main() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next().as_deref() != Some(OsStr::new(WORD)) {
        return None;
    }
    let result = match Role::parse(words) {
        Some((parent, role)) => run(parent, role),
        None => {
            let _ = io::stderr().write_all(b"mkubelet unpack-layer is started by mkubelet, not by hand\n");
            return Some(ExitCode::FAILURE);
        }
    };
    let failed = result.is_err();
    // A parent that has gone needs no answer.
    let answer = serde_json::to_vec(&result).unwrap_or_default();
    let _ = io::stderr().write_all(&answer);
    Some(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run(parent: u32, role: Role) -> Result<(), Error> {
    let verb = role.verb();
    let confined = |failure: Failure| Error::Process {
        role: verb.to_owned(),
        reason: format!("cannot be confined: {failure}"),
    };
    // Nothing else should be open; nothing else is.
    process::close_from(STREAMS).step(|| "close_range").map_err(confined)?;
    match role {
        Role::Decompress(compression) => {
            let (input, mut output) = (stream(io::stdin())?, stream(io::stdout())?);
            sandbox::without_files(parent).map_err(confined)?;
            let mut archive = decompress(input, compression).map_err(Error::Archive)?;
            let copied = io::copy(&mut archive, &mut output).map(drop);
            copied.map_err(Error::Archive)
        }
        Role::Unpack { limits, top, lowers } => {
            let input = stream(io::stdin())?;
            let (top, lowers) = sandbox::in_layer(parent, &top, &lowers).map_err(confined)?;
            let input = io::BufReader::with_capacity(64 * 1024, input);
            fill(input, top, lowers, &limits)
        }
    }
}

/// A standard stream without the buffer that the library has for it.
fn stream(standard: impl AsFd) -> Result<File, Error> {
    let copy: io::Result<OwnedFd> = standard.as_fd().try_clone_to_owned();
    copy.map(File::from).map_err(Error::Archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_understood_as_it_was_said() {
        let limits = Limits { entries: 1, bytes: 2, depth: 3, attributes: 4 };
        let unpack = |lowers: &[&str]| Role::Unpack {
            limits,
            top: "/t/a b".into(),
            lowers: lowers.iter().map(PathBuf::from).collect(),
        };
        for role in [
            Role::Decompress(Compression::Gzip),
            Role::Decompress(Compression::Zstd),
            unpack(&[]),
            unpack(&["/l/2", "/l/1"]),
        ] {
            let words = role.words(7);
            assert_eq!(Role::parse(words.into_iter()), Some((7, role)));
        }
        for bad in [
            "",
            "7",
            "7 decompresses",
            "7 decompresses x",
            "7 unpacks 1,2,3,4",
            "7 unpacks 1,2,3 /t",
            "x unpacks 1,2,3,4 /t",
            "7 reads x",
        ] {
            assert_eq!(Role::parse(bad.split(' ').map(OsString::from)), None, "{bad}");
        }
    }
}
