//! A pod, as `describe` shows it.

use serde_json::Value;

use super::writer::{Writer, list, pairs, shown};
use super::{container, volume};

pub(super) fn describe(pod: &Value, writer: &mut Writer) {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    writer.field_of(0, "Name", &pod["metadata"]["name"]);
    writer.field_of(0, "Namespace", &pod["metadata"]["namespace"]);
    if_there("Priority", &spec["priority"], writer);
    if_there("Priority Class Name", &spec["priorityClassName"], writer);
    if_there("Runtime Class Name", &spec["runtimeClassName"], writer);
    if_there("Service Account", &spec["serviceAccountName"], writer);
    match shown(&spec["nodeName"]).as_str() {
        "" => writer.field(0, "Node", "<none>"),
        node => writer.field(0, "Node", format_args!("{node}/{}", shown(&status["hostIP"]))),
    }
    if status["startTime"].is_string() {
        writer.field(0, "Start Time", writer.date(&status["startTime"]));
    }
    writer.labels_and_annotations(pod);
    phase(pod, writer);
    if_there("Reason", &status["reason"], writer);
    if_there("Message", &status["message"], writer);
    seccomp(&spec["securityContext"], 0, writer);
    writer.field_of(0, "IP", &status["podIP"]);
    addresses(list(&status["podIPs"]), writer);
    let owners = list(&pod["metadata"]["ownerReferences"]);
    if let Some(owner) = owners.iter().find(|owner| owner["controller"] == true) {
        writer.field(0, "Controlled By", format_args!("{}/{}", shown(&owner["kind"]), shown(&owner["name"])));
    }
    if_there("NominatedNodeName", &status["nominatedNodeName"], writer);
    if spec["resources"].is_object() {
        writer.line(0, "Resources:");
        container::resources(&spec["resources"], 1, writer);
    }
    for (title, containers, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        if !list(&spec[containers]).is_empty() {
            container::describe(pod, title, &spec[containers], &status[statuses], writer);
        }
    }
    conditions(spec, status, writer);
    volume::describe(list(&spec["volumes"]), writer);
    writer.field_of(0, "QoS Class", &status["qosClass"]);
    writer.several("Node-Selectors", &pairs(&spec["nodeSelector"], "="));
    let mut tolerations: Vec<&Value> = list(&spec["tolerations"]).iter().collect();
    tolerations.sort_by_key(|toleration| toleration["key"].as_str());
    let tolerations: Vec<String> = tolerations.into_iter().map(toleration).collect();
    writer.several("Tolerations", &tolerations);
}

fn if_there(name: &str, value: &Value, writer: &mut Writer) {
    if !shown(value).is_empty() {
        writer.field_of(0, name, value);
    }
}

fn phase(pod: &Value, writer: &mut Writer) {
    let (metadata, phase) = (&pod["metadata"], shown(&pod["status"]["phase"]));
    let has_ended = ["Failed", "Succeeded"].contains(&phase.as_str());
    if metadata["deletionTimestamp"].is_string() && !has_ended {
        let since = writer.since(&metadata["deletionTimestamp"]);
        writer.field(0, "Status", format_args!("Terminating (lasts {since})"));
        let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        writer.field(0, "Termination Grace Period", format_args!("{grace}s"));
    } else {
        writer.field(0, "Status", phase);
    }
}

/// The seccomp profile of a security context that names one.
pub(super) fn seccomp(context: &Value, depth: usize, writer: &mut Writer) {
    let profile = &context["seccompProfile"];
    if profile.is_object() {
        writer.field_of(depth, "SeccompProfile", &profile["type"]);
    }
    if profile["localhostProfile"].is_string() {
        // As kubectl has it: one deeper in a container, and not in a pod.
        let depth = if depth == 0 { 0 } else { depth + 1 };
        writer.field_of(depth, "LocalhostProfile", &profile["localhostProfile"]);
    }
}

fn addresses(addresses: &[Value], writer: &mut Writer) {
    if addresses.is_empty() {
        return writer.field(0, "IPs", "<none>");
    }
    writer.line(0, "IPs:");
    for address in addresses {
        writer.field_of(1, "IP", &address["ip"]);
    }
}

fn conditions(spec: &Value, status: &Value, writer: &mut Writer) {
    let conditions = list(&status["conditions"]);
    let gates = list(&spec["readinessGates"]);
    if !gates.is_empty() {
        writer.line(0, "Readiness Gates:");
        writer.line(1, "Type\tStatus");
    }
    for gate in gates {
        let found = conditions.iter().find(|condition| condition["type"] == gate["conditionType"]);
        let state = found.map_or_else(|| "<none>".to_owned(), |condition| shown(&condition["status"]));
        writer.line(1, &format!("{} \t{state} ", shown(&gate["conditionType"])));
    }
    if !conditions.is_empty() {
        writer.line(0, "Conditions:");
        writer.line(1, "Type\tStatus");
    }
    for condition in conditions {
        writer.line(1, &format!("{} \t{} ", shown(&condition["type"]), shown(&condition["status"])));
    }
}

fn toleration(toleration: &Value) -> String {
    let mut text = shown(&toleration["key"]);
    for (field, before) in [("value", '='), ("effect", ':')] {
        let value = shown(&toleration[field]);
        if !value.is_empty() {
            text.push(before);
            text += &value;
        }
    }
    if toleration["operator"] == "Exists" && shown(&toleration["value"]).is_empty() {
        text += if text.is_empty() { "op=Exists" } else { " op=Exists" };
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        text += &format!(" for {seconds}s");
    }
    text
}
