//! What is wrong with a manifest: every problem of a file, each with its place, its field and the API server's wording.

use std::fmt;

/// A place in a file, both numbers counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One problem, printed as `FILE:LINE:COLUMN: FIELD.PATH: reason`, always on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as the person named it.
    pub file: String,
    /// Where the field is written; where it is missing, the place of what should hold it.
    /// `None` when the problem is the whole file's.
    pub position: Option<Position>,
    /// As Kubernetes writes it, such as `spec.containers[0].ports[0].containerPort`. Empty when no field is concerned.
    pub field: String,
    /// As the API server words it, such as `Invalid value: 70000: must be between 1 and 65535, inclusive`.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OneLine(&self.file))?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", OneLine(&self.field))?;
        }
        write!(f, ": {}", OneLine(&self.reason))
    }
}

/// All problems of a file, in the order of their places; at least one. Prints a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A single problem that concerns the whole file.
    pub fn of_file(file: &str, reason: impl Into<String>) -> Self {
        Self(vec![Problem {
            file: file.to_owned(),
            position: None,
            field: String::new(),
            reason: reason.into(),
        }])
    }

    /// The problems in the order of their places, or `None` when there are none.
    pub(crate) fn collect(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.position);
        (!problems.is_empty()).then_some(Self(problems))
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// One after another.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.0.iter().enumerate() {
            let separator = if nth == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Text of a stranger with its control characters escaped, so that it can neither break the line nor steer a terminal.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(char::is_control) {
            match part.chars().next_back().filter(|last| last.is_control()) {
                Some(last) => {
                    write!(f, "{}{}", &part[..part.len() - last.len_utf8()], last.escape_default())?
                }
                None => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_always_one_line() {
        let problem = Problem {
            file: "a\nb.yaml".to_owned(),
            position: Some(Position { line: 3, column: 5 }),
            field: "spec.\u{1b}[31mx".to_owned(),
            reason: "unknown field".to_owned(),
        };
        assert_eq!(problem.to_string(), "a\\nb.yaml:3:5: spec.\\u{1b}[31mx: unknown field");
    }

    #[test]
    fn problems_are_printed_in_the_order_of_the_file() {
        let at = |line, reason: &str| Problem {
            file: "f".to_owned(),
            position: Some(Position { line, column: 1 }),
            field: String::new(),
            reason: reason.to_owned(),
        };
        let problems = Problems::collect(vec![at(9, "late"), at(2, "early")]).unwrap();
        assert_eq!(problems.to_string(), "f:2:1: early\nf:9:1: late");
    }
}
