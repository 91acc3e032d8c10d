//! The events of an object, the latest last.

use serde_json::Value;

use super::writer::{Writer, shown};

pub(super) fn describe(events: &[Value], writer: &mut Writer) {
    if events.is_empty() {
        return writer.field(0, "Events", "<none>");
    }
    let mut events: Vec<&Value> = events.iter().collect();
    events.sort_by_key(|event| event["lastTimestamp"].as_str());
    writer.flush();
    writer.line(0, "Events:");
    writer.line(1, "Type\tReason\tAge\tFrom\tMessage");
    writer.line(1, "----\t------\t----\t----\t-------");
    for event in events {
        let first =
            if event["eventTime"].is_string() { &event["eventTime"] } else { &event["firstTimestamp"] };
        let first = writer.since(first);
        let series = &event["series"];
        let age = if series.is_object() {
            let last = writer.since(&series["lastObservedTime"]);
            format!("{last} (x{} over {first})", shown(&series["count"]))
        } else if event["count"].as_i64().is_some_and(|count| count > 1) {
            let last = writer.since(&event["lastTimestamp"]);
            format!("{last} (x{} over {first})", shown(&event["count"]))
        } else {
            first
        };
        let component = shown(&event["source"]["component"]);
        let from = if component.is_empty() { shown(&event["reportingComponent"]) } else { component };
        let message = shown(&event["message"]).trim().to_owned();
        let (kind, reason) = (shown(&event["type"]), shown(&event["reason"]));
        writer.line(1, &format!("{kind}\t{reason}\t{age}\t{from}\t{message}"));
    }
}
