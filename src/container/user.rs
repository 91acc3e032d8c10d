//! Who a container's process runs as: the image's USER and what the pod asks for, looked up in the container's own files.
//!
//! /etc/passwd and /etc/group are the image's, and so an attacker's: they are opened inside the root, only if they are
//! regular files, and read up to a limit. Numbers are decimal, in range, or an error; a number is never taken for a name.

mod database;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use pathrs::Root;
use serde::{Deserialize, Serialize};

use super::spec::UserRequest;
use database::{GROUP, GroupEntry, PASSWD, PasswdEntry};

/// The highest uid or gid, as in Kubernetes.
const MAX_ID: u32 = i32::MAX as u32;

/// The most groups that the kernel takes, NGROUPS_MAX.
const MAX_GROUPS: usize = 65_536;

/// What the process becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups: the primary one, those asked for, and those of /etc/group that list the user
    /// unless only the given ones were wanted. Each once.
    pub groups: Vec<u32>,
    /// The home directory of /etc/passwd, if the user is there and has one.
    pub home: Option<String>,
}

/// Why no identity was found. Two texts are Kubernetes' own, which people search for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// USER is neither a user nor `user:group`.
    #[error("invalid user {0:?}")]
    Invalid(String),
    /// A number beyond what Kubernetes allows.
    #[error("{what} {value} is not between 0 and {MAX_ID}")]
    Range {
        /// `uid` or `gid`.
        what: &'static str,
        /// As written.
        value: String,
    },
    /// A name that the container does not know.
    #[error("{what} {name:?} is not in the container's {file}")]
    Unknown {
        /// `user` or `group`.
        what: &'static str,
        /// As written.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A line about this user or group has no number where one belongs.
    #[error("{what} of {name:?} is not a number in the container's {file}")]
    Malformed {
        /// `uid` or `gid`.
        what: &'static str,
        /// The user or group.
        name: String,
        /// Where the line is.
        file: &'static str,
    },
    /// More groups than a process can have.
    #[error("user is in more than {MAX_GROUPS} groups")]
    TooManyGroups,
    /// runAsNonRoot with runAsUser 0.
    #[error("container's runAsUser breaks non-root policy")]
    RequestedRoot,
    /// runAsNonRoot with an image that has no USER, or 0.
    #[error("container has runAsNonRoot and image will run as root")]
    ImageRoot,
    /// runAsNonRoot with a name, whose uid the image decides.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({0}), cannot verify user is non-root"
    )]
    ImageName(String),
    /// /etc/passwd or /etc/group is not what it should be.
    #[error("the container's {file} {reason}")]
    Unfit {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It cannot be opened inside the root.
    #[error("open the container's {0}")]
    Open(&'static str, #[source] pathrs::error::Error),
    /// It cannot be read.
    #[error("read the container's {0}")]
    Read(&'static str, #[source] std::io::Error),
}

/// Finds the identity for `request` in the container whose root filesystem is `root`.
///
/// runAsUser replaces the image's USER, group included; runAsGroup replaces the group. A user without a group has the
/// one of /etc/passwd, or 0 if it is a number that is not listed. A missing file is an error only for a name.
pub fn resolve(root: &Root, request: &UserRequest) -> Result<Identity, Error> {
    check(request)?;
    identify(request, &database::read(root, PASSWD)?, &database::read(root, GROUP)?)
}

/// Likewise, for a request that passed [`check`], in a container with these files.
pub(crate) fn identify(request: &UserRequest, passwd: &[u8], groups: &[u8]) -> Result<Identity, Error> {
    let (user, group) = wanted(request)?;
    let (uid, entry) = find_user(passwd, &user)?;
    let gid = match (group, &entry) {
        (Some(group), _) => find_group(groups, &group)?,
        (None, Some(entry)) => number("gid", entry.gid, entry.name, PASSWD)?,
        (None, None) => 0,
    };
    let home = entry.as_ref().and_then(|entry| std::str::from_utf8(entry.home).ok());
    Ok(Identity {
        uid,
        gid,
        groups: all_groups(gid, request, groups, entry.as_ref())?,
        home: home.filter(|home| home.starts_with('/') && !home.contains('\0')).map(str::to_owned),
    })
}

/// What [`resolve`] would refuse whatever the root filesystem holds: numbers out of range, and root where it is not wanted.
pub fn check(request: &UserRequest) -> Result<(), Error> {
    let (user, _) = wanted(request)?;
    if request.non_root { refuse_root(request, &user) } else { Ok(()) }
}

/// A user or a group as written.
#[derive(Debug, PartialEq, Eq)]
enum Id {
    Number(u32),
    Name(String),
}

/// The user and the group that are asked for; without a word about the user it is 0.
fn wanted(request: &UserRequest) -> Result<(Id, Option<Id>), Error> {
    let (user, group) = match request.uid {
        Some(uid) => (Id::Number(in_range("uid", uid)?), None),
        None => parse(&request.image_user)?,
    };
    match request.gid {
        Some(gid) => Ok((user, Some(Id::Number(in_range("gid", gid)?)))),
        None => Ok((user, group)),
    }
}

/// USER of an image: nothing, `user`, or `user:group`.
fn parse(text: &str) -> Result<(Id, Option<Id>), Error> {
    if text.is_empty() {
        return Ok((Id::Number(0), None));
    }
    let id = |what, part: &str| match decimal(what, part.as_bytes())? {
        Some(number) => Ok(Id::Number(number)),
        None if is_name(part) => Ok(Id::Name(part.to_owned())),
        None => Err(Error::Invalid(text.to_owned())),
    };
    match text.split_once(':') {
        None => Ok((id("uid", text)?, None)),
        Some((user, group)) => Ok((id("uid", user)?, Some(id("gid", group)?))),
    }
}

/// What useradd(8) and groupadd(8) take for a name, and upper case besides: no name begins like a number.
fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    text.starts_with(first) && text.chars().all(rest)
}

fn refuse_root(request: &UserRequest, user: &Id) -> Result<(), Error> {
    match user {
        Id::Number(0) if request.uid.is_some() => Err(Error::RequestedRoot),
        Id::Number(0) => Err(Error::ImageRoot),
        Id::Number(_) => Ok(()),
        Id::Name(name) => Err(Error::ImageName(name.clone())),
    }
}

/// The uid, and the first line about the user, which a number need not have.
fn find_user<'a>(passwd: &'a [u8], user: &Id) -> Result<(u32, Option<PasswdEntry<'a>>), Error> {
    let mut entries = PasswdEntry::all(passwd);
    match user {
        Id::Number(uid) => {
            let entry =
                entries.find(|entry| decimal("uid", entry.uid).is_ok_and(|number| number == Some(*uid)));
            Ok((*uid, entry))
        }
        Id::Name(name) => {
            let unknown = || Error::Unknown { what: "user", name: name.clone(), file: PASSWD };
            let entry = entries.find(|entry| entry.name == name.as_bytes()).ok_or_else(unknown)?;
            Ok((number("uid", entry.uid, entry.name, PASSWD)?, Some(entry)))
        }
    }
}

fn find_group(groups: &[u8], group: &Id) -> Result<u32, Error> {
    match group {
        Id::Number(gid) => Ok(*gid),
        Id::Name(name) => {
            let unknown = || Error::Unknown { what: "group", name: name.clone(), file: GROUP };
            let entry =
                GroupEntry::all(groups).find(|entry| entry.name == name.as_bytes()).ok_or_else(unknown)?;
            number("gid", entry.gid, entry.name, GROUP)
        }
    }
}

/// The primary group is among them, so that a file that shuts its group out shuts out this process too (CVE-2022-36109).
fn all_groups(
    gid: u32,
    request: &UserRequest,
    groups: &[u8],
    user: Option<&PasswdEntry<'_>>,
) -> Result<Vec<u32>, Error> {
    let mut all = vec![gid];
    for gid in &request.supplemental_groups {
        all.push(in_range("gid", *gid)?);
    }
    if let Some(user) = user.filter(|_| !request.strict_groups) {
        for entry in GroupEntry::all(groups).filter(|entry| entry.has(user.name)) {
            all.push(number("gid", entry.gid, entry.name, GROUP)?);
        }
    }
    let mut seen = HashSet::new();
    all.retain(|gid| seen.insert(*gid));
    if all.len() > MAX_GROUPS { Err(Error::TooManyGroups) } else { Ok(all) }
}

/// A number of the container's files, which must be one.
fn number(what: &'static str, text: &[u8], name: &[u8], file: &'static str) -> Result<u32, Error> {
    let malformed = || Error::Malformed { what, name: String::from_utf8_lossy(name).into_owned(), file };
    decimal(what, text)?.ok_or_else(malformed)
}

/// The number that `text` is, `None` if it is something else than digits.
fn decimal(what: &'static str, text: &[u8]) -> Result<Option<u32>, Error> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    let value = String::from_utf8_lossy(text).into_owned();
    match value.parse() {
        Ok(number) if number <= MAX_ID => Ok(Some(number)),
        _ => Err(Error::Range { what, value }),
    }
}

fn in_range(what: &'static str, id: u32) -> Result<u32, Error> {
    if id <= MAX_ID { Ok(id) } else { Err(Error::Range { what, value: id.to_string() }) }
}
