//! JSON path templates, in the dialect of kubectl: `{range .items[*]}{.metadata.name}{"\n"}{end}`.
//!
//! Text stands for itself; what is in braces is a path into an object, and is replaced by what it leads to. The dialect has no other user
//! than Kubernetes: RFC 9535 has no `range`, no text, other quotes and other filters.
//!
//! Source: <https://kubernetes.io/docs/reference/kubectl/jsonpath/>, `k8s.io/client-go/util/jsonpath`.

mod compare;
mod evaluate;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub(super) use print::{go_type, plain};

/// A template that has been read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// A path, whose results are printed. Text is a path that leads to itself.
    Path(Path),
    /// The body, once for each result of the path.
    Range { of: Path, body: Vec<Part> },
}

type Path = Vec<Step>;

/// From some values to others.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// To this text, whatever was there.
    Text(Value),
    /// To this number or boolean, for each value that was there.
    Literal(Value),
    Field(String),
    /// All items of lists, all values of objects.
    Every,
    /// The values themselves, and all that is in them.
    Descend,
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: Option<i64>,
    },
    Filter(Filter),
    /// What each of the paths leads to.
    Union(Vec<Path>),
}

/// Which items of a list stay.
#[derive(Debug, Clone, PartialEq)]
enum Filter {
    /// Those that have it.
    Exists(Path),
    /// Those of which it is true.
    Compare(Path, Operator, Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a field that is not there means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing.
    #[default]
    Nothing,
    /// An error.
    Error,
}

impl Template {
    /// Reads a template. Errors are kubectl's.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::template(text)
    }

    /// What each path of the template leads to.
    pub(super) fn results<'a>(
        &'a self,
        object: &'a Value,
        missing: Missing,
    ) -> Result<Vec<Vec<&'a Value>>, String> {
        evaluate::parts(&self.parts, object, missing)
    }

    /// The template as text: the results of a path with spaces between them.
    pub(super) fn text(&self, object: &Value, missing: Missing) -> Result<String, String> {
        let results = self.results(object, missing)?;
        let joined = |values: &Vec<&Value>| {
            values.iter().map(|value| print::text(value)).collect::<Vec<_>>().join(" ")
        };
        Ok(results.iter().map(joined).collect())
    }
}

/// A path as people write it where nothing else can be meant, `metadata.name`, `.metadata.name` or `{metadata.name}`, as a template.
pub(super) fn relaxed(text: &str) -> Result<String, String> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let path = inner.strip_prefix('.').unwrap_or(inner);
    if path.is_empty() || path.contains(['{', '}']) {
        return Err(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or \
                    '{.name1.name2}'"
                .to_owned(),
        );
    }
    Ok(format!("{{.{path}}}"))
}
