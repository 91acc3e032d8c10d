//! Names of images: normal forms stay as they are, and none of them climbs out of where it is kept.

use crate::image::Reference;

pub(super) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(reference) = text.parse::<Reference>() else { return };
    let normal = reference.to_string();
    assert_eq!(normal.parse::<Reference>().expect("a normal form is a name"), reference, "{text:?}");
    assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()), "{normal:?}");
    assert!(reference.repository().len() <= 255);
    assert!(reference.repository().split('/').all(|part| !matches!(part, "" | "." | "..")), "{normal:?}");
    assert!(reference.tag().is_some() || reference.digest().is_some());
}
