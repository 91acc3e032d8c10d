//! A container's variables, whose values may still have to come.

use std::sync::Arc;

use super::Refusal;
use super::pod_runtime::PodRuntime;
use crate::pod::ContainerSpec;
use crate::pod::downward::Facts;
use crate::pod::env::{self, Sources, Variables};

impl PodRuntime {
    /// The variables of the container's manifest, from the objects as they are now.
    pub(super) fn environment(&self, spec: &ContainerSpec) -> Result<Variables, Refusal> {
        let mut objects = self.objects.clone();
        loop {
            let known = Arc::clone(&objects.borrow_and_update());
            let facts = self.downward_facts();
            match env::resolve(spec, Sources { pod: &self.pod(), objects: &known, facts: &facts }) {
                // What was missing may have come meanwhile.
                Err(_) if objects.has_changed().unwrap_or(false) => {}
                resolved => {
                    return resolved.map_err(|error| Refusal {
                        reason: "CreateContainerConfigError",
                        message: error.to_string(),
                    });
                }
            }
        }
    }

    /// What the pod's manifest does not say, and the downward API tells.
    pub(super) fn downward_facts(&self) -> Facts {
        let node = &self.host.facts;
        let host_ip = node.address.map(|address| address.to_string());
        let pod_ip = if self.pod.spec.host_network {
            host_ip.clone()
        } else {
            self.known_address().map(|address| address.to_string())
        };
        Facts {
            node_name: node.hostname.clone(),
            host_ips: host_ip.into_iter().collect(),
            pod_ips: pod_ip.into_iter().collect(),
            allocatable: self.host.allocatable(),
        }
    }
}
