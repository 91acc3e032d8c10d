//! Reading a template: text and actions in braces, from left to right.

use serde_json::Value;

use super::{Filter, Operator, Part, Path, Step, Template};

/// What ends a field's name, unless a backslash precedes it.
const TERMINATORS: [char; 12] = [' ', '\t', '\r', '\n', '.', ',', '[', ']', '$', '@', '{', '}'];

/// What comparisons are made of.
const OPERATORS: [char; 4] = ['!', '<', '>', '='];

/// Reads a whole template.
pub(super) fn template(text: &str) -> Result<Template, String> {
    let mut reader = Reader { rest: text, within_braces: true };
    let parts = reader.parts(false)?;
    Ok(Template { parts })
}

/// A path that stands alone, such as a side of a comparison.
fn path(text: &str) -> Result<Path, String> {
    let mut reader = Reader { rest: text, within_braces: false };
    match reader.action()? {
        Action::Path(path) => Ok(path),
        Action::Range(_) => Err("unrecognized identifier range".to_owned()),
        Action::End => Err("unrecognized identifier end".to_owned()),
    }
}

/// What stands in braces.
enum Action {
    Path(Path),
    Range(Path),
    End,
}

struct Reader<'t> {
    rest: &'t str,
    /// An action ends with a brace, not with the text.
    within_braces: bool,
}

impl<'t> Reader<'t> {
    /// Up to the end of the text, or of the range. A range that nobody ends goes on to the end of the text.
    fn parts(&mut self, in_range: bool) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        loop {
            let (text, is_last) = match self.rest.split_once('{') {
                Some((text, rest)) => {
                    self.rest = rest;
                    (text, false)
                }
                None => (std::mem::take(&mut self.rest), true),
            };
            if !text.is_empty() {
                parts.push(Part::Path(vec![Step::Text(text.into())]));
            }
            if is_last {
                return Ok(parts);
            }
            match self.action()? {
                Action::Path(path) => parts.push(Part::Path(path)),
                Action::Range(of) => parts.push(Part::Range { of, body: self.parts(true)? }),
                Action::End if in_range => return Ok(parts),
                Action::End => return Err("not in range, nothing to end".to_owned()),
            }
        }
    }

    fn action(&mut self) -> Result<Action, String> {
        let mut path = Path::new();
        let mut keyword = None;
        loop {
            if let Some(rest) = self.rest.strip_prefix("[?(") {
                self.rest = rest;
                path.push(Step::Filter(self.filter()?));
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix("..") {
                self.rest = rest;
                if path.last() == Some(&Step::Descend) {
                    return Err("invalid multiple recursive descent".to_owned());
                }
                path.push(Step::Descend);
                if rest.starts_with(is_name) {
                    path.push(self.field());
                }
                continue;
            }
            let Some(next) = self.rest.chars().next() else {
                if self.within_braces {
                    return Err("unclosed action".to_owned());
                }
                break;
            };
            match next {
                '\r' | '\n' => return Err("unclosed action".to_owned()),
                '}' if self.within_braces => {
                    self.skip(next);
                    break;
                }
                // The object itself, which paths begin at anyway.
                ' ' | '@' | '$' => self.skip(next),
                '[' => {
                    self.skip(next);
                    path.extend(self.brackets()?);
                }
                '"' | '\'' => {
                    self.skip(next);
                    path.push(Step::Text(self.quoted(next)?.into()));
                }
                '.' => {
                    self.skip(next);
                    path.push(self.field());
                }
                '+' | '-' | '0'..='9' => path.push(self.number()?),
                _ if is_name(next) => match self.identifier() {
                    "true" => path.push(Step::Literal(true.into())),
                    "false" => path.push(Step::Literal(false.into())),
                    word @ ("range" | "end") if path.is_empty() && keyword.is_none() => keyword = Some(word),
                    word => return Err(format!("unrecognized identifier {word}")),
                },
                other => {
                    let code = u32::from(other);
                    return Err(format!("unrecognized character in action: U+{code:04X} '{other}'"));
                }
            }
        }
        Ok(match keyword {
            None => Action::Path(path),
            Some("range") => Action::Range(path),
            Some(_) => Action::End,
        })
    }

    fn skip(&mut self, first: char) {
        self.rest = &self.rest[first.len_utf8()..];
    }

    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn identifier(&mut self) -> &'t str {
        let end = self.rest.find(|c| TERMINATORS.contains(&c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// A field's name, or `*`. A backslash makes the next character a part of the name.
    fn field(&mut self) -> Step {
        let mut name = String::new();
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, c)) = characters.next() {
            if c == '\\' {
                name.extend(characters.next().map(|(_, escaped)| escaped));
            } else if TERMINATORS.contains(&c) {
                end = at;
                break;
            } else {
                name.push(c);
            }
        }
        self.take(end);
        if name == "*" { Step::Every } else { Step::Field(name) }
    }

    fn number(&mut self) -> Result<Step, String> {
        let sign = usize::from(self.rest.starts_with(['+', '-']));
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        let end = self.rest[sign..].find(|c| !digits(c)).map_or(self.rest.len(), |end| sign + end);
        let text = self.take(end);
        let whole = text.parse::<i64>().map(Value::from);
        let number = whole.or_else(|_| text.parse::<f64>().map(Value::from));
        number.map(Step::Literal).map_err(|_| format!("cannot parse number {text}"))
    }

    /// Text up to the quote, which has been seen once already.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let mut end = None;
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' => drop(characters.next()),
                '\n' => break,
                _ if c == quote => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let end = end.ok_or("unterminated quoted string")?;
        let text = self.take(end);
        self.skip(quote);
        unescape(text, quote)
            .ok_or_else(|| format!("unquote string {quote}{text}{quote} error invalid syntax"))
    }

    /// What follows a bracket that is no filter: an index, a slice, a quoted name, or several of them.
    fn brackets(&mut self) -> Result<Vec<Step>, String> {
        let text = self.rest.split_once(']').map(|(text, _)| text).filter(|text| !text.contains('\n'));
        let text = text.ok_or("unterminated array")?;
        self.take(text.len() + 1);
        let several: Vec<&str> = text.split(',').collect();
        if let [one] = several.as_slice() {
            return bracketed(one);
        }
        let paths = several.iter().map(|part| bracketed(part.trim_matches(' '))).collect::<Result<_, _>>()?;
        Ok(vec![Step::Union(paths)])
    }

    /// What follows `[?(`, up to `)]`.
    fn filter(&mut self) -> Result<Filter, String> {
        let mut quote = None;
        let mut end = None;
        let mut characters = self.rest.char_indices();
        while let Some((at, c)) = characters.next() {
            match (c, quote) {
                ('\n', _) => break,
                ('\\', Some(_)) => drop(characters.next()),
                ('"' | '\'', None) => quote = Some(c),
                (_, Some(open)) if c == open => quote = None,
                (')', None) => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let text = self.take(end.ok_or("unterminated filter")?);
        self.rest = self.rest.strip_prefix(")]").ok_or("unclosed array expect ]")?;
        let Some(at) = text.find(OPERATORS) else { return path(text).map(Filter::Exists) };
        let (left, rest) = text.split_at(at);
        let length = rest.find(|c| !OPERATORS.contains(&c)).unwrap_or(rest.len());
        let (operator, right) = rest.split_at(length);
        if left.is_empty() || right.is_empty() {
            return path(text).map(Filter::Exists);
        }
        let (left, right) = (path(left)?, path(right)?);
        let operator = match operator {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            other => return Err(format!("unrecognized filter operator {other}")),
        };
        Ok(Filter::Compare(left, operator, right))
    }
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// `*`, `'name'`, `3`, `-1`, `1:3`, `::2`.
fn bracketed(text: &str) -> Result<Vec<Step>, String> {
    if text == "*" {
        return Ok(vec![Step::Slice { start: None, end: None, step: None }]);
    }
    if let Some(name) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''))
        && !name.contains('\'')
    {
        // As if it were written after a dot: dots within it have a backslash.
        return path(&format!(".{name}"));
    }
    let bad = || format!("invalid array index {text}");
    let number = |part: &str| match part {
        "" => Ok(None),
        _ if part.strip_prefix('-').unwrap_or(part).chars().all(|c| c.is_ascii_digit()) => {
            part.parse().map(Some).map_err(|_| format!("array index {part} is not a number"))
        }
        _ => Err(bad()),
    };
    let parts = text.split(':').map(number).collect::<Result<Vec<Option<i64>>, String>>()?;
    Ok(vec![match *parts.as_slice() {
        [index] => Step::Index(index.unwrap_or(0)),
        [start, end] => Step::Slice { start, end, step: None },
        [start, end, step] => Step::Slice { start, end, step },
        _ => return Err(bad()),
    }])
}

/// The escapes of Go's strings.
fn unescape(text: &str, quote: char) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match characters.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            'x' => hexadecimal(&mut characters, 2)?,
            'u' => hexadecimal(&mut characters, 4)?,
            'U' => hexadecimal(&mut characters, 8)?,
            other if other == quote => quote,
            _ => return None,
        });
    }
    Some(plain)
}

fn hexadecimal(characters: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let text: String = characters.take(digits).collect();
    let code = u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == digits)?;
    char::from_u32(code)
}
