//! Devices on v1: everything is denied, then exceptions are made.

use oci_spec::runtime::LinuxResources;

use crate::cgroup::controller::{Controller, Setting};
use crate::cgroup::devices::{self, Access, Kind, Permission};
use crate::cgroup::stats::nothing;

/// The controller.
pub(crate) const CONTROLLER: Controller =
    Controller { name: "devices", settings, count: nothing, on_demand: false };

fn settings(limits: &LinuxResources) -> Vec<Setting> {
    let Some(permissions) = devices::allow_list(limits) else { return Vec::new() };
    let allowed = permissions.iter().flat_map(exceptions);
    let denied = [Setting::new("devices.deny", "a")];
    denied.into_iter().chain(allowed.map(|line| Setting::new("devices.allow", line))).collect()
}

/// The lines of a permission: the type `a` would stand for every number and access as well.
fn exceptions(permission: &Permission) -> Vec<String> {
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    let Access { read, write, mknod } = permission.access;
    let access: String = [(read, 'r'), (write, 'w'), (mknod, 'm')]
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, c)| c)
        .collect();
    let kinds = match permission.kind {
        Some(Kind::Block) => &['b'][..],
        Some(Kind::Character) => &['c'],
        None => &['b', 'c'],
    };
    let line = |kind| format!("{kind} {}:{} {access}", number(permission.major), number(permission.minor));
    kinds.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::written;
    use serde_json::json;

    #[test]
    fn what_is_not_allowed_is_denied_first() {
        let none = json!({"allow": false, "access": "rwm"});
        for (limits, expected) in [
            (json!({}), ""),
            (json!({"devices": [{"allow": true, "access": "rwm"}]}), ""),
            (json!({"devices": [none]}), "devices.deny=a"),
            (
                json!({"devices": [
                    none,
                    {"allow": true, "type": "c", "access": "m"},
                    {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
                ]}),
                "devices.deny=a devices.allow=c *:* m devices.allow=c 1:3 rwm",
            ),
            (
                json!({"devices": [none, {"allow": true, "major": 136, "access": "rw"}]}),
                "devices.deny=a devices.allow=b 136:* rw devices.allow=c 136:* rw",
            ),
        ] {
            assert_eq!(written(&CONTROLLER, &limits), expected, "{limits}");
        }
    }
}
