//! Whom a client's certificate is for: the user is its common name, the groups are its organizations.
//!
//! TLS has verified the certificate before; what is read here are names alone, out of the DER of RFC 5280.

use super::User;

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// `[0]`, explicit: the version of the certificate.
const VERSION: u8 = 0xa0;

/// 2.5.4.3
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// 2.5.4.10
const ORGANIZATION: [u8; 3] = [0x55, 0x04, 0x0a];

/// The user of a certificate; `None` when it names none.
pub(super) fn user(certificate: &[u8]) -> Option<User> {
    let (mut name, mut groups) = (None, Vec::new());
    for (attribute, text) in attributes(subject(certificate)?) {
        if attribute == COMMON_NAME {
            name = Some(text);
        } else if attribute == ORGANIZATION {
            groups.push(text);
        }
    }
    Some(User::new(name.filter(|name| !name.is_empty())?, groups))
}

/// `tbsCertificate.subject`, behind version, serial number, algorithm, issuer and validity.
fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, after)) = element(rest) {
        rest = after;
    }
    for _ in ["serial number", "algorithm", "issuer", "validity"] {
        rest = element(rest)?.2;
    }
    let (tag, subject, _) = element(rest)?;
    (tag == SEQUENCE).then_some(subject)
}

/// Each attribute of a name, with its text. A name is a sequence of sets of pairs.
fn attributes(name: &[u8]) -> Vec<(&[u8], String)> {
    let sets = elements(name).flat_map(|(_, set)| elements(set));
    sets.filter_map(|(_, pair)| {
        let (_, attribute, rest) = element(pair).filter(|(tag, ..)| *tag == OBJECT_IDENTIFIER)?;
        let (tag, text, _) = element(rest)?;
        let text =
            matches!(tag, UTF8_STRING | PRINTABLE_STRING).then(|| std::str::from_utf8(text).ok())??;
        Some((attribute, text.to_owned()))
    })
    .collect()
}

fn elements(mut der: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, content, rest) = element(der)?;
        der = rest;
        Some((tag, content))
    })
}

/// The first element: its tag, its content and what is behind it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, short], rest) = der.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::api::auth::MASTERS;
    use crate::api::pki::Authority;

    fn certificate(name: &str, group: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path(), Timestamp::now()).unwrap();
        authority.issue_client(name, group, Timestamp::now()).unwrap().certificate().to_vec()
    }

    #[test]
    fn the_common_name_is_the_user_and_the_organization_the_group() {
        for name in ["admin", "Jürgen", &"x".repeat(300)] {
            let user = user(&certificate(name, MASTERS)).unwrap();
            assert_eq!((user.name.as_str(), user.is_master()), (name, true));
        }
        assert!(!user(&certificate("admin", "others")).unwrap().is_master());
    }

    #[test]
    fn a_certificate_that_is_cut_short_names_nobody() {
        let whole = certificate("admin", MASTERS);
        for length in 0..whole.len() {
            assert_eq!(user(&whole[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let _ = user(&bytes);
        }
    }
}
