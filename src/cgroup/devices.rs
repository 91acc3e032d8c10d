//! Device rules as an allow-list: what they do not mention is denied.
//!
//! OCI's rules are an order of denials and permissions; every container's are a denial of everything and permissions after
//! it. No other denial is taken here, since v1 cannot express one, and then both versions can do the same thing exactly.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};

use super::{Error, Result};

/// One permission. `None` stands for every kind or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) kind: Option<Kind>,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Character,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) mknod: bool,
}

/// Refuses rules that are no allow-list, or that nobody understands.
pub(crate) fn refuse_unknown(limits: &LinuxResources) -> Result<()> {
    for rule in limits.devices().iter().flatten() {
        if !rule.allow() && !is_about_everything(rule) {
            return Err(Error::UnknownLimit("devices: a denial of some devices only"));
        }
        if rule.allow() && permission(rule).is_none() {
            return Err(Error::UnknownLimit("devices: a rule of this type, number or access"));
        }
    }
    Ok(())
}

/// The devices that a group may use; `None` is all that the group above may use. A denial of everything starts the list anew.
pub(crate) fn allow_list(limits: &LinuxResources) -> Option<Vec<Permission>> {
    let rules = limits.devices().as_ref().filter(|rules| !rules.is_empty())?;
    let mut list = Some(Vec::new());
    for rule in rules {
        match (rule.allow(), is_about_everything(rule)) {
            (false, _) => list = Some(Vec::new()),
            (true, true) => list = None,
            (true, false) => {
                if let Some(list) = &mut list {
                    list.extend(permission(rule));
                }
            }
        }
    }
    list
}

fn is_about_everything(rule: &LinuxDeviceCgroup) -> bool {
    let all = Access { read: true, write: true, mknod: true };
    permission(rule) == Some(Permission { kind: None, major: None, minor: None, access: all })
}

fn permission(rule: &LinuxDeviceCgroup) -> Option<Permission> {
    let kind = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::A => None,
        LinuxDeviceType::B => Some(Kind::Block),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(Kind::Character),
        LinuxDeviceType::P => return None,
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Some(None),
        Some(number) => u32::try_from(number).ok().map(Some),
    };
    let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    if !access.bytes().all(|letter| matches!(letter, b'r' | b'w' | b'm')) {
        return None;
    }
    let has = |letter: char| access.contains(letter);
    Some(Permission {
        kind,
        major: number(rule.major())?,
        minor: number(rule.minor())?,
        access: Access { read: has('r'), write: has('w'), mknod: has('m') },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn limits(rules: Value) -> LinuxResources {
        serde_json::from_value(json!({ "devices": rules })).unwrap()
    }

    #[test]
    fn rules_come_to_a_list_of_what_is_allowed() {
        let all = json!({"allow": true, "access": "rwm"});
        let none = json!({"allow": false, "access": "rwm"});
        let dev_null = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"});
        for (rules, permissions) in [
            (json!([]), None),
            (json!([all]), None),
            (json!([none, all]), None),
            (json!([none, dev_null, all]), None),
            (json!([none]), Some(0)),
            (json!([none, dev_null]), Some(1)),
            (json!([dev_null]), Some(1)),
            (json!([dev_null, none, dev_null]), Some(1)),
            (json!([all, none]), Some(0)),
        ] {
            let limits = limits(rules.clone());
            refuse_unknown(&limits).unwrap();
            assert_eq!(allow_list(&limits).map(|list| list.len()), permissions, "{rules}");
        }
        assert_eq!(
            allow_list(&limits(json!([none, dev_null]))).unwrap(),
            [Permission {
                kind: Some(Kind::Character),
                major: Some(1),
                minor: Some(3),
                access: Access { read: true, write: true, mknod: false },
            }]
        );
    }

    #[test]
    fn what_cannot_be_done_exactly_is_refused() {
        for rule in [
            json!({"allow": false, "type": "c", "access": "rwm"}),
            json!({"allow": false, "major": 1, "access": "rwm"}),
            json!({"allow": false, "access": "w"}),
            json!({"allow": true, "type": "p", "access": "rwm"}),
            json!({"allow": true, "type": "c", "major": -2, "access": "rwm"}),
            json!({"allow": true, "type": "c", "access": "rx"}),
        ] {
            assert!(refuse_unknown(&limits(json!([rule]))).is_err(), "{rule}");
        }
    }
}
