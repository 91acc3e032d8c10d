//! What this node cannot give to a pod, found out before anything of it starts. Pure.

use super::apparmor::AppArmor;
use super::oci::NodeFacts;
use crate::pod::Pod;

/// The first thing that the pod asks for in vain, with its field.
pub fn check(pod: &Pod, node: &NodeFacts, app_armor: &AppArmor) -> Result<(), String> {
    let lists = [
        ("initContainers", &pod.spec.init_containers),
        ("containers", &pod.spec.containers),
        ("ephemeralContainers", &pod.spec.ephemeral_containers),
    ];
    for (list, containers) in lists {
        for (index, container) in containers.iter().enumerate() {
            let field = format!("spec.{list}[{index}].securityContext");
            let security = &container.security;
            let profile = app_armor.profile(security);
            profile.map_err(|error| format!("{field}.appArmorProfile: {error}"))?;
            let missing = security.capabilities_add.iter().find(|name| {
                !security.privileged
                    && name.parse().is_ok_and(|capability| !node.capabilities.contains(&capability))
            });
            if let Some(name) = missing {
                return Err(format!("{field}.capabilities.add: this node does not have {name}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use oci_spec::runtime::Capability;

    use super::*;
    use crate::pod::spec::{AppArmorProfile, RestartPolicy, Security};
    use crate::runtime::fixture;

    #[test]
    fn what_the_node_does_not_have_is_named() {
        let node = NodeFacts { capabilities: HashSet::from([Capability::NetAdmin]), ..NodeFacts::default() };
        let apparmor = "spec.containers[0].securityContext.appArmorProfile: Cannot enforce AppArmor: \
                        AppArmor is not enabled on the host";
        let lacks = "spec.containers[0].securityContext.capabilities.add: this node does not have SYS_TIME";
        let local = AppArmorProfile::Localhost { name: "x".to_owned() };
        type Change = fn(&mut Security, AppArmorProfile);
        let cases: [(Change, Result<(), &str>); 7] = [
            (|_, _| {}, Ok(())),
            (|s, _| s.app_armor = Some(AppArmorProfile::Unconfined), Ok(())),
            (|s, _| s.app_armor = Some(AppArmorProfile::RuntimeDefault), Err(apparmor)),
            (|s, local| s.app_armor = Some(local), Err(apparmor)),
            (|s, _| s.capabilities_add = vec!["NET_ADMIN".to_owned(), "ALL".to_owned()], Ok(())),
            (|s, _| s.capabilities_add = vec!["SYS_TIME".to_owned()], Err(lacks)),
            (
                |s, _| {
                    s.privileged = true;
                    s.capabilities_add = vec!["SYS_TIME".to_owned()];
                },
                Ok(()),
            ),
        ];
        for (index, (change, expected)) in cases.into_iter().enumerate() {
            let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
            change(&mut pod.spec.containers[0].security, local.clone());
            assert_eq!(
                check(&pod, &node, &AppArmor::Disabled),
                expected.map_err(str::to_owned),
                "case {index}"
            );
        }
    }
}
