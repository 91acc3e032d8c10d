//! Layers' archives: read in bounds, and the same members whether data is read, passed over or jumped over.

use std::io::{Cursor, Read};

use crate::image::unpack::members::{Member, Members};

/// What came of reading an archive to its end.
type Reading = (Vec<Member>, Result<(), String>);

pub(super) fn check(data: &[u8]) {
    let (members, end) = all(Members::new(data), data, Data::Read);
    assert!(members.len() <= data.len() / 512, "a member takes a header");
    for member in &members {
        assert!(member.uid != u32::MAX && member.gid != u32::MAX && member.mode <= 0o7777, "{member:?}");
        assert!(end.is_err() || member.size <= data.len() as u64, "{member:?}");
    }
    assert_eq!(all(Members::new(data), data, Data::PassOver), (members.clone(), end.clone()));
    // A jump beyond the end of a damaged archive goes unnoticed, but there is nothing more to see there.
    let (seen, jumped) = all(Members::seeking(Cursor::new(data)), data, Data::PassOver);
    assert_eq!(seen, members);
    assert!(end.is_err() || jumped.is_ok(), "{jumped:?}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    Read,
    PassOver,
}

fn all<R: Read>(mut archive: Members<R>, bytes: &[u8], data: Data) -> Reading {
    let mut members = Vec::new();
    let end = loop {
        match archive.next() {
            Ok(None) => break archive.finish(),
            Err(error) => break Err(error),
            Ok(Some(member)) => {
                let size = member.size;
                members.push(member);
                if data == Data::Read {
                    let start = archive.position() as usize;
                    let mut content = Vec::new();
                    if let Err(error) = archive.data().read_to_end(&mut content) {
                        break Err(error);
                    }
                    assert_eq!(content.len() as u64, size);
                    assert_eq!(bytes.get(start..start + content.len()), Some(&content[..]));
                }
            }
        }
    };
    (members, end.map_err(|error| error.kind().to_string()))
}
