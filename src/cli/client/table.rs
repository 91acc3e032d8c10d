//! A table of the API (meta/v1 Table) as kubectl prints it: columns three spaces apart, wide ones when they are asked for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::Deserialize;
use serde_json::Value;

/// Accept header of a request whose answer is a table where the server has one.
pub(in crate::cli) const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Spaces between columns.
const GAP: usize = 3;

/// Least width of a column with its gap.
const LEAST: usize = 6;

/// What the server sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::cli) struct Table {
    /// Where the list goes on.
    pub(in crate::cli) metadata: ListMeta,
    /// Of watches, only the first has them.
    pub(in crate::cli) column_definitions: Vec<Column>,
    /// One per object.
    pub(in crate::cli) rows: Vec<Row>,
}

/// A column.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Column {
    name: String,
    /// `name` for the one that has the object's name.
    format: String,
    priority: i32,
}

/// A row.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Row {
    cells: Vec<Value>,
    /// The object, or its metadata alone, as the request asked.
    pub(in crate::cli) object: Value,
}

/// How tables are printed.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Style {
    /// All columns.
    pub(in crate::cli) wide: bool,
    /// A column with the namespace comes first.
    pub(in crate::cli) with_namespace: bool,
    /// A column with the word for what has happened comes before that.
    pub(in crate::cli) with_event: bool,
    /// A column for each of these labels comes last but one.
    pub(in crate::cli) label_columns: Vec<String>,
    /// A column with the labels comes last.
    pub(in crate::cli) show_labels: bool,
    /// No line of names above.
    pub(in crate::cli) no_headers: bool,
}

/// Prints tables of the same type, one after another: columns grow, and never shrink.
#[derive(Debug, Default)]
pub(in crate::cli) struct Printer {
    style: Style,
    columns: Vec<Column>,
    widths: Vec<usize>,
    has_header: bool,
}

impl Printer {
    /// A printer of tables; `prefix` such as `pod/` goes before names where several types are printed.
    pub(in crate::cli) fn new(style: Style) -> Self {
        Self { style, ..Self::default() }
    }

    /// The lines of a table, each with its end.
    pub(in crate::cli) fn print(&mut self, table: &Table, prefix: &str) -> String {
        self.print_event(table, prefix, "")
    }

    /// The same, of an `event` of a watch.
    pub(in crate::cli) fn print_event(&mut self, table: &Table, prefix: &str, event: &str) -> String {
        if !table.column_definitions.is_empty() {
            self.columns.clone_from(&table.column_definitions);
        }
        let mut lines: Vec<Vec<String>> = Vec::new();
        if !self.has_header && !self.style.no_headers {
            lines.push(self.header());
        }
        self.has_header = true;
        lines.extend(table.rows.iter().map(|row| self.row(row, prefix, event)));
        for line in &lines {
            for (index, cell) in line.iter().enumerate() {
                let width = cell.chars().count();
                match self.widths.get_mut(index) {
                    Some(widest) => *widest = width.max(*widest),
                    None => self.widths.push(width),
                }
            }
        }
        lines.iter().map(|line| self.line(line)).collect()
    }

    fn shown(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().filter(|(_, column)| self.style.wide || column.priority == 0)
    }

    fn header(&self) -> Vec<String> {
        let style = &self.style;
        let event = style.with_event.then(|| "EVENT".to_owned());
        let namespace = style.with_namespace.then(|| "NAMESPACE".to_owned());
        // Of `example.org/tier` what comes last.
        let label = |key: &String| key.rsplit('/').next().unwrap_or_default().to_uppercase();
        let last = style.show_labels.then(|| "LABELS".to_owned());
        let first = event.into_iter().chain(namespace);
        let shown = self.shown().map(|(_, column)| column.name.to_uppercase());
        first.chain(shown).chain(style.label_columns.iter().map(label)).chain(last).collect()
    }

    fn row(&self, row: &Row, prefix: &str, event: &str) -> Vec<String> {
        let metadata = &row.object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or_default();
        // As wide as the longest of these words, so that later rows are not wider.
        let event = self.style.with_event.then(|| format!("{event:<8}"));
        let first = event.into_iter().chain(self.style.with_namespace.then(|| namespace.to_owned()));
        let cell = |(index, column): (usize, &Column)| {
            let text = row.cells.get(index).map(text).unwrap_or_default();
            if column.format == "name" { format!("{prefix}{text}") } else { text }
        };
        let labels = || {
            let labels = metadata["labels"].as_object().into_iter().flatten();
            let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            let mut labels: Vec<String> = labels.collect();
            labels.sort();
            if labels.is_empty() { "<none>".to_owned() } else { labels.join(",") }
        };
        let label = |key: &String| metadata["labels"][key].as_str().unwrap_or_default().to_owned();
        let last = self.style.label_columns.iter().map(label).chain(self.style.show_labels.then(labels));
        first.chain(self.shown().map(cell)).chain(last).collect()
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            line.push_str(cell);
            if index + 1 < cells.len() {
                let width = (self.widths[index] + GAP).max(LEAST);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        line.push('\n');
        line
    }
}

/// Rows as lines, each cell as wide as the widest of its column and a gap.
pub(in crate::cli) fn aligned(rows: &[Vec<String>]) -> String {
    let cell = |row: &Vec<String>, index: usize| row.get(index).map_or(0, |cell| cell.chars().count());
    let width = |index: usize| {
        let widest = rows.iter().map(|row| cell(row, index)).max().unwrap_or(0);
        (widest + GAP).max(LEAST)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

/// A cell on one line, without what would move the cursor.
fn text(cell: &Value) -> String {
    let text = match cell {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        other => other.to_string(),
    };
    let first = text.split(['\n', '\r', '\u{c}']).next().unwrap_or_default();
    let cut = if first.len() < text.len() { "..." } else { "" };
    let plain: String = first.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain + cut
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(rows: &[(&str, &str, &str)]) -> Table {
        let row = |(name, ready, ip): &(&str, &str, &str)| json!({"cells": [name, ready, ip], "object": {"metadata": {"namespace": "n", "labels": {"a": "b"}}}});
        let columns = json!([
            {"name": "Name", "format": "name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "IP", "priority": 1}
        ]);
        let rows: Vec<Value> = rows.iter().map(row).collect();
        serde_json::from_value(json!({"columnDefinitions": columns, "rows": rows})).unwrap()
    }

    #[test]
    fn columns_are_three_spaces_apart_and_wide_ones_are_asked_for() {
        let table = table(&[("web", "1/1", "10.0.0.2"), ("a-longer-name", "0/1", "<none>")]);
        let print = |style| Printer::new(style).print(&table, "");
        assert_eq!(
            print(Style::default()),
            "NAME            READY\nweb             1/1\na-longer-name   0/1\n"
        );
        assert_eq!(
            print(Style { wide: true, with_namespace: true, ..Style::default() }),
            "NAMESPACE   NAME            READY   IP\nn           web             1/1     10.0.0.2\n\
             n           a-longer-name   0/1     <none>\n"
        );
        assert_eq!(
            print(Style { show_labels: true, no_headers: true, ..Style::default() }),
            "web             1/1   a=b\na-longer-name   0/1   a=b\n"
        );
    }

    #[test]
    fn a_watch_keeps_its_header_and_its_widths() {
        let mut printer = Printer::new(Style::default());
        assert_eq!(printer.print(&table(&[("a-longer-name", "1/1", "")]), "pod/").lines().count(), 2);
        let mut more = table(&[("web", "1/1", "")]);
        more.column_definitions.clear();
        assert_eq!(printer.print(&more, "pod/"), "pod/web             1/1\n");
    }

    #[test]
    fn a_cell_is_one_line_without_control_characters() {
        for (cell, expected) in [
            (json!("a\nb"), "a..."),
            (json!("a\u{1b}[31mb"), "a [31mb"),
            (json!(3), "3"),
            (json!(null), "<none>"),
        ] {
            assert_eq!(text(&cell), expected);
        }
    }

    #[test]
    fn events_come_first_and_labels_by_their_keys_last() {
        let table = json!({
            "columnDefinitions": [{"name": "Name", "format": "name"}],
            "rows": [{"cells": ["web"], "object": {"metadata": {"labels": {"example.org/tier": "front"}}}}],
        });
        let style = Style {
            with_event: true,
            label_columns: vec!["example.org/tier".to_owned(), "app".to_owned()],
            ..Style::default()
        };
        let printed =
            Printer::new(style).print_event(&serde_json::from_value(table).unwrap(), "pod/", "ADDED");
        let expected = "EVENT      NAME      TIER    APP\nADDED      pod/web   front   \n";
        assert_eq!(printed, expected);
    }
}
