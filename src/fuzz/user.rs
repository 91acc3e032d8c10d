//! Users: one identity or an error, and root only when somebody literally asked for it.
//!
//! The input has four pages: the image's USER, /etc/passwd, /etc/group, and what the pod asks for in words: `uid=N`,
//! `gid=N`, `group=N`, `nonroot`.

use std::collections::HashSet;

use super::pages;
use crate::container::spec::UserRequest;
use crate::container::user::{Identity, check as allowed, identify};

const MAX_ID: u32 = i32::MAX as u32;

pub(super) fn check(data: &[u8]) {
    let [user, passwd, groups, words] = pages(data);
    let Ok(user) = std::str::from_utf8(user) else { return };
    let mut request = UserRequest { image_user: user.to_owned(), ..UserRequest::default() };
    for word in String::from_utf8_lossy(words).split_whitespace() {
        match word.split_once('=').map(|(key, number)| (key, number.parse().ok())) {
            Some(("uid", uid)) => request.uid = uid,
            Some(("gid", gid)) => request.gid = gid,
            Some(("group", gid)) => request.supplemental_groups.extend(gid),
            _ => request.non_root |= word == "nonroot",
        }
    }
    if allowed(&request).is_ok()
        && let Ok(identity) = identify(&request, passwd, groups)
    {
        holds(&request, &identity, passwd);
    }
}

fn holds(request: &UserRequest, identity: &Identity, passwd: &[u8]) {
    let Identity { uid, gid, groups, home } = identity;
    assert!(*uid <= MAX_ID && *gid <= MAX_ID && groups.iter().all(|gid| *gid <= MAX_ID));
    assert!(groups.contains(gid) && request.supplemental_groups.iter().all(|gid| groups.contains(gid)));
    assert_eq!(groups.iter().collect::<HashSet<_>>().len(), groups.len(), "each group once");
    assert!(home.as_ref().is_none_or(|home| home.starts_with('/') && !home.contains('\0')));
    assert!(request.uid.is_none_or(|asked| asked == *uid), "runAsUser wins");
    assert!(request.gid.is_none_or(|asked| asked == *gid), "runAsGroup wins");

    let name = request.image_user.split(':').next().unwrap_or_default();
    if *uid == 0 {
        assert!(!request.non_root, "runAsNonRoot");
        let by_number = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| *byte == b'0');
        let literally = match request.uid {
            Some(asked) => asked == 0,
            None => {
                request.image_user.is_empty()
                    || by_number(name.as_bytes())
                    || uid_of(name, passwd).is_some_and(by_number)
            }
        };
        assert!(literally, "{request:?}");
    }
    if request.uid.is_none() && name.starts_with(|c: char| c.is_ascii_digit()) {
        assert_eq!(name.parse(), Ok(*uid), "a number is never taken for a name");
    }
}

/// The third field of the first line about `name` that has the four fields which matter.
fn uid_of<'a>(name: &str, passwd: &'a [u8]) -> Option<&'a [u8]> {
    let lines = passwd.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#"));
    let fields = lines.map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.len() >= 4)
        .find(|fields| fields[0] == name.as_bytes())
        .map(|fields| fields[2])
}
