//! A namespace, as `describe` shows it.

use serde_json::Value;

use super::writer::{Writer, list, shown};

pub(super) fn describe(namespace: &Value, writer: &mut Writer) {
    writer.field_of(0, "Name", &namespace["metadata"]["name"]);
    writer.labels_and_annotations(namespace);
    writer.field_of(0, "Status", &namespace["status"]["phase"]);
    let conditions = list(&namespace["status"]["conditions"]);
    if !conditions.is_empty() {
        writer.line(0, "Conditions:");
        writer.line(1, "Type\tStatus\tLastTransitionTime\tReason\tMessage");
        writer.line(1, "----\t------\t------------------\t------\t-------");
    }
    for condition in conditions {
        let text = |field: &str| shown(&condition[field]);
        let since = writer.date(&condition["lastTransitionTime"]);
        let line = [text("type"), text("status"), since, text("reason"), text("message")];
        writer.line(1, &line.join("\t"));
    }
}
