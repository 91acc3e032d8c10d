//! A node, as `describe` shows it: with the pods that it runs, and what they were promised.

use serde_json::Value;

use super::pod_resources::{Kind, Resources, fraction, quantity};
use super::writer::{Writer, fields, flag, list, shown};

/// What a node tells of itself.
const SYSTEM_INFO: [(&str, &str); 9] = [
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
];

/// What labels begin with that tell a node's roles.
const ROLE: &str = "node-role.kubernetes.io/";

pub(super) fn describe(node: &Value, pods: &[Value], writer: &mut Writer) {
    let (metadata, spec, status) = (&node["metadata"], &node["spec"], &node["status"]);
    writer.field_of(0, "Name", &metadata["name"]);
    let labels = fields(&metadata["labels"]);
    let roles: Vec<&str> = labels.iter().filter_map(|(label, _)| label.strip_prefix(ROLE)).collect();
    writer.field(0, "Roles", if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") });
    writer.labels_and_annotations(node);
    writer.field(0, "CreationTimestamp", writer.date(&metadata["creationTimestamp"]));
    let mut taints: Vec<&Value> = list(&spec["taints"]).iter().collect();
    taints.sort_by_key(|taint| (taint["effect"].as_str(), taint["key"].as_str()));
    writer.several("Taints", &taints.into_iter().map(taint).collect::<Vec<_>>());
    writer.field(0, "Unschedulable", flag(&spec["unschedulable"]));
    conditions(list(&status["conditions"]), writer);
    writer.line(0, "Addresses:");
    for address in list(&status["addresses"]) {
        writer.field_of(1, &shown(&address["type"]), &address["address"]);
    }
    for (title, amounts) in [("Capacity", &status["capacity"]), ("Allocatable", &status["allocatable"])] {
        let amounts = fields(amounts);
        if !amounts.is_empty() {
            writer.line(0, &format!("{title}:"));
        }
        amounts.into_iter().for_each(|(name, amount)| writer.field_of(1, name, amount));
    }
    writer.line(0, "System Info:");
    for (name, field) in SYSTEM_INFO {
        writer.field_of(1, name, &status["nodeInfo"][field]);
    }
    if spec["podCIDR"].is_string() {
        writer.field_of(0, "PodCIDR", &spec["podCIDR"]);
    }
    let ranges: Vec<String> = list(&spec["podCIDRs"]).iter().map(shown).collect();
    if !ranges.is_empty() {
        writer.field(0, "PodCIDRs", ranges.join(","));
    }
    if spec["providerID"].is_string() {
        writer.field_of(0, "ProviderID", &spec["providerID"]);
    }
    self::pods(pods, &status["allocatable"], writer);
}

fn taint(taint: &Value) -> String {
    let (key, value, effect) = (shown(&taint["key"]), shown(&taint["value"]), shown(&taint["effect"]));
    let value = if value.is_empty() { value } else { format!("={value}") };
    let effect = if effect.is_empty() { effect } else { format!(":{effect}") };
    format!("{key}{value}{effect}")
}

fn conditions(conditions: &[Value], writer: &mut Writer) {
    if !conditions.is_empty() {
        writer.line(0, "Conditions:");
        writer.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
        writer.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    }
    for condition in conditions {
        let text = |field: &str| shown(&condition[field]);
        let (heartbeat, transition) =
            (writer.date(&condition["lastHeartbeatTime"]), writer.date(&condition["lastTransitionTime"]));
        writer.line(
            1,
            &format!(
                "{} \t{} \t{heartbeat} \t{transition} \t{} \t{}",
                text("type"),
                text("status"),
                text("reason"),
                text("message")
            ),
        );
    }
}

fn pods(pods: &[Value], allocatable: &Value, writer: &mut Writer) {
    writer.field(0, "Non-terminated Pods", format_args!("({} in total)", pods.len()));
    writer.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    writer.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    let mut total = Resources::default();
    for pod in pods {
        let resources = Resources::of(pod);
        let cell = |name, kind| fraction(name, resources.get(name, kind), &allocatable[name]);
        let (namespace, name) = (shown(&pod["metadata"]["namespace"]), shown(&pod["metadata"]["name"]));
        let (cpu, memory) = ("cpu", "memory");
        let cells = [
            cell(cpu, Kind::Requests),
            cell(cpu, Kind::Limits),
            cell(memory, Kind::Requests),
            cell(memory, Kind::Limits),
        ];
        let age = writer.since(&pod["metadata"]["creationTimestamp"]);
        writer.line(1, &format!("{namespace}\t{name}\t\t{}\t{age}", cells.join("\t")));
        total.add(&resources);
    }
    writer.line(0, "Allocated resources:");
    writer.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    writer.line(1, "Resource\tRequests\tLimits");
    writer.line(1, "--------\t--------\t------");
    let names = fields(allocatable).into_iter().map(|(name, _)| name.as_str());
    let (huge, others): (Vec<&str>, Vec<&str>) = names.partition(|name| name.starts_with("hugepages-"));
    for name in ["cpu", "memory", "ephemeral-storage"].into_iter().chain(huge) {
        let cell = |kind| fraction(name, total.get(name, kind), &allocatable[name]);
        writer.line(1, &format!("{name}\t{}\t{}", cell(Kind::Requests), cell(Kind::Limits)));
    }
    for name in others {
        if !["cpu", "memory", "ephemeral-storage", "pods"].contains(&name) {
            let cell = |kind| quantity(name, total.get(name, kind));
            writer.line(1, &format!("{name}\t{}\t{}", cell(Kind::Requests), cell(Kind::Limits)));
        }
    }
}
