//! `-o` of `get`: how objects become text.

use serde_json::Value;

use super::custom_columns::CustomColumns;
use crate::cli::client::output;
use crate::cli::json_path::{Missing, Template};

/// What `-o` asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    /// The server's table, with all of its columns when `wide`.
    Table {
        wide: bool,
    },
    Yaml,
    Json,
    Name,
    JsonPath(JsonPath),
    CustomColumns(CustomColumns),
}

/// A JSON path template of the command line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonPath {
    template: Template,
    written: String,
    /// The results of each path as a list in JSON.
    as_json: bool,
    missing: Missing,
}

const ALLOWED: &str =
    "custom-columns,custom-columns-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,wide,yaml";

impl Format {
    /// Reads `NAME` or `NAME=VALUE`, and the file that it names. Errors are kubectl's.
    pub(super) fn parse(text: Option<&str>, missing: Missing, no_headers: bool) -> anyhow::Result<Self> {
        let Some(text) = text else { return Ok(Self::Table { wide: false }) };
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match name {
            "wide" => Self::Table { wide: true },
            "yaml" => Self::Yaml,
            "json" => Self::Json,
            "name" => Self::Name,
            "jsonpath" => Self::JsonPath(JsonPath::parse(value, false, missing)?),
            "jsonpath-as-json" => Self::JsonPath(JsonPath::parse(value, true, missing)?),
            "jsonpath-file" => {
                anyhow::ensure!(!value.is_empty(), "template format specified but no template given");
                Self::JsonPath(JsonPath::parse(&read(value, "--template ")?, false, missing)?)
            }
            "custom-columns" => Self::CustomColumns(CustomColumns::parse(value, no_headers)?),
            "custom-columns-file" => {
                anyhow::ensure!(
                    !value.is_empty(),
                    "custom-columns format specified but no custom columns given"
                );
                Self::CustomColumns(CustomColumns::parse_file(&read(value, "template ")?)?)
            }
            "go-template" | "go-template-file" | "template" | "templatefile" => anyhow::bail!(
                "the output format {name:?} is not supported: Go's templates need Go; jsonpath and custom-columns are"
            ),
            _ => anyhow::bail!(
                "unable to match a printer suitable for the output format {text:?}, allowed formats are: {ALLOWED}"
            ),
        })
    }
}

fn read(path: &str, what: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("error reading {what}{path}, {error}"))
}

impl JsonPath {
    fn parse(text: &str, as_json: bool, missing: Missing) -> anyhow::Result<Self> {
        anyhow::ensure!(!text.is_empty(), "template format specified but no template given");
        let template = Template::parse(text);
        let template = template.map_err(|why| anyhow::anyhow!("error parsing jsonpath {text}, {why}"))?;
        Ok(Self { template, written: text.to_owned(), as_json, missing })
    }

    /// What the template makes of an object.
    pub(super) fn text(&self, object: &Value) -> anyhow::Result<String> {
        let failed = |why| {
            anyhow::anyhow!("error executing jsonpath {:?}: Error executing template: {why}", self.written)
        };
        if !self.as_json {
            return self.template.text(object, self.missing).map_err(failed);
        }
        let results = self.template.results(object, self.missing).map_err(failed)?;
        let list = |values: Vec<&Value>| output::json(&values.into_iter().cloned().collect());
        results.into_iter().map(list).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> anyhow::Result<Format> {
        Format::parse(Some(text), Missing::Nothing, false)
    }

    #[test]
    fn what_cannot_be_printed_is_told_in_kubectls_words() {
        for (text, error) in [
            (
                "nonsense",
                "unable to match a printer suitable for the output format \"nonsense\", allowed formats are: ",
            ),
            ("jsonpath", "template format specified but no template given"),
            ("jsonpath=", "template format specified but no template given"),
            ("jsonpath={.items[", "error parsing jsonpath {.items[, unterminated array"),
            ("jsonpath-file=/nonexistent", "error reading --template /nonexistent, No such file"),
            ("custom-columns", "custom-columns format specified but no custom columns given"),
            ("custom-columns-file=/nonexistent", "error reading template /nonexistent, No such file"),
            ("go-template={{.}}", "the output format \"go-template\" is not supported"),
        ] {
            let told = parse(text).unwrap_err().to_string();
            assert!(told.starts_with(error), "{text}: {told}");
        }
    }

    #[test]
    fn a_template_is_text_or_json_and_what_it_does_not_find_is_told_if_asked() {
        let text = |format: Format, object: &Value| match format {
            Format::JsonPath(path) => path.text(object),
            other => panic!("{other:?}"),
        };
        let object = json!({"a": [1, 2]});
        assert_eq!(text(parse("jsonpath={.a[*]}{.b}").unwrap(), &object).unwrap(), "1 2");
        let as_json = parse("jsonpath-as-json={.a[*]}{.a}").unwrap();
        assert_eq!(
            text(as_json, &object).unwrap(),
            "[\n    1,\n    2\n]\n[\n    [\n        1,\n        2\n    ]\n]\n"
        );
        let strict = Format::parse(Some("jsonpath={.b}"), Missing::Error, false).unwrap();
        assert_eq!(
            text(strict, &object).unwrap_err().to_string(),
            "error executing jsonpath \"{.b}\": Error executing template: b is not found"
        );
    }
}
