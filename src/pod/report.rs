//! Where problems are gathered, and how the API server words them.

use std::collections::HashSet;
use std::fmt::{self, Debug, Display};

use super::path::Path;
use super::problem::{Position, Problem, Problems};
use super::yaml::{self, Node, Value};

/// A person mends the first few and looks again; a hostile file could have hundreds of thousands.
const MAX_PROBLEMS: usize = 100;
/// A longer value is cut where a problem shows it.
const MAX_SHOWN: usize = 200;

/// The problems of a file, as they are found.
pub(crate) struct Report<'f> {
    file: &'f str,
    problems: Vec<Problem>,
    more: bool,
}

impl<'f> Report<'f> {
    pub(crate) fn new(file: &'f str) -> Self {
        Self { file, problems: Vec::new(), more: false }
    }

    pub(crate) fn add(&mut self, position: Position, field: String, reason: String) {
        if self.problems.len() == MAX_PROBLEMS {
            self.more = true;
            return;
        }
        self.problems.push(Problem { file: self.file.to_owned(), position: Some(position), field, reason });
    }

    /// There are more problems than were looked for.
    pub(super) fn cut(&mut self) {
        self.more = true;
    }

    pub(crate) fn add_flaw(&mut self, flaw: yaml::Flaw) {
        self.add(flaw.position, flaw.field, flaw.reason);
    }

    /// `Ok` when nothing was found.
    pub(crate) fn finish(self) -> Result<(), Problems> {
        let Self { file, problems, more } = self;
        let Some(mut problems) = Problems::collect(problems) else { return Ok(()) };
        if more {
            problems.push(Problem {
                file: file.to_owned(),
                position: None,
                field: String::new(),
                reason: "there are more problems than are shown".to_owned(),
            });
        }
        Err(problems)
    }
}

/// One document, and the report that its problems go to.
pub(super) struct Document<'r, 'f> {
    tree: &'r Node,
    report: &'r mut Report<'f>,
    /// Fields that had to be left out of what is validated; what validation says of them would be wrong.
    spoilt: HashSet<String>,
}

impl<'r, 'f> Document<'r, 'f> {
    pub(super) fn new(tree: &'r Node, report: &'r mut Report<'f>) -> Self {
        Self { tree, report, spoilt: HashSet::new() }
    }

    /// The document as it is written.
    pub(super) fn tree(&self) -> &'r Node {
        self.tree
    }

    /// The fields of the object at `path` that are written and not null, whether they could be read or not.
    pub(super) fn given_fields(&self, path: &Path<'_>) -> impl Iterator<Item = &'r str> + use<'r> {
        let entries = self.tree.find(path).map(Node::entries).unwrap_or_default();
        entries.iter().filter(|entry| entry.value.value != Value::Null).map(|entry| entry.key.as_str())
    }

    /// A field could not be read, or is unknown.
    pub(super) fn unreadable(&mut self, position: Position, field: String, reason: String) {
        self.report.add(position, field.clone(), reason);
        self.spoil(field);
    }

    /// An object has so many problems that the rest of it was not read.
    pub(super) fn give_up(&mut self, field: String) {
        self.report.cut();
        self.spoil(field);
    }

    /// From now on nothing more is said about the field and what is below it.
    pub(super) fn spoil(&mut self, field: String) {
        self.spoilt.insert(field);
    }

    /// A problem in words of our own.
    pub(super) fn problem(&mut self, path: &Path<'_>, reason: impl Into<String>) {
        self.problem_at(self.tree.locate(path), path, reason);
    }

    /// Likewise, at a place other than that of the field.
    pub(super) fn problem_at(&mut self, position: Position, path: &Path<'_>, reason: impl Into<String>) {
        let mut above = Some(path);
        while let Some(path) = above {
            if self.spoilt.contains(&path.to_string()) {
                return;
            }
            above = path.parent();
        }
        self.report.add(position, path.to_string(), reason.into());
    }

    /// The value cannot be. Strings are shown in quotes.
    pub(super) fn invalid(&mut self, path: &Path<'_>, value: impl Debug, why: impl Display) {
        self.invalid_at(self.tree.locate(path), path, value, why);
    }

    /// Likewise, at a place other than that of the field.
    pub(super) fn invalid_at(
        &mut self,
        position: Position,
        path: &Path<'_>,
        value: impl Debug,
        why: impl Display,
    ) {
        self.problem_at(position, path, format!("Invalid value: {}: {why}", Shown(value)));
    }

    /// There is no value.
    pub(super) fn required(&mut self, path: &Path<'_>) {
        self.problem(path, "Required value");
    }

    /// There is no value, and what it should be needs words.
    pub(super) fn required_for(&mut self, path: &Path<'_>, why: &str) {
        self.problem(path, format!("Required value: {why}"));
    }

    /// The value was there before.
    pub(super) fn duplicate(&mut self, path: &Path<'_>, value: &str) {
        self.problem(path, format!("Duplicate value: {}", Shown(value)));
    }

    /// The value names something that is not there.
    pub(super) fn not_found(&mut self, path: &Path<'_>, value: &str) {
        self.problem(path, format!("Not found: {}", Shown(value)));
    }

    /// The value is none of those that are allowed.
    pub(super) fn unsupported(&mut self, path: &Path<'_>, value: &str, allowed: &[&str]) {
        let allowed: Vec<String> = allowed.iter().map(|value| format!("{value:?}")).collect();
        let allowed = allowed.join(", ");
        self.problem(path, format!("Unsupported value: {}: supported values: {allowed}", Shown(value)));
    }

    /// The list is too long.
    pub(super) fn too_many(&mut self, path: &Path<'_>, count: usize, most: usize) {
        self.problem(path, format!("Too many: {count}: must have at most {most} items"));
    }

    /// The field may not be set here.
    pub(super) fn forbidden(&mut self, path: &Path<'_>, why: &str) {
        self.problem(path, format!("Forbidden: {why}"));
    }

    /// Kubernetes has the field; this program does not carry it out yet.
    pub(super) fn not_yet(&mut self, position: Position, path: &Path<'_>) {
        self.problem_at(position, path, "not supported by this version of mkubelet");
        self.spoil(path.to_string());
    }
}

/// A value in a message, cut when it is long.
struct Shown<T>(T);

impl<T: Debug> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}", self.0);
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => write!(f, "{}...", &text[..end]),
            None => f.write_str(&text),
        }
    }
}
