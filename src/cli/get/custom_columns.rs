//! `-o custom-columns=NAME:.metadata.name,...`: a table whose columns are JSON paths.

use serde_json::Value;

use crate::cli::client::tab_stops;
use crate::cli::json_path::{self, Missing, Template};

/// The columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CustomColumns {
    columns: Vec<(String, Template)>,
    with_header: bool,
}

impl CustomColumns {
    /// Reads `HEADER:PATH,...`. Errors are kubectl's.
    pub(super) fn parse(text: &str, no_headers: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(!text.is_empty(), "custom-columns format specified but no custom columns given");
        let column = |part: &str| {
            let (header, path) = part.split_once(':').ok_or_else(|| {
                anyhow::anyhow!("unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
            })?;
            self::column(header, path)
        };
        let columns = text.split(',').map(column).collect::<anyhow::Result<_>>()?;
        Ok(Self { columns, with_header: !no_headers })
    }

    /// Reads a file: a line of headers, and a line with a path below each.
    pub(super) fn parse_file(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines();
        let mut words = |which: &str| match lines.next() {
            Some(line) => Ok(line.split_whitespace().collect::<Vec<_>>()),
            None => Err(anyhow::anyhow!(
                "invalid template, missing {which} line. Expected format is one line of space separated headers, one \
                 line of space separated column specs."
            )),
        };
        let (headers, paths) = (words("header")?, words("spec")?);
        anyhow::ensure!(
            headers.len() == paths.len(),
            "number of headers ({}) and field specifications ({}) don't match",
            headers.len(),
            paths.len()
        );
        let columns = headers.into_iter().zip(paths).map(|(header, path)| column(header, path));
        Ok(Self { columns: columns.collect::<anyhow::Result<_>>()?, with_header: true })
    }

    /// The table of these objects.
    pub(super) fn text<'a>(
        &self,
        objects: impl IntoIterator<Item = &'a Value>,
        with_header: bool,
    ) -> anyhow::Result<String> {
        let mut text = String::new();
        if with_header && self.with_header {
            text += &line(self.columns.iter().map(|(header, _)| header.clone()));
        }
        for object in objects {
            let cells = self.columns.iter().map(|(_, path)| cell(path, object));
            text += &line(cells.collect::<anyhow::Result<Vec<String>>>()?);
        }
        Ok(tab_stops::TABLE.align(&text))
    }
}

fn column(header: &str, path: &str) -> anyhow::Result<(String, Template)> {
    let path =
        if path.is_empty() { String::new() } else { json_path::relaxed(path).map_err(anyhow::Error::msg)? };
    Ok((header.to_owned(), Template::parse(&path).map_err(anyhow::Error::msg)?))
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    cells.into_iter().collect::<Vec<_>>().join("\t") + "\n"
}

fn cell(path: &Template, object: &Value) -> anyhow::Result<String> {
    let results = path.results(object, Missing::Nothing).map_err(anyhow::Error::msg)?;
    if results.first().is_none_or(Vec::is_empty) {
        return Ok("<none>".to_owned());
    }
    let values = results.iter().flatten().map(|value| harmless(&json_path::plain(value)));
    Ok(values.collect::<Vec<_>>().join(","))
}

/// Without what would move the cursor of a terminal, as `printers.EscapeTerminal` has it.
fn harmless(text: &str) -> String {
    text.replace('\u{1b}', "^[").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_column_is_what_its_path_leads_to() {
        let columns = CustomColumns::parse("NAME:.metadata.name,C:{.c[*].n},D:d,X:.x,Y:", false).unwrap();
        let objects = [
            json!({"metadata": {"name": "a"}, "c": [{"n": 1}, {"n": null}], "d": {"e": [true]}}),
            json!({"metadata": {"name": "a-longer-name"}, "d": "\u{1b}[1m"}),
        ];
        assert_eq!(
            columns.text(&objects, true).unwrap(),
            "NAME            C         D               X        Y\n\
             a               1,<nil>   map[e:[true]]   <none>   <none>\n\
             a-longer-name   <none>    ^[[1m           <none>   <none>\n"
        );
        assert_eq!(columns.text(&[], true).unwrap(), "NAME   C     D     X     Y\n");
        let bare = CustomColumns::parse("NAME:.metadata.name", true).unwrap();
        assert_eq!(bare.text(&objects[..1], true).unwrap(), "a\n");
    }

    #[test]
    fn a_file_has_a_line_of_headers_and_a_line_of_paths() {
        let columns = CustomColumns::parse_file("NAME  KIND\nmetadata.name {.kind}\n").unwrap();
        let text = columns.text(&[json!({"metadata": {"name": "a"}, "kind": "Pod"})], true).unwrap();
        assert_eq!(text, "NAME   KIND\na      Pod\n");
    }

    #[test]
    fn columns_that_cannot_be_read_are_refused_in_kubectls_words() {
        for (text, error) in [
            ("", "custom-columns format specified but no custom columns given"),
            ("NAME", "unexpected custom-columns spec: NAME, expected <header>:<json-path-expr>"),
            ("A:{b", "unexpected path string, expected a 'name1.name2' or"),
        ] {
            let told = CustomColumns::parse(text, false).unwrap_err().to_string();
            assert!(told.starts_with(error), "{text}: {told}");
        }
        for (text, error) in [
            ("", "invalid template, missing header line."),
            ("A B\n", "invalid template, missing spec line."),
            ("A B\na\n", "number of headers (2) and field specifications (1) don't match"),
        ] {
            let told = CustomColumns::parse_file(text).unwrap_err().to_string();
            assert!(told.starts_with(error), "{text}: {told}");
        }
    }
}
