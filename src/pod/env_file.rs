//! Files of variables that a container leaves in a volume for others (KEP-3721): `NAME='value'`, as the kubelet reads them.

use std::str::Lines;

/// What may stand before a name, and after a value.
const BLANKS: [char; 2] = [' ', '\t'];

/// Why a file is none of variables. What it says otherwise is not told: there may be secrets in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line that is no variable.
    #[error("invalid environment variable format at line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// In the kubelet's words.
        why: &'static str,
    },
    /// The file ends inside a value.
    #[error("invalid environment variable format starting at line {line}: unclosed single quote")]
    Unclosed {
        /// Where the value begins, counted from 1.
        line: usize,
    },
}

/// The value of the first variable `key` of the file, up to which the file has to be fine. One that is empty counts as none.
///
/// A value stands in single quotes, inside which every character, a line's end too, stands for itself. Empty lines, lines that
/// start with `#`, blanks before a name, and a comment after a value are passed over. `NAME= ` is empty whatever follows, as in
/// a shell.
pub fn value(file: &str, key: &str) -> Result<Option<String>, Error> {
    let mut rest = Rest { lines: file.lines(), line: 0 };
    while let Some(line) = rest.next() {
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, assigned) = line.split_once('=').ok_or_else(|| rest.error("missing '='"))?;
        match name.trim_end_matches(BLANKS) {
            "" => return Err(rest.error("empty variable name")),
            trimmed if trimmed != name => return Err(rest.error("whitespace before '=' is not allowed")),
            _ => {}
        }
        let value = if assigned.starts_with(BLANKS) { String::new() } else { rest.quoted(assigned)? };
        if name == key {
            return Ok(Some(value).filter(|value| !value.is_empty()));
        }
    }
    Ok(None)
}

/// What has not been read yet.
struct Rest<'a> {
    lines: Lines<'a>,
    /// The number of the last line that was read, from 1.
    line: usize,
}

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.line += 1;
        Some(line)
    }

    fn error(&self, why: &'static str) -> Error {
        Error::Line { line: self.line, why }
    }

    /// The value that begins with `assigned`, and takes as many lines more as it needs.
    fn quoted(&mut self, assigned: &'a str) -> Result<String, Error> {
        let unquoted = || self.error("value must be enclosed in single quotes");
        let mut part = assigned.strip_prefix('\'').ok_or_else(unquoted)?;
        let unclosed = Error::Unclosed { line: self.line };
        let mut value = String::new();
        loop {
            if let Some((last, after)) = part.split_once('\'') {
                value.push_str(last);
                let after = after.trim_start_matches(BLANKS);
                let is_over = after.is_empty() || after.starts_with('#');
                return is_over
                    .then_some(value)
                    .ok_or_else(|| self.error("unexpected content after closing quote"));
            }
            value.push_str(part);
            value.push('\n');
            let Some(next) = self.next() else { return Err(unclosed) };
            part = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_the_kubelet_reads_it() {
        let line = |line: usize, why: &str| {
            Err(format!("invalid environment variable format at line {line}: {why}"))
        };
        let unclosed = |line: usize| {
            Err(format!("invalid environment variable format starting at line {line}: unclosed single quote"))
        };
        let some = |value: &str| Ok(Some(value.to_owned()));
        for (file, expected) in [
            ("", Ok(None)),
            ("\n \t\n# K='no'\n", Ok(None)),
            ("K='v'", some("v")),
            ("K='v'\r\n", some("v")),
            ("  \tK='v' \t# note\n", some("v")),
            ("K='v'# note", some("v")),
            ("A='1'\nK='v'\nB='2'\n", some("v")),
            ("K='first'\nK='second'\n", some("first")),
            ("KK='longer'\nk='small'\n", Ok(None)),
            ("K=''\n", Ok(None)),
            ("K= 'v'\n", Ok(None)),
            ("A= anything\nK='v'\n", some("v")),
            ("K=' # $(A) ${A} \\n \"x\" = '\n", some(" # $(A) ${A} \\n \"x\" = ")),
            ("K='two\n# lines\n\n'\n", some("two\n# lines\n\n")),
            ("K='ü'\n", some("ü")),
            ("A='x\nK=\\'\nK='v'\n", some("v")),
            ("K='v'\nnonsense\n", some("v")),
            ("nonsense\nK='v'\n", line(1, "missing '='")),
            ("\n='v'\n", line(2, "empty variable name")),
            ("K ='v'\n", line(1, "whitespace before '=' is not allowed")),
            ("K=v\n", line(1, "value must be enclosed in single quotes")),
            ("K=\n", line(1, "value must be enclosed in single quotes")),
            ("K=\"v\"\n", line(1, "value must be enclosed in single quotes")),
            ("K='v'w\n", line(1, "unexpected content after closing quote")),
            ("K='v''w'\n", line(1, "unexpected content after closing quote")),
            ("A='1\n2'x\nK='v'\n", line(2, "unexpected content after closing quote")),
            ("\nK='v\n\n", unclosed(2)),
        ] {
            assert_eq!(value(file, "K").map_err(|error| error.to_string()), expected, "{file:?}");
        }
    }
}
