//! Pods: what the API server makes of one before a node sees it, and what it lets be changed afterwards.
//!
//! A Pod is judged by the room `pod`, as one of a file is; here is what only the API has: the status of a new one, the
//! subresources, the rules of updates.

mod admission;
mod row;
mod update;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use super::columns::{AGE, NAME, text, wide};
use super::decode;
use crate::api::object::Object;
use crate::api::resource::{Column, Context, DeleteOptions, Deletion, Names, Part, Resource, Subresource};
use crate::api::status::FieldError;
use crate::pod::sysctl::Allowed;
use crate::pod::{object, spec::QosClass};

/// `v1` Pod, on a node that allows these kernel parameters.
#[derive(Debug, Clone)]
pub struct Pods {
    sysctls: Allowed,
}

impl Pods {
    /// On a node that allows kernel parameters beyond the safe ones.
    pub fn allowing(sysctls: Allowed) -> Self {
        Self { sysctls }
    }
}

const NAMES: Names = Names {
    group: "",
    version: "v1",
    plural: "pods",
    singular: "pod",
    kind: "Pod",
    short_names: &["po"],
    categories: &["all"],
    namespaced: true,
    subresources: &[
        Subresource { name: "attach", kind: "PodAttachOptions", api_version: "", verbs: &["create", "get"] },
        Subresource { name: "binding", kind: "Binding", api_version: "", verbs: &["create"] },
        Subresource {
            name: "ephemeralcontainers",
            kind: "",
            api_version: "",
            verbs: &["get", "patch", "update"],
        },
        Subresource { name: "eviction", kind: "Eviction", api_version: "policy/v1", verbs: &["create"] },
        Subresource { name: "exec", kind: "PodExecOptions", api_version: "", verbs: &["create", "get"] },
        Subresource { name: "log", kind: "", api_version: "", verbs: &["get"] },
        Subresource {
            name: "portforward",
            kind: "PodPortForwardOptions",
            api_version: "",
            verbs: &["create", "get"],
        },
        Subresource { name: "resize", kind: "", api_version: "", verbs: &["get", "patch", "update"] },
        Subresource::STATUS,
    ],
};

const COLUMNS: [Column; 9] = [
    NAME,
    text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    text("Status", "The aggregate status of the containers in this pod."),
    text(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has \
         restarted.",
    ),
    AGE,
    wide("IP", "The address of the pod on the node's network."),
    wide("Node", "The node that runs the pod."),
    wide("Nominated Node", "The node that a scheduler has set aside for the pod."),
    wide("Readiness Gates", "The conditions beside the containers' readiness that the pod waits for."),
];

impl Resource for Pods {
    fn names(&self) -> &Names {
        &NAMES
    }

    fn decode(&self, object: &mut Object) -> Result<Vec<String>, String> {
        decode::decode::<Pod>(object)
    }

    fn default(&self, object: &mut Object) {
        let mut value = std::mem::take(object).into_value();
        // What has been decoded can be read.
        let defaulted = object::default_pod(&mut value);
        debug_assert!(defaulted.is_ok(), "{defaulted:?}");
        *object = Object::from_value(value).unwrap_or_default();
    }

    fn prepare_for_create(&self, object: &mut Object, context: &Context) {
        let is_placed = admission::place(object, &context.node_name);
        object.set_meta("generation", Some(1.into()));
        let status = admission::first_status(self.qos_class(object), is_placed, context.now);
        object.set("status", Some(status));
    }

    fn announcement(&self, object: &Object, context: &Context) -> Option<Object> {
        admission::scheduled_event(object, context)
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Object, old: &Object) {
        update::prepare(part, new, old);
    }

    fn validate(&self, object: &Object) -> Vec<FieldError> {
        let value = Value::Object(object.map().clone());
        decode::field_errors(object::pod(&value, &self.sysctls).map(drop))
    }

    fn validate_update(&self, part: Part<'_>, new: &Object, old: &Object) -> Vec<FieldError> {
        match part {
            Part::Subresource("status") => update::status(new, old),
            Part::Subresource(_) => update::in_place(new, old, &self.sysctls),
            Part::Whole => {
                let mut errors = self.validate(new);
                errors.extend(update::whole(new, old));
                errors
            }
        }
    }

    fn answers_with_deleted(&self) -> bool {
        true
    }

    /// A pod that is over may have left nothing behind by which the node would know, and is not to run again.
    fn is_last_word(&self, object: &Object) -> bool {
        matches!(object.text_at(&["status", "phase"]), "Failed" | "Succeeded")
    }

    fn deletion(&self, object: &Object, options: &DeleteOptions) -> Deletion {
        let of_spec = object.at(&["spec", "terminationGracePeriodSeconds"]).and_then(Value::as_i64);
        let seconds = options.grace_period_seconds.or(of_spec).unwrap_or(0);
        let is_over = self.is_last_word(object);
        let is_nowhere = object.text_at(&["spec", "nodeName"]).is_empty();
        match seconds {
            _ if is_over || is_nowhere => Deletion::Now,
            0 => Deletion::Now,
            // Less than nothing is as little as can be.
            ..0 => Deletion::Graceful { seconds: 1 },
            seconds => Deletion::Graceful { seconds },
        }
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Object, now: Timestamp) -> Vec<Value> {
        row::cells(&object.to().unwrap_or_default(), now)
    }

    fn fields(&self, object: &Object) -> BTreeMap<&'static str, String> {
        let text = |path: &[&str]| object.text_at(path).to_owned();
        let host_network = object.at(&["spec", "hostNetwork"]).and_then(Value::as_bool).unwrap_or(false);
        BTreeMap::from([
            ("spec.nodeName", text(&["spec", "nodeName"])),
            ("spec.restartPolicy", text(&["spec", "restartPolicy"])),
            ("spec.schedulerName", text(&["spec", "schedulerName"])),
            ("spec.serviceAccountName", text(&["spec", "serviceAccountName"])),
            ("spec.hostNetwork", host_network.to_string()),
            ("status.phase", text(&["status", "phase"])),
            ("status.podIP", text(&["status", "podIP"])),
            ("status.nominatedNodeName", text(&["status", "nominatedNodeName"])),
        ])
    }
}

impl Pods {
    /// Of a Pod that may have flaws yet: then it is refused later, and has none.
    fn qos_class(&self, object: &Object) -> Option<QosClass> {
        let value = Value::Object(object.map().clone());
        object::pod(&value, &self.sysctls).ok().map(|(pod, _)| pod.spec.qos_class)
    }
}

#[cfg(test)]
mod tests;
