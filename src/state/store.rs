//! Files that are there whole or not at all; and what cannot be read is set aside, never trusted, never fatal.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::VERSION;
use super::replace::{self, HostDisk};
pub use super::replace::{Error, Survive};

/// No record is longer, bytes.
const MAX_BYTES: u64 = 16 << 20;

/// What stands between a record's own fields and its digest.
const SEAL: &str = ",\"sha256\":\"";

/// Length of a digest, bytes.
const DIGEST: usize = 64;

/// Writes a record: a file of another name first, which then takes the place of the old one. Its directory must exist.
pub fn write<T: Serialize>(path: &Path, record: &T, survive: Survive) -> Result<(), Error> {
    let bytes = serde_json::to_vec(record).map_err(|error| Error::of("encode", path)(error.into()))?;
    replace::file(&HostDisk, path, &path.with_extension("tmp"), &sealed(bytes), survive)
}

/// The record with a digest of itself as its last field: whoever reads it knows that it is what was written.
fn sealed(mut record: Vec<u8>) -> Vec<u8> {
    let seal = format!("{SEAL}{}\"}}", digest(&record));
    // Only an object that has a field has room for another.
    if record.len() > 2 && record.pop_if(|last| *last == b'}').is_some() {
        record.extend(seal.as_bytes());
    }
    record
}

/// What was sealed. A record of an earlier release has no seal.
fn unsealed(mut bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let start = bytes.len().saturating_sub(SEAL.len() + DIGEST + "\"}".len());
    let Some(rest) = bytes[start..].strip_prefix(SEAL.as_bytes()) else { return Ok(bytes) };
    let sealed = rest.strip_suffix(b"\"}").map(<[u8]>::to_vec);
    bytes.truncate(start);
    bytes.push(b'}');
    if sealed.is_some_and(|sealed| sealed == digest(&bytes).as_bytes()) {
        Ok(bytes)
    } else {
        Err(io::Error::other("its digest is another"))
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a record. One that is not there, or that cannot be understood, is `None`; the latter is renamed to `NAME.bad`, unless a newer
/// release has written it.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let reason = match read_bounded(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => return Some(record),
            Err(_) if newer_version(&bytes).is_some() => return None,
            Err(error) => error.to_string(),
        },
    };
    quarantine(path, &reason);
    None
}

/// The version of a record that a newer release has written; `None` of any other, and where there is none.
pub fn newer(path: &Path) -> Option<u32> {
    newer_version(&read_bounded(path).ok()?)
}

/// The one thing in a record that means the same in all releases.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn newer_version(bytes: &[u8]) -> Option<u32> {
    let Versioned { version } = serde_json::from_slice(bytes).ok()?;
    (version > VERSION).then_some(version)
}

/// Renames a file that cannot be trusted to `NAME.bad`, with a warning.
pub fn quarantine(path: &Path, reason: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".bad");
    match fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(path = %path.display(), reason, "set an unreadable record aside"),
        Err(error) => tracing::warn!(path = %path.display(), reason, %error, "ignored an unreadable record"),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Never waits, whatever has been put in the record's place.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("too long"));
    }
    unsealed(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::PodCondition;

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::pod;
    use crate::state::record::{ConditionsRecord, Found, PodRecord, ProbesRecord};

    #[test]
    fn a_record_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        for (record, survive) in [("one", Survive::Crash), ("two", Survive::PowerLoss)] {
            write(&path, &record, survive).unwrap();
            assert_eq!(read::<String>(&path).unwrap(), record);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_understood_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        for bad in [&b""[..], b"{\"version\":", b"\xff", b"[1]"] {
            fs::write(&path, bad).unwrap();
            assert_eq!(read::<String>(&path), None);
            assert!(!path.exists());
            assert!(dir.path().join("pod.json.bad").exists());
        }
        assert_eq!(read::<String>(&path), None, "nothing there is fine");
    }

    /// A record of each kind, as it is on the disk.
    fn records() -> Vec<(&'static str, Vec<u8>)> {
        let dir = tempfile::tempdir().unwrap();
        let written = |name: &'static str, record: &dyn Fn(&Path)| {
            let path = dir.path().join(name);
            record(&path);
            (name, fs::read(path).unwrap())
        };
        let pod = pod(RestartPolicy::Always, &["i"], &["a"]);
        let probes = BTreeMap::from([("id".to_owned(), Found { started: true, ready: false })]);
        let condition = PodCondition { type_: "Ready".into(), status: "True".into(), ..Default::default() };
        vec![
            written("pod.json", &|path| write(path, &PodRecord::new(pod.clone()), Survive::Crash).unwrap()),
            written("probes.json", &|path| {
                write(path, &ProbesRecord::new(probes.clone()), Survive::Crash).unwrap();
            }),
            written("conditions.json", &|path| {
                write(path, &ConditionsRecord::new(vec![condition.clone()]), Survive::Crash).unwrap();
            }),
        ]
    }

    /// What is read of such a record, in one form for all kinds.
    fn read_again(name: &str, path: &Path) -> Option<String> {
        match name {
            "pod.json" => read::<PodRecord>(path).map(|record| format!("{record:?}")),
            "probes.json" => read::<ProbesRecord>(path).map(|record| format!("{record:?}")),
            _ => read::<ConditionsRecord>(path).map(|record| format!("{record:?}")),
        }
    }

    #[test]
    fn a_damaged_record_is_never_taken_for_another_one() {
        let dir = tempfile::tempdir().unwrap();
        for (name, whole) in records() {
            let path = dir.path().join(name);
            fs::write(&path, &whole).unwrap();
            let expected = read_again(name, &path);
            assert!(expected.is_some(), "{name}");
            let cuts = (0..whole.len()).map(|length| (format!("cut at {length}"), whole[..length].to_vec()));
            let flips = (0..whole.len() * 8).step_by(3).map(|bit| {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                (format!("bit {bit} flipped"), bytes)
            });
            let zeros = (0..whole.len()).step_by(64).map(|from| {
                let mut bytes = whole.clone();
                bytes[from..].fill(0);
                (format!("zeros from {from}"), bytes)
            });
            let others =
                [("doubled".to_owned(), whole.repeat(2)), ("empty object".to_owned(), b"{}".to_vec())];
            for (damage, bytes) in cuts.chain(flips).chain(zeros).chain(others) {
                fs::write(&path, &bytes).unwrap();
                match read_again(name, &path) {
                    // The damage is to the seal alone.
                    Some(found) => assert_eq!(Some(found), expected, "{name}, {damage}"),
                    None => assert!(!path.exists(), "{name}, {damage}: set aside"),
                }
            }
        }
    }

    #[test]
    fn a_record_of_an_earlier_release_has_no_seal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        let record = PodRecord::new(pod(RestartPolicy::Always, &[], &["a"]));
        fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(read::<PodRecord>(&path), Some(record));
    }

    #[test]
    fn a_record_of_a_newer_release_is_left_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        fs::write(&path, br#"{"version":2,"pods":["another","form"]}"#).unwrap();
        assert_eq!((read::<PodRecord>(&path), newer(&path)), (None, Some(2)));
        assert!(path.exists());
        fs::write(&path, br#"{"version":1,"pods":[]}"#).unwrap();
        assert_eq!((newer(&path), read::<PodRecord>(&path)), (None, None));
        assert!(!path.exists(), "set aside");
    }

    #[test]
    fn a_symlink_or_fifo_in_a_records_place_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(read::<String>(&path), None);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read::<String>(&path), None);
    }
}
