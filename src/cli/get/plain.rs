//! `--server-print=false`: a table that the client makes itself, of what all objects have.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::table::age;
use crate::cli::client::table::Table;

/// Names and ages of a list's objects, or of one.
pub(super) fn table(found: &Value, now: Timestamp) -> anyhow::Result<Table> {
    let objects = found["items"].as_array().map_or(std::slice::from_ref(found), Vec::as_slice);
    let row = |object: &Value| {
        let metadata = &object["metadata"];
        let created = metadata["creationTimestamp"].as_str().and_then(|time| time.parse().ok());
        json!({"cells": [metadata["name"], age(created, now)], "object": object})
    };
    let columns = json!([{"name": "Name", "format": "name"}, {"name": "Age"}]);
    let rows: Vec<Value> = objects.iter().map(row).collect();
    Ok(serde_json::from_value(json!({"columnDefinitions": columns, "rows": rows}))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::table::{Printer, Style};

    #[test]
    fn an_object_has_a_name_and_an_age() {
        let object =
            |name: &str| json!({"metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        let print = |found: &Value| Printer::new(Style::default()).print(&table(found, now).unwrap(), "");
        assert_eq!(print(&object("web")), "NAME   AGE\nweb    60s\n");
        let list = json!({"items": [object("web"), object("settings")]});
        assert_eq!(print(&list), "NAME       AGE\nweb        60s\nsettings   60s\n");
        assert_eq!(print(&json!({"items": []})), "NAME   AGE\n");
    }
}
